//! For tests: a waker that counts.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};
use std::task::Wake;

/// How often it was woken.
#[derive(Default)]
pub(super) struct Count(pub(super) AtomicU64);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}
