//! A module's own view of a call's place: its objects of the generation, the worker and the block.

use super::Module;
use crate::abi::module::Place;
use std::{fmt, marker::PhantomData};

/// The module's objects that a call concerns. It cannot be kept beyond the call, or the future made from it, since the host may give
/// the objects up then:
///
/// ```compile_fail
/// # use anyproxy_module_api::{At, Module};
/// fn keep<M: Module>(at: At<'_, M>) -> Box<dyn Fn() -> bool> {
///     Box::new(move || at.try_conf().is_some())
/// }
/// ```
pub struct At<'a, M> {
    pub(super) place: Place,
    module: PhantomData<(&'a (), M)>,
}

impl<M> Clone for At<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for At<'_, M> {}

impl<M> fmt::Debug for At<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)
    }
}

impl<'a, M: Module> At<'a, M> {
    /// # Safety
    /// The place holds objects of `M` that are valid for `'a`, as far as whoever is given this can tell how long that is: a function of
    /// the author's takes any lifetime, so that it sees no more of it than the call and the future that it returns.
    pub(crate) const unsafe fn new(place: Place) -> Self {
        Self { place, module: PhantomData }
    }

    /// The generation's object.
    pub fn module(&self) -> &'a M {
        // SAFETY: by contract of `new`.
        unsafe { &*self.place.inst.cast() }
    }

    /// This worker's object.
    ///
    /// # Panics
    /// Off the workers, where there is none.
    pub fn worker(&self) -> &'a M::Worker {
        // SAFETY: by contract of `new`; null off the workers.
        unsafe { self.place.worker.cast::<M::Worker>().as_ref() }.expect("this call is made on a worker")
    }

    /// The block's object.
    ///
    /// # Panics
    /// Where the call concerns no block.
    pub fn conf(&self) -> &'a M::Conf {
        // SAFETY: by contract of `new`; null where there is none.
        unsafe { self.place.conf.cast::<M::Conf>().as_ref() }.expect("this call concerns a block of the configuration")
    }

    /// The block's object, if the call concerns a block and the module has one for it.
    pub fn try_conf(&self) -> Option<&'a M::Conf> {
        // SAFETY: by contract of `new`; null where there is none.
        unsafe { self.place.conf.cast::<M::Conf>().as_ref() }
    }
}
