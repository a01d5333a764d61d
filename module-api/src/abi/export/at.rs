//! A module's own view of a call's place: its objects of the generation, the worker and the block.

use super::Module;
use crate::abi::module::Place;
use std::{fmt, marker::PhantomData};

/// The module's objects that a call concerns. Valid within the scope of the call or of the future made from it.
pub struct At<M> {
    pub(super) place: Place,
    module: PhantomData<M>,
}

impl<M> Clone for At<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for At<M> {}

impl<M> fmt::Debug for At<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl<M: Module> At<M> {
    /// # Safety
    /// The place holds objects of `M`, valid for the scope.
    pub(crate) const unsafe fn new(place: Place) -> Self {
        Self { place, module: PhantomData }
    }

    /// The generation's object.
    pub fn module(&self) -> &M {
        // SAFETY: by contract of `new`.
        unsafe { &*self.place.inst.cast() }
    }

    /// This worker's object.
    ///
    /// # Panics
    /// Off the workers, where there is none.
    pub fn worker(&self) -> &M::Worker {
        // SAFETY: by contract of `new`; null off the workers.
        unsafe { self.place.worker.cast::<M::Worker>().as_ref() }.expect("this call is made on a worker")
    }

    /// The block's object.
    ///
    /// # Panics
    /// Where the call concerns no block.
    pub fn conf(&self) -> &M::Conf {
        // SAFETY: by contract of `new`; null where there is none.
        unsafe { self.place.conf.cast::<M::Conf>().as_ref() }.expect("this call concerns a block of the configuration")
    }

    /// The block's object, if the call concerns a block and the module has one for it.
    pub fn try_conf(&self) -> Option<&M::Conf> {
        // SAFETY: by contract of `new`; null where there is none.
        unsafe { self.place.conf.cast::<M::Conf>().as_ref() }
    }
}
