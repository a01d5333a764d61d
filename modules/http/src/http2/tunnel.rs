//! A stream of HTTP/2 as a stream of bytes: another protocol over extended CONNECT (RFC 8441).

use super::{client, mux::Link, stream::Body};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Buf, Error, ErrorKind, Str, Stream, StreamImpl, StreamInfo};
use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Bytes that are put into frames at once.
const PIECE: usize = 16 << 10;

/// A client's stream as bytes. It is its task's: this one does not end it.
pub(super) fn stream(body: &Body) -> Stream {
    Stream::new(Tunnel::new(body.link(), body.key(), body.id(), None))
}

/// A stream at a peer as bytes, which ends with them.
pub(crate) fn to_peer(stream: client::Stream) -> Stream {
    let (link, key, id) = stream.parts();
    Stream::new(Tunnel::new(&Rc::clone(link), key, id, Some(stream)))
}

struct Tunnel {
    link: Link,
    key: u32,
    id: u32,
    /// Received and not read yet.
    left: Bytes,
    /// Put back in front.
    first: Option<Bytes>,
    /// Dropped last: a stream that both sides have not ended is reset then.
    _owned: Option<client::Stream>,
}

impl Tunnel {
    fn new(link: &Link, key: u32, id: u32, owned: Option<client::Stream>) -> Self {
        Self { link: Rc::clone(link), key, id, left: Bytes::default(), first: None, _owned: owned }
    }
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
            match ready!(self.link.borrow_mut().poll_piece(self.key, cx))? {
                Some(bytes) => self.left = bytes,
                None => return Poll::Ready(Ok(0)),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        let mux = &mut *self.link.borrow_mut();
        // One that the other side has ended hears nothing of the connection's end.
        if mux.over || !mux.codec.is_open(self.id) {
            return Poll::Ready(Err(Error::bare(ErrorKind::BrokenPipe)));
        }
        let mut piece = Bytes::from(from[..from.len().min(PIECE)].to_vec());
        let len = piece.len();
        mux.put(self.key, &mut piece, false, cx);
        match len - piece.len() {
            0 if len > 0 => Poll::Pending,
            sent => Poll::Ready(Ok(sent)),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mux = &mut *self.link.borrow_mut();
        mux.codec.data(self.id, &[], true, &mut mux.conn.out);
        mux.wake();
        Poll::Ready(Ok(()))
    }

    fn info(&self) -> StreamInfo<'_> {
        let link = self.link.borrow();
        // The name and the protocol that were agreed on are the connection's, not this one's.
        let StreamInfo { peer, local, .. } = link.conn.stream.info();
        StreamInfo { peer, local, protocol: Str::new("http2"), ..StreamInfo::default() }
    }

    fn unread(&mut self, bytes: Buf) {
        self.first = Some(bytes.into());
    }
}
