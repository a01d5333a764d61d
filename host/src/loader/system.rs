//! What differs between systems about files of code. Knows nothing of what is in them.

use std::{fs, io, path::Path};

/// Whether anybody may write the file: who can owns this process.
#[cfg(unix)]
pub(super) fn others_may_write(meta: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(meta) & 0o002 != 0
}

/// Elsewhere the directory's access list decides, which a file's attributes do not tell.
#[cfg(not(unix))]
pub(super) fn others_may_write(_: &fs::Metadata) -> bool {
    false
}

/// What the system changes whenever somebody writes to a file, gives it another name or other rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// The file's, as opened. `None`: it changed so lately that a further change may bear the same time, or the system
    /// does not tell.
    #[cfg(unix)]
    pub(super) fn of(meta: &fs::Metadata) -> Option<Self> {
        use std::{
            os::unix::fs::MetadataExt,
            time::{Duration, SystemTime, UNIX_EPOCH},
        };
        // Coarser than any file system's clock.
        const SETTLED: Duration = Duration::from_secs(3);
        let changed = UNIX_EPOCH + Duration::new(meta.ctime().try_into().ok()?, meta.ctime_nsec().try_into().ok()?);
        if SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED) {
            return Some(Self {
                file: (meta.dev(), meta.ino()),
                size: meta.size(),
                modified: (meta.mtime(), meta.mtime_nsec()),
                changed: (meta.ctime(), meta.ctime_nsec()),
            });
        }
        None
    }

    /// Elsewhere files are read each time.
    #[cfg(not(unix))]
    pub(super) fn of(_: &fs::Metadata) -> Option<Self> {
        None
    }
}

/// Leaves a directory to its owner.
#[cfg(unix)]
pub(super) fn close_to_others(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o700))
}

/// Elsewhere the directory for temporary files is the user's own.
#[cfg(not(unix))]
pub(super) fn close_to_others(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Whether the file system there is mounted so that no code of it runs.
#[cfg(target_os = "linux")]
pub(super) fn forbids_code(dir: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};
    statvfs(dir).is_ok_and(|s| s.flags().contains(FsFlags::ST_NOEXEC))
}

/// Elsewhere that is not asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn forbids_code(_: &Path) -> bool {
    false
}

/// A file for code that was not there before.
pub(super) fn new_code(path: &Path) -> io::Result<fs::File> {
    let mut how = fs::OpenOptions::new();
    how.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o500);
    how.open(path)
}

/// Maps the code, and leaves it mapped when the result is forgotten.
///
/// # Safety
/// Constructors in the file run.
#[cfg(unix)]
pub(super) unsafe fn map(path: &Path) -> Result<libloading::os::unix::Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: by contract.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
}

/// Maps the code, and leaves it mapped when the result is forgotten.
///
/// # Safety
/// Constructors in the file run.
#[cfg(windows)]
pub(super) unsafe fn map(path: &Path) -> Result<libloading::os::windows::Library, libloading::Error> {
    // SAFETY: by contract.
    unsafe { libloading::os::windows::Library::new(path) }
}

/// A mapped file can be removed: nothing is left behind.
#[cfg(unix)]
pub(super) fn remove_left_behind() {}

/// Removes the copies of processes that have ended; those that are mapped cannot be removed.
#[cfg(windows)]
pub(super) fn remove_left_behind() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // A younger one may be between its copy and its mapping.
    const YOUNG: std::time::Duration = std::time::Duration::from_secs(60);
    let sweep = || -> io::Result<()> {
        for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
            let ours = entry.file_name().to_str().is_some_and(is_copy);
            if ours && entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > YOUNG) {
                // In use by another process.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        Ok(())
    };
    ONCE.call_once(|| {
        if let Err(e) = sweep() {
            tracing::info!("copies of modules of earlier processes stay: {e}");
        }
    });
}

/// `anyproxy-PID-HASH`, as [`super::image`] names them. A short number is no hash: that directory is somebody else's.
#[cfg(windows)]
fn is_copy(name: &str) -> bool {
    name.strip_prefix("anyproxy-").and_then(|n| n.split_once('-')).is_some_and(|(pid, hash)| {
        (12..=16).contains(&hash.len()) && pid.parse::<u32>().is_ok() && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_just_changed_is_not_told_from_its_next_change() {
        // The program was linked before it could be started; how long before, the file tells.
        let exe = fs::metadata(std::env::current_exe().unwrap()).unwrap();
        let changed = std::os::unix::fs::MetadataExt::ctime(&exe);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        if now - changed > 4 {
            assert!(Identity::of(&exe).is_some_and(|i| Identity::of(&exe) == Some(i)));
        }
        let path = std::env::temp_dir().join(format!("anyproxy-identity-{}", std::process::id()));
        fs::write(&path, "x").unwrap();
        let young = Identity::of(&fs::metadata(&path).unwrap());
        fs::remove_file(&path).unwrap();
        assert_eq!(young, None);
    }
}
