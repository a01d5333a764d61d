//! Files of a directory: opened off the worker, kept open for a while, sent without a copy where the stream can.

use crate::core::{
    etag::FileTag,
    mime::Types,
    path::{Path, Refused},
};
use anyproxy_http_contract::FileHandle;
use anyproxy_module_api::{Error, ErrorKind, Pool, now_ms, run};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fs::File,
    io,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

/// Whether symbolic links below the root are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// Wherever they lead.
    Follow,
    /// As long as they stay below the root.
    Beneath,
    /// None is.
    Deny,
}

/// An open file, and what was known of it when it was last looked at.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: FileHandle,
    pub(crate) len: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) tag: FileTag,
    pub(crate) is_dir: bool,
    /// Its file system keeps everything in memory: reading never waits.
    pub(crate) in_memory: bool,
    identity: (u64, u64, u64, u64),
    checked_ms: Cell<u64>,
    used: Cell<bool>,
    /// What is said of it, and what is in it, where that is little.
    pub(crate) small: RefCell<Option<Rc<Small>>>,
}

/// A short file, ready to be sent.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) content: Rc<[u8]>,
    /// Content-Type, for a server that says a charset or one that does not.
    pub(crate) kind: String,
    pub(crate) charset: bool,
    pub(crate) modified: [u8; 29],
    /// By what its type was found.
    pub(crate) types: Arc<Types>,
}

/// A file that was asked for lately, by the path of the request.
#[derive(Debug)]
struct Recent {
    root: Arc<std::path::Path>,
    path: Vec<u8>,
    opened: Rc<Opened>,
}

/// How many are found without a look at their names.
const RECENT: usize = 256;

/// Why there is no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// There is none, or none that may be seen: 404.
    None,
    /// The system forbids it: 403.
    Forbidden,
    /// Something else: 500; without descriptors or memory 503.
    Failed(bool),
}

/// A result of looking that is kept too: that there is none.
type Looked = Result<Rc<Opened>, Missing>;

/// The open files of one worker.
#[derive(Debug, Default)]
pub(crate) struct Files(RefCell<HashMap<PathBuf, Kept>>, RefCell<Vec<Option<Recent>>>);

#[derive(Debug)]
enum Kept {
    Open(Rc<Opened>),
    Missing { until_ms: u64 },
}

/// How files are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) links: Links,
    /// A file is looked at again after so long.
    pub(crate) valid_ms: u64,
    /// Files kept open, and names kept as missing, at most.
    pub(crate) most: usize,
}

impl Files {
    /// The file of a path below `root`.
    pub(crate) async fn find(&self, root: &Arc<std::path::Path>, path: &Path, suffix: &str, how: How) -> Looked {
        let mut name = below(root, path).map_err(|_| Missing::None)?;
        if !suffix.is_empty() {
            let mut with = name.into_os_string();
            with.push(suffix);
            name = with.into();
        }
        if let Some(kept) = self.kept(&name, how) {
            return kept;
        }
        let (root, wanted) = (Arc::clone(root), name.clone());
        let opened = run(Pool::Blocking, move |_| open(&root, &wanted, how.links)).await;
        let looked = opened.unwrap_or_else(|e| Err(failed(&e))).map(|(file, meta)| self.same(&name, file, &meta));
        self.keep(name, &looked, how);
        looked
    }

    /// A file that was asked for lately by this very path, and need not be looked at again yet.
    pub(crate) fn recent(&self, root: &Arc<std::path::Path>, path: &Path, how: How) -> Option<Rc<Opened>> {
        let all = self.1.borrow();
        let found = all.get(place(path.as_bytes()))?.as_ref()?;
        let same = Arc::ptr_eq(&found.root, root) && found.path == path.as_bytes();
        if !same || found.opened.checked_ms.get() + how.valid_ms <= now_ms() {
            return None;
        }
        found.opened.used.set(true);
        Some(Rc::clone(&found.opened))
    }

    /// The next request with this path finds the file at once.
    pub(crate) fn note(&self, root: &Arc<std::path::Path>, path: &Path, opened: &Rc<Opened>) {
        let all = &mut *self.1.borrow_mut();
        all.resize_with(RECENT, || None);
        let (root, opened) = (Arc::clone(root), Rc::clone(opened));
        all[place(path.as_bytes())] = Some(Recent { root, path: path.as_bytes().to_vec(), opened });
    }

    /// What is known and recent enough.
    fn kept(&self, name: &std::path::Path, how: How) -> Option<Looked> {
        let now = now_ms();
        match self.0.borrow().get(name)? {
            Kept::Open(f) if f.checked_ms.get() + how.valid_ms > now => {
                f.used.set(true);
                Some(Ok(Rc::clone(f)))
            }
            Kept::Missing { until_ms } if *until_ms > now => Some(Err(Missing::None)),
            _ => None,
        }
    }

