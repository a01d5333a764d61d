//! What is in files and directories.

use crate::core::listing::{self, Entry};
use anyproxy_http_contract::FileHandle;
use anyproxy_module_api::{Error, Pool, run};
use std::{fs::DirEntry, io, path::PathBuf};

/// Bytes of a file, without waiting for a disk. `None`: they are not all in memory, or not there. `in_memory`: its file
/// system has no disk.
pub(crate) fn read_now(file: &FileHandle, in_memory: bool, offset: u64, len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let read = if in_memory { file.read_at(offset, &mut bytes).ok() } else { read_at_once(file, offset, &mut bytes) };
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

/// The names in a directory that a listing shows.
///
/// # Errors
/// What the system says.
pub(crate) async fn list(name: PathBuf, most: usize) -> Result<Vec<Entry>, Error> {
    let list = run(Pool::Blocking, move |_| {
        let mut all = Vec::new();
        let shown = |entry: &io::Result<DirEntry>| {
            entry.as_ref().map_or(true, |e| listing::is_shown(e.file_name().as_encoded_bytes()))
        };
        for entry in std::fs::read_dir(name)?.filter(shown).take(most + 1) {
            let entry = entry?;
            let Ok(meta) = std::fs::metadata(entry.path()) else { continue };
            let since = meta.modified().ok().and_then(|m| m.duration_since(std::time::UNIX_EPOCH).ok());
            all.push(Entry {
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

#[cfg(target_os = "linux")]
fn read_at_once(file: &FileHandle, offset: u64, to: &mut [u8]) -> Option<usize> {
    let mut pieces = [io::IoSliceMut::new(to)];
    rustix::io::preadv2(file, &mut pieces, offset, rustix::io::ReadWriteFlags::NOWAIT).ok()
}

#[cfg(not(target_os = "linux"))]
fn read_at_once(_: &FileHandle, _: u64, _: &mut [u8]) -> Option<usize> {
    None
}
