//! An echo on a Unix socket, for `unix:/path` peers.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Sends back what comes in; ends its side when the client has ended its own.
#[derive(Debug)]
pub struct UnixEcho {
    path: PathBuf,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UnixEcho {
    /// Listens at `path`, which must not exist.
    #[track_caller]
    pub fn start(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let listener = UnixListener::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // Ends with its client; a test that keeps one open ends with the process.
                std::thread::spawn(move || echo(stream));
            }
        });
        Self { path, stopping, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixEcho {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let woken = UnixStream::connect(&self.path).is_ok();
        if let (Some(thread), true) = (self.thread.take(), woken) {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

fn echo(mut stream: UnixStream) {
    let mut buf = vec![0; 64 * 1024];
    while let Ok(n) = stream.read(&mut buf) {
        if n == 0 || stream.write_all(&buf[..n]).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echoes_and_removes_its_socket() {
        let dir = crate::TempDir::new();
        let server = UnixEcho::start(dir.join("echo.sock"));
        let mut stream = UnixStream::connect(server.path()).expect("connect");
        stream.write_all(b"hello").expect("write");
        stream.shutdown(Shutdown::Write).expect("half-close");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("read");
        assert_eq!(all, b"hello");
        let path = server.path().to_owned();
        drop(server);
        assert!(!path.exists());
    }
}