    /// The file that is kept already, if it has not changed.
    fn same(&self, name: &std::path::Path, file: File, meta: &Meta) -> Rc<Opened> {
        if let Some(Kept::Open(old)) = self.0.borrow().get(name)
            && old.identity == meta.identity
        {
            old.checked_ms.set(now_ms());
            return Rc::clone(old);
        }
        Rc::new(Opened {
            file: FileHandle::new(Arc::new(file)),
            len: meta.len,
            modified: meta.modified_ns.div_euclid(1_000_000_000) as i64,
            tag: FileTag::new(meta.modified_ns.max(0) as u64, meta.len),
            is_dir: meta.is_dir,
            in_memory: meta.in_memory,
            identity: meta.identity,
            checked_ms: Cell::new(now_ms()),
            used: Cell::new(true),
            small: RefCell::default(),
        })
    }

    fn keep(&self, name: PathBuf, looked: &Looked, how: How) {
        let mut all = self.0.borrow_mut();
        let kept = match looked {
            _ if how.most == 0 => {
                all.remove(&name);
                return;
            }
            Ok(f) => Kept::Open(Rc::clone(f)),
            Err(Missing::None) => Kept::Missing { until_ms: now_ms() + how.valid_ms },
            Err(_) => {
                all.remove(&name);
                return;
            }
        };
        if all.len() >= how.most && !all.contains_key(&name) {
            // Those that nobody asked for since the last time go; if all were asked for, all go.
            all.retain(|_, k| matches!(k, Kept::Open(f) if f.used.replace(false)));
            if all.len() >= how.most {
                all.clear();
            }
        }
        all.insert(name, kept);
    }

    /// It has changed: it is opened anew.
    pub(crate) fn forget(&self, opened: &Rc<Opened>) {
        self.1.borrow_mut().clear();
        self.0.borrow_mut().retain(|_, k| !matches!(k, Kept::Open(f) if Rc::ptr_eq(f, opened)));
    }

    /// Closes what was not asked for lately.
    pub(crate) fn sweep(&self) {
        let now = now_ms();
        self.1.borrow_mut().clear();
        self.0.borrow_mut().retain(|_, k| match k {
            Kept::Open(f) => f.used.replace(false) || f.checked_ms.get() + 20_000 > now,
            Kept::Missing { until_ms } => *until_ms > now,
        });
    }
}

/// Where a path is looked for among the recent ones. Who wants two in one place gets the slower way, and no more.
fn place(path: &[u8]) -> usize {
    let mut hash = path.len() as u64;
    for piece in path.rchunks(8).take(8) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (hash >> 56) as usize % RECENT
}

fn failed(e: &Error) -> Missing {
    Missing::Failed(matches!(e.kind, ErrorKind::Limit))
}

struct Meta {
    len: u64,
    modified_ns: i128,
    is_dir: bool,
    in_memory: bool,
    identity: (u64, u64, u64, u64),
}

/// Opens a file below `root`, on a thread that may wait.
fn open(root: &std::path::Path, name: &std::path::Path, links: Links) -> Result<(File, Meta), Missing> {
    let missing = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => Missing::None,
        io::ErrorKind::PermissionDenied => Missing::Forbidden,
        _ => system::missing(&e),
    };
    let file = system::open(root, name, links).map_err(missing)?;
    let meta = file.metadata().map_err(missing)?;
    if !meta.is_file() && !meta.is_dir() {
        // A pipe or a device is nobody's file.
        return Err(Missing::None);
    }
    let modified = meta.modified().ok();
    let since = modified.and_then(|m| m.duration_since(std::time::UNIX_EPOCH).ok());
    let modified_ns = since.map_or(0, |d| d.as_nanos() as i128);
    let (device, inode) = system::identity(&meta);
    let in_memory = system::is_in_memory(&file);
    Ok((
        file,
        Meta {
            len: meta.len(),
            modified_ns,
            is_dir: meta.is_dir(),
            in_memory,
            identity: (device, inode, modified_ns as u64, meta.len()),
        },
    ))
}

/// The name of a path below `root`.
///
/// # Errors
/// Where a part of the path is no plain name.
pub(crate) fn below(root: &std::path::Path, path: &Path) -> Result<PathBuf, Refused> {
    #[cfg(unix)]
    return path.join(root);
    #[cfg(not(unix))]
    {
        let mut all = root.to_path_buf();
        for name in path.components()? {
            // A colon names a drive or a stream of the file.
            let name = std::str::from_utf8(name).ok().filter(|n| !n.contains(':')).ok_or(Refused::BadName)?;
            all.push(name);
        }
        Ok(all)
    }
}

/// Bytes of a file, without waiting for a disk. `None`: they are not all in memory, or not there. `in_memory`: its file
/// system has no disk.
pub(crate) fn read_now(file: &FileHandle, in_memory: bool, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let read =
        if in_memory { file.read_at(offset, &mut bytes).ok() } else { system::read_now(file, offset, &mut bytes) };
    (read == Some(len)).then_some(bytes)
}

