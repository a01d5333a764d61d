//! One log target: a file that is appended to, or a standard stream. Notices that its file was moved or removed, and opens
//! it anew. Knows nothing of threads and buffers.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A file, created with mode 0640.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Target {
    /// `stdout`, `stderr`, or a path.
    pub fn new(name: &str) -> Self {
        match name {
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            path => Self::File(path.into()),
        }
    }

    /// Whether it could be opened. A file that is not there is not made.
    ///
    /// # Errors
    /// What opening it would say.
    pub fn check(&self) -> io::Result<()> {
        let Self::File(path) = self else { return Ok(()) };
        refuse_pipe(path)?;
        match OpenOptions::new().append(true).open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => may_be_made(path),
            other => other.map(drop),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("stdout"),
            Self::Stderr => f.write_str("stderr"),
        }
    }
}

/// How often a file's name is looked at.
const CHECK: Duration = Duration::from_secs(1);

/// An open target.
#[derive(Debug)]
pub struct LogFile {
    target: Target,
    file: Option<File>,
    checked: Instant,
    /// The last write ended inside a line.
    torn: bool,
}

/// A write that did not take everything.
#[derive(Debug)]
pub struct WriteError {
    /// How many bytes of the given ones were written.
    pub written: usize,
    /// Why not more.
    pub cause: io::Error,
}

impl LogFile {
    /// Opens the target. A named pipe is refused: opening one waits for a reader.
    pub fn open(target: Target) -> io::Result<Self> {
        let file = match &target {
            Target::File(path) => Some(open(path)?),
            Target::Stdout | Target::Stderr => None,
        };
        Ok(Self { target, file, checked: Instant::now(), torn: false })
    }

    /// What was opened.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Opens the file by its name again. On failure the old one stays in use.
    pub fn reopen(&mut self) -> io::Result<()> {
        if let Target::File(path) = &self.target {
            self.file = Some(open(path)?);
            self.torn = false;
        }
        Ok(())
    }

    /// Opens the file again when its name leads elsewhere or nowhere; looks at most once a second. A failure to open is
    /// an error, and the old file stays in use.
    pub fn follow(&mut self, now: Instant) -> io::Result<()> {
        let (Target::File(path), Some(file)) = (&self.target, &self.file) else {
            return Ok(());
        };
        if now.saturating_duration_since(self.checked) < CHECK {
            return Ok(());
        }
        self.checked = now;
        if same(path, file) { Ok(()) } else { self.reopen() }
    }

    /// Appends whole lines. After a write that ended inside a line the next one begins on a new line.
    pub fn write(&mut self, lines: &[u8]) -> Result<(), WriteError> {
        let mut stdout;
        let mut stderr;
        let out: &mut dyn Write = match (&self.target, &mut self.file) {
            (_, Some(file)) => file,
            (Target::Stdout, None) => {
                stdout = io::stdout().lock();
                &mut stdout
            }
            (_, None) => {
                stderr = io::stderr().lock();
                &mut stderr
            }
        };
        if self.torn {
            all(out, b"\n")?;
            self.torn = false;
        }
        let result = all(out, lines);
        if let Err(error) = &result {
            self.torn = error.written > 0 && lines[error.written - 1] != b'\n';
        }
        result
    }
}

/// Writes all, counting.
fn all(out: &mut dyn Write, bytes: &[u8]) -> Result<(), WriteError> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => {
                return Err(WriteError { written, cause: io::ErrorKind::WriteZero.into() });
            }
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(WriteError { written, cause }),
        }
    }
    out.flush().map_err(|cause| WriteError { written, cause })
}

fn open(path: &Path) -> io::Result<File> {
    refuse_pipe(path)?;
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

/// Whether a file may be made there: its directory is, and can be written to.
///
/// # Errors
/// What making it would say.
pub fn may_be_made(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !std::fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    {
        use nix::{
            fcntl::AtFlags,
            unistd::{AccessFlags, faccessat},
        };
        // As who opens it, who may not be who started the process.
        faccessat(nix::fcntl::AT_FDCWD, dir, AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS)?;
    }
    Ok(())
}

fn refuse_pipe(path: &Path) -> io::Result<()> {
    if is_pipe(path) { Err(io::Error::other("is a named pipe; log to stdout instead")) } else { Ok(()) }
}

/// Whether a named pipe is there: to open one waits for the other end.
#[cfg(unix)]
pub fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo())
}

