//! Files that bodies are made of: sent by the system where it can, read by whoever needs bytes.

use anyproxy_module_api::{BorrowedFile, abi::task::guard};
use std::{fmt, fs::File, sync::Arc};

/// An open file that several may hold, of whichever image opened it. Its functions may be called on any thread.
#[repr(C)]
pub struct FileHandle {
    fd: i64,
    owner: *const (),
    retain: unsafe extern "C" fn(*const ()),
    release: unsafe extern "C" fn(*const ()),
}

// SAFETY: the owner is an `Arc<File>` behind functions that may be called on any thread.
unsafe impl Send for FileHandle {}
// SAFETY: as above.
unsafe impl Sync for FileHandle {}

impl FileHandle {
    /// Shares a file.
    pub fn new(file: Arc<File>) -> Self {
        unsafe extern "C" fn retain(owner: *const ()) {
            // SAFETY: the pointer of `new`, of which the caller holds one.
            unsafe { Arc::increment_strong_count(owner.cast::<File>()) }
        }
        unsafe extern "C" fn release(owner: *const ()) {
            // SAFETY: gives back what `new` or `retain` took.
            guard(|| unsafe { Arc::decrement_strong_count(owner.cast::<File>()) });
        }
        Self { fd: descriptor(&file), owner: Arc::into_raw(file).cast(), retain, release }
    }

    /// The descriptor, open for as long as this is held; below 0: the platform has none.
    pub const fn fd(&self) -> i64 {
        self.fd
    }

    /// The same, borrowed: for `Stream::poll_sendfile`.
    #[cfg(unix)]
    pub fn as_file(&self) -> BorrowedFile<'_> {
        std::os::fd::AsFd::as_fd(self)
    }

    /// The same, borrowed: for `Stream::poll_sendfile`.
    #[cfg(windows)]
    pub fn as_file(&self) -> BorrowedFile<'_> {
        // SAFETY: open for as long as this is held.
        unsafe { BorrowedFile::borrow_raw(self.fd as std::os::windows::io::RawHandle) }
    }

    /// Whether both are of one opening.
    pub fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self.owner, other.owner)
    }

    /// Bytes from `offset` on, as many as there are. Waits for the disk: call it on a thread that may.
    ///
    /// # Errors
    /// What the system says.
    pub fn read_at(&self, offset: u64, to: &mut [u8]) -> std::io::Result<usize> {
        read_at(self.fd, offset, to)
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for FileHandle {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        // SAFETY: open for as long as this is held.
        unsafe { std::os::fd::BorrowedFd::borrow_raw(self.fd as i32) }
    }
}

#[cfg(unix)]
fn descriptor(file: &File) -> i64 {
    use std::os::fd::AsRawFd;
    file.as_raw_fd().into()
}

#[cfg(windows)]
fn descriptor(file: &File) -> i64 {
    use std::os::windows::io::AsRawHandle;
    file.as_raw_handle() as i64
}

#[cfg(unix)]
fn read_at(fd: i64, offset: u64, to: &mut [u8]) -> std::io::Result<usize> {
    use std::{
        mem::ManuallyDrop,
        os::{fd::FromRawFd, unix::fs::FileExt},
    };
    // SAFETY: open for as long as the handle is held, and not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_fd(fd as i32) });
    let mut n = 0;
    while n < to.len() {
        match file.read_at(&mut to[n..], offset + n as u64) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

#[cfg(windows)]
fn read_at(handle: i64, offset: u64, to: &mut [u8]) -> std::io::Result<usize> {
    use std::{
        mem::ManuallyDrop,
        os::windows::{fs::FileExt, io::FromRawHandle},
    };
    // SAFETY: open for as long as this is held, and not closed here.
    let file = ManuallyDrop::new(unsafe { File::from_raw_handle(handle as *mut _) });
    let mut n = 0;
    while n < to.len() {
        match file.seek_read(&mut to[n..], offset + n as u64)? {
            0 => break,
            more => n += more,
        }
    }
    Ok(n)
}

impl Clone for FileHandle {
    fn clone(&self) -> Self {
        // SAFETY: this one is held.
        unsafe { (self.retain)(self.owner) };
        Self { ..*self }
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        // SAFETY: given back once.
        unsafe { (self.release)(self.owner) }
    }
}

impl fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileHandle({})", self.fd)
    }
}

/// A part of a file.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct FilePart {
    /// The file.
    pub file: FileHandle,
    /// Offset of the first byte.
    pub at: u64,
    /// Bytes.
    pub len: u64,
}
