//! Pipes of Linux.

use super::Moved;
use crate::{Buf, Error, ErrorKind, Stream};
use rustix::{
    io::{Errno, retry_on_intr},
    net::{RecvFlags, recv},
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice},
};
use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Bytes that a pipe should hold: what the system allows anybody.
const SIZE: usize = 1 << 20;
/// Below this splicing costs more calls than it saves copies: the system gives small pipes when a user has many.
const LEAST: u32 = 64 << 10;
/// Pipes that a worker keeps for later.
const KEPT: usize = 16;

impl From<rustix::io::Result<usize>> for Moved {
    fn from(r: rustix::io::Result<usize>) -> Self {
        match r {
            Ok(n) => Self::Bytes(n),
            Err(Errno::AGAIN) => Self::Again,
            Err(Errno::INVAL | Errno::NOSYS) => Self::Unsupported,
            Err(e) => Self::Failed(io::Error::from(e).into()),
        }
    }
}

/// A pipe and how many bytes are in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: u32,
    room: u32,
    /// How many there are.
    count: Rc<Cell<usize>>,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.count.set(self.count.get() - 1);
    }
}

impl Pipe {
    fn new(count: &Rc<Cell<usize>>) -> Option<Self> {
        // No descriptors left: copying needs none.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).ok()?;
        let room = fcntl_setpipe_size(&write, SIZE).or_else(|_| fcntl_getpipe_size(&write)).ok()?;
        let room = u32::try_from(room).ok()?;
        if room < LEAST {
            return None;
        }
        count.set(count.get() + 1);
        Some(Self { read, write, held: 0, room, count: Rc::clone(count) })
    }

    /// Bytes in it.
    pub const fn held(&self) -> usize {
        self.held as usize
    }

    /// From a socket, as much as is there and fits, up to `most` bytes. After `Again` from an empty pipe nothing is there;
    /// after `NotNow` there may be.
    pub fn fill(&mut self, from: &Stream, most: u64) -> Moved {
        let Some(from) = from.fd() else { return Moved::NotNow };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min((self.room - self.held) as usize);
        let fill = || retry_on_intr(|| splice(from, None, &self.write, None, most, FLAGS));
        let mut r = fill();
        if r == Err(Errno::AGAIN) && self.held == 0 && has_bytes(from) {
            // They have come just now, or are behind an urgent byte: nothing that moves them is told of those again.
            r = fill();
            if r == Err(Errno::AGAIN) {
                return Moved::NotNow;
            }
        }
        self.held += *r.as_ref().unwrap_or(&0) as u32;
        r.into()
    }

    /// Into a stream, as much as it takes. Ready: how many bytes, 1 or more.
    ///
    /// # Errors
    /// The stream's; `Unsupported`: it takes none from a pipe.
    pub fn poll_drain(&mut self, cx: &mut Context<'_>, to: &mut Stream) -> Poll<Result<usize, Error>> {
        let n = match ready!(to.poll_splice(cx, self.read.as_fd(), self.held())) {
            // Some kinds of sockets take nothing from pipes.
            Err(e) if e.kind == ErrorKind::Invalid => Err(Error::bare(ErrorKind::Unsupported)),
            Ok(0) => Err(Error::bare(ErrorKind::BrokenPipe)),
            r => r,
        }?;
        self.held -= (n as u32).min(self.held);
        Poll::Ready(Ok(n))
    }

    /// Out of it into memory, when it cannot go into a socket.
    ///
    /// # Errors
    /// The system's.
    pub fn read_into(&mut self, to: &mut Buf) -> Result<(), Error> {
        let mut piece = [0; 4096];
        while self.held > 0 && to.capacity() - to.len() >= piece.len() {
            let n = rustix::io::read(&self.read, &mut piece).map_err(io::Error::from)?;
            if n == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            to.push(&piece[..n]);
            self.held -= n as u32;
        }
        Ok(())
    }
}

/// Whether a read would take any.
fn has_bytes(from: BorrowedFd<'_>) -> bool {
    matches!(recv(from, &mut [0], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((1.., _)))
}

// Not MORE: the last bytes would wait for the system's timer.
const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

/// The pipes of one worker.
#[derive(Debug)]
pub struct Pipes {
    empty: RefCell<Vec<Pipe>>,
    count: Rc<Cell<usize>>,
    most: usize,
}

impl Pipes {
    /// `most` at a time.
    pub fn new(most: usize) -> Self {
        Self { empty: RefCell::default(), count: Rc::default(), most }
    }

    /// A kept pipe or a new one; `None`: there is none to be had.
    pub fn take(&self) -> Option<Pipe> {
        let kept = self.empty.borrow_mut().pop();
        kept.or_else(|| if self.count.get() < self.most { Pipe::new(&self.count) } else { None })
    }

    /// Keeps an empty pipe, or closes it when there are enough, or when there are bytes in it.
    pub fn give(&self, pipe: Pipe) {
        let mut kept = self.empty.borrow_mut();
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
        let pipes = Pipes::new(2);
        let Some(mut pipe) = pipes.take() else {
            println!("skipped: the system gives no pipe of a useful size");
            return;
        };
        let n = rustix::io::write(&pipe.write, b"left").unwrap();
        pipe.held = n as u32;
        pipes.give(pipe);
        assert_eq!(pipes.empty.borrow().len(), 0);
        let empty = pipes.take().unwrap();
        pipes.give(empty);
        assert_eq!(pipes.empty.borrow().len(), 1);
    }

    #[test]
    fn there_are_no_more_than_may_be() {
        let pipes = Pipes::new(2);
        let (Some(first), Some(second)) = (pipes.take(), pipes.take()) else {
            println!("skipped: the system gives no pipe of a useful size");
            return;
        };
        assert!(pipes.take().is_none());
        pipes.give(first);
        let third = pipes.take().unwrap();
        assert!(pipes.take().is_none());
        drop(second);
        assert!(pipes.take().is_some());
        drop(third);
    }

    #[test]
    fn what_cannot_go_on_is_read_out_in_order() {
        let Some(mut pipe) = Pipe::new(&Rc::default()) else {
            println!("skipped: the system gives no pipe of a useful size");
            return;
        };
        let bytes: Vec<u8> = (0..50_000_u32).map(|n| n as u8).collect();
        pipe.held = rustix::io::write(&pipe.write, &bytes).unwrap() as u32;
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
