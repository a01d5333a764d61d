//! Text, slices and owned byte buffers in the form that crosses between images.
//! Knows nothing of who allocated what: an owned buffer carries the function that gives it back.

use std::{fmt, marker::PhantomData, ops::Deref, ptr, slice, str};

/// Borrowed UTF-8 text. It cannot be kept for longer than what it is borrowed from:
///
/// ```compile_fail,E0597
/// # use anyproxy_module_api::Str;
/// let text = {
///     let short = String::from("short");
///     Str::new(&short)
/// };
/// assert!(text.is_empty());
/// ```
///
/// The same holds for what it is read from, the configuration, a peer, a stream, the arguments of a template:
///
/// ```
/// # use anyproxy_module_api::{Node, Stream};
/// fn name<'a>(node: &Node<'a>) -> &'a str {
///     node.name.as_str()
/// }
/// fn protocol(stream: &Stream) -> &str {
///     stream.info().protocol.as_str()
/// }
/// ```
/// ```compile_fail
/// # use anyproxy_module_api::Node;
/// fn name(node: &Node<'_>) -> &'static str {
///     node.name.as_str()
/// }
/// ```
/// ```compile_fail
/// # use anyproxy_module_api::Stream;
/// fn protocol(stream: &Stream) -> &'static str {
///     stream.info().protocol.as_str()
/// }
/// ```
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Str<'a> {
    pub(super) ptr: *const u8,
    pub(super) len: usize,
    pub(super) of: PhantomData<&'a str>,
}

// SAFETY: a `Str` is a shared borrow of immutable bytes.
unsafe impl Send for Str<'_> {}
// SAFETY: as above.
unsafe impl Sync for Str<'_> {}

impl<'a> Str<'a> {
    /// No text.
    pub const EMPTY: Self = Self::new("");

    /// Borrows `text`.
    pub const fn new(text: &'a str) -> Self {
        Self { ptr: text.as_ptr(), len: text.len(), of: PhantomData }
    }

    /// The text.
    pub const fn as_str(self) -> &'a str {
        // SAFETY: only made from a `&'a str`; of what another image gives, its contract states the lifetime.
        unsafe { str::from_utf8_unchecked(slice::from_raw_parts(self.ptr, self.len)) }
    }

    /// The same text, for as long as a promise that no compiler sees: that of a contract, or of an arena which is kept beside it.
    ///
    /// # Safety
    /// Nobody reads it once its memory is given up.
    pub const unsafe fn unbound<'b>(self) -> Str<'b> {
        Str { ptr: self.ptr, len: self.len, of: PhantomData }
    }

    /// Length in bytes.
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether there is no text.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }
}

impl Default for Str<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl Deref for Str<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// A borrowed slice of ABI values; as [`Str`], it cannot be kept for longer than what it is borrowed from:
///
/// ```compile_fail,E0597
/// # use anyproxy_module_api::Slice;
/// let items = {
///     let short = vec![1_u8, 2];
///     Slice::new(&short)
/// };
/// assert!(items.as_slice().is_empty());
/// ```
#[repr(C)]
pub struct Slice<'a, T> {
    pub(super) ptr: *const T,
    pub(super) len: usize,
    pub(super) owns: PhantomData<T>,
    pub(super) of: PhantomData<&'a ()>,
}

impl<T> Clone for Slice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Slice<'_, T> {}

// SAFETY: a shared borrow of `T`s.
unsafe impl<T: Sync> Send for Slice<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Slice<'_, T> {}

impl<'a, T> Slice<'a, T> {
    /// Nothing.
    pub const EMPTY: Self = Self { ptr: ptr::dangling(), len: 0, owns: PhantomData, of: PhantomData };

    /// Borrows `items`.
    pub const fn new(items: &'a [T]) -> Self {
        Self { ptr: items.as_ptr(), len: items.len(), owns: PhantomData, of: PhantomData }
    }

    /// The items.
    pub const fn as_slice(self) -> &'a [T] {
        // SAFETY: only made from a `&'a [T]`; of what another image gives, its contract states the lifetime.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }

    /// The same items, as [`Str::unbound`].
    ///
    /// # Safety
    /// Nobody reads them once their memory is given up.
    pub const unsafe fn unbound<'b>(self) -> Slice<'b, T> {
        Slice { ptr: self.ptr, len: self.len, owns: PhantomData, of: PhantomData }
    }
}

impl<T> Default for Slice<'_, T> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl<T> Deref for Slice<'_, T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        self.as_slice()
    }
}

impl<T: fmt::Debug> fmt::Debug for Slice<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// One piece of a gathered write.
pub type IoVec<'a> = Slice<'a, u8>;

