//! A stream of HTTP/2 as a stream of bytes: another protocol over extended CONNECT (RFC 8441).

use super::{FULL, Mux, stream::Body};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Buf, Error, ErrorKind, Str, Stream, StreamImpl, StreamInfo};
use std::task::{Context, Poll, ready};

/// The stream as bytes.
pub(super) fn stream(body: Body) -> Stream {
    Stream::new(Tunnel { body, left: Bytes::default(), first: None })
}

struct Tunnel {
    body: Body,
    /// Received and not read yet.
    left: Bytes,
    /// Put back in front.
    first: Option<Bytes>,
}

impl StreamImpl for Tunnel {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        loop {
            let from = match &mut self.first {
                Some(first) if !first.is_empty() => first,
                _ => &mut self.left,
            };
            if !from.is_empty() {
                let n = from.len().min(to.len());
                to[..n].copy_from_slice(&from[..n]);
                from.advance(n);
                return Poll::Ready(Ok(n));
            }
            match ready!(self.body.poll_next(cx))? {
                Some(bytes) => self.left = bytes,
                None => return Poll::Ready(Ok(0)),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        let mux = &mut *self.body.link().borrow_mut();
        if !mux.codec.is_open(self.body.id()) {
            return Poll::Ready(Err(Error::bare(ErrorKind::BrokenPipe)));
        }
        if mux.conn.pending() >= FULL {
            self.body.wait(mux, cx, true);
            return Poll::Pending;
        }
        let Mux { codec, conn, .. } = mux;
        let sent = codec.data(self.body.id(), from, false, &mut conn.out);
        if sent == 0 && !from.is_empty() {
            self.body.wait(mux, cx, false);
            return Poll::Pending;
        }
        mux.wake();
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mux = &mut *self.body.link().borrow_mut();
        mux.codec.data(self.body.id(), &[], true, &mut mux.conn.out);
        mux.wake();
        Poll::Ready(Ok(()))
    }

    fn info(&self) -> StreamInfo {
        let info = self.body.link().borrow().conn.stream.info();
        StreamInfo { protocol: Str::new("http2"), ..info }
    }

    fn unread(&mut self, bytes: Buf) {
        self.first = Some(bytes.into());
    }
}
