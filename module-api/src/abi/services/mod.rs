//! The host's functions as safe Rust: what a module author calls. Each file has one subject.
//!
//! Everything made here belongs to the scope the host is running and ends with it.

mod datagram;
mod file;
mod metrics;
mod net;
mod owner;
mod task;
mod upstream;
mod zone;

pub use datagram::{DatagramSocket, epoch, sessions};
pub use file::{File, FileWatch, Open};
pub use metrics::{Counter, Gauge, Histogram};
pub use net::{Listener, SocketWatch, UdpSocket, adopt, connect, resolve};
pub use owner::{Entered, Owner};
pub use task::{Cancel, JobHandle, Sleep, Task, block_on, run, sleep, spawn, spawn_process, timeout, yield_now};
pub use upstream::{Connecting, Lease, Upstream};
pub(crate) use upstream::{connect_session, pick, pick_instead, pick_now};
pub use zone::{ZoneRef, ZoneState, contract, publish, shared, zone};

use super::{
    bytes::{Buf, Str},
    error::{Error, Outcome},
    host::HostVtable,
    task::{Closure, set_primary, with_ffi},
};
use std::{
    mem::offset_of,
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicPtr, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

static HOST: AtomicPtr<HostVtable> = AtomicPtr::new(ptr::null_mut());
/// What this image calls itself.
static NAME: OnceLock<(&str, &str)> = OnceLock::new();

/// Notes the host's table in this image, which is module `id`. The first thing that happens to an image.
pub(crate) fn attach(host: &'static HostVtable, id: &'static str, version: &'static str) {
    set_primary(host.primary);
    NAME.get_or_init(|| (id, version));
    HOST.store(ptr::from_ref(host).cast_mut(), Relaxed);
}

/// Whether the host's table has the field that ends at `end`: an older host's is shorter.
pub(crate) fn has(host: &HostVtable, end: usize) -> bool {
    host.size >= end
}

/// Tells the host that this image stopped a panic. In the host itself, and in one that does not ask, nobody is told.
#[cold]
pub(crate) fn stopped() {
    // SAFETY: null or a table that lives as long as the process.
    let host = unsafe { HOST.load(Relaxed).as_ref() };
    if let (Some(host), Some((id, version))) = (host, NAME.get())
        && has(host, offset_of!(HostVtable, stopped) + size_of::<usize>())
    {
        // SAFETY: texts are static.
        unsafe { (host.stopped)(Str::new(id), Str::new(version)) }
    }
}

/// Wakes the task of `cx` at the loop's next turn. A host without `defer`: at once.
pub(crate) fn defer(cx: &mut Context<'_>) {
    let host = host();
    if has(host, offset_of!(HostVtable, defer) + size_of::<usize>()) {
        // SAFETY: the context is borrowed for the call.
        with_ffi(cx, |f| unsafe { (host.defer)(f) });
    } else {
        cx.waker().wake_by_ref();
    }
}

/// The host's table.
///
/// # Panics
/// When no host loaded this image: in a unit test, make a `testing::FakeHost` first.
#[inline]
pub fn host() -> &'static HostVtable {
    // SAFETY: null or a table that lives as long as the process.
    unsafe { HOST.load(Relaxed).as_ref() }
        .expect("no host has loaded this image; in tests, make a testing::FakeHost first")
}

/// Turns `FAILED` into the host's last error, `PENDING` into `Pending`.
fn counted(n: isize) -> Poll<Result<usize, Error>> {
    match n {
        super::stream::PENDING => Poll::Pending,
        // SAFETY: no arguments.
        n if n < 0 => Poll::Ready(Err(unsafe { (host().last_error)() })),
        n => Poll::Ready(Ok(n.unsigned_abs())),
    }
}

fn result<T>(o: Outcome<T>) -> Result<T, Error> {
    o.into()
}

/// Index of this worker; `None` off the workers.
pub fn worker() -> Option<u32> {
    // SAFETY: no arguments.
    let n = unsafe { (host().worker)() };
    (n != u32::MAX).then_some(n)
}

