//! Pooled buffers of three sizes, kept by each thread, under one limit of the process.
//! A buffer comes back to the thread that drops it.

use anyproxy_module_api::abi::bytes::Buf;
use std::{
    alloc::{Layout, alloc_zeroed},
    cell::{Cell, RefCell},
    ptr::NonNull,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::Waker,
};

/// Sizes that are pooled, bytes.
pub const CLASSES: [usize; 3] = [16 << 10, 64 << 10, 1 << 20];
/// Most free buffers a thread keeps of each.
const KEEP: [usize; 3] = [256, 64, 4];

/// Most bytes that a thread keeps reserved for its next buffers, and which part of `memory_limit` at most: what all threads
/// count together goes from core to core with every buffer.
const AHEAD: usize = 1 << 20;
const AHEAD_OF_LIMIT: usize = 256;

/// Bytes handed out and not yet back, in the process, with those that threads keep reserved.
static RESERVED: Alone = Alone(AtomicUsize::new(0));
/// `memory_limit`; 0: none.
static LIMIT: AtomicUsize = AtomicUsize::new(0);
/// Times a buffer was refused.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// On a line of memory of its own: those beside it are read with every buffer.
#[repr(align(128))]
struct Alone(AtomicUsize);

/// What a thread has for its next buffers.
struct Free {
    lists: [Vec<Box<[u8]>>; 3],
    /// Bytes reserved for them, until the next sweep.
    allowance: usize,
    /// Most bytes of it. None before the first sweep: what a thread without sweeps (a pool's, that is handed what others
    /// received) kept would be lost.
    most: usize,
}

impl Free {
    /// Takes `size` out of the allowance, or out of the limit with something for the next ones. False: there is no room.
    fn reserve(&mut self, size: usize, limit: usize) -> bool {
        let have = self.allowance;
        self.allowance = match have.checked_sub(size) {
            Some(left) => left,
            None if reserve(size + self.most / 2, limit) => have + self.most / 2,
            None if reserve(size - have, limit) => 0,
            None => return false,
        };
        true
    }

    /// Puts it into the allowance, and what that has too much back.
    fn release(&mut self, size: usize) {
        self.allowance += size;
        if self.allowance > self.most {
            RESERVED.0.fetch_sub(self.allowance - self.most / 2, Relaxed);
            self.allowance = self.most / 2;
        }
    }
}

impl Drop for Free {
    fn drop(&mut self) {
        RESERVED.0.fetch_sub(self.allowance, Relaxed);
    }
}

/// Most bytes of an allowance that is swept.
const fn ahead(limit: usize) -> usize {
    let part = limit / AHEAD_OF_LIMIT;
    if limit == 0 || part > AHEAD { AHEAD } else { part }
}

/// Takes `size` out of the limit. False: there is no room.
fn reserve(size: usize, limit: usize) -> bool {
    let fits = RESERVED.0.fetch_add(size, Relaxed).saturating_add(size) <= limit || limit == 0;
    if !fits {
        RESERVED.0.fetch_sub(size, Relaxed);
    }
    fits
}

