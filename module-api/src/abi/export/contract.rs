//! Contracts between modules: offered and needed: the trait that their author writes, and what of `Registry` takes it.

use super::{Module, Registry};
use crate::abi::{
    bytes::Str,
    module::{ProvidePoint, RequirePoint},
    task::guard,
};
use std::ptr;

/// A contract offered to other modules.
pub trait ContractTable<M: Module> {
    /// Name, `module.subject`.
    const ID: &'static str;
    /// Version.
    const VERSION: (u16, u16);
    /// Fingerprint of the table's released part.
    const LAYOUT: u64;
    /// The table for this generation, valid as long as `module`.
    fn table(module: &M) -> *const ();
}

impl<M: Module> Registry<M> {
    /// A contract offered to other modules. The file's note must say the same: see `export_module!`.
    pub fn provide<C: ContractTable<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn table<M: Module, C: ContractTable<M>>(inst: *const ()) -> *const () {
            // SAFETY: this module's instance.
            guard(|| C::table(unsafe { &*inst.cast::<M>() })).unwrap_or(ptr::null())
        }
        self.provides.push(ProvidePoint {
            id: Str::new(C::ID),
            major: C::VERSION.0,
            minor: C::VERSION.1,
            layout: C::LAYOUT,
            table: table::<M, C>,
        });
        self
    }

    /// A contract needed. The file's note must say the same.
    pub fn require(&mut self, id: &'static str, major: u16, minor: u16, optional: bool) -> &mut Self {
        self.requires.push(RequirePoint { id: Str::new(id), major, minor, optional });
        self
    }
}
