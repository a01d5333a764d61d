//! A stream as the frames' library wants one: plain reads and writes that would block.

use crate::talk::Wire;
use anyproxy_module_api::{Buf, Error, Stream, buf};
use std::{
    io::{self, ErrorKind, Read, Write},
    task::{Context, Poll, Waker},
};

/// Read with one call, bytes. The memory is the worker's: what is idle holds none.
const AHEAD: usize = 64 << 10;

/// Bytes read in one turn: the other connections of the worker wait for it.
const TURN: usize = 256 << 10;

/// The stream, the task that waits for it, and what has passed.
pub(crate) struct Io {
    pub(crate) stream: Stream,
    /// Of the task that is polled now.
    waker: Waker,
    /// Read and not yet asked for, from this byte on.
    ahead: Option<(Buf, usize)>,
    received: u64,
    sent: u64,
    /// May still be read in this turn.
    left: usize,
}

impl Io {
    pub(crate) fn new(stream: Stream) -> Self {
        Self { stream, waker: Waker::noop().clone(), ahead: None, received: 0, sent: 0, left: TURN }
    }

    /// A turn of the task begins.
    pub(crate) fn begin(&mut self, cx: &Context<'_>) {
        if !self.waker.will_wake(cx.waker()) {
            self.waker = cx.waker().clone();
        }
        self.left = TURN;
    }
}

fn plain<T>(polled: Poll<Result<T, Error>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result.map_err(Into::into),
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

impl Io {
    fn fill(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let cx = &mut Context::from_waker(&self.waker);
        // Without memory of the worker's it goes on in small pieces.
        let memory = if to.len() < AHEAD { buf(AHEAD) } else { None };
        let n = match memory {
            Some(mut buf) => {
                let n = plain(self.stream.poll_read_buf(cx, &mut buf))?;
                self.ahead = Some((buf, 0));
                n
            }
            None => plain(self.stream.poll_read(cx, to))?,
        };
        self.received += n as u64;
        self.left = self.left.saturating_sub(n);
        Ok(n)
    }
}

impl Read for Io {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_none() {
            let n = self.fill(to)?;
            if self.ahead.is_none() {
                return Ok(n);
            }
        }
        let Some((buf, at)) = &mut self.ahead else { return Ok(0) };
        let n = to.len().min(buf.len() - *at);
        to[..n].copy_from_slice(&buf[*at..*at + n]);
        *at += n;
        if *at == buf.len() {
            self.ahead = None;
        }
        Ok(n)
    }
}

impl Write for Io {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let n = plain(self.stream.poll_write(&mut Context::from_waker(&self.waker), from))?;
        self.sent += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        plain(self.stream.poll_flush(&mut Context::from_waker(&self.waker)))
    }
}

impl Wire for Io {
    fn moved(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    fn is_spent(&self) -> bool {
        self.left == 0
    }
}
