//! What crosses in steady state allocates nothing, wakers stay themselves on the way, and panics stop at the edge.
//!
//! The file is its own process: it counts every allocation of its thread, and it plays host and module to itself with a
//! primary vtable of its own, as two images have it.
#![cfg(feature = "testing")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "a test that plays another image is made of raw parts")]

use anyproxy_module_api::{
    Buf, ErrorKind, Stream,
    abi::task::{Closure, FfiContext, FfiPoll, FfiWaker, FfiWakerVtable, LocalFuture, guard, take_stopped, with_ffi},
    ready,
    testing::{FakeHost, pair},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    future::{Future, poll_fn, ready as now},
    panic,
    pin::{Pin, pin},
    ptr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Wake, Waker},
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: the system's allocator, counted. The counter has no destructor and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.alloc(layout) }
    }
    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        unsafe { System.realloc(ptr, layout, size) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread while `f` runs.
fn allocations(f: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    f();
    ALLOCATIONS.get() - before
}

/// Polls `f` once as a task of the fake host does.
fn as_task<R>(host: &FakeHost, mut f: impl FnMut(&mut Context<'_>) -> R) -> R {
    let Poll::Ready(r) = host.poll_once(&mut poll_fn(|cx| Poll::Ready(f(cx)))) else {
        unreachable!("it is ready at once")
    };
    r
}

const ROUNDS: usize = 1000;

#[test]
fn reads_writes_and_waits_allocate_nothing_in_steady_state() {
    let host = FakeHost::new();
    let (mut a, b) = pair();
    let mut b = b.into_stream();
    let mut buf = Buf::from(Vec::with_capacity(512));
    let mut round = |cx: &mut Context<'_>, a: &mut Stream, b: &mut Stream| {
        assert!(a.poll_ready(cx, ready::READ).is_pending());
        assert!(a.poll_read(cx, &mut [0; 8]).is_pending());
        assert!(b.poll_write(cx, &[7; 256]).is_ready());
        assert!(a.poll_ready(cx, ready::READ).is_ready());
        buf.clear();
        assert!(matches!(a.poll_read_buf(cx, &mut buf), Poll::Ready(Ok(256))));
        assert!(a.poll_writev(cx, &[anyproxy_module_api::IoVec::new(&buf)]).is_ready());
        assert!(matches!(b.poll_read(cx, &mut [0; 256]), Poll::Ready(Ok(256))));
        assert!(a.poll_flush(cx).is_ready());
        let _ = (a.state(), a.info(), a.raw_fd());
    };
    as_task(&host, |cx| round(cx, &mut a, &mut b));
    let n = as_task(&host, |cx| allocations(|| (0..ROUNDS).for_each(|_| round(cx, &mut a, &mut b))));
    assert_eq!(n, 0, "in {ROUNDS} rounds");
}

#[test]
fn a_context_crosses_there_and_back_without_an_allocation_and_keeps_its_waker() {
    let host = FakeHost::new();
    let mut future = LocalFuture::new(poll_fn(|cx| {
        // Inside the "module": a clone, a crossing back into the "host", and the comparison that saves a clone.
        let kept = cx.waker().clone();
        assert!(kept.will_wake(cx.waker()));
        with_ffi(cx, |f| f.with_context(|inner| assert!(kept.will_wake(inner.waker()))));
        Poll::<()>::Pending
    }));
    let n = as_task(&host, |cx| {
        let outer = cx.waker().clone();
        with_ffi(cx, |f| f.with_context(|inner| assert!(outer.will_wake(inner.waker()))));
        allocations(|| (0..ROUNDS).for_each(|_| assert!(matches!(future.poll_ffi(cx), FfiPoll::Pending))))
    });
    assert_eq!(n, 0);
}

#[test]
fn a_future_that_crosses_costs_its_one_box() {
    let n = allocations(|| drop(LocalFuture::new(async { [0_u8; 64] })));
    assert_eq!(n, 1, "boxed once");
    let n = allocations(|| drop(LocalFuture::new(now(()))));
    assert!(n <= 1);
}

// ---- a host of another image: its contexts come with a primary vtable that is not this image's own

/// A waker's references and wakes, as a foreign host would count them.
#[derive(Default)]
struct Foreign {
    holds: AtomicUsize,
    woken: AtomicUsize,
}

unsafe fn foreign<'a>(data: *const ()) -> &'a Foreign {
    unsafe { &*data.cast::<Foreign>() }
}
unsafe extern "C" fn clone(data: *const ()) -> FfiWaker {
    unsafe { foreign(data) }.holds.fetch_add(1, SeqCst);
    FfiWaker { data, vtable: &raw const PRIMARY }
}
unsafe extern "C" fn wake(data: *const ()) {
    let f = unsafe { foreign(data) };
    f.woken.fetch_add(1, SeqCst);
    f.holds.fetch_sub(1, SeqCst);
}
unsafe extern "C" fn wake_by_ref(data: *const ()) {
    unsafe { foreign(data) }.woken.fetch_add(1, SeqCst);
}
unsafe extern "C" fn give_up(data: *const ()) {
    unsafe { foreign(data) }.holds.fetch_sub(1, SeqCst);
}
static PRIMARY: FfiWakerVtable = FfiWakerVtable { clone, wake, wake_by_ref, drop: give_up };
/// The same functions under another address: a waker that is not the host's primary.
static OTHER: FfiWakerVtable = FfiWakerVtable { clone: other_clone, wake, wake_by_ref, drop: give_up };
unsafe extern "C" fn other_clone(data: *const ()) -> FfiWaker {
    unsafe { foreign(data) }.holds.fetch_add(1, SeqCst);
    FfiWaker { data, vtable: &raw const OTHER }
}

/// Calls `f` with a context as another image lends it.
fn lent<R>(to: &Foreign, vtable: &'static FfiWakerVtable, f: impl FnOnce(&FfiContext<'_>) -> R) -> R {
    let waker = FfiWaker { data: ptr::from_ref(to).cast(), vtable };
    // A context is its waker and nothing else: `tests/layout.rs` holds it to that.
    f(unsafe { &*(&raw const waker).cast::<FfiContext<'_>>() })
}

/// Makes `PRIMARY` the host's table in this image, as the loading of a module does.
fn be_a_module() {
    use anyproxy_module_api::{
        Module, Problems, Registry, Scope, abi::export::init, abi::host::HostVtable, abi::services,
    };
    struct Nothing;
    impl Module for Nothing {
        type Conf = ();
        type Worker = ();
        fn register(_: &mut Registry<Self>) {}
        fn create() -> Self {
            Self
        }
        fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
        fn worker_start(&self, _: u32) {}
    }
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        drop(FakeHost::new());
        // The fake host's table under another primary, for as long as the process.
        let mut table: HostVtable = unsafe { ptr::read(services::host()) };
        table.primary = &raw const PRIMARY;
        let table: &'static HostVtable = Box::leak(Box::new(table));
        let desc = Box::leak(Box::default());
        assert!(!unsafe { init::<Nothing>(ptr::from_ref(table).cast(), "nothing", "0", "nothing", desc) }.is_null());
    });
}

