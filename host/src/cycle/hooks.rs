//! Hooks by block: one that says it has nothing to do in a block is not asked there. Owns the lists; asks no hook.

use crate::config::tree::ScopeId;
use anyproxy_module_api::abi::module::{HookPoint, Phase};
use std::collections::HashMap;

/// Number of phases.
pub const PHASES: usize = 3;

/// A hook and its module's number.
type Entry = (u16, HookPoint);

/// The hooks of a generation.
#[derive(Debug, Default)]
pub struct Hooks {
    /// Different lists, each in order.
    lists: Vec<Box<[Entry]>>,
    /// By block and phase: into `lists`.
    scopes: Vec<[u32; PHASES]>,
}

impl Hooks {
    /// `phases`: all of each phase, in order. `applies` says whether one has anything to do in a block.
    pub fn new(
        phases: [Vec<Entry>; PHASES],
        scopes: usize,
        applies: impl Fn(ScopeId, u16, &HookPoint) -> bool,
    ) -> Self {
        let mut made = Self::default();
        let mut known: HashMap<(usize, Vec<bool>), u32> = HashMap::new();
        // Scopes have numbers of 32 bits.
        for scope in (0..scopes).map(|n| ScopeId(n as u32)) {
            made.scopes.push(std::array::from_fn(|phase| {
                let asked: Vec<bool> =
                    phases[phase].iter().map(|(module, hook)| applies(scope, *module, hook)).collect();
                *known.entry((phase, asked)).or_insert_with_key(|(_, asked)| {
                    let list = phases[phase].iter().zip(asked).filter(|(_, asked)| **asked).map(|(entry, _)| *entry);
                    made.lists.push(list.collect());
                    made.lists.len() as u32 - 1
                })
            }));
        }
        made
    }

    /// Those of a phase that have something to do in a block, in order.
    #[inline]
    pub fn of(&self, phase: Phase, scope: ScopeId) -> &[Entry] {
        let list = self.scopes.get(scope.0 as usize).and_then(|lists| self.lists.get(lists[phase as usize] as usize));
        list.map_or(&[], |list| list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyproxy_module_api::abi::{
        bytes::{Slice, Str},
        module::{Place, Verdict},
        session::SessionShared,
    };

    fn hook(name: &'static str, phase: Phase) -> Entry {
        extern "C" fn applies(_: Place) -> bool {
            true
        }
        extern "C" fn check(_: Place, _: *const SessionShared) -> Verdict {
            Verdict::Pass
        }
        let (before, after) = (Slice::EMPTY, Slice::EMPTY);
        (1, HookPoint { name: Str::new(name), phase, before, after, applies, check, run: None })
    }

    #[test]
    fn a_hook_is_left_out_where_it_has_nothing_to_do_and_the_others_keep_their_order() {
        let mut phases = [const { Vec::new() }; PHASES];
        phases[Phase::Routed as usize] = ["a", "b", "c"].map(|name| hook(name, Phase::Routed)).into();
        phases[Phase::Log as usize] = vec![hook("l", Phase::Log)];
        let hooks = Hooks::new(phases, 4, |scope, _, hook| match hook.name.as_str() {
            "b" => scope.0 == 1,
            "l" => scope.0 < 3,
            _ => scope.0 != 2,
        });
        let of = |phase, scope| hooks.of(phase, ScopeId(scope)).iter().map(|h| h.1.name.as_str()).collect::<String>();
        assert_eq!([0, 1, 2, 3, 9].map(|scope| of(Phase::Routed, scope)), ["ac", "abc", "", "ac", ""]);
        assert_eq!([0, 2, 3].map(|scope| of(Phase::Log, scope)), ["l", "l", ""]);
        assert_eq!(of(Phase::Access, 0), "");
        assert_eq!(hooks.lists.len(), 6, "equal ones are one: three, two and the empty one of `Access`");
    }
}
