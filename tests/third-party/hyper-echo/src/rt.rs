//! hyper's runtime traits over the services of the host: streams, tasks, timers. Nothing of HTTP.

use anyproxy_module_api::{IoVec, Sleep, Stream, sleep, spawn};
use hyper::rt::{Executor, Read, ReadBufCursor, Timer, Write};
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// A stream as hyper reads and writes it.
#[derive(Debug)]
pub(crate) struct Io(Stream);

impl Io {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self(stream)
    }
}

impl Read for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // SAFETY: only written to.
        let room = unsafe { to.as_mut() };
        let n = ready!(self.0.poll_read_uninit(cx, room))?;
        // SAFETY: the stream filled `n` bytes.
        unsafe { to.advance(n) };
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, from).map_err(Into::into)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx).map_err(Into::into)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx).map_err(Into::into)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut pieces = [IoVec::new(&[]); 16];
        let n = from.len().min(pieces.len());
        for (to, from) in pieces.iter_mut().zip(from) {
            *to = IoVec::new(from);
        }
        self.0.poll_writev(cx, &pieces[..n]).map_err(Into::into)
    }
}

/// Spawns on the worker that runs the connection: nothing has to be `Send`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Worker;

impl<F: Future<Output = ()> + 'static> Executor<F> for Worker {
    fn execute(&self, future: F) {
        // Let go, not ended: it ends with its connection, or with the generation.
        drop(spawn(future));
    }
}

/// The host's timers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock;

impl Timer for Clock {
    fn sleep(&self, after: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(Pause(sleep(after)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep(deadline.saturating_duration_since(Instant::now()))
    }

    fn reset(&self, pause: &mut Pin<Box<dyn hyper::rt::Sleep>>, deadline: Instant) {
        match pause.as_mut().downcast_mut_pin::<Pause>() {
            Some(pause) => pause.get_mut().0.reset(deadline.saturating_duration_since(Instant::now())),
            None => *pause = self.sleep_until(deadline),
        }
    }
}

#[derive(Debug)]
struct Pause(Sleep);

impl Future for Pause {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl hyper::rt::Sleep for Pause {}
