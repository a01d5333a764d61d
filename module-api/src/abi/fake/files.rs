//! Files of the fake host: the real file system, done at once. A relative path lies in the host's temporary directory.

use super::{give_shared, here, lend_shared, take_shared};
use crate::abi::{
    bytes::{Buf, Str},
    error::{Error, ErrorKind, Outcome},
    host::Object,
    task::{FfiContext, LocalFuture},
};
use crate::testing::live::{Kind, Token, Waiters};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

/// An open file: may be used from any thread, so not counted by `Rc`.
struct OpenFile {
    file: Mutex<File>,
    append: bool,
    _token: Token,
}

fn path(text: &str) -> PathBuf {
    here().dir().join(text)
}

fn outcome<T>(r: io::Result<T>) -> Outcome<T> {
    r.map_err(Error::from).into()
}

pub(super) unsafe extern "C" fn open(name: Str<'_>, flags: u32) -> LocalFuture<Outcome<Object>> {
    let path = path(name.as_str());
    LocalFuture::new(async move {
        let on = |bit: u32| flags & bit != 0;
        let mut o = OpenOptions::new();
        o.read(on(1)).create(on(4)).truncate(on(8));
        // Not append: the system would ignore offsets. Writes go to the end below.
        o.write(on(2) || on(16));
        outcome(o.open(path)).map_object(on(16))
    })
}

impl Outcome<File> {
    fn map_object(self, append: bool) -> Outcome<Object> {
        match self {
            Self::Err(e) => Outcome::Err(e),
            Self::Ok(file) => Outcome::Ok(give_shared(Arc::new(OpenFile {
                file: Mutex::new(file),
                append,
                _token: here().live.token(Kind::File),
            }))),
        }
    }
}

pub(super) unsafe extern "C" fn read(f: Object, offset: u64, mut to: Buf) -> LocalFuture<Outcome<Buf>> {
    // SAFETY: held by the caller.
    let f = unsafe { lend_shared::<OpenFile>(f) };
    LocalFuture::new(async move {
        let read = || {
            let mut file = f.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(offset))?;
            let mut bytes = Vec::new();
            (&mut *file).take(to.spare().1 as u64).read_to_end(&mut bytes)?;
            to.push(&bytes);
            Ok(to)
        };
        outcome(read())
    })
}
pub(super) unsafe extern "C" fn write(f: Object, offset: u64, from: Buf) -> LocalFuture<Outcome<Buf>> {
    // SAFETY: held by the caller.
    let f = unsafe { lend_shared::<OpenFile>(f) };
    LocalFuture::new(async move {
        let write = || {
            let mut file = f.file.lock().unwrap_or_else(PoisonError::into_inner);
            let room = &here().disk_room;
            let left = room.get().checked_sub(from.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
            room.set(left);
            file.seek(if f.append { SeekFrom::End(0) } else { SeekFrom::Start(offset) })?;
            file.write_all(&from)?;
            Ok(from)
        };
        outcome(write())
    })
}
pub(super) unsafe extern "C" fn sync(f: Object) -> LocalFuture<Outcome<()>> {
    // SAFETY: held by the caller.
    let f = unsafe { lend_shared::<OpenFile>(f) };
    LocalFuture::new(async move { outcome(f.file.lock().unwrap_or_else(PoisonError::into_inner).sync_all()) })
}
pub(super) unsafe extern "C" fn len(f: Object) -> Outcome<u64> {
    // SAFETY: held by the caller.
    let f = unsafe { lend_shared::<OpenFile>(f) };
    let file = f.file.lock().unwrap_or_else(PoisonError::into_inner);
    outcome(file.metadata().map(|m| m.len()))
}
pub(super) unsafe extern "C" fn fd(f: Object) -> i64 {
    // SAFETY: held by the caller.
    let f = unsafe { lend_shared::<OpenFile>(f) };
    #[cfg(unix)]
    {
        use std::os::fd::AsRawFd;
        f.file.lock().unwrap_or_else(PoisonError::into_inner).as_raw_fd().into()
    }
    #[cfg(not(unix))]
    {
        drop(f);
        -1
    }
}
pub(super) unsafe extern "C" fn drop_file(f: Object) {
    // SAFETY: given back.
    drop(unsafe { take_shared::<OpenFile>(f) });
}

// ---- changes

/// A path watched; the test says when it changed.
pub(crate) struct FileChange {
    pub(crate) path: PathBuf,
    changed: AtomicBool,
    waiters: Waiters,
    _token: Token,
}

impl FileChange {
    /// It changed.
    pub(crate) fn fire(&self) {
        self.changed.store(true, SeqCst);
        self.waiters.wake();
    }
}

pub(super) unsafe extern "C" fn watch(name: Str<'_>) -> Outcome<Object> {
    let path = path(name.as_str());
    if !path.exists() {
        return Outcome::Err(Error::bare(ErrorKind::NotFound));
    }
    let state = here();
    let w = Arc::new(FileChange {
        path,
        changed: AtomicBool::new(false),
        waiters: Waiters::default(),
        _token: state.live.token(Kind::FileWatch),
    });
    state.file_changes.borrow_mut().push(Arc::downgrade(&w));
    Outcome::Ok(give_shared(w))
}
pub(super) unsafe extern "C" fn watch_poll(w: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: a handle of `watch`, held by the caller.
    let w = unsafe { lend_shared::<FileChange>(w) };
    if w.changed.swap(false, SeqCst) {
        return 1;
    }
    cx.with_context(|cx| w.waiters.note(cx));
    0
}
pub(super) unsafe extern "C" fn watch_drop(w: Object) {
    // SAFETY: as above; given back.
    drop(unsafe { take_shared::<FileChange>(w) });
}
