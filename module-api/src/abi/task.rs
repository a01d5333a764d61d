//! Task contexts and futures across images, without an allocation a poll.
//!
//! A waker of the host's own tasks crosses as its bare data pointer and one well-known vtable, the *primary*; a module
//! wraps it in one static `RawWakerVTable`, and on the way back both sides recognise their own, so that `will_wake`
//! holds and nothing is boxed. Any other waker crosses borrowed and is boxed only when it is cloned.

use super::recycled::Recycled;
use std::{
    any::Any,
    cell::Cell,
    future::Future,
    marker::PhantomData,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

/// A waker as it crosses.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FfiWaker {
    /// What `vtable` works on.
    pub data: *const (),
    /// Its functions.
    pub vtable: *const FfiWakerVtable,
}

/// The functions of a waker. None of them unwinds.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FfiWakerVtable {
    /// A second, owned one.
    pub clone: unsafe extern "C" fn(*const ()) -> FfiWaker,
    /// Wakes and consumes.
    pub wake: unsafe extern "C" fn(*const ()),
    /// Wakes.
    pub wake_by_ref: unsafe extern "C" fn(*const ()),
    /// Gives it up.
    pub drop: unsafe extern "C" fn(*const ()),
}

/// A task context as it crosses: the waker, borrowed for the call.
#[repr(C)]
#[derive(Debug)]
pub struct FfiContext<'a> {
    pub(super) waker: FfiWaker,
    pub(super) borrowed: PhantomData<&'a ()>,
}

/// The host's primary vtable as this image knows it: its own in the host, the host's in a module.
static PRIMARY: AtomicPtr<FfiWakerVtable> = AtomicPtr::new(ptr::null_mut());
/// Host only: the vtable of its runtime's task wakers.
static TASK: AtomicPtr<RawWakerVTable> = AtomicPtr::new(ptr::null_mut());

/// Notes the host's primary vtable in a module's image.
pub(crate) fn set_primary(primary: *const FfiWakerVtable) {
    PRIMARY.store(primary.cast_mut(), Relaxed);
}

/// Host only: the primary vtable it hands to modules.
pub const fn host_primary() -> &'static FfiWakerVtable {
    &HOST_PRIMARY
}

/// Host only: notes by which vtable the wakers of its tasks are known, before any module runs. The first call counts:
/// wakers that crossed are rebuilt with the noted vtable, so it may not become another. Wakers of another one cross like
/// any other waker.
pub fn note_task_waker(vtable: &'static RawWakerVTable) {
    let vtable = ptr::from_ref(vtable).cast_mut();
    if TASK.compare_exchange(ptr::null_mut(), vtable, Relaxed, Relaxed).is_ok() {
        set_primary(&raw const HOST_PRIMARY);
    }
}

// ---- host side: the primary vtable over the runtime's task waker

unsafe fn host(data: *const ()) -> ManuallyDrop<Waker> {
    // SAFETY: only reached with data of a waker whose vtable is TASK.
    ManuallyDrop::new(unsafe { Waker::new(data, &*TASK.load(Relaxed)) })
}
unsafe extern "C" fn host_clone(data: *const ()) -> FfiWaker {
    // SAFETY: see `host`.
    let Some(w) = guard(|| ManuallyDrop::new(unsafe { (*host(data)).clone() })) else { return nobody() };
    FfiWaker { data: w.data(), vtable: &raw const HOST_PRIMARY }
}
unsafe extern "C" fn host_wake(data: *const ()) {
    // SAFETY: see `host`; consumes one reference.
    guard(|| ManuallyDrop::into_inner(unsafe { host(data) }).wake());
}
unsafe extern "C" fn host_wake_by_ref(data: *const ()) {
    // SAFETY: see `host`.
    guard(|| unsafe { host(data) }.wake_by_ref());
}
unsafe extern "C" fn host_drop(data: *const ()) {
    // SAFETY: see `host`; consumes one reference.
    guard(|| drop(ManuallyDrop::into_inner(unsafe { host(data) })));
}
static HOST_PRIMARY: FfiWakerVtable =
    FfiWakerVtable { clone: host_clone, wake: host_wake, wake_by_ref: host_wake_by_ref, drop: host_drop };

