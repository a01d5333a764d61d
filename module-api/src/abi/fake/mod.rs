//! The host's table for unit tests: thunks from raw pointers to the safe state in `testing`.
//!
//! One table serves the whole image; each thread has its own state behind it, so tests run beside each other. A thread
//! without a fake host gets an empty one, because nothing here may unwind into a module.

mod data;
mod exec;
mod files;
mod module;
mod net;
mod objects;
mod session;
mod upstream;

pub(crate) use data::ZoneEntry;
pub(crate) use exec::{FakeJob, FakeTask, FakeTimer, Memory, poll_with, task_waker};
pub(crate) use files::FileChange;
pub(crate) use module::Driver;
pub(crate) use net::{DatagramSocket, FakeWatch};
pub(crate) use objects::{BalancerObject, EndpointObject};
pub(crate) use session::SessionObject;

use super::{
    bytes::Str,
    host::HostVtable,
    services::attach,
    task::{guard, host_primary, note_task_waker},
};
use crate::testing::state::State;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    ptr,
    rc::Rc,
    sync::{
        Arc, Mutex, Once, PoisonError,
        atomic::{AtomicU8, AtomicU32},
    },
};

thread_local! {
    static HERE: RefCell<Vec<Rc<State>>> = const { RefCell::new(Vec::new()) };
}

/// This thread's state; an empty one where no test made any.
pub(crate) fn here() -> Rc<State> {
    // None also while the thread ends: its own destructors still get an answer.
    HERE.try_with(|stack| stack.borrow().last().cloned()).ok().flatten().unwrap_or_else(State::fresh)
}

/// Makes a new state this thread's.
pub(crate) fn enter() -> Rc<State> {
    static ATTACH: Once = Once::new();
    ATTACH.call_once(|| {
        note_task_waker(task_waker().vtable());
        attach(&TABLE, "fake", "");
    });
    let state = State::fresh();
    HERE.with(|stack| stack.borrow_mut().push(Rc::clone(&state)));
    state
}

/// Ends a state: the one before is this thread's again.
pub(crate) fn leave(state: &Rc<State>) {
    // The thread may be ending already.
    let _ = HERE.try_with(|stack| stack.borrow_mut().retain(|s| !Rc::ptr_eq(s, state)));
}

/// An object of the host as a handle: a counted pointer given away.
fn give<T>(object: Rc<T>) -> *mut () {
    Rc::into_raw(object).cast_mut().cast()
}

/// The object behind a handle, which stays with its holder.
///
/// # Safety
/// `handle` is of `give::<T>` and not given back.
unsafe fn lend<T>(handle: *mut ()) -> Rc<T> {
    let p = handle.cast_const().cast::<T>();
    // SAFETY: by contract.
    unsafe {
        Rc::increment_strong_count(p);
        Rc::from_raw(p)
    }
}

/// Takes a handle back.
///
/// # Safety
/// As `lend`, and it is not used again.
unsafe fn take<T>(handle: *mut ()) -> Rc<T> {
    // SAFETY: by contract.
    unsafe { Rc::from_raw(handle.cast_const().cast::<T>()) }
}

/// As `give`, for objects that modules may use and give up on any thread.
fn give_shared<T: Send + Sync>(object: Arc<T>) -> *mut () {
    Arc::into_raw(object).cast_mut().cast()
}

/// As `lend`.
///
/// # Safety
/// `handle` is of `give_shared::<T>` and not given back.
unsafe fn lend_shared<T: Send + Sync>(handle: *mut ()) -> Arc<T> {
    let p = handle.cast_const().cast::<T>();
    // SAFETY: by contract.
    unsafe {
        Arc::increment_strong_count(p);
        Arc::from_raw(p)
    }
}

/// As `take`.
///
/// # Safety
/// As `lend_shared`, and it is not used again.
unsafe fn take_shared<T: Send + Sync>(handle: *mut ()) -> Arc<T> {
    // SAFETY: by contract.
    unsafe { Arc::from_raw(handle.cast_const().cast::<T>()) }
}

static LOG_LEVEL: AtomicU8 = AtomicU8::new(5);
static SESSIONS: AtomicU32 = AtomicU32::new(0);

