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
