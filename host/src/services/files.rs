//! Files, read and written on the blocking pool at stated offsets. A file lives until the last work on it has ended.

use super::{
    jobs::run_blocking,
    net::{at_once, stopped},
};
use anyproxy_module_api::abi::{
    bytes::{Buf, Str},
    error::{Error, ErrorKind, Outcome},
    host::Object,
    task::{LocalFuture, guard},
};
use std::{
    fs::{File, OpenOptions},
    io,
    sync::Arc,
};

const READ: u32 = 1;
const WRITE: u32 = 2;
const CREATE: u32 = 4;
const TRUNCATE: u32 = 8;
const APPEND: u32 = 16;
const DIRECT: u32 = 32;

/// An open file of a module.
#[derive(Debug)]
struct Open {
    file: File,
    direct: bool,
}

impl Open {
    fn new(path: &str, flags: u32) -> io::Result<Self> {
        let has = |bit: u32| flags & bit != 0;
        let mut how = OpenOptions::new();
        how.read(has(READ) || !has(WRITE))
            .write(has(WRITE) && !has(APPEND))
            .append(has(APPEND))
            .create(has(CREATE))
            .truncate(has(TRUNCATE) && !has(APPEND));
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            // What modules keep (caches, spilled bodies) is nobody else's.
            how.mode(0o600);
        }
        #[cfg(target_os = "linux")]
        if has(DIRECT) {
            use std::os::unix::fs::OpenOptionsExt;
            how.custom_flags(libc::O_DIRECT);
        }
        Ok(Self { file: how.open(path)?, direct: has(DIRECT) })
    }

    /// Fills the spare room from `offset` on, as far as there are bytes.
    fn read(&self, mut offset: u64, mut to: Buf) -> io::Result<Buf> {
        loop {
            let (ptr, room) = to.spare();
            if room == 0 {
                return Ok(to);
            }
            // SAFETY: all bytes of a buffer are initialised, and this one is ours.
            let spare = unsafe { std::slice::from_raw_parts_mut(ptr, room) };
            match read_at(&self.file, spare, offset) {
                Ok(0) => return Ok(to),
                Ok(n) => {
                    // SAFETY: `n` bytes of the spare room were filled just now.
                    unsafe { to.advance(n) };
                    offset += n as u64;
                    // Past the page cache only the end of the file makes a read short, and what is left is not aligned.
                    if self.direct && n < room {
                        return Ok(to);
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn write(&self, offset: u64, from: Buf) -> io::Result<Buf> {
        let mut at = 0;
        while at < from.len() {
            match write_at(&self.file, &from[at..], offset + at as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => at += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(from)
    }
}

#[cfg(unix)]
fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, to, offset)
}

#[cfg(unix)]
fn write_at(file: &File, from: &[u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, from, offset)
}

#[cfg(windows)]
fn read_at(file: &File, to: &mut [u8], offset: u64) -> io::Result<usize> {
    match std::os::windows::fs::FileExt::seek_read(file, to, offset) {
        // ERROR_HANDLE_EOF: where other systems say 0 bytes.
        Err(e) if e.raw_os_error() == Some(38) => Ok(0),
        other => other,
    }
}

#[cfg(windows)]
fn write_at(file: &File, from: &[u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, from, offset)
}

/// A hold on a file.
///
/// # Safety
/// An object of `file_open` that is not yet given up.
unsafe fn hold(f: Object) -> Arc<Open> {
    let f = f.cast_const().cast::<Open>();
    // SAFETY: by contract the count is at least one.
    unsafe {
        Arc::increment_strong_count(f);
        Arc::from_raw(f)
    }
}

/// Runs `f` on the blocking pool.
fn on_pool<T: Send + 'static>(f: impl FnOnce() -> io::Result<T> + Send + 'static) -> LocalFuture<Outcome<T>> {
    let future = guard(|| {
        let running = run_blocking(f);
        LocalFuture::new(async move { running.await.and_then(|r| r.map_err(Error::from)).into() })
    });
    future.unwrap_or_else(|| at_once(Err(Error::bare(ErrorKind::Panicked))))
}

/// An object on its way from the pool: given back if nobody takes it.
struct Opened(Arc<Open>);

pub(super) unsafe extern "C" fn file_open(path: Str<'_>, flags: u32) -> LocalFuture<Outcome<Object>> {
    let Some(path) = guard(|| path.as_str().to_owned()) else {
        return at_once(Err(Error::bare(ErrorKind::Panicked)));
    };
    let Some(running) = guard(|| {
        run_blocking(move || {
            Open::new(&path, flags).map(|f| Opened(Arc::new(f))).map_err(|e| {
                let mut error = Error::new(e.kind().into(), format!("{path}: {e}"));
                error.os = e.raw_os_error().unwrap_or(0);
                error
            })
        })
    }) else {
        return at_once(Err(Error::bare(ErrorKind::Panicked)));
    };
    LocalFuture::new(async move { running.await.and_then(|r| r).map(|o| Arc::into_raw(o.0).cast_mut().cast()).into() })
}

pub(super) unsafe extern "C" fn file_read(f: Object, offset: u64, to: Buf) -> LocalFuture<Outcome<Buf>> {
    // SAFETY: the caller holds the object for the call.
    let f = unsafe { hold(f) };
    on_pool(move || f.read(offset, to))
}

pub(super) unsafe extern "C" fn file_write(f: Object, offset: u64, from: Buf) -> LocalFuture<Outcome<Buf>> {
    // SAFETY: as above.
    let f = unsafe { hold(f) };
    on_pool(move || f.write(offset, from))
}

pub(super) unsafe extern "C" fn file_sync(f: Object) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above.
    let f = unsafe { hold(f) };
    on_pool(move || f.file.sync_all())
}

pub(super) unsafe extern "C" fn file_len(f: Object) -> Outcome<u64> {
    // SAFETY: as above.
    let f = unsafe { hold(f) };
    stopped(|| Ok(f.file.metadata()?.len()))
}

pub(super) unsafe extern "C" fn file_fd(f: Object) -> i64 {
    // SAFETY: as above.
    let f = unsafe { hold(f) };
    #[cfg(unix)]
    return super::platform::raw_fd(&f.file);
    #[cfg(not(unix))]
    {
        drop(f);
        -1
    }
}

pub(super) unsafe extern "C" fn file_drop(f: Object) {
    // SAFETY: given up once; work under way keeps its own hold.
    guard(|| drop(unsafe { Arc::from_raw(f.cast_const().cast::<Open>()) }));
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
