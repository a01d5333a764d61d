//! Files without a name, written and read on threads that may wait. They are gone with whoever holds them.

use crate::files;
use anyproxy_http_contract::FileHandle;
use anyproxy_module_api::{Error, Pool, run};
use std::{fs::File, io, path::Path, sync::Arc};

/// Bytes in the order in which they came.
pub(super) type Chunks = Vec<Vec<u8>>;

/// A file that only this process sees.
#[derive(Clone, Debug)]
pub(super) struct TempFile {
    file: Arc<File>,
    handle: FileHandle,
}

impl TempFile {
    /// Writes behind `at`, in a file that begins again at 0 after `ring` bytes. Makes the file if there is none yet. The bytes
    /// come back, with the file or why they are not in it.
    pub(super) async fn write(
        file: Option<Self>,
        dir: &'static Path,
        chunks: Chunks,
        at: u64,
        ring: u64,
    ) -> (Chunks, io::Result<Self>) {
        let written = run(Pool::Blocking, move |_| {
            let file = file.map_or_else(|| Self::create(dir), Ok);
            let done = file.and_then(|f| f.put(&chunks, at, ring).map(|()| f));
            (chunks, done)
        });
        written.await.unwrap_or_else(|e| (Chunks::new(), Err(io::Error::other(e.to_string()))))
    }

    /// Bytes from `at`, if the system has them in memory.
    pub(super) fn read_now(&self, at: u64, len: usize) -> Option<Vec<u8>> {
        files::read_now(&self.handle, false, at, len)
    }

    /// Bytes from `at`.
    ///
    /// # Errors
    /// What the system says.
    pub(super) async fn read(self, at: u64, len: usize) -> Result<Vec<u8>, Error> {
        files::read(self.handle, at, len).await
    }

    fn create(dir: &Path) -> io::Result<Self> {
        let file = Arc::new(system::create(dir)?);
        Ok(Self { handle: FileHandle::new(Arc::clone(&file)), file })
    }

    fn put(&self, chunks: &Chunks, at: u64, ring: u64) -> io::Result<()> {
        let mut at = at % ring;
        for chunk in chunks {
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                let here = (rest.len() as u64).min(ring - at) as usize;
                system::write_all_at(&self.file, &rest[..here], at)?;
                rest = &rest[here..];
                at = (at + here as u64) % ring;
            }
        }
        Ok(())
    }
}

/// A file of a name that nobody has, for its owner alone.
fn create_new(dir: &Path, more: impl Fn(&mut std::fs::OpenOptions)) -> io::Result<(File, std::path::PathBuf)> {
    use std::hash::{BuildHasher, RandomState};
    loop {
        let name = dir.join(format!(".anyproxy-{:016x}", RandomState::new().hash_one(std::process::id())));
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        more(&mut options);
        match options.open(&name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|f| (f, name)),
        }
    }
}

#[cfg(unix)]
mod system {
    use super::{File, Path, create_new, io};
    use std::os::unix::fs::{FileExt, OpenOptionsExt};

    pub(super) fn create(dir: &Path) -> io::Result<File> {
        #[cfg(target_os = "linux")]
        {
            use rustix::{
                fs::{CWD, Mode, OFlags, openat},
                io::Errno,
            };
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
            match openat(CWD, dir, flags, Mode::RUSR | Mode::WUSR) {
                // File systems without it, and what took the flag for that of a directory.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
                opened => return Ok(opened?.into()),
            }
        }
        let (file, name) = create_new(dir, |options| {
            options.mode(0o600);
        })?;
        std::fs::remove_file(name)?;
        Ok(file)
    }

    pub(super) fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }
}

#[cfg(windows)]
mod system {
    use super::{File, Path, create_new, io};
    use std::os::windows::fs::{FileExt, OpenOptionsExt};

    pub(super) fn create(dir: &Path) -> io::Result<File> {
        const DELETE_ON_CLOSE: u32 = 0x0400_0000;
        let made = create_new(dir, |options| {
            options.custom_flags(DELETE_ON_CLOSE);
        });
        Ok(made?.0)
    }

    pub(super) fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let n = file.seek_write(bytes, at)?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[n..];
            at += n as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_ring_and_has_no_name() {
        let dir = std::env::temp_dir().join(format!("anyproxy-ring-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        let file = TempFile::create(&dir).expect("a file");
        file.put(&vec![b"abc".to_vec(), b"defgh".to_vec()], 0, 10).expect("room");
        file.put(&vec![b"ijkl".to_vec()], 8, 10).expect("room");
        let mut all = [0; 10];
        assert_eq!(file.handle.read_at(0, &mut all).expect("readable"), 10);
        assert_eq!(&all, b"klcdefghij");
        assert_eq!(std::fs::read_dir(&dir).expect("a directory").count(), 0);
        let (named, name) = create_new(&dir, |_| {}).expect("a file");
        drop(named);
        assert!(name.exists());
        std::fs::remove_dir_all(&dir).expect("ours");
    }
}
