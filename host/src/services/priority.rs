//! Priorities of threads that work beside the workers and must not delay them.

/// A priority below the workers'.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Below {
    /// A lower share: beside a busy worker a tenth of a processor.
    Share,
    /// Only what nobody else wants. A worker that wakes runs at once; beside any other priority it may have to wait for the
    /// end of a time slice, or for the next tick: up to 4 ms.
    Idle,
}

/// How much less than a worker a thread gets that is not to take long: a quarter of a processor beside a busy one.
#[cfg(target_os = "linux")]
const AWAITED: i32 = 5;

/// Lets the running thread give way to the workers. `Idle` only if [`hurry`] may take it back.
#[cfg(target_os = "linux")]
pub(crate) fn give_way(how: Below) {
    // To come back from idle a niceness within the limit, or a privilege, is needed: tried first by a thread that ends.
    let come_back = || set_priority(0, libc::SCHED_IDLE, 0) && set_priority(0, libc::SCHED_BATCH, AWAITED);
    let may_idle = || std::thread::Builder::new().spawn(come_back).is_ok_and(|t| t.join().unwrap_or(false));
    match how {
        Below::Share => set_priority(0, libc::SCHED_BATCH, 10),
        Below::Idle if may_idle() => set_priority(0, libc::SCHED_IDLE, 0),
        Below::Idle => set_priority(0, libc::SCHED_BATCH, AWAITED),
    };
}

/// The running thread, for [`hurry`].
#[cfg(target_os = "linux")]
pub(crate) fn this_thread() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

/// A thread that gave way has taken long enough: it gets a share, however busy the others are.
#[cfg(target_os = "linux")]
pub(crate) fn hurry(thread: i32) {
    // It has not said which it is, or has ended meanwhile.
    let _ = thread != 0 && set_priority(thread, libc::SCHED_BATCH, AWAITED);
}

/// Whether the system did it. Thread 0 is the running one.
#[cfg(target_os = "linux")]
fn set_priority(thread: i32, policy: libc::c_int, niceness: i32) -> bool {
    let attr = libc::sched_attr {
        size: size_of::<libc::sched_attr>() as u32,
        sched_policy: policy.cast_unsigned(),
        sched_flags: 0,
        sched_nice: niceness,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the structure is valid for the call, and says its size.
    unsafe { libc::syscall(libc::SYS_sched_setattr, thread, &raw const attr, 0) == 0 }
}

/// Lets a thread come back from giving way once the process is another user's. Asked for, not demanded.
#[cfg(target_os = "linux")]
pub(crate) fn allow_hurry() {
    let least = (20 - AWAITED).cast_unsigned().into();
    let now = rustix::process::getrlimit(rustix::process::Resource::Nice);
    if now.current.is_some_and(|c| c < least) {
        let max = now.maximum.map(|m| m.max(least));
        let limit = rustix::process::Rlimit { current: Some(least), maximum: max };
        // Without the privilege a reload on a busy machine competes with the workers a little.
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nice, limit);
    }
}

/// Elsewhere all threads are alike.
#[cfg(not(target_os = "linux"))]
mod alike {
    pub(crate) fn give_way(_: super::Below) {}
    pub(crate) fn this_thread() -> i32 {
        0
    }
    pub(crate) fn hurry(_: i32) {}
    pub(crate) fn allow_hurry() {}
}
#[cfg(not(target_os = "linux"))]
pub(crate) use alike::{allow_hurry, give_way, hurry, this_thread};
