//! A connection that becomes another protocol's.

use anyproxy_module_api::{
    Error, ErrorKind, Owner, Stream,
    abi::{
        error::Outcome,
        task::{LocalFuture, guard},
    },
};
use std::{fmt, future::Future, ptr};

/// Whoever goes on with the connection once the head of the answer is with the client: bytes of the new protocol.
#[repr(C)]
pub struct Upgraded {
    owner: Owner,
    data: *mut (),
    run: Option<unsafe extern "C" fn(*mut (), Stream) -> LocalFuture<Outcome<()>>>,
    drop: Option<unsafe extern "C" fn(*mut ())>,
}

impl Upgraded {
    /// Nobody.
    pub(crate) const NONE: Self = Self { owner: Owner::of(ptr::null()), data: ptr::null_mut(), run: None, drop: None };

    /// Goes on with `f`, to its end. What it moves it adds to its exchange's books itself.
    pub fn new<F, R>(f: F) -> Self
    where
        F: FnOnce(Stream) -> R + 'static,
        R: Future<Output = Result<(), Error>> + 'static,
    {
        unsafe extern "C" fn run<F, R>(data: *mut (), stream: Stream) -> LocalFuture<Outcome<()>>
        where
            F: FnOnce(Stream) -> R + 'static,
            R: Future<Output = Result<(), Error>> + 'static,
        {
            let made = guard(|| {
                // SAFETY: the box of `new`, given up once: `go_on` forgets it.
                let f = unsafe { Box::from_raw(data.cast::<F>()) };
                let future = crate::hook::stopping(f(stream));
                LocalFuture::new(async move { Outcome::from(future.await) })
            });
            made.unwrap_or_else(|| LocalFuture::new(std::future::ready(Outcome::Err(Error::bare(ErrorKind::Panicked)))))
        }
        unsafe extern "C" fn drop_it<F>(data: *mut ()) {
            // SAFETY: as above.
            guard(|| drop(unsafe { Box::from_raw(data.cast::<F>()) }));
        }
        let data = Box::into_raw(Box::new(f)).cast();
        Self { owner: Owner::running(), data, run: Some(run::<F, R>), drop: Some(drop_it::<F>) }
    }

    /// Somebody is there.
    pub fn is_some(&self) -> bool {
        self.run.is_some()
    }

    /// Hands the connection over.
    ///
    /// # Errors
    /// What the protocol's end was, if not in order.
    pub async fn go_on(mut self, stream: Stream) -> Result<(), Error> {
        self.drop = None;
        match self.run.take() {
            // SAFETY: data and function belong together, and it is called once.
            Some(run) => crate::hook::answer(self.owner, || unsafe { run(self.data, stream) }).await,
            None => Ok(()),
        }
    }
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        if let Some(drop) = self.drop.take() {
            let _in = self.owner.enter();
            // SAFETY: data and function belong together, and it was not run.
            unsafe { drop(self.data) }
        }
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upgraded({})", self.is_some())
    }
}