/// Bytes of a file from `offset`, on a thread that may wait.
///
/// # Errors
/// What the system says; fewer bytes than asked for: the file has become shorter.
pub(crate) async fn read(file: FileHandle, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
    let read = run(Pool::Blocking, move |_| {
        let mut to = vec![0; len];
        let n = file.read_at(offset, &mut to)?;
        to.truncate(n);
        Ok::<_, io::Error>(to)
    });
    Ok(read.await??)
}

/// The names in a directory.
///
/// # Errors
/// What the system says.
pub(crate) async fn list(name: PathBuf, most: usize) -> Result<Vec<crate::core::listing::Entry>, Error> {
    let list = run(Pool::Blocking, move |_| {
        let mut all = Vec::new();
        for entry in std::fs::read_dir(name)?.take(most + 1) {
            let entry = entry?;
            let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
            let since = meta.modified().ok().and_then(|m| m.duration_since(std::time::UNIX_EPOCH).ok());
            all.push(crate::core::listing::Entry {
                name: entry.file_name().into_encoded_bytes(),
                directory: meta.is_dir(),
                size: meta.len(),
                modified: since.map_or(0, |d| d.as_secs() as i64),
            });
        }
        Ok::<_, io::Error>(all)
    });
    Ok(list.await??)
}

#[cfg(unix)]
mod system {
    use super::{File, FileHandle, Links, Missing, io};
    use std::{os::unix::fs::MetadataExt, path::Path};

    pub(super) fn identity(meta: &std::fs::Metadata) -> (u64, u64) {
        (meta.dev(), meta.ino())
    }

    pub(super) fn missing(e: &io::Error) -> Missing {
        match rustix::io::Errno::from_io_error(e) {
            Some(rustix::io::Errno::LOOP | rustix::io::Errno::XDEV | rustix::io::Errno::NAMETOOLONG) => Missing::None,
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE | rustix::io::Errno::NOMEM) => {
                Missing::Failed(true)
            }
            _ => Missing::Failed(false),
        }
    }

    #[cfg(target_os = "linux")]
    pub(super) fn open(root: &Path, name: &Path, links: Links) -> io::Result<File> {
        use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
        // A pipe that nobody writes to must not hold the thread.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        if links == Links::Follow {
            return Ok(openat(CWD, name, flags, Mode::empty())?.into());
        }
        let below = name.strip_prefix(root).map_err(|_| io::ErrorKind::NotFound)?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let resolve = match links {
            Links::Deny => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
            _ => ResolveFlags::BENEATH,
        };
        Ok(openat2(&root, below, flags, Mode::empty(), resolve)?.into())
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn open(root: &Path, name: &Path, links: Links) -> io::Result<File> {
        if links != Links::Follow {
            let real = std::fs::canonicalize(name)?;
            let root = std::fs::canonicalize(root)?;
            let below = real.starts_with(&root);
            let plain = name.strip_prefix(&root).is_ok_and(|n| real == root.join(n));
            if !below || (links == Links::Deny && !plain) {
                return Err(io::ErrorKind::NotFound.into());
            }
        }
        File::open(name)
    }

    /// File systems that keep everything in memory, and do not know how to read without waiting.
    #[cfg(target_os = "linux")]
    pub(super) fn is_in_memory(file: &File) -> bool {
        const TMPFS: i64 = 0x0102_1994;
        const RAMFS: i64 = 0x8584_58f6;
        rustix::fs::fstatfs(file).is_ok_and(|s| [TMPFS, RAMFS].iter().any(|m| i128::from(s.f_type) == i128::from(*m)))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_in_memory(_: &File) -> bool {
        false
    }

    #[cfg(target_os = "linux")]
    pub(super) fn read_now(file: &FileHandle, offset: u64, to: &mut [u8]) -> Option<usize> {
        let mut pieces = [io::IoSliceMut::new(to)];
        rustix::io::preadv2(file, &mut pieces, offset, rustix::io::ReadWriteFlags::NOWAIT).ok()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn read_now(_: &FileHandle, _: u64, _: &mut [u8]) -> Option<usize> {
        None
    }
}

#[cfg(not(unix))]
mod system {
    use super::{File, FileHandle, Links, Missing, io};
    use std::path::Path;

    pub(super) fn identity(_: &std::fs::Metadata) -> (u64, u64) {
        (0, 0)
    }
    pub(super) fn is_in_memory(_: &File) -> bool {
        false
    }
    pub(super) fn missing(_: &io::Error) -> Missing {
        Missing::Failed(false)
    }
    pub(super) fn open(_: &Path, name: &Path, _: Links) -> io::Result<File> {
        File::open(name)
    }
    pub(super) fn read_now(_: &FileHandle, _: u64, _: &mut [u8]) -> Option<usize> {
        None
    }
}
