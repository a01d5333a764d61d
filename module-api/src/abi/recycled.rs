//! Boxes whose memory a thread keeps for the next ones of their size: for what is made and dropped with every request.
//! Knows nothing of what is in them.

use std::{
    alloc::{Layout, alloc, dealloc, handle_alloc_error},
    cell::Cell,
    fmt,
    ops::{Deref, DerefMut},
    pin::Pin,
    ptr::{self, NonNull},
};

/// Sizes go up in steps of this, bytes.
const STEP: usize = 16;
/// What the system's allocator gives without being asked.
const ALIGN: usize = 16;
/// Largest size that is kept, in steps.
const CLASSES: usize = 128;
/// Most free ones that a thread keeps of each size.
const KEEP: u32 = 64;

/// Free memory of one size: each piece holds the next one's address.
struct List {
    first: Cell<*mut u8>,
    len: Cell<u32>,
}

struct Free([List; CLASSES]);

impl Drop for Free {
    fn drop(&mut self) {
        for (class, list) in self.0.iter().enumerate() {
            while let Some(piece) = list.take() {
                // SAFETY: a free piece of this class, from `alloc` with this layout.
                unsafe { dealloc(piece.as_ptr(), layout(class)) };
            }
        }
    }
}

impl List {
    fn take(&self) -> Option<NonNull<u8>> {
        let piece = NonNull::new(self.first.get())?;
        // SAFETY: a free piece begins with the address of the next; nobody else uses it.
        self.first.set(unsafe { piece.cast::<*mut u8>().read() });
        self.len.set(self.len.get() - 1);
        Some(piece)
    }

    /// False: there are enough.
    fn give(&self, piece: NonNull<u8>) -> bool {
        if self.len.get() >= KEEP {
            return false;
        }
        // SAFETY: a piece of at least a step, which nobody uses any more.
        unsafe { piece.cast::<*mut u8>().write(self.first.get()) };
        self.first.set(piece.as_ptr());
        self.len.set(self.len.get() + 1);
        true
    }
}

thread_local! {
    static FREE: Free = const { Free([const { List { first: Cell::new(ptr::null_mut()), len: Cell::new(0) } }; CLASSES]) };
}

const fn layout(class: usize) -> Layout {
    match Layout::from_size_align((class + 1) * STEP, ALIGN) {
        Ok(layout) => layout,
        Err(_) => panic!("a class is small"),
    }
}

/// Whose memory it takes: `None`: too large or too strange to be kept.
const fn class_of<T>() -> Option<usize> {
    let size = if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
    let class = (size - 1) / STEP;
    if class < CLASSES && align_of::<T>() <= ALIGN { Some(class) } else { None }
}

/// A box whose memory is the thread's again when it is dropped. Stays on its thread.
pub struct Recycled<T>(NonNull<T>);

impl<T> Recycled<T> {
    /// Boxes `value`.
    pub fn new(value: T) -> Self {
        let value = std::mem::ManuallyDrop::new(value);
        let Some(class) = (const { class_of::<T>() }) else {
            return Self(NonNull::from(Box::leak(Box::new(std::mem::ManuallyDrop::into_inner(value)))));
        };
        let kept = FREE.try_with(|free| free.0[class].take()).ok().flatten();
        let piece = kept.unwrap_or_else(|| {
            // SAFETY: the layout is not empty.
            NonNull::new(unsafe { alloc(layout(class)) }).unwrap_or_else(|| handle_alloc_error(layout(class)))
        });
        let place = piece.cast::<T>();
        // SAFETY: large enough and aligned, by its class.
        unsafe { place.write(std::mem::ManuallyDrop::into_inner(value)) };
        Self(place)
    }

    /// The same for a future, which stays where it is: nothing hands the value out again.
    pub fn pin(value: T) -> Pin<Self> {
        // SAFETY: the memory stays where it is until the value is dropped, in place.
        unsafe { Pin::new_unchecked(Self::new(value)) }
    }

