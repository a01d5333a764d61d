//! Time: one clock read a turn of the loop, published for modules; their timers, which are the loop's.

use crate::services::rt::{self, Sleep};
use anyproxy_module_api::abi::{
    host::{Clock, Object},
    task::FfiContext,
};
use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::Poll,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

thread_local! {
    static CLOCK: Clock = const {
        Clock {
            now_ms: AtomicU64::new(0),
            unix_ms: AtomicU64::new(0),
            now_ns: AtomicU64::new(0),
            ready: AtomicU64::new(0),
        }
    };
}

/// Reads the clock and publishes it on this thread.
pub fn tick() {
    // At the very end of a thread nobody looks any more.
    let _ = CLOCK.try_with(|c| {
        let now = crate::process::process().now();
        // One more than the true value: 0 means "no deadline".
        c.now_ms.store(now.as_millis() as u64 + 1, Relaxed);
        c.now_ns.store(now.as_nanos() as u64 + 1, Relaxed);
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        c.unix_ms.store(unix.as_millis() as u64, Relaxed);
    });
}

/// Publishes how many tasks have their turn now.
pub fn note_ready(tasks: usize) {
    let _ = CLOCK.try_with(|c| c.ready.store(tasks as u64, Relaxed));
}

/// This thread's published milliseconds since the process began.
pub fn now_ms() -> u64 {
    CLOCK.try_with(|c| c.now_ms.load(Relaxed)).unwrap_or(0)
}

/// This thread's published time since the process began: as of this turn of the loop, no system call.
pub fn now() -> Duration {
    Duration::from_nanos(now_ns())
}

/// The same in nanoseconds: for what is done with every request.
pub fn now_ns() -> u64 {
    match CLOCK.try_with(|c| c.now_ns.load(Relaxed)).unwrap_or(0) {
        0 => crate::process::process().now().as_nanos() as u64,
        ns => ns,
    }
}

/// Time since 1970, to the millisecond: as [`now`] of this turn of the loop, so on a worker's thread alone.
pub fn wall() -> Duration {
    Duration::from_millis(wall_ms())
}

/// The same in milliseconds.
pub fn wall_ms() -> u64 {
    match CLOCK.try_with(|c| c.unix_ms.load(Relaxed)).unwrap_or(0) {
        0 => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64,
        ms => ms,
    }
}

pub(super) unsafe extern "C" fn clock() -> *const Clock {
    CLOCK.with(|c| {
        if c.now_ms.load(Relaxed) == 0 {
            tick();
        }
        std::ptr::from_ref(c)
    })
}

pub use crate::services::rt::within;

pub(super) unsafe extern "C" fn timer(after_ns: u64) -> Object {
    Box::into_raw(Box::new(rt::sleep(Duration::from_nanos(after_ns)))).cast()
}

pub(super) unsafe extern "C" fn timer_reset(timer: Object, after_ns: u64) {
    // SAFETY: an object of `timer`, used by one task.
    unsafe { &mut *timer.cast::<Sleep>() }.reset(Duration::from_nanos(after_ns));
}

pub(super) unsafe extern "C" fn timer_poll(timer: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: as above.
    let timer = unsafe { &mut *timer.cast::<Sleep>() };
    cx.with_context(|cx| match Pin::new(&mut *timer).poll(cx) {
        Poll::Ready(()) => 1,
        Poll::Pending => 0,
    })
}

pub(super) unsafe extern "C" fn timer_drop(timer: Object) {
    // SAFETY: given up once.
    drop(unsafe { Box::from_raw(timer.cast::<Sleep>()) });
}
