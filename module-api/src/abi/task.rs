//! Futures and closures across images: boxed once, polled, called and dropped by functions of their own image.

mod guard;
mod waker;

pub use guard::{guard, take_stopped};

use self::guard::discard;
use super::recycled::Recycled;
use std::{
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

pub(crate) use waker::set_primary;
pub use waker::{FfiContext, FfiWaker, FfiWakerVtable, host_primary, note_task_waker, with_ffi};

/// What a poll across the ABI says.
#[repr(C)]
#[derive(Debug)]
pub enum FfiPoll<T> {
    /// Done.
    Ready(T),
    /// Not yet; the waker is noted.
    Pending,
    /// The other side panicked; do not poll again.
    Panicked,
}

/// A future that crosses: boxed once, polled and dropped by functions of its own image, which do not unwind.
/// It stays on the thread that made it.
#[repr(C)]
#[derive(Debug)]
pub struct LocalFuture<T> {
    pub(super) data: *mut (),
    pub(super) poll: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> FfiPoll<T>,
    pub(super) drop: unsafe extern "C" fn(*mut ()),
}

impl<T> LocalFuture<T> {
    /// Boxes `future`.
    pub fn new<F: Future<Output = T> + 'static>(future: F) -> Self {
        Self { data: Recycled::into_raw(Recycled::new(future)).cast(), poll: poll_boxed::<F>, drop: drop_boxed::<F> }
    }

    /// Polls; a panic on the other side is a value.
    #[inline]
    pub fn poll_ffi(&mut self, cx: &mut Context<'_>) -> FfiPoll<T> {
        // SAFETY: data belongs to poll; exclusive access by `&mut self`.
        with_ffi(cx, |f| unsafe { (self.poll)(self.data, f) })
    }
}

unsafe extern "C" fn poll_boxed<F: Future>(data: *mut (), cx: &FfiContext<'_>) -> FfiPoll<F::Output> {
    let r = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: data is the box of `new`, never moved: the future is pinned by it.
        cx.with_context(|cx| unsafe { Pin::new_unchecked(&mut *data.cast::<F>()) }.poll(cx))
    }));
    match r {
        Ok(Poll::Ready(v)) => FfiPoll::Ready(v),
        Ok(Poll::Pending) => FfiPoll::Pending,
        Err(payload) => {
            discard(payload);
            FfiPoll::Panicked
        }
    }
}

unsafe extern "C" fn drop_boxed<F>(data: *mut ()) {
    // SAFETY: data is the box of `new`, given up once.
    guard(|| drop(unsafe { Recycled::from_raw(data.cast::<F>()) }));
}

impl<T> Drop for LocalFuture<T> {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.drop)(self.data) }
    }
}

impl<T> Unpin for LocalFuture<T> {}

impl<T> Future for LocalFuture<T> {
    type Output = T;
    /// # Panics
    /// When the future panicked in its image: the panic goes on here.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.poll_ffi(cx) {
            FfiPoll::Ready(v) => Poll::Ready(v),
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Panicked => panic!("a future of another module panicked"),
        }
    }
}

/// A future of the host's whose outcome is a result. An `async` block around it would keep it twice.
#[derive(Debug)]
pub struct Answer<T>(pub(crate) LocalFuture<super::error::Outcome<T>>);

impl<T> Future for Answer<T> {
    type Output = Result<T, super::error::Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Into::into)
    }
}

/// A `LocalFuture` that may be polled on any thread.
#[repr(transparent)]
#[derive(Debug)]
pub struct SendFuture<T>(LocalFuture<T>);

// SAFETY: `new` only takes `Send` futures; `made_there` holds something `Send` until it is polled, and then it stays there.
unsafe impl<T> Send for SendFuture<T> {}

impl<T> SendFuture<T> {
    /// Boxes `future`.
    pub fn new<F: Future<Output = T> + Send + 'static>(future: F) -> Self {
        Self(LocalFuture::new(future))
    }

    /// One that `make` makes where it is first polled, so that it need not be `Send` itself.
    ///
    /// # Safety
    /// From its first poll on it is polled, and dropped, on one thread.
    pub(in crate::abi) unsafe fn made_there<F, M>(make: M) -> Self
    where
        F: Future<Output = T> + 'static,
        M: FnOnce() -> F + Send + 'static,
        T: 'static,
    {
        Self(LocalFuture::new(MadeThere::Not(Some(make))))
    }

    /// Polls; a panic on the other side is a value.
    pub fn poll_ffi(&mut self, cx: &mut Context<'_>) -> FfiPoll<T> {
        self.0.poll_ffi(cx)
    }
}

/// See `SendFuture::made_there`.
enum MadeThere<M, F> {
    /// `None`: it panicked while it was made.
    Not(Option<M>),
    Made(Pin<Box<F>>),
}

// Neither is pinned in it.
impl<M, F> Unpin for MadeThere<M, F> {}

impl<F: Future, M: FnOnce() -> F> Future for MadeThere<M, F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        loop {
            match &mut *self {
                Self::Made(future) => return future.as_mut().poll(cx),
                Self::Not(make) => {
                    let make = make.take().expect("a future that panicked is not polled again");
                    *self = Self::Made(Box::pin(make()));
                }
            }
        }
    }
}

impl<T> Future for SendFuture<T> {
    type Output = T;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A function to be called once, on the thread it is sent to.
#[repr(C)]
#[derive(Debug)]
pub struct Closure {
    pub(super) data: *mut (),
    /// Calls (`run` true) or only drops.
    pub(super) finish: unsafe extern "C" fn(*mut (), run: bool) -> bool,
}

// SAFETY: `new` only takes `Send` functions.
unsafe impl Send for Closure {}

impl Closure {
    /// Boxes `f`.
    pub fn new<F: FnOnce() + Send + 'static>(f: F) -> Self {
        unsafe extern "C" fn finish<F: FnOnce()>(data: *mut (), run: bool) -> bool {
            guard(|| {
                // SAFETY: the box of `new`, consumed once.
                let f = unsafe { Box::from_raw(data.cast::<F>()) };
                if run {
                    f();
                }
            })
            .is_some()
        }
        Self { data: Box::into_raw(Box::new(f)).cast(), finish: finish::<F> }
    }

    /// Calls it. `false`: it panicked.
    pub fn call(self) -> bool {
        let c = ManuallyDrop::new(self);
        // SAFETY: consumed here.
        unsafe { (c.finish)(c.data, true) }
    }
}

impl Drop for Closure {
    fn drop(&mut self) {
        // SAFETY: consumed here.
        unsafe { (self.finish)(self.data, false) };
    }
}