    /// Its pointer, which [`Recycled::from_raw`] takes back.
    pub fn into_raw(self) -> *mut T {
        std::mem::ManuallyDrop::new(self).0.as_ptr()
    }

    /// Takes the pointer back.
    ///
    /// # Safety
    /// Of `into_raw`, once, in the same image.
    pub const unsafe fn from_raw(value: *mut T) -> Self {
        // SAFETY: by contract.
        Self(unsafe { NonNull::new_unchecked(value) })
    }
}

impl<T> Drop for Recycled<T> {
    fn drop(&mut self) {
        /// The memory goes back though the value panics while it is dropped.
        struct Memory<T>(NonNull<T>);
        impl<T> Drop for Memory<T> {
            fn drop(&mut self) {
                let Some(class) = (const { class_of::<T>() }) else {
                    // SAFETY: the box of `new`, whose value is dropped.
                    return drop(unsafe { Box::from_raw(self.0.cast::<std::mem::MaybeUninit<T>>().as_ptr()) });
                };
                if !FREE.try_with(|free| free.0[class].give(self.0.cast())).unwrap_or(false) {
                    // SAFETY: from `alloc` with this layout.
                    unsafe { dealloc(self.0.cast().as_ptr(), layout(class)) };
                }
            }
        }
        let memory = Memory(self.0);
        // SAFETY: of `new`, dropped once.
        unsafe { memory.0.drop_in_place() };
    }
}

impl<T> Deref for Recycled<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: written by `new`, there until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl<T> DerefMut for Recycled<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Recycled<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Future, rc::Rc, task::Context};

    #[test]
    fn memory_is_used_again_by_what_has_its_size() {
        let first = Recycled::new([1_u64; 5]);
        let at = (&raw const *first).cast::<u8>();
        drop(first);
        let other = Recycled::new([2_u32; 9]);
        assert_eq!(at, (&raw const *other).cast::<u8>());
        let third = Recycled::new([3_u64; 5]);
        assert_ne!(at, (&raw const *third).cast::<u8>());
        assert_eq!((*other, *third), ([2; 9], [3; 5]));
    }

    #[test]
    fn values_are_dropped_once_whatever_their_size() {
        struct Held<const N: usize>(#[expect(dead_code)] Rc<()>, [u8; N]);
        #[repr(align(128))]
        struct Strange(#[expect(dead_code)] Rc<()>);
        let held = Rc::new(());
        for _ in 0..3 {
            drop(Recycled::new(Held(Rc::clone(&held), [0; 0])));
            drop(Recycled::new(Held(Rc::clone(&held), [0; 1272])));
            drop(Recycled::new(Held(Rc::clone(&held), [0; 1273])));
            drop(Recycled::new(Strange(Rc::clone(&held))));
            let raw = Recycled::new(Held(Rc::clone(&held), [0; 33])).into_raw();
            // SAFETY: of `into_raw`.
            drop(unsafe { Recycled::from_raw(raw) });
            drop(Recycled::new(()));
            assert_eq!(Rc::strong_count(&held), 1);
        }
    }

    #[test]
    fn a_thread_keeps_no_more_than_so_many() {
        let many: Vec<_> = (0..2 * KEEP).map(|n| Recycled::new([u64::from(n); 3])).collect();
        drop(many);
        assert_eq!(FREE.with(|free| free.0[1].len.get()), KEEP);
    }

    #[test]
    fn a_panic_of_the_value_does_not_lose_its_memory() {
        struct Panics(#[expect(dead_code)] [u64; 30]);
        impl Drop for Panics {
            fn drop(&mut self) {
                panic!("on purpose");
            }
        }
        let value = Recycled::new(Panics([0; 30]));
        let at = (&raw const *value).cast::<u8>();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(value))).expect_err("it panics");
        assert_eq!(at, (&raw const *Recycled::new([1_u64; 30])).cast::<u8>());
    }

    #[test]
    fn futures_are_polled_where_they_are() {
        let mut future = Recycled::pin(async { 7 });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert_eq!(future.as_mut().poll(&mut cx), std::task::Poll::Ready(7));
    }
}
