//! Opening a file below a root, as the system lets it.

use crate::core::path::{Path, Refused};
use std::{fs::File, io, path::PathBuf};

/// Whether symbolic links below the root are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Links {
    /// Wherever they lead.
    Follow,
    /// As long as they stay below the root.
    Beneath,
    /// None is.
    Deny,
}

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

/// What the system says of a file.
pub(super) struct Meta {
    pub(super) len: u64,
    /// Since 1970.
    pub(super) modified_ns: i128,
    pub(super) is_dir: bool,
    pub(super) in_memory: bool,
    /// Another one: another file, or the file has changed.
    pub(super) identity: (u64, u64, u64, u64),
}

/// Opens a file below `root`, on a thread that may wait.
pub(super) fn open(root: &std::path::Path, name: &std::path::Path, links: Links) -> Result<(File, Meta), Missing> {
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

#[cfg(unix)]
mod system {
    use super::{File, Links, Missing, io};
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
}

#[cfg(not(unix))]
mod system {
    use super::{File, Links, Missing, io};
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
}