/// The table. One for the image, as a host's.
pub(crate) static TABLE: HostVtable = HostVtable {
    size: size_of::<HostVtable>(),
    abi_minor: super::note::ABI_MINOR as u32,
    reserved: 0,
    primary: host_primary(),
    worker,
    workers,
    clock,
    intern,
    log_level: &raw const LOG_LEVEL,
    log,
    buf: exec::buf,
    buf_wait: exec::buf_wait,
    spawn: exec::spawn,
    spawn_process: exec::spawn_process,
    task_abort: exec::task_abort,
    task_poll: exec::task_poll,
    task_drop: exec::task_drop,
    post: exec::post,
    job: exec::job,
    timer: exec::timer,
    timer_reset: exec::timer_reset,
    timer_poll: exec::timer_poll,
    timer_drop: exec::timer_drop,
    connect: net::connect,
    adopt: net::adopt,
    listen: net::listen,
    listener_accept: net::listener_accept,
    listener_addr: net::listener_addr,
    listener_drop: net::listener_drop,
    udp: net::udp,
    udp_addr: net::udp_addr,
    udp_segments: net::udp_segments,
    udp_recv: net::udp_recv,
    udp_send: net::udp_send,
    udp_writable: net::udp_writable,
    last_error: net::last_error,
    udp_drop: net::udp_drop,
    watch: net::watch,
    watch_poll: net::watch_poll,
    watch_clear: net::watch_clear,
    watch_drop: net::watch_drop,
    resolve: net::resolve,
    resolved: net::resolved,
    resolved_drop: net::resolved_drop,
    file_open: files::open,
    file_read: files::read,
    file_write: files::write,
    file_sync: files::sync,
    file_len: files::len,
    file_fd: files::fd,
    file_drop: files::drop_file,
    file_watch: files::watch,
    file_watch_poll: files::watch_poll,
    file_watch_drop: files::watch_drop,
    metric: data::metric,
    metric_cell: data::metric_cell,
    metric_observe: data::metric_observe,
    zone: data::zone,
    zone_drop: data::zone_drop,
    publish: data::publish,
    shared: data::shared,
    contract: data::contract,
    session_retain: session::retain,
    session_release: session::release,
    session_domain: session::domain,
    session_set_domain: session::set_domain,
    session_request_id: session::request_id,
    session_set_request_id: session::set_request_id,
    session_stage: session::stage,
    session_slot: session::slot,
    session_set_slot: session::set_slot,
    session_render: session::render,
    session_variable: session::variable,
    session_place: session::place,
    exchange_begin: session::exchange_begin,
    exchange_route: session::exchange_route,
    exchange_hooks: session::exchange_hooks,
    exchange_end: session::exchange_end,
    session_renew: session::renew,
    session_accept: session::accept,
    connect_upstream: upstream::connect,
    lease_pick: upstream::pick,
    lease_pick_now: upstream::pick_now,
    lease_connect: upstream::lease_connect,
    lease_info: upstream::info,
    lease_conf: upstream::conf,
    lease_done: upstream::done,
    relay: upstream::relay,
    datagram_send: net::datagram_send,
    epoch,
    sessions: &raw const SESSIONS,
    stopped,
    defer,
    names,
    session_capture: session::capture,
    session_exchanges: session::exchanges,
    lease_peer: upstream::peer,
    lease_instead: upstream::instead,
    running,
    run_as,
};

unsafe extern "C" fn worker() -> u32 {
    here().worker.get().unwrap_or(u32::MAX)
}

unsafe extern "C" fn workers() -> u32 {
    here().workers.get()
}

unsafe extern "C" fn clock() -> *const super::host::Clock {
    // Lives as long as the state, which is this thread's; a fallback's page must outlive its call.
    let state = here();
    let page = ptr::from_ref(&*state.clock.0);
    if Rc::strong_count(&state) == 1 {
        std::mem::forget(state);
    }
    page
}

thread_local! {
    /// Who runs on this thread. A test's module runs alone, and is nobody until a contract enters one.
    static RUNNING: std::cell::Cell<*const ()> = const { std::cell::Cell::new(ptr::null()) };
}

unsafe extern "C" fn running() -> *const () {
    RUNNING.get()
}

unsafe extern "C" fn run_as(module: *const ()) -> *const () {
    RUNNING.replace(module)
}

unsafe extern "C" fn epoch() -> u32 {
    1
}

/// What a host logs and counts, a test sees by `task::take_stopped`.
unsafe extern "C" fn stopped(_: Str<'_>, _: Str<'_>) {}

/// What is kept for a variable is kept in every test.
unsafe extern "C" fn names(_: Str<'_>) -> bool {
    true
}

unsafe extern "C" fn defer(cx: &super::task::FfiContext<'_>) {
    guard(|| cx.with_context(|cx| cx.waker().wake_by_ref()));
}

/// A text for as long as the process; equal texts share one.
pub(crate) fn interned(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(t) = texts.get(text) {
        return t;
    }
    let t: &'static str = Box::leak(text.into());
    texts.insert(t);
    t
}

unsafe extern "C" fn intern(text: Str<'_>) -> Str<'static> {
    Str::new(interned(text.as_str()))
}

unsafe extern "C" fn log(level: u8, target: Str<'_>, message: Str<'_>, fields: Str<'_>) {
    let state = here();
    if level <= state.log_level.get() {
        guard(|| {
            state.log.borrow_mut().push(crate::testing::LogRecord {
                level,
                target: target.as_str().to_owned(),
                message: message.as_str().to_owned(),
                fields: fields.as_str().to_owned(),
            });
        });
    }
}
