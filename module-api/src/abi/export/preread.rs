//! Prereads of a stream's first bytes: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, Session};
use crate::abi::{
    bytes::Str,
    module::{Look, LookOut, Place, PrereadPoint},
    session::SessionShared,
    task::guard,
};

/// Looks at the first bytes of a stream.
pub trait Preread<M: Module> {
    /// Name that directives refer to. A handler of exchanges of the same name reads this protocol: where the domain is nobody's
    /// it gets the stream, and says so.
    const NAME: &'static str;
    /// Headers in front of the stream come before domains.
    const HEADER: bool;
    /// Runs on every domain listener without a directive.
    const ON_DOMAIN: bool;
    /// Most bytes it may ask for.
    const MAX: u32;
    /// Whether this listener's configuration wants it.
    fn wanted(at: At<'_, M>) -> bool;
    /// Looks; may set the session's domain, client address and request id. One that knows the domain before it is done sets it
    /// and says `More`: where the domain's server reads requests itself (`EXCHANGES`), nothing more is looked at.
    fn look(session: &Session<M>, bytes: &[u8], out: &mut LookOut) -> Look;
}

impl<M: Module> Registry<M> {
    /// A preread.
    pub fn preread<R: Preread<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn wanted<M: Module, R: Preread<M>>(p: Place) -> bool {
            // SAFETY: see `Registry::listener`.
            guard(|| R::wanted(unsafe { At::new(p) })).unwrap_or(false)
        }
        unsafe extern "C" fn look<M: Module, R: Preread<M>>(
            p: Place,
            s: *const SessionShared,
            ptr: *const u8,
            len: usize,
            out: *mut LookOut,
        ) -> Look {
            // SAFETY: see `Registry::listener`; `len` bytes and `out` lent for the call.
            guard(|| unsafe { R::look(&Session::lent(s, p), std::slice::from_raw_parts(ptr, len), &mut *out) })
                .unwrap_or(Look::Malformed)
        }
        self.prereads.push(PrereadPoint {
            name: Str::new(R::NAME),
            header: R::HEADER,
            on_domain: R::ON_DOMAIN,
            max: R::MAX,
            wanted: wanted::<M, R>,
            look: look::<M, R>,
        });
        self
    }
}