#[test]
fn a_hosts_waker_is_itself_in_a_module_and_on_the_way_back_and_costs_nothing() {
    be_a_module();
    let f = Foreign::default();
    let n = lent(&f, &PRIMARY, |cx| {
        allocations(|| {
            cx.with_context(|cx| {
                let kept = cx.waker().clone();
                assert!(kept.will_wake(cx.waker()));
                with_ffi(cx, |back| {
                    let raw: FfiWaker = unsafe { *ptr::from_ref(back).cast::<FfiWaker>() };
                    assert_eq!(raw.data, ptr::from_ref(&f).cast());
                    assert!(ptr::eq(raw.vtable, &raw const PRIMARY), "it crosses back as the host's own");
                    back.with_context(|again| assert!(kept.will_wake(again.waker())));
                });
                let second = kept.clone();
                second.wake();
                kept.wake_by_ref();
            });
        })
    });
    assert_eq!(n, 0);
    assert_eq!((f.holds.load(SeqCst), f.woken.load(SeqCst)), (0, 2), "as many given up as taken");
}

#[test]
fn any_other_waker_that_crosses_in_is_taken_and_given_up_in_balance() {
    be_a_module();
    let f = Foreign::default();
    lent(&f, &OTHER, |cx| {
        let n = allocations(|| cx.with_context(|cx| cx.waker().wake_by_ref()));
        assert_eq!(n, 0, "borrowed until it is cloned");
        cx.with_context(|cx| {
            let one = cx.waker().clone();
            let two = one.clone();
            assert_eq!(f.holds.load(SeqCst), 2);
            one.wake();
            two.wake_by_ref();
            drop(two);
        });
    });
    assert_eq!((f.holds.load(SeqCst), f.woken.load(SeqCst)), (0, 3));
}

struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

#[test]
fn any_other_waker_that_crosses_out_is_taken_and_given_up_in_balance() {
    let counted = Arc::new(Counted(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&counted));
    let mut cx = Context::from_waker(&waker);
    let n = with_ffi(&mut cx, |f| allocations(|| f.with_context(|cx| cx.waker().wake_by_ref())));
    assert_eq!(n, 0, "borrowed until it is cloned");
    let kept = with_ffi(&mut cx, |f| f.with_context(|cx| cx.waker().clone()));
    drop(waker);
    let second = kept.clone();
    assert_eq!(Arc::strong_count(&counted), 3);
    kept.wake();
    second.wake_by_ref();
    drop(second);
    assert_eq!((Arc::strong_count(&counted), counted.0.load(SeqCst)), (1, 3));
}

