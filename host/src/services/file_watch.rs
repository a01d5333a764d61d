//! Changes of files and directories: one watcher for the process, by the system's notifications.
//!
//! A file is watched by its directory, so that one that is replaced by another of its name, or made only later, is seen.

use super::{net::stopped, waiters::Waiters};
use anyproxy_module_api::abi::{
    bytes::Str,
    error::{Error, ErrorKind, Outcome},
    host::Object,
    task::{FfiContext, guard},
};
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
};

/// Most watches of the process.
const MOST: usize = 10_000;

/// One watch of a module.
#[derive(Debug)]
struct Watch {
    dirs: Vec<PathBuf>,
    /// Names within `dirs` that matter; empty: all.
    names: Vec<OsString>,
    changed: AtomicBool,
    waiters: Arc<Waiters>,
}

/// The watcher. Its thread waits for `DIRS` only: whoever holds this one waits for the watcher's thread.
static WATCHER: Mutex<Option<RecommendedWatcher>> = Mutex::new(None);
/// Who wants to know of which directory. Never held while the watcher is asked for something.
static DIRS: Mutex<Option<HashMap<PathBuf, Vec<Weak<Watch>>>>> = Mutex::new(None);
/// Watches now.
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn dirs<R>(f: impl FnOnce(&mut HashMap<PathBuf, Vec<Weak<Watch>>>) -> R) -> R {
    f(DIRS.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default())
}

impl Watch {
    fn new(path: &str) -> Result<Arc<Self>, Error> {
        let path = std::path::absolute(path)?;
        let (dirs, names) = places(&path)?;
        let watch = Arc::new(Self { dirs, names, changed: AtomicBool::new(false), waiters: Arc::default() });
        if COUNT.fetch_add(1, Relaxed) >= MOST {
            COUNT.fetch_sub(1, Relaxed);
            return Err(Error::new(ErrorKind::Limit, format!("{MOST} files are watched already")));
        }
        for dir in &watch.dirs {
            if let Err(e) = begin(dir, &watch) {
                watch.end();
                return Err(e);
            }
        }
        Ok(watch)
    }

    /// Watches no more.
    fn end(&self) {
        let mut watcher = WATCHER.lock().unwrap_or_else(PoisonError::into_inner);
        COUNT.fetch_sub(1, Relaxed);
        for dir in &self.dirs {
            let last = dirs(|all| {
                let Some(list) = all.get_mut(dir) else { return false };
                list.retain(|w| !std::ptr::eq(w.as_ptr(), self));
                list.is_empty() && all.remove(dir).is_some()
            });
            if let Some(w) = watcher.as_mut().filter(|_| last) {
                // The directory may be gone already.
                let _ = w.unwatch(dir);
            }
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        let named = |p: &PathBuf| p.file_name().is_some_and(|n| self.names.iter().any(|have| have == n));
        event.need_rescan() || self.names.is_empty() || event.paths.is_empty() || event.paths.iter().any(named)
    }
}

/// The directories to watch for `path`, and the names in them.
fn places(path: &Path) -> Result<(Vec<PathBuf>, Vec<OsString>), Error> {
    if path.is_dir() {
        return Ok((vec![path.to_owned()], Vec::new()));
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(ErrorKind::Invalid, format!("{} cannot be watched", path.display())));
    };
    let mut dirs = vec![dir.to_owned()];
    if !path.is_symlink() {
        return Ok((dirs, vec![name.to_owned()]));
    }
    // Any link on the way may be set to another place (as secrets mounted into containers are): all names matter.
    if let Some(real) = path.canonicalize().ok().as_deref().and_then(Path::parent)
        && real != dir
    {
        dirs.push(real.to_owned());
    }
    Ok((dirs, Vec::new()))
}

/// Whether an event says that content or names changed; reading changes nothing.
fn is_change(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(a) => a == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Tells `watch` of changes in `dir` from now on.
fn begin(dir: &Path, watch: &Arc<Watch>) -> Result<(), Error> {
    let mut watcher = WATCHER.lock().unwrap_or_else(PoisonError::into_inner);
    if watcher.is_none() {
        *watcher = Some(notify::recommended_watcher(heard).map_err(error)?);
    }
    let watcher = watcher.as_mut().ok_or(Error::bare(ErrorKind::Other))?;
    let first = dirs(|all| {
        let list = all.entry(dir.to_owned()).or_default();
        list.push(Arc::downgrade(watch));
        list.len() == 1
    });
    if first { watcher.watch(dir, RecursiveMode::NonRecursive).map_err(error) } else { Ok(()) }
}

fn error(e: notify::Error) -> Error {
    let text = e.to_string();
    match e.kind {
        notify::ErrorKind::Io(io) => {
            let mut error = Error::new(io.kind().into(), text);
            error.os = io.raw_os_error().unwrap_or(0);
            error
        }
        notify::ErrorKind::PathNotFound => Error::new(ErrorKind::NotFound, text),
        notify::ErrorKind::MaxFilesWatch => Error::new(ErrorKind::Limit, text),
        _ => Error::new(ErrorKind::Other, text),
    }
}

/// On the watcher's thread.
fn heard(event: notify::Result<Event>) {
    let mut concerned: Vec<Arc<Watch>> = Vec::new();
    match event {
        Ok(event) if !is_change(&event) => return,
        Ok(event) => dirs(|all| {
            let of_event =
                |dir: &Path| event.need_rescan() || event.paths.iter().any(|p| p == dir || p.parent() == Some(dir));
            for (_, list) in all.iter().filter(|(dir, _)| of_event(dir)) {
                concerned.extend(list.iter().filter_map(Weak::upgrade).filter(|w| w.concerns(&event)));
            }
        }),
        // Something may be lost: all look for themselves.
        Err(_) => dirs(|all| concerned.extend(all.values().flatten().filter_map(Weak::upgrade))),
    }
    for w in concerned {
        w.changed.store(true, Release);
        w.waiters.wake_all();
    }
}

pub(super) unsafe extern "C" fn file_watch(path: Str<'_>) -> Outcome<Object> {
    stopped(|| Ok(Arc::into_raw(Watch::new(path.as_str())?).cast_mut().cast()))
}

pub(super) unsafe extern "C" fn file_watch_poll(w: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: an object of `file_watch` that is not yet given up.
    let w = unsafe { &*w.cast_const().cast::<Watch>() };
    // Noted first: a change between the two is not missed.
    guard(|| {
        cx.with_context(|cx| w.waiters.note(cx.waker()));
        u8::from(w.changed.swap(false, AcqRel))
    })
    .unwrap_or(0)
}

pub(super) unsafe extern "C" fn file_watch_drop(w: Object) {
    guard(|| {
        // SAFETY: given up once.
        let w = unsafe { Arc::from_raw(w.cast_const().cast::<Watch>()) };
        w.end();
    });
}

#[cfg(test)]
#[path = "file_watch_tests.rs"]
mod tests;
