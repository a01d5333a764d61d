//! Task contexts across images, without an allocation a poll.
//!
//! A waker of the host's own tasks crosses as its bare data pointer and one well-known vtable, the *primary*; a module
//! wraps it in one static `RawWakerVTable`, and on the way back both sides recognise their own, so that `will_wake`
//! holds and nothing is boxed. Any other waker crosses borrowed and is boxed only when it is cloned.

use super::guard;
use std::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr,
    sync::atomic::{AtomicPtr, Ordering::Relaxed},
    task::{Context, RawWaker, RawWakerVTable, Waker},
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
    pub(in crate::abi) waker: FfiWaker,
    pub(in crate::abi) borrowed: PhantomData<&'a ()>,
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
