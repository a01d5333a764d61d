//! Pooled buffers of three sizes, kept by each thread, under one limit of the process.
//! A buffer comes back to the thread that drops it.

use anyproxy_module_api::abi::bytes::Buf;
use std::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Waker,
};

/// Sizes that are pooled, bytes.
pub const CLASSES: [usize; 3] = [16 << 10, 64 << 10, 1 << 20];
/// Most free buffers a thread keeps of each.
const KEEP: [usize; 3] = [256, 64, 4];

/// Bytes handed out and not yet back, in the process.
static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// `memory_limit`; 0: none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// Times a buffer was refused.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

struct Free {
    lists: [Vec<Box<[u8]>>; 3],
}

thread_local! {
    static FREE: RefCell<Free> = const { RefCell::new(Free { lists: [Vec::new(), Vec::new(), Vec::new()] }) };
    /// Tasks that wait for memory.
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    static ANY_WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Sets `memory_limit`.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// Bytes handed out, and times that a buffer was refused.
pub fn usage() -> (usize, usize) {
    (IN_USE.load(Relaxed), REFUSED.load(Relaxed))
}

/// Whether the limit leaves no room for another ordinary buffer.
pub fn is_full() -> bool {
    let limit = LIMIT.load(Relaxed);
    limit != 0 && IN_USE.load(Relaxed) + CLASSES[0] > limit
}

/// A buffer of at least `size` bytes; without capacity when the limit is reached.
pub fn take(size: usize) -> Buf {
    let class = CLASSES.iter().position(|c| size <= *c);
    let cap = class.map_or(size, |c| CLASSES[c]);
    let limit = LIMIT.load(Relaxed);
    if IN_USE.fetch_add(cap, Relaxed) + cap > limit && limit != 0 {
        IN_USE.fetch_sub(cap, Relaxed);
        REFUSED.fetch_add(1, Relaxed);
        return Buf::new();
    }
    // Zeroed pages come from the system untouched: a large buffer costs memory only where it is used.
    let pooled = class.and_then(|c| FREE.try_with(|f| f.borrow_mut().lists[c].pop()).ok().flatten());
    let memory = pooled.unwrap_or_else(|| vec![0; cap].into_boxed_slice());
    let ptr = Box::into_raw(memory).cast::<u8>();
    // SAFETY: `cap` bytes of a box, given back once by `release`, from any thread.
    unsafe { Buf::from_raw(ptr, 0, cap, std::ptr::null_mut(), release) }
}

unsafe extern "C" fn release(_: *mut (), ptr: *mut u8, cap: usize) {
    // SAFETY: the box of `take`.
    let memory = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(ptr, cap)) };
    IN_USE.fetch_sub(cap, Relaxed);
    if let Some(class) = CLASSES.iter().position(|c| cap == *c) {
        // At the very end of a thread its list is gone, and the memory is simply freed.
        let _ = FREE.try_with(|f| {
            let list = &mut f.borrow_mut().lists[class];
            if list.len() < KEEP[class] {
                list.push(memory);
            }
        });
    }
    if ANY_WAITING.try_with(Cell::get) == Ok(true) {
        wake_waiting();
    }
}

/// Notes a task that wants memory; woken when some comes back on this thread, and ten times a second.
pub fn wait(waker: &Waker) {
    ANY_WAITING.set(true);
    WAITING.with_borrow_mut(|w| {
        if !w.iter().any(|have| have.will_wake(waker)) {
            w.push(waker.clone());
        }
    });
}

/// Wakes all that wait for memory on this thread.
pub fn wake_waiting() {
    ANY_WAITING.set(false);
    for w in WAITING.take() {
        w.wake();
    }
}
