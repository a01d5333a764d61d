//! The order of hooks, which they state themselves.

use crate::{HookStage, Registered};
use std::borrow::Borrow;

/// Hooks of one generation, at most.
pub const MOST_HOOKS: usize = 60;

/// Takes a hook into a list, which is by stage then, and within one so that everybody's wishes are met, else as they came.
///
/// # Errors
/// Why it cannot be taken; the list stays as it was.
pub fn take_hook<H: Borrow<Registered>>(hooks: &mut Vec<H>, hook: H) -> Result<(), &'static str> {
    let new: &Registered = hook.borrow();
    if new.stage > HookStage::Sent as u32 {
        return Err("its stage is not known to this version of http");
    }
    if hooks.iter().any(|h| h.borrow().stage == new.stage && h.borrow().name == new.name) {
        return Err("a hook of its stage has its name already");
    }
    if hooks.len() >= MOST_HOOKS {
        return Err("there are 60 hooks, which is the most");
    }
    hooks.push(hook);
    let Some(order) = order(hooks) else {
        hooks.pop();
        return Err("its `BEFORE` and `AFTER` contradict those of others");
    };
    let mut list: Vec<_> = std::mem::take(hooks).into_iter().map(Some).collect();
    hooks.extend(order.into_iter().filter_map(|n| list[n].take()));
    Ok(())
}

/// Indices in their order. `None`: they contradict.
fn order<H: Borrow<Registered>>(hooks: &[H]) -> Option<Vec<usize>> {
    let names = |list: &[Box<str>], hook: &Registered| list.iter().any(|name| **name == *hook.name);
    let comes_before = |a: &Registered, b: &Registered| {
        a.stage < b.stage || (a.stage == b.stage && (names(&a.before, b) || names(&b.after, a)))
    };
    let mut left: Vec<usize> = (0..hooks.len()).collect();
    let mut order = Vec::with_capacity(hooks.len());
    while !left.is_empty() {
        let free = |&n: &usize| !left.iter().any(|&m| m != n && comes_before(hooks[m].borrow(), hooks[n].borrow()));
        let at = left.iter().position(free)?;
        order.push(left.remove(at));
    }
    Some(order)
}
