//! Pipes through which the kernel moves bytes between sockets (splice, Linux), and the few that a worker keeps.

use anyproxy_module_api::{Buf, Error, Stream};
use rustix::{
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};
use std::{cell::RefCell, io, os::fd::OwnedFd};

/// Bytes that a pipe should hold: what the system allows anybody.
const SIZE: usize = 1 << 20;
/// Below this splicing costs more calls than it saves copies: the system gives small pipes when a user has many.
const LEAST: usize = 64 << 10;
/// Pipes that a worker keeps for later.
const KEPT: usize = 16;

/// What came of a call.
pub(super) enum Moved {
    /// So many bytes; 0: the end.
    Bytes(usize),
    /// Would block.
    Again,
    /// The stream has bytes of its own that are to go before: those are to be copied.
    NotNow,
    /// Not between these.
    Unsupported,
    /// The socket failed.
    Failed(Error),
}

impl From<rustix::io::Result<usize>> for Moved {
    fn from(r: rustix::io::Result<usize>) -> Self {
        match r {
            Ok(n) => Self::Bytes(n),
            // A signal is as good a reason to try again.
            Err(Errno::AGAIN | Errno::INTR) => Self::Again,
            Err(Errno::INVAL | Errno::NOSYS) => Self::Unsupported,
            Err(e) => Self::Failed(io::Error::from(e).into()),
        }
    }
}

/// A pipe and how many bytes are in it.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    room: usize,
}

impl Pipe {
    fn new() -> Option<Self> {
        // No descriptors left: copying needs none.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let room = fcntl_setpipe_size(&write, SIZE).or_else(|_| fcntl_getpipe_size(&write)).ok()?;
        (room >= LEAST).then_some(Self { read, write, held: 0, room })
    }

    /// Bytes in it.
    pub(super) const fn held(&self) -> usize {
        self.held
    }

    /// From a socket, as much as is there and fits.
    pub(super) fn fill(&mut self, from: &Stream) -> Moved {
        let Some(from) = from.fd() else { return Moved::NotNow };
        let r = splice(from, None, &self.write, None, self.room - self.held, FLAGS);
        self.held += *r.as_ref().unwrap_or(&0);
        r.into()
    }

    /// Into a socket, as much as it takes.
    pub(super) fn drain(&mut self, to: &Stream) -> Moved {
        let Some(to) = to.fd() else { return Moved::NotNow };
        let r = splice(&self.read, None, to, None, self.held, FLAGS);
        self.held -= *r.as_ref().unwrap_or(&0);
        r.into()
    }

    /// Out of it into memory, when it cannot go into a socket.
    pub(super) fn read_into(&mut self, to: &mut Buf) -> Result<(), Error> {
        let mut piece = [0; 4096];
        while self.held > 0 && to.capacity() - to.len() >= piece.len() {
            let n = rustix::io::read(&self.read, &mut piece).map_err(io::Error::from)?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            to.push(&piece[..n]);
            self.held -= n;
        }
        Ok(())
    }
}

// Not MORE: the last bytes would wait for the system's timer.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// Empty pipes of one worker.
#[derive(Default)]
pub(crate) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipes {
    /// A kept pipe or a new one; `None`: the system has none to give.
    pub(super) fn take(&self) -> Option<Pipe> {
        self.0.borrow_mut().pop().or_else(Pipe::new)
    }

    /// Keeps an empty pipe, or closes it when there are enough.
    pub(super) fn give(&self, pipe: Pipe) {
        let mut kept = self.0.borrow_mut();
        if pipe.held == 0 && kept.len() < KEPT {
            kept.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pipe_is_kept_and_one_with_bytes_is_not() {
        let pipes = Pipes::default();
        let Some(mut pipe) = pipes.take() else {
            println!("skipped: the system gives no pipe of a useful size");
            return;
        };
        let n = rustix::io::write(&pipe.write, b"left").unwrap();
        pipe.held = n;
        pipes.give(pipe);
        assert_eq!(pipes.0.borrow().len(), 0);
        let empty = pipes.take().unwrap();
        pipes.give(empty);
        assert_eq!(pipes.0.borrow().len(), 1);
    }

    #[test]
    fn what_cannot_go_on_is_read_out_in_order() {
        let Some(mut pipe) = Pipe::new() else {
            println!("skipped: the system gives no pipe of a useful size");
            return;
        };
        let bytes: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
        pipe.held = rustix::io::write(&pipe.write, &bytes).unwrap();
        let mut out = Vec::new();
        while pipe.held() > 0 {
            let mut to = Buf::from(Vec::with_capacity(16 << 10));
            pipe.read_into(&mut to).unwrap();
            out.extend_from_slice(&to);
        }
        assert_eq!(out, bytes[..out.len()]);
        assert!(out.len() >= 4096);
    }
}
