//! What modules lend each other: data by block and key, and the tables of contracts.

use super::current::{Current, current, enter, go_on};
use crate::{config::tree::ScopeId, cycle::Cycle};
use anyproxy_module_api::abi::{bytes::Str, task::guard};
use std::ptr;

pub(super) unsafe extern "C" fn publish(scope: u32, key: Str<'_>, kind: Str<'_>, data: *const ()) -> bool {
    let who = current();
    let Some(cycle) = who.cycle() else { return false };
    guard(|| cycle.published.publish(&cycle.tree, ScopeId(scope), key.as_str(), kind.as_str(), data)).unwrap_or(false)
}

pub(super) unsafe extern "C" fn shared(scope: u32, key: Str<'_>, kind: Str<'_>) -> *const () {
    let who = current();
    let Some(cycle) = who.cycle() else { return ptr::null() };
    let find = || cycle.published.find(&cycle.tree, ScopeId(scope), key.as_str(), kind.as_str());
    guard(find).flatten().unwrap_or(ptr::null())
}

pub(super) unsafe extern "C" fn contract(id: Str<'_>, major: u16, minor: u16, layout: u64) -> *const () {
    let who = current();
    let Some(cycle) = who.cycle() else { return ptr::null() };
    guard(|| table(cycle, id.as_str(), major, minor, layout)).flatten().unwrap_or(ptr::null())
}

/// The instance of what runs on this thread; null: the host.
pub(super) unsafe extern "C" fn running() -> *const () {
    instance(&current())
}

/// Enters a module of the generation that runs, within the call that the host makes.
pub(super) unsafe extern "C" fn run_as(module: *const ()) -> *const () {
    let who = current();
    let before = instance(&who);
    let number = who.cycle().map_or(0, |cycle| cycle.module_of(module));
    if number != who.module && (number != 0 || module.is_null()) {
        go_on(Current { module: number, ..who });
    }
    before
}

fn instance(who: &Current) -> *const () {
    match who.cycle() {
        Some(cycle) if who.module != 0 => cycle.instance(who.module).as_ptr(),
        _ => ptr::null(),
    }
}

/// The table of a contract in this generation, if a module provides it as it is asked for.
fn table(cycle: &Cycle, id: &str, major: u16, minor: u16, layout: u64) -> Option<*const ()> {
    for (module, instance) in cycle.modules() {
        for p in instance.desc().provides.as_slice().iter().filter(|p| p.id.as_str() == id) {
            if p.major != major || p.minor < minor {
                continue;
            }
            if p.layout != layout {
                let provider = cycle.module_id(module);
                tracing::error!(contract = id, provider, "the table has another shape than its user was built for");
                continue;
            }
            let _who = enter(Current::on_cycle(cycle, module));
            let table = instance.contract(p);
            return (!table.is_null()).then_some(table);
        }
    }
    None
}
