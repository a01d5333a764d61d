//! Tasks that stay on their thread: one allocation each, with the future in it. Wakers may go anywhere.
//!
//! `unsafe` because a `Waker` is one pointer to something of unknown type: this file is the whole of it.

use super::{Loop, Shared, here};
use std::{
    cell::{Cell, UnsafeCell},
    future::Future,
    mem::ManuallyDrop,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    ptr::{self, NonNull},
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicUsize, Ordering},
    },
    task::{Context, RawWaker, RawWakerVTable, Waker},
};

/// It was woken elsewhere, and the loop has not seen that yet: it is among [`Shared::woken`], once.
const WOKEN: u8 = 1;
/// At its next turn it is dropped.
const ABORTED: u8 = 2;
/// The future is gone.
const DONE: u8 = 4;

#[repr(C)]
struct Header {
    refs: AtomicUsize,
    state: AtomicU8,
    /// It is in the loop's queue, once. Of the loop's thread alone, as most wake-ups are: they need nothing atomic.
    queued: Cell<bool>,
    /// Among the loop's tasks, which hold it until it is over and not queued.
    key: u32,
    shared: Arc<Shared>,
    of: &'static Table,
}

/// What is known of a future's type.
struct Table {
    /// Polls the future; on its end, or when it panics, drops it. True: it is over.
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> bool,
    drop_future: unsafe fn(NonNull<Header>),
    free: unsafe fn(NonNull<Header>),
}

#[repr(C)]
struct TaskCell<F> {
    header: Header,
    future: UnsafeCell<ManuallyDrop<F>>,
}

/// A counted reference to a task.
pub(super) struct TaskRef(NonNull<Header>);

// SAFETY: off the loop's thread only the counts, the state and `shared` are touched; see `run`, `DONE` and `free`.
unsafe impl Send for TaskRef {}
// SAFETY: as above.
unsafe impl Sync for TaskRef {}