// ---- panics

/// Runs `f` without the panics' reports.
fn quietly<R>(f: impl FnOnce() -> R) -> R {
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| {
        let other = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                other(info);
            }
        }));
    });
    QUIET.set(true);
    let r = f();
    QUIET.set(false);
    r
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in drop");
    }
}

#[test]
fn a_panic_in_poll_is_a_value_and_its_payload_may_panic_too() {
    let mut cx = Context::from_waker(Waker::noop());
    quietly(|| {
        let mut f = LocalFuture::new(async { panic!("in poll") });
        assert!(matches!(f.poll_ffi(&mut cx), FfiPoll::<()>::Panicked));
        let mut f = LocalFuture::new(async { panic::panic_any(Bomb) });
        assert!(matches!(f.poll_ffi(&mut cx), FfiPoll::<()>::Panicked));
    });
}

#[test]
fn a_panic_in_drop_stops_at_the_edge_and_is_counted() {
    take_stopped();
    quietly(|| {
        let bomb = Bomb;
        drop(LocalFuture::new(async move {
            let _held = &bomb;
        }));
        let bomb = Bomb;
        drop(Closure::new(move || drop(bomb)));
        assert!(!Closure::new(|| panic!("in call")).call());
        assert!(guard(|| panic::panic_any(Bomb)).is_none());
    });
    assert_eq!(take_stopped(), 4);
    assert_eq!(take_stopped(), 0);
}

#[test]
fn a_waker_that_panics_stops_at_the_edge() {
    fn clone(_: *const ()) -> RawWaker {
        panic!("in clone")
    }
    fn boom(_: *const ()) {
        panic!("in wake")
    }
    static PANICKING: RawWakerVTable = RawWakerVTable::new(clone, boom, boom, |_| {});
    let waker = unsafe { Waker::new(ptr::null(), &PANICKING) };
    let mut cx = Context::from_waker(&waker);
    quietly(|| {
        with_ffi(&mut cx, |f| {
            f.with_context(|cx| {
                cx.waker().wake_by_ref();
                let nobody = cx.waker().clone();
                let second = nobody.clone();
                second.wake();
                nobody.wake();
            });
        });
    });
    assert_eq!(take_stopped(), 2, "one wake, one clone");
}

#[test]
fn a_stream_that_panics_fails_and_may_still_be_dropped() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    impl anyproxy_module_api::StreamImpl for Panics {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<Result<usize, anyproxy_module_api::Error>> {
            panic!("in read")
        }
        fn poll_write(&mut self, _: &mut Context<'_>, _: &[u8]) -> Poll<Result<usize, anyproxy_module_api::Error>> {
            panic!("in write")
        }
        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), anyproxy_module_api::Error>> {
            panic!("in flush")
        }
        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), anyproxy_module_api::Error>> {
            panic!("in shutdown")
        }
        fn info(&self) -> anyproxy_module_api::StreamInfo<'_> {
            panic!("in info")
        }
        fn unread(&mut self, _: Buf) {
            panic!("in unread")
        }
    }
    let mut cx = Context::from_waker(Waker::noop());
    quietly(|| {
        let mut s = Stream::new(Panics);
        let kind = |r: Poll<Result<usize, anyproxy_module_api::Error>>| match r {
            Poll::Ready(Err(e)) => e.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(s.poll_read(&mut cx, &mut [0; 4])), ErrorKind::Panicked);
        assert_eq!(kind(s.poll_write(&mut cx, b"more")), ErrorKind::Panicked);
        assert_eq!(kind(s.poll_shutdown(&mut cx).map_ok(|()| 0)), ErrorKind::Panicked);
        assert_eq!(s.info().protocol.as_str(), "");
        s.unread(Buf::from(vec![1]));
        drop(s);
    });
}

#[test]
fn a_future_is_dropped_once_whether_it_ended_or_not() {
    let held = Rc::new(());
    let hold = |h: &Rc<()>| {
        let h = Rc::clone(h);
        async move { drop(h) }
    };
    let mut cx = Context::from_waker(Waker::noop());
    drop(LocalFuture::new(hold(&held)));
    let mut f = pin!(LocalFuture::new(hold(&held)));
    assert!(Pin::as_mut(&mut f).poll(&mut cx).is_ready());
    assert_eq!(Rc::strong_count(&held), 1);
}
