//! In whose name code runs. What a module does in a call that another module makes by a contract is its own: its tasks, what
//! it asks the host for, its faults. Who offers a contract enters the module that it calls.

use super::{HOST, has};
use crate::abi::host::HostVtable;
use std::{mem::offset_of, ptr, sync::atomic::Ordering::Relaxed};

/// A module of the running generation. In another one it is nobody, and to enter it changes nothing.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(*const ());

impl Owner {
    /// Whoever runs now.
    pub fn running() -> Self {
        // SAFETY: no arguments.
        Self(table().map_or(ptr::null(), |host| unsafe { (host.running)() }))
    }

    /// The module whose object of the generation this is (`Place::inst`).
    pub const fn of(instance: *const ()) -> Self {
        Self(instance)
    }

    /// It runs from now on, until the result is dropped: not longer than the call or the poll that enters it. Nobody (a null
    /// pointer) is not entered: a module does not run as the host.
    pub fn enter(self) -> Entered {
        // SAFETY: the pointer is compared only.
        Entered(table().filter(|_| !self.0.is_null()).map(|host| unsafe { (host.run_as)(self.0) }))
    }
}

/// Whoever ran before runs again when this is dropped.
#[must_use]
#[derive(Debug)]
pub struct Entered(Option<*const ()>);

impl Drop for Entered {
    fn drop(&mut self) {
        if let (Some(host), Some(before)) = (table(), self.0) {
            // SAFETY: as in `enter`.
            unsafe { (host.run_as)(before) };
        }
    }
}

/// Without a host, or in one that does not know it, nobody asks who runs.
fn table() -> Option<&'static HostVtable> {
    // SAFETY: null or a table that lives as long as the process.
    let host = unsafe { HOST.load(Relaxed).as_ref() };
    host.filter(|host| has(host, offset_of!(HostVtable, run_as) + size_of::<usize>()))
}
