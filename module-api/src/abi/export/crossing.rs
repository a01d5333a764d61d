//! Futures of a module's author whose results cross.

use crate::abi::{
    error::{Error, ErrorKind, Outcome},
    task::{LocalFuture, guard},
};
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Boxes the future that `make` gives; a panic in `make` is a failed future.
pub(super) fn future<T: 'static, F: Future<Output = Result<T, Error>> + 'static>(
    make: impl FnOnce() -> F,
) -> LocalFuture<Outcome<T>> {
    guard(|| LocalFuture::new(Crossing(make()))).unwrap_or_else(panicked)
}

/// A future whose result crosses. A type of its own: an `async` block around it would hold it twice, once as what it
/// captured and once as what it awaits.
struct Crossing<F>(F);

impl<T, F: Future<Output = Result<T, Error>>> Future for Crossing<F> {
    type Output = Outcome<T>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        // SAFETY: the only field, pinned with the whole.
        unsafe { self.map_unchecked_mut(|s| &mut s.0) }.poll(cx).map(Into::into)
    }
}

fn panicked<T>() -> LocalFuture<Outcome<T>>
where
    T: 'static,
{
    LocalFuture::new(std::future::ready(Outcome::Err(Error::bare(ErrorKind::Panicked))))
}