// ---- module side: a std waker over the host's primary

fn primary() -> &'static FfiWakerVtable {
    // SAFETY: set at the image's initialisation to a static of the host, before any waker exists here.
    unsafe { &*PRIMARY.load(Relaxed) }
}
unsafe fn module_clone(data: *const ()) -> RawWaker {
    // SAFETY: data of a primary waker.
    let c = unsafe { (primary().clone)(data) };
    if ptr::eq(c.vtable, PRIMARY.load(Relaxed)) {
        return RawWaker::new(c.data, &MODULE);
    }
    // The host had none to give: see `nobody`.
    RawWaker::new(Box::into_raw(Box::new(c)).cast_const().cast(), &FOREIGN_OWNED)
}
unsafe fn module_wake(data: *const ()) {
    // SAFETY: as above.
    unsafe { (primary().wake)(data) }
}
unsafe fn module_wake_by_ref(data: *const ()) {
    // SAFETY: as above.
    unsafe { (primary().wake_by_ref)(data) }
}
unsafe fn module_drop(data: *const ()) {
    // SAFETY: as above.
    unsafe { (primary().drop)(data) }
}
static MODULE: RawWakerVTable = RawWakerVTable::new(module_clone, module_wake, module_wake_by_ref, module_drop);

// ---- any other waker crossing out: borrowed, boxed on clone

unsafe extern "C" fn borrowed_clone(data: *const ()) -> FfiWaker {
    // SAFETY: data is a `&Waker` (borrowed or boxed) of this image.
    let Some(w) = guard(|| unsafe { &*data.cast::<Waker>() }.clone()) else { return nobody() };
    FfiWaker { data: Box::into_raw(Box::new(w)).cast_const().cast(), vtable: &raw const OWNED }
}
/// In place of a waker whose clone panicked: wakes nobody.
fn nobody() -> FfiWaker {
    unsafe extern "C" fn clone(_: *const ()) -> FfiWaker {
        nobody()
    }
    unsafe extern "C" fn nothing(_: *const ()) {}
    static NOBODY: FfiWakerVtable = FfiWakerVtable { clone, wake: nothing, wake_by_ref: nothing, drop: nothing };
    FfiWaker { data: ptr::null(), vtable: &raw const NOBODY }
}
unsafe extern "C" fn borrowed_wake_by_ref(data: *const ()) {
    // SAFETY: as above.
    guard(|| unsafe { &*data.cast::<Waker>() }.wake_by_ref());
}
unsafe extern "C" fn borrowed_drop(_: *const ()) {}
unsafe extern "C" fn owned_wake(data: *const ()) {
    // SAFETY: data is the box of `borrowed_clone`, consumed here.
    guard(|| unsafe { Box::from_raw(data.cast_mut().cast::<Waker>()) }.wake());
}
unsafe extern "C" fn owned_drop(data: *const ()) {
    // SAFETY: as above.
    guard(|| drop(unsafe { Box::from_raw(data.cast_mut().cast::<Waker>()) }));
}
static BORROWED: FfiWakerVtable = FfiWakerVtable {
    clone: borrowed_clone,
    wake: borrowed_wake_by_ref,
    wake_by_ref: borrowed_wake_by_ref,
    drop: borrowed_drop,
};
static OWNED: FfiWakerVtable =
    FfiWakerVtable { clone: borrowed_clone, wake: owned_wake, wake_by_ref: borrowed_wake_by_ref, drop: owned_drop };

// ---- any other waker crossing in: a std waker over a borrowed FfiWaker, boxed on clone