/// Pipes have no paths.
#[cfg(not(unix))]
pub fn is_pipe(_path: &Path) -> bool {
    false
}

/// Whether the name still leads to the open file.
#[cfg(unix)]
fn same(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(named), Ok(open)) => (named.dev(), named.ino()) == (open.dev(), open.ino()),
        (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
        (_, Err(_)) => true,
    }
}

/// An open file cannot be told from another by stable means here, but its name can be gone.
#[cfg(not(unix))]
fn same(path: &Path, _file: &File) -> bool {
    !matches!(std::fs::metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::test_support::Dir;

    #[test]
    fn names_of_streams_are_targets_and_everything_else_is_a_path() {
        assert_eq!(Target::new("stdout"), Target::Stdout);
        assert_eq!(Target::new("stderr"), Target::Stderr);
        assert_eq!(Target::new("logs/a.log"), Target::File("logs/a.log".into()));
    }

    #[test]
    fn file_is_appended_to() {
        let dir = Dir::new();
        let path = dir.file("a.log", "old\n");
        let mut log = LogFile::open(Target::File(path.clone())).expect("opens");
        log.write(b"new\n").expect("written");
        assert_eq!(std::fs::read_to_string(path).expect("read"), "old\nnew\n");
    }

    #[cfg(unix)]
    #[test]
    fn file_is_created_for_owner_and_group_only() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new();
        let path = dir.path("a.log");
        LogFile::open(Target::File(path.clone())).expect("opens");
        let mode = std::fs::metadata(path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
    }

    #[cfg(unix)]
    #[test]
    fn moved_and_removed_files_are_opened_anew_at_most_once_a_second() {
        let dir = Dir::new();
        let (path, moved) = (dir.path("a.log"), dir.path("a.log.1"));
        let mut log = LogFile::open(Target::File(path.clone())).expect("opens");
        let start = log.checked;
        std::fs::rename(&path, &moved).expect("moved");
        log.follow(start + CHECK / 2).expect("too early to look");
        log.write(b"one\n").expect("written");
        log.follow(start + CHECK).expect("opens");
        log.write(b"two\n").expect("written");
        assert_eq!(std::fs::read_to_string(&moved).expect("read"), "one\n");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "two\n");
        std::fs::remove_file(&path).expect("removed");
        log.follow(start + CHECK * 2).expect("opens");
        log.write(b"three\n").expect("written");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "three\n");
    }

    #[cfg(unix)]
    #[test]
    fn file_that_cannot_be_opened_anew_stays_in_use() {
        let dir = Dir::new();
        let path = dir.path("a.log");
        let mut log = LogFile::open(Target::File(path.clone())).expect("opens");
        let moved = dir.path("moved");
        std::fs::rename(&path, &moved).expect("moved");
        std::fs::create_dir(&path).expect("in the way");
        assert!(log.reopen().is_err());
        log.write(b"kept\n").expect("written");
        assert_eq!(std::fs::read_to_string(moved).expect("read"), "kept\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn full_disk_is_an_error_that_says_how_much_was_written() {
        let mut log = LogFile::open(Target::File("/dev/full".into())).expect("opens");
        let error = log.write(b"line\n").expect_err("full");
        assert_eq!((error.written, error.cause.kind()), (0, io::ErrorKind::StorageFull));
    }

    #[cfg(unix)]
    #[test]
    fn line_after_a_torn_one_begins_on_its_own() {
        let dir = Dir::new();
        let path = dir.file("a.log", "");
        let mut log = LogFile::open(Target::File(path.clone())).expect("opens");
        log.torn = true;
        log.write(b"whole\n").expect("written");
        log.write(b"next\n").expect("written");
        assert_eq!(std::fs::read_to_string(path).expect("read"), "\nwhole\nnext\n");
    }
}