thread_local! {
    static FREE: RefCell<Free> =
        const { RefCell::new(Free { lists: [Vec::new(), Vec::new(), Vec::new()], allowance: 0, most: 0 }) };
    /// Tasks that wait for memory.
    static WAITING: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
    static ANY_WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Sets `memory_limit`.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// Bytes handed out and reserved, and times that a buffer was refused.
pub fn usage() -> (usize, usize) {
    (RESERVED.0.load(Relaxed), REFUSED.load(Relaxed))
}

/// Whether the limit leaves no room for another ordinary buffer.
pub fn is_full() -> bool {
    let limit = LIMIT.load(Relaxed);
    limit != 0 && RESERVED.0.load(Relaxed) + CLASSES[0] > limit
}

/// A buffer of at least `size` bytes; without capacity when the limit is reached. Does not panic.
#[inline]
pub fn take(size: usize) -> Buf {
    let class = CLASSES.iter().position(|c| size <= *c);
    let cap = class.map_or(size, |c| CLASSES[c]);
    match memory(class, cap) {
        // SAFETY: `cap` bytes of a box, given back once by `release`, from any thread.
        Some(ptr) => unsafe { Buf::from_raw(ptr.as_ptr(), 0, cap, std::ptr::null_mut(), release) },
        None => {
            REFUSED.fetch_add(1, Relaxed);
            Buf::new()
        }
    }
}

/// The memory of a buffer, `cap` bytes, out of the limit. Returned without the buffer, which would be copied.
fn memory(class: Option<usize>, cap: usize) -> Option<NonNull<u8>> {
    if isize::try_from(cap).is_err() {
        return None;
    }
    let limit = LIMIT.load(Relaxed);
    let pooled = FREE.try_with(|free| {
        let free = &mut *free.borrow_mut();
        free.reserve(cap, limit).then(|| class.and_then(|c| free.lists[c].pop()))
    });
    // At the very end of a thread it has nothing of its own.
    let pooled = pooled.unwrap_or_else(|_| reserve(cap, limit).then_some(None))?;
    let Some(kept) = pooled else {
        let new = allocate(cap);
        if new.is_none() {
            give_back(cap);
        }
        return new;
    };
    NonNull::new(Box::into_raw(kept).cast())
}

/// New memory as a box has it; none where the system has none. Zeroed pages come from it untouched: a large buffer costs
/// memory only where it is used.
#[cold]
fn allocate(cap: usize) -> Option<NonNull<u8>> {
    let layout = Layout::array::<u8>(cap).ok()?;
    // SAFETY: the layout is not empty: the smallest class is not.
    NonNull::new(unsafe { alloc_zeroed(layout) })
}

/// Puts `size` back into the limit.
fn give_back(size: usize) {
    if FREE.try_with(|free| free.borrow_mut().release(size)).is_err() {
        // At the very end of a thread.
        RESERVED.0.fetch_sub(size, Relaxed);
    }
}

unsafe extern "C" fn release(_: *mut (), ptr: *mut u8, cap: usize) {
    // SAFETY: the box of `memory`, taken back once.
    let memory = || unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(ptr, cap)) };
    let kept = FREE.try_with(|free| {
        let free = &mut *free.borrow_mut();
        free.release(cap);
        match CLASSES.iter().position(|c| cap == *c) {
            Some(class) if free.lists[class].len() < KEEP[class] => {
                free.lists[class].push(memory());
                true
            }
            _ => false,
        }
    });
    match kept {
        Ok(true) => {}
        Ok(false) => drop(memory()),
        Err(_) => {
            // At the very end of a thread.
            RESERVED.0.fetch_sub(cap, Relaxed);
            drop(memory());
        }
    }
    if ANY_WAITING.try_with(Cell::get) == Ok(true) {
        wake_waiting();
    }
}

/// To be called ten times a second: what this thread has reserved is everybody's again, and who waits for memory tries anew.
pub fn sweep() {
    FREE.with_borrow_mut(|free| {
        free.most = ahead(LIMIT.load(Relaxed));
        RESERVED.0.fetch_sub(std::mem::take(&mut free.allowance), Relaxed);
    });
    wake_waiting();
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
fn wake_waiting() {
    ANY_WAITING.set(false);
    for w in WAITING.take() {
        w.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_does_not_have_is_no_buffer_and_reserves_nothing() {
        let before = usage().0;
        for size in [isize::MAX as usize, usize::MAX / 2 + 1, usize::MAX] {
            assert_eq!(take(size).capacity(), 0);
        }
        // Others' buffers may come and go meanwhile.
        assert!(usage().0 < before + (1 << 40));
    }

    #[test]
    fn a_thread_reserves_ahead_what_the_limit_bears() {
        assert_eq!([0, usize::MAX, 1 << 30, 1 << 20, 100].map(ahead), [AHEAD, AHEAD, AHEAD, 4096, 0]);
        let mut free = Free { lists: Default::default(), allowance: 0, most: AHEAD };
        assert!(free.reserve(1000, 0));
        assert_eq!(free.allowance, AHEAD / 2);
        assert!(free.reserve(AHEAD / 2 - 10, 0));
        assert_eq!(free.allowance, 10);
        // What there is counts, where there is no room for more.
        assert!(!free.reserve(11, 1));
        assert!(free.reserve(10, 1));
        assert_eq!(free.allowance, 0);
        assert!(free.reserve(AHEAD, 0));
        free.release(AHEAD);
        assert_eq!(free.allowance, AHEAD / 2, "what is too much goes back");
        free.release(1000 + AHEAD / 2);
        assert_eq!(free.allowance, AHEAD / 2, "what is too much goes back");
    }

    #[test]
    fn a_thread_without_sweeps_keeps_nothing() {
        let mut free = Free { lists: Default::default(), allowance: 0, most: 0 };
        assert!(free.reserve(1000, 0));
        assert_eq!(free.allowance, 0);
        free.release(1000);
        assert_eq!(free.allowance, 0);
    }
}