/// Number of workers.
pub fn workers() -> u32 {
    // SAFETY: no arguments.
    unsafe { (host().workers)() }
}

/// This thread's clock: monotonic milliseconds, as of this turn of the loop. No system call.
#[inline]
pub fn now_ms() -> u64 {
    // SAFETY: a page of this thread that outlives the call.
    unsafe { &*(host().clock)() }.now_ms.load(Relaxed)
}

/// This thread's clock: monotonic time, as of this turn of the loop. No system call.
#[inline]
pub fn now() -> std::time::Duration {
    // SAFETY: a page of this thread that outlives the call.
    std::time::Duration::from_nanos(unsafe { &*(host().clock)() }.now_ns.load(Relaxed))
}

/// The same in nanoseconds: for what is done with every request.
#[inline]
pub fn now_ns() -> u64 {
    // SAFETY: as above.
    unsafe { &*(host().clock)() }.now_ns.load(Relaxed)
}

/// How many tasks of this worker have their turn before it looks at sockets and timers again, this one included. With
/// several, calls of one kind are cheaper one after the other than mixed: who has read may wake itself and write at its
/// next turn, which comes before that look. 0: a task that wakes itself has its turn after it.
pub fn ready_tasks() -> u64 {
    // SAFETY: as above.
    unsafe { &*(host().clock)() }.ready.load(Relaxed)
}

/// This thread's clock: milliseconds since 1970, as of this turn of the loop.
#[inline]
pub fn unix_ms() -> u64 {
    // SAFETY: as above.
    unsafe { &*(host().clock)() }.unix_ms.load(Relaxed)
}

/// A copy of `text` for as long as the process lives; equal texts share one. Only for what the configuration bounds.
pub fn intern(text: &str) -> &'static str {
    // SAFETY: the text is borrowed for the call; the result lives as long as the process.
    unsafe { (host().intern)(Str::new(text)) }.as_str()
}

/// Whether a text of this generation may name a variable that begins with `name`: what only such a variable shows is kept for
/// it alone. In `prepare`, on a worker or in `worker_start`; elsewhere, and with a host that cannot tell, it is so.
pub fn is_named(name: &str) -> bool {
    let host = host();
    // SAFETY: the text is borrowed for the call.
    !has(host, offset_of!(HostVtable, names) + size_of::<usize>()) || unsafe { (host.names)(Str::new(name)) }
}

/// A pooled buffer with room for at least `size` bytes, or `None` while `memory_limit` is reached.
#[inline]
pub fn buf(size: usize) -> Option<Buf> {
    // SAFETY: plain arguments.
    let b = unsafe { (host().buf)(size) };
    (b.capacity() >= size).then_some(b)
}

/// A pooled buffer; waits while `memory_limit` is reached.
#[inline]
pub fn poll_buf(cx: &mut Context<'_>, size: usize) -> Poll<Buf> {
    if let Some(b) = buf(size) {
        return Poll::Ready(b);
    }
    // SAFETY: the context is borrowed for the call.
    with_ffi(cx, |f| unsafe { (host().buf_wait)(f) });
    // Between the two calls a buffer may have come back.
    buf(size).map_or(Poll::Pending, Poll::Ready)
}

/// Runs `f` on another worker's thread, in this module's generation. False: there is no such worker any more.
pub fn post(worker: u32, f: impl FnOnce() + Send + 'static) -> bool {
    // SAFETY: the closure is given away.
    unsafe { (host().post)(worker, Closure::new(f)) }
}

/// Whether a log record of this level (1 error … 5 trace) would be written by anyone.
#[inline]
pub fn log_enabled(level: u8) -> bool {
    // SAFETY: null without a host, else a page that lives as long as the process.
    unsafe { HOST.load(Relaxed).as_ref() }.is_some_and(|h| level <= unsafe { &*h.log_level }.load(Relaxed))
}

/// Writes a log record: fields as `key=value key=value`.
pub fn log(level: u8, target: &str, message: &str, fields: &str) {
    // SAFETY: texts are borrowed for the call.
    unsafe { (host().log)(level, Str::new(target), Str::new(message), Str::new(fields)) }
}
