//! The file of a bound Unix socket, by which clients find it: told from others, given its permissions, removed. Knows nothing
//! of who listens.

use crate::log::file::may_be_made;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    io,
    path::{Path, PathBuf},
};

/// Permissions where nothing else is said: whoever may enter the directory may connect, as to a port.
const MODE: u16 = 0o666;

/// Which file a bound socket has. Elsewhere than on Unix files have no numbers: none is told from another.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// By device and number.
    id: Option<(u64, u64)>,
}

impl SocketFile {
    /// The one that is at `path` now.
    pub fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), id: id(path) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing is at its path any more.
    pub fn is_gone(&self) -> bool {
        cfg!(unix) && id(&self.path).is_none()
    }

    /// Whether something else, or nothing, is at its path.
    pub fn is_lost(&self) -> bool {
        cfg!(unix) && (self.id.is_none() || id(&self.path) != self.id)
    }

    /// Removes it, unless another one has taken its place.
    ///
    /// # Errors
    /// What the system says. Left behind it is only stale: the next one to bind removes it.
    pub fn remove(&self) -> io::Result<()> {
        if cfg!(unix) && (self.id.is_none() || id(&self.path) != self.id) {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn id(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

#[cfg(not(unix))]
fn id(_: &Path) -> Option<(u64, u64)> {
    None
}

/// Whether `path` is a socket.
#[cfg(unix)]
pub fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|m| m.file_type().is_socket())
}

/// Elsewhere a socket's file cannot be told from others: none is removed.
#[cfg(not(unix))]
pub fn is_socket(_: &Path) -> bool {
    false
}

/// Whether a socket could be made at `path`, or one is there, which may be ours. Makes nothing.
///
/// # Errors
/// What binding it would say.
pub fn check(path: &Path) -> io::Result<()> {
    SockAddr::unix(path)?;
    match std::fs::symlink_metadata(path) {
        Ok(_) if is_socket(path) || cfg!(not(unix)) => Ok(()),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "what is there is not a socket")),
        Err(e) if e.kind() == io::ErrorKind::NotFound => may_be_made(path),
        Err(e) => Err(e),
    }
}

/// Whether `path` is a socket that nobody listens on.
pub(super) fn is_stale(path: &Path, at: &SockAddr) -> bool {
    if !is_socket(path) {
        return false;
    }
    // Not to wait where the queue of whoever listens is full.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).and_then(|s| s.set_nonblocking(true).map(|()| s));
    probe.is_ok_and(|s| s.connect(at).is_err_and(|e| e.kind() == io::ErrorKind::ConnectionRefused))
}

/// Sets who may connect, by what the listener's options say (`unix_mode`): whoever may write the file, whatever the umask is.
///
/// # Errors
/// What the system says.
pub fn set_mode(path: &Path, unix_mode: u16) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if unix_mode == 0 { MODE } else { unix_mode };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode.into()))?;
    }
    #[cfg(not(unix))]
    let _ = (path, unix_mode, MODE);
    Ok(())
}
