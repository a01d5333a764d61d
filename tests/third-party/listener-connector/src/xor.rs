//! A stream over a stream, with every byte changed on the way.

use anyproxy_module_api::{Buf, Error, Str, Stream, StreamImpl, StreamInfo, ready::READ};
use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};

const KEY: u8 = 0x5a;

/// `inner` with every byte XORed in both directions.
pub(crate) fn wrap(inner: Stream) -> Stream {
    Stream::new(Xor { inner, ahead: VecDeque::new() })
}

struct Xor {
    inner: Stream,
    /// Plain bytes that were put back, and how many of the first are read again.
    ahead: VecDeque<(Buf, usize)>,
}

impl StreamImpl for Xor {
    fn state(&self) -> u8 {
        let ahead = if self.ahead.is_empty() { 0 } else { READ };
        self.inner.state() | ahead
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        if let Some((bytes, done)) = self.ahead.front_mut() {
            let n = to.len().min(bytes.len() - *done);
            to[..n].copy_from_slice(&bytes[*done..*done + n]);
            *done += n;
            if *done == bytes.len() {
                self.ahead.pop_front();
            }
            return Poll::Ready(Ok(n));
        }
        let n = ready!(self.inner.poll_read(cx, to))?;
        to[..n].iter_mut().for_each(|b| *b ^= KEY);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        // What is not accepted is forgotten: the caller brings it again, and the key has no state.
        let mut piece = [0; 4096];
        let n = from.len().min(piece.len());
        for (to, from) in piece.iter_mut().zip(from) {
            *to = from ^ KEY;
        }
        self.inner.poll_write(cx, &piece[..n])
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_shutdown(cx)
    }

    fn info(&self) -> StreamInfo<'_> {
        StreamInfo { protocol: Str::new("xor"), ..self.inner.info() }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        if !self.ahead.is_empty() && bits & READ != 0 {
            return Poll::Ready(READ);
        }
        self.inner.poll_ready(cx, bits)
    }

    fn bind(&mut self, cx: &mut Context<'_>) {
        self.inner.bind(cx);
    }

    fn unbind(&mut self) {
        self.inner.unbind();
    }

    fn set_reset(&mut self) {
        self.inner.set_reset();
    }

    fn unread(&mut self, bytes: Buf) {
        if !bytes.is_empty() {
            self.ahead.push_front((bytes, 0));
        }
    }

    fn set_option(&mut self, name: &str, value: i64) -> bool {
        self.inner.set_option(name, value)
    }
}
