//! A panic stops at the edge of its image.

use std::{
    any::Any,
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `f` and stops a panic at the edge of the image. The panic hook has already reported it.
#[inline]
pub fn guard<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).map_or_else(
        |payload| {
            discard(payload);
            STOPPED.set(STOPPED.get().wrapping_add(1));
            crate::abi::services::stopped();
            None
        },
        Some,
    )
}

/// Panics that `guard` stopped in this image on this thread since the last call.
pub fn take_stopped() -> u32 {
    STOPPED.replace(0)
}

/// Drops what a panic carried. A payload whose drop panics must not get out either, nor what that one carries.
pub(super) fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

thread_local! {
    /// Panics stopped by `guard` on this thread and not yet reported. No destructor.
    static STOPPED: Cell<u32> = const { Cell::new(0) };
}