unsafe fn foreign_clone(data: *const ()) -> RawWaker {
    // SAFETY: data is a `&FfiWaker` (borrowed or boxed).
    let w = unsafe { &*data.cast::<FfiWaker>() };
    // SAFETY: vtable and data belong together.
    let c = unsafe { ((*w.vtable).clone)(w.data) };
    RawWaker::new(Box::into_raw(Box::new(c)).cast_const().cast(), &FOREIGN_OWNED)
}
unsafe fn foreign_wake_by_ref(data: *const ()) {
    // SAFETY: as above.
    unsafe {
        let w = &*data.cast::<FfiWaker>();
        ((*w.vtable).wake_by_ref)(w.data);
    }
}
unsafe fn foreign_drop(_: *const ()) {}
unsafe fn foreign_owned_wake(data: *const ()) {
    // SAFETY: the box of `foreign_clone`, consumed here.
    unsafe {
        let w = *Box::from_raw(data.cast_mut().cast::<FfiWaker>());
        ((*w.vtable).wake)(w.data);
    }
}
unsafe fn foreign_owned_drop(data: *const ()) {
    // SAFETY: the box of `foreign_clone`, consumed here.
    unsafe {
        let w = *Box::from_raw(data.cast_mut().cast::<FfiWaker>());
        ((*w.vtable).drop)(w.data);
    }
}
static FOREIGN: RawWakerVTable =
    RawWakerVTable::new(foreign_clone, foreign_wake_by_ref, foreign_wake_by_ref, foreign_drop);
static FOREIGN_OWNED: RawWakerVTable =
    RawWakerVTable::new(foreign_clone, foreign_owned_wake, foreign_wake_by_ref, foreign_owned_drop);

/// Crosses out: lends `cx` to a function of another image.
#[inline]
pub fn with_ffi<R>(cx: &mut Context<'_>, f: impl FnOnce(&FfiContext<'_>) -> R) -> R {
    let w = cx.waker();
    let vtable = ptr::from_ref(w.vtable());
    let waker = if ptr::eq(vtable, &raw const MODULE) {
        FfiWaker { data: w.data(), vtable: PRIMARY.load(Relaxed) }
    } else if ptr::eq(vtable, TASK.load(Relaxed)) {
        FfiWaker { data: w.data(), vtable: &raw const HOST_PRIMARY }
    } else {
        FfiWaker { data: ptr::from_ref(w).cast(), vtable: &raw const BORROWED }
    };
    f(&FfiContext { waker, borrowed: PhantomData })
}

impl FfiContext<'_> {
    /// Crosses in: a std context over the lent one.
    #[inline]
    pub fn with_context<R>(&self, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
        let w = if ptr::eq(self.waker.vtable, &raw const HOST_PRIMARY) {
            // SAFETY: made by `with_ffi` in this process from a waker with the TASK vtable.
            unsafe { host(self.waker.data) }
        } else if ptr::eq(self.waker.vtable, PRIMARY.load(Relaxed)) {
            // SAFETY: the primary's data, borrowed for the call: never dropped.
            ManuallyDrop::new(unsafe { Waker::new(self.waker.data, &MODULE) })
        } else {
            // SAFETY: borrowed for the call; `foreign_drop` does nothing.
            ManuallyDrop::new(unsafe { Waker::new(ptr::from_ref(&self.waker).cast(), &FOREIGN) })
        };
        f(&mut Context::from_waker(&w))
    }
}

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

// SAFETY: `new` only takes `Send` futures.
unsafe impl<T> Send for SendFuture<T> {}

impl<T> SendFuture<T> {
    /// Boxes `future`.
    pub fn new<F: Future<Output = T> + Send + 'static>(future: F) -> Self {
        Self(LocalFuture::new(future))
    }

    /// Polls; a panic on the other side is a value.
    pub fn poll_ffi(&mut self, cx: &mut Context<'_>) -> FfiPoll<T> {
        self.0.poll_ffi(cx)
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

thread_local! {
    /// Panics stopped by `guard` on this thread and not yet reported. No destructor.
    static STOPPED: Cell<u32> = const { Cell::new(0) };
}

/// Runs `f` and stops a panic at the edge of the image. The panic hook has already reported it.
#[inline]
pub fn guard<R>(f: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(f)).map_or_else(
        |payload| {
            discard(payload);
            STOPPED.set(STOPPED.get().wrapping_add(1));
            super::services::stopped();
            None
        },
        Some,
    )
}

/// Drops what a panic carried. A payload whose drop panics must not get out either, nor what that one carries.
fn discard(payload: Box<dyn Any + Send>) {
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(second);
    }
}

/// Panics that `guard` stopped in this image on this thread since the last call.
pub fn take_stopped() -> u32 {
    STOPPED.replace(0)
}
