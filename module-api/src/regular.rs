//! Files that a configuration names, read when it is: regular ones only, so that none of them can hold up a start or a reload.
//! Knows nothing of the files that serve clients: those are `File`'s.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
};

/// Opens a regular file, or a link to one, to be read.
///
/// # Errors
/// What the system says, or that it is none: a directory, a named pipe, a device.
pub fn open_regular(path: impl AsRef<Path>) -> io::Result<fs::File> {
    let kind = fs::metadata(&path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    // Not even to be opened: a named pipe waits there for somebody who writes.
    if !kind.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    fs::File::open(path)
}

/// All of a regular file, at most `limit` bytes. Blocks: for the time when a configuration is read.
///
/// # Errors
/// As [`open_regular`]; `FileTooLarge` when it is longer.
pub fn read_regular(path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let most =
            if limit.is_multiple_of(1 << 20) { format!("{} MiB", limit >> 20) } else { format!("{limit} bytes") };
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {most}")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_within_its_limit_and_nothing_else_is_opened() {
        let dir = std::env::temp_dir().join(format!("anyproxy-regular-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory of its own");
        let path = dir.join("f");
        fs::write(&path, "text").expect("written");
        assert_eq!(read_regular(&path, 4).expect("as long as allowed"), b"text");
        assert_eq!(read_regular(&path, 3).expect_err("longer").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_regular(&dir, 9).expect_err("a directory").kind(), io::ErrorKind::IsADirectory);
        #[cfg(unix)]
        assert_eq!(read_regular("/dev/null", 9).expect_err("a device").kind(), io::ErrorKind::InvalidInput);
        fs::remove_dir_all(dir).expect("ours");
    }
}