impl Clone for TaskRef {
    fn clone(&self) -> Self {
        self.header().refs.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Drop for TaskRef {
    fn drop(&mut self) {
        if self.header().refs.fetch_sub(1, Ordering::Release) == 1 {
            std::sync::atomic::fence(Ordering::Acquire);
            // SAFETY: nobody else knows it any more.
            unsafe { (self.header().of.free)(self.0) }
        }
    }
}

impl TaskRef {
    fn header(&self) -> &Header {
        // SAFETY: alive while it is counted.
        unsafe { self.0.as_ref() }
    }

    /// Its next turn ends it; it comes soon.
    fn abort(&self) {
        self.header().state.fetch_or(ABORTED, Ordering::AcqRel);
        self.wake();
    }

    /// The same, by its loop.
    pub(super) fn abort_here(&self, this: &Loop) {
        self.header().state.fetch_or(ABORTED, Ordering::AcqRel);
        self.wake_here(this);
    }

    fn is_done(&self) -> bool {
        self.header().state.load(Ordering::Acquire) & DONE != 0
    }

    fn wake(&self) {
        here(|here| match here {
            Some(this) if ptr::eq(&raw const *this.shared, &raw const *self.header().shared) => self.wake_here(this),
            _ => self.wake_from_elsewhere(),
        });
    }

    /// On its loop's thread.
    fn wake_here(&self, this: &Loop) {
        let header = self.header();
        // Mostly it is not: the first waker of an event is the only one.
        if !header.queued.get() && header.state.load(Ordering::Relaxed) & DONE == 0 {
            header.queued.set(true);
            this.push(Queued(self.0));
        }
    }

    #[cold]
    fn wake_from_elsewhere(&self) {
        let header = self.header();
        if header.state.fetch_or(WOKEN, Ordering::AcqRel) & (WOKEN | DONE) == 0 {
            header.shared.push(self.clone());
        }
    }

    /// The loop hears that it was woken elsewhere. What happened before that is seen at its turn.
    pub(super) fn heard(&self, this: &Loop) {
        self.header().state.fetch_and(!WOKEN, Ordering::AcqRel);
        self.wake_here(this);
    }
}

/// A task in the queue of its loop. It counts nothing: the loop's tasks hold it for as long.
pub(super) struct Queued(NonNull<Header>);

impl Queued {
    /// Its turn, on the loop's thread.
    pub(super) fn run(self, this: &Loop) {
        // SAFETY: held by the loop's tasks while it is queued, and from then on until `forget`.
        let header = unsafe { self.0.as_ref() };
        header.queued.set(false);
        let state = header.state.load(Ordering::Acquire);
        if state & DONE != 0 {
            return Self::forget(header.key, this);
        }
        let over = if state & ABORTED != 0 {
            // SAFETY: on the loop's thread, and not done. A panic was reported by the hook, and ends this task only.
            let _ = catch_unwind(AssertUnwindSafe(|| unsafe { (header.of.drop_future)(self.0) }));
            true
        } else {
            // SAFETY: data and table belong together; never dropped: it counts nothing.
            let waker = ManuallyDrop::new(unsafe { Waker::new(self.0.as_ptr().cast_const().cast(), &WAKER) });
            // SAFETY: on the loop's thread, not done, and not polled within itself: it is in no queue twice.
            unsafe { (header.of.poll)(self.0, &mut Context::from_waker(&waker)) }
        };
        if over {
            header.state.fetch_or(DONE, Ordering::AcqRel);
            // One that is queued again is forgotten at that turn.
            if !header.queued.get() {
                Self::forget(header.key, this);
            }
        }
    }

    /// The loop gives up a task that is over. It may end here.
    fn forget(key: u32, this: &Loop) {
        let known = this.tasks.borrow_mut().try_remove(key as usize);
        drop(known);
    }
}

/// Drops the future when a poll ended it, by a result or by a panic: then while it unwinds, so that what is dropped can
/// tell.
struct DropFuture(NonNull<Header>, bool);

impl Drop for DropFuture {
    fn drop(&mut self) {
        if self.1 {
            // SAFETY: of `poll`, once.
            unsafe { (self.0.as_ref().of.drop_future)(self.0) }
        }
    }
}

unsafe fn poll<F: Future<Output = ()>>(task: NonNull<Header>, cx: &mut Context<'_>) -> bool {
    let r = catch_unwind(AssertUnwindSafe(|| {
        let mut end = DropFuture(task, true);
        // SAFETY: made for this type; on the loop's thread, alone; never moved out of its allocation.
        let future = unsafe { Pin::new_unchecked(&mut **(*task.cast::<TaskCell<F>>().as_ptr()).future.get()) };
        end.1 = future.poll(cx).is_ready();
        end.1
    }));
    // The panic was reported by the hook, and ends this task only.
    r.unwrap_or(true)
}

unsafe fn drop_future<F>(task: NonNull<Header>) {
    // SAFETY: made for this type; once, on the loop's thread.
    unsafe { ManuallyDrop::drop(&mut *(*task.cast::<TaskCell<F>>().as_ptr()).future.get()) }
}

unsafe fn free<F>(task: NonNull<Header>) {
    // SAFETY: the box of `spawn`; its future was dropped before: a task that is not done is held by its loop.
    drop(unsafe { Box::from_raw(task.cast::<TaskCell<F>>().as_ptr()) });
}

// ---- the waker: a counted pointer to the task

static WAKER: RawWakerVTable = RawWakerVTable::new(waker_clone, waker_wake, waker_wake_by_ref, waker_drop);

unsafe fn task(data: *const ()) -> ManuallyDrop<TaskRef> {
    // SAFETY: data of a waker of this table, never null.
    ManuallyDrop::new(TaskRef(unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }))
}
unsafe fn waker_clone(data: *const ()) -> RawWaker {
    // SAFETY: see `task`.
    std::mem::forget(TaskRef::clone(&*unsafe { task(data) }));
    RawWaker::new(data, &WAKER)
}
unsafe fn waker_wake(data: *const ()) {
    // SAFETY: see `task`; consumes one count.
    ManuallyDrop::into_inner(unsafe { task(data) }).wake();
}
unsafe fn waker_wake_by_ref(data: *const ()) {
    // SAFETY: see `task`.
    unsafe { task(data) }.wake();
}
unsafe fn waker_drop(data: *const ()) {
    // SAFETY: see `task`; consumes one count.
    drop(ManuallyDrop::into_inner(unsafe { task(data) }));
}

/// Wakes it if that does no more than to queue a task, which may be done wherever. False: it is another kind of waker.
pub(super) fn wake_plain(waker: &Waker) -> bool {
    let plain = ptr::eq(waker.vtable(), &raw const WAKER);
    if plain {
        // SAFETY: a waker of this table; see `task`.
        unsafe { task(waker.data()) }.wake();
    }
    plain
}

/// By which the wakers of tasks are known.
pub fn waker_vtable() -> &'static RawWakerVTable {
    &WAKER
}

/// Aborts a task, from any thread.
#[derive(Clone)]
pub struct TaskHandle(Option<TaskRef>);

impl std::fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_finished() { "TaskHandle(over)" } else { "TaskHandle" })
    }
}

impl TaskHandle {
    /// Of no task.
    pub const OVER: Self = Self(None);

    /// Its future is dropped at the loop's next turn, on its thread.
    pub fn abort(&self) {
        if let Some(t) = &self.0 {
            t.abort();
        }
    }

    /// Whether the future is gone.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(TaskRef::is_done)
    }
}

/// A task on this thread's loop. A panic ends only it. Without a loop here the future is dropped.
pub fn spawn<F: Future<Output = ()> + 'static>(future: F) -> TaskHandle {
    here(|here| {
        let Some(this) = here else { return TaskHandle::OVER };
        let mut tasks = this.tasks.borrow_mut();
        let entry = tasks.vacant_entry();
        let Ok(key) = u32::try_from(entry.key()) else { return TaskHandle::OVER };
        let cell = Box::new(TaskCell {
            header: Header {
                refs: AtomicUsize::new(1),
                state: AtomicU8::new(0),
                queued: Cell::new(true),
                key,
                shared: Arc::clone(&this.shared),
                of: &const { Table { poll: poll::<F>, drop_future: drop_future::<F>, free: free::<F> } },
            },
            future: UnsafeCell::new(ManuallyDrop::new(future)),
        });
        // SAFETY: a box is not null.
        let task = TaskRef(unsafe { NonNull::new_unchecked(Box::into_raw(cell)) }.cast());
        entry.insert(task.clone());
        drop(tasks);
        this.push(Queued(task.0));
        TaskHandle(Some(task))
    })
}