/// An owned byte buffer that crosses without a copy: the bytes stay where the giver put them, and `release` of the
/// giver's image takes them back. `len` bytes are content; all `cap` bytes are initialised once, so that a stream
/// written in safe code may be lent the rest as a slice.
#[repr(C)]
pub struct Buf {
    pub(super) ptr: *mut u8,
    pub(super) len: usize,
    pub(super) cap: usize,
    pub(super) owner: *mut (),
    pub(super) release: Option<unsafe extern "C" fn(owner: *mut (), ptr: *mut u8, cap: usize)>,
}

// SAFETY: the bytes are owned; `release` must be callable from any thread (part of the contract of `from_raw`).
unsafe impl Send for Buf {}
// SAFETY: shared access reads only.
unsafe impl Sync for Buf {}

impl Buf {
    /// An empty buffer without memory.
    pub const fn new() -> Self {
        Self { ptr: ptr::dangling_mut(), len: 0, cap: 0, owner: ptr::null_mut(), release: None }
    }

    /// Wraps memory of another owner.
    ///
    /// # Safety
    /// `ptr` has `cap` initialised bytes, of which `len` are content, valid until `release(owner, ptr, cap)`, which may be
    /// called from any thread, once.
    pub const unsafe fn from_raw(
        ptr: *mut u8,
        len: usize,
        cap: usize,
        owner: *mut (),
        release: unsafe extern "C" fn(*mut (), *mut u8, usize),
    ) -> Self {
        Self { ptr, len, cap, owner, release: Some(release) }
    }

    /// Bytes allocated.
    pub const fn capacity(&self) -> usize {
        self.cap
    }

    /// Bytes allocated and not yet filled.
    pub fn spare(&mut self) -> (*mut u8, usize) {
        // SAFETY: len <= cap of one allocation.
        (unsafe { self.ptr.add(self.len) }, self.cap - self.len)
    }

    /// States that `n` more bytes were filled.
    ///
    /// # Safety
    /// The first `n` bytes of `spare` are initialised.
    pub unsafe fn advance(&mut self, n: usize) {
        debug_assert!(n <= self.cap - self.len);
        self.len += n;
    }

    /// Forgets the content, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Forgets all but the first `n` bytes.
    pub fn truncate(&mut self, n: usize) {
        self.len = self.len.min(n);
    }

    /// Appends what fits and returns how many bytes that was.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let (to, room) = self.spare();
        let n = bytes.len().min(room);
        // SAFETY: `to` has `room` bytes; a `&[u8]` cannot overlap exclusively owned memory.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), to, n);
            self.advance(n);
        }
        n
    }
}

impl Default for Buf {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: called once, by contract of `from_raw`.
            unsafe { release(self.owner, self.ptr, self.cap) }
        }
    }
}

impl Deref for Buf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes are initialised.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl std::ops::DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes are initialised and owned.
        unsafe { slice::from_raw_parts_mut(self.ptr, self.len) }
    }
}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} of {} bytes)", self.len, self.cap)
    }
}

impl From<Vec<u8>> for Buf {
    fn from(bytes: Vec<u8>) -> Self {
        unsafe extern "C" fn release(_: *mut (), ptr: *mut u8, cap: usize) {
            // SAFETY: the parts come from the vector below, in this image with this allocator.
            drop(unsafe { Vec::from_raw_parts(ptr, 0, cap) });
        }
        let mut v = std::mem::ManuallyDrop::new(bytes);
        for b in v.spare_capacity_mut() {
            b.write(0);
        }
        // SAFETY: the vector's memory, released once by the same allocator.
        unsafe { Self::from_raw(v.as_mut_ptr(), v.len(), v.capacity(), ptr::null_mut(), release) }
    }
}

impl From<String> for Buf {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

/// Where a function writes text for its caller: a variable's value, a status document.
#[repr(C)]
pub struct Sink<'a> {
    pub(super) data: *mut (),
    pub(super) write: unsafe extern "C" fn(data: *mut (), ptr: *const u8, len: usize),
    pub(super) of: PhantomData<&'a mut Vec<u8>>,
}

impl<'a> Sink<'a> {
    /// Appends `bytes`.
    pub fn push(&mut self, bytes: &[u8]) {
        // SAFETY: `data` belongs to `write` by construction.
        unsafe { (self.write)(self.data, bytes.as_ptr(), bytes.len()) }
    }

    /// A sink that appends to `out` for as long as both are borrowed.
    pub fn to_vec(out: &'a mut Vec<u8>) -> Self {
        unsafe extern "C" fn write(data: *mut (), ptr: *const u8, len: usize) {
            // SAFETY: `data` is the vector of `to_vec`; the bytes are valid for the call.
            unsafe { (*data.cast::<Vec<u8>>()).extend_from_slice(slice::from_raw_parts(ptr, len)) }
        }
        Self { data: ptr::from_mut(out).cast(), write, of: PhantomData }
    }
}

impl fmt::Write for Sink<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

impl fmt::Debug for Sink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}
