//! The receiving end of systemd's notify protocol (sd_notify(3)): a datagram socket and the states that came in.
//! Knows nothing of the process that sends them beyond the descriptor that tells its end.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// A bound NOTIFY_SOCKET and the lines read from it so far.
#[derive(Debug)]
pub(crate) struct Notify {
    socket: UnixDatagram,
    path: PathBuf,
    lines: Vec<String>,
    descriptors: Vec<OwnedFd>,
}

/// Why [`Notify::wait`] ended without the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotNotified {
    /// The process ended first.
    Exited,
    /// The limit passed.
    TimedOut,
}

impl Notify {
    pub(crate) fn bind(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        socket.set_nonblocking(true).expect("a fresh socket takes the flag");
        // As systemd's: the process may become another user.
        let _ = std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777));
        Self { socket, path, lines: Vec::new(), descriptors: Vec::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Every line that came in, in order.
    pub(crate) fn lines(&mut self) -> &[String] {
        self.drain();
        &self.lines
    }

    /// The descriptors that came with them (FDSTORE) and were not taken yet, in order.
    pub(crate) fn take_descriptors(&mut self) -> Vec<OwnedFd> {
        self.drain();
        std::mem::take(&mut self.descriptors)
    }

    /// Waits for a line from number `from` on that starts with `prefix`; its number. `exit` turns readable when the
    /// process ends.
    pub(crate) fn wait(
        &mut self,
        from: usize,
        prefix: &str,
        exit: BorrowedFd<'_>,
        limit: Duration,
    ) -> Result<usize, NotNotified> {
        let end = Instant::now() + limit;
        loop {
            self.drain();
            let found = self.lines.iter().skip(from).position(|line| line.starts_with(prefix));
            if let Some(at) = found {
                return Ok(from + at);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(NotNotified::TimedOut);
            }
            let timeout = Timespec::try_from(left).ok();
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN), PollFd::from_borrowed_fd(exit, PollFlags::IN)];
            let _ = poll(&mut fds, timeout.as_ref());
            // What it sent before its end counts: the socket is looked at first.
            if fds[0].revents().is_empty() && !fds[1].revents().is_empty() {
                return Err(NotNotified::Exited);
            }
        }
    }

    fn drain(&mut self) {
        let mut buf = [0; 4096];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let into = &mut [IoSliceMut::new(&mut buf)];
            let Ok(got) = recvmsg(&self.socket, into, &mut control, RecvFlags::CMSG_CLOEXEC) else { break };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            let text = String::from_utf8_lossy(&buf[..got.bytes]);
            self.lines.extend(text.lines().map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::TempDir;

    #[test]
    fn waits_for_a_line_behind_the_ones_seen() {
        let dir = TempDir::new();
        let mut notify = Notify::bind(dir.join("n.sock"));
        let (never, _other) = UnixDatagram::pair().expect("pair");
        let sender = UnixDatagram::unbound().expect("socket");
        sender.send_to(b"READY=1\nSTATUS=up", notify.path()).expect("send");
        assert_eq!(notify.wait(0, "READY=1", never.as_fd(), crate::LIMIT), Ok(0));
        assert_eq!(notify.wait(1, "READY=1", never.as_fd(), Duration::from_millis(1)), Err(NotNotified::TimedOut));
        sender.send_to(b"RELOADING=1\nREADY=1", notify.path()).expect("send");
        assert_eq!(notify.wait(1, "READY=1", never.as_fd(), crate::LIMIT), Ok(3));
        assert_eq!(notify.lines().len(), 4);
    }

    #[test]
    fn an_end_of_the_process_ends_the_wait() {
        let dir = TempDir::new();
        let mut notify = Notify::bind(dir.join("n.sock"));
        let (ended, other) = UnixDatagram::pair().expect("pair");
        other.send(b"x").expect("send");
        assert_eq!(notify.wait(0, "READY=1", ended.as_fd(), crate::LIMIT), Err(NotNotified::Exited));
    }
}
