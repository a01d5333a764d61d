//! Connections of HTTP/2 to peers (RFC 9113): each worker's, shared by its requests. A task of each connection reads frames
//! and sends what the streams have to say.

use super::{
    entry::{Entry, Gone},
    mux::{Broken, Link, Mux, Received},
    peers::{CHECKED, Peers},
    sending::send_trailers,
};
use crate::{
    h1::{self, Id},
    h2::{BadField, Code, Config, Event},
    message::Message,
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Error, now_ms, tracing};
use std::{
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

/// What a peer is allowed. The windows of the streams bound what is held; one for all of them would let a few clients that
/// do not read hold up all others.
pub(super) const CONFIG: Config = Config {
    max_streams: 0,
    window: 256 << 10,
    connection_window: u32::MAX >> 1,
    max_frame: 1 << 14,
    // As the configuration says.
    header_list: 0,
    header_count: 0,
    header_table: 4096,
    extended_connect: false,
    resets: 1000,
    idle_frames: 10_000,
    unsent: 256 << 10,
    clock: now_ms,
};

/// Runs a connection to its end.
pub(super) async fn drive(link: Link, peers: Rc<Peers>, peer: u64) {
    let gone = poll_fn(|cx| turn(&link, &peers, peer, cx)).await;
    // Who says nothing of HTTP/2 does not speak it: those who wait are not to try one after another.
    let failed = !link.borrow().codec.has_settings() && !link.borrow().alone;
    peers.forget(peer, &link, failed);
    let mux = &mut *link.borrow_mut();
    mux.waker = None;
    mux.over = true;
    if let Some(opener) = &mux.opener {
        opener.wake_by_ref();
    }
    for entry in mux.streams.iter_mut().flatten() {
        if !entry.ended && entry.gone.is_none() {
            entry.gone = Some(gone);
        }
        entry.wake();
    }
}

/// Reads and sends. Ready: the connection is over, and so are its streams.
fn turn(link: &Link, peers: &Peers, peer: u64, cx: &mut Context<'_>) -> Poll<Gone> {
    link.borrow_mut().note(cx);
    let mut over = None;
    loop {
        let received = link.borrow_mut().receive(cx);
        match received {
            Ok(Received::Event(Event::Head { stream, key, end })) => head(&mut link.borrow_mut(), stream, key, end),
            Ok(Received::Event(_)) => {}
            Ok(Received::Later) => break,
            Ok(Received::End) => {
                over = Some(Gone::Ended);
                break;
            }
            Err(Broken::Fatal(fatal)) => {
                let (code, why) = (fatal.code.name(), fatal.reason);
                if peer == CHECKED {
                    // The check says what came of it, and comes again and again.
                    tracing::debug!(code, "connection of a health check ended: {why}");
                } else {
                    tracing::info!(code, "connection to a peer ended: {why}");
                }
                over = Some(Gone::Malformed);
                break;
            }
            Err(Broken::Stream(_)) => return Poll::Ready(Gone::Ended),
        }
    }
    // Streams may have ended: each is looked for anew.
    if link.borrow().codec.is_draining() {
        peers.forget(peer, link, false);
    } else {
        peers.wake(peer);
    }
    let mux = &mut *link.borrow_mut();
    if let Some(opener) = mux.opener.as_ref().filter(|_| mux.codec.has_settings()) {
        opener.wake_by_ref();
    }
    let sent = mux.send(cx);
    if let Some(gone) = over.or_else(|| sent.is_err().then_some(Gone::Ended)) {
        return Poll::Ready(gone);
    }
    let idle = mux.open == 0 && mux.opener.is_none();
    if (mux.alone || mux.codec.is_draining()) && idle && mux.conn.pending() == 0 {
        return Poll::Ready(Gone::Ended);
    }
    Poll::Pending
}

/// A head of an answer, for its stream.
fn head(mux: &mut Mux, stream: u32, key: u32, end: bool) {
    mux.proven = true;
    let mut message = Message::default();
    let block = mux.codec.block();
    let made = block.status().is_some_and(|status| {
        message.answer(status);
        block.iter().all(|(name, value)| std::str::from_utf8(name).is_ok_and(|name| message.add(name, value).is_ok()))
    });
    if let Some(entry) = mux.entry(key).filter(|e| e.id == stream) {
        if made {
            entry.heads.push_back(message);
            entry.ended |= end;
        } else {
            entry.gone = Some(Gone::Malformed);
        }
        entry.wake();
    }
}

/// One request's stream. Dropping it ends it.
pub(crate) struct Stream {
    link: Link,
    key: u32,
    id: u32,
    /// The connection had carried an answer before.
    kept: bool,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.id)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mux = &mut *self.link.borrow_mut();
        // Nothing is done where it is over.
        mux.codec.reset(self.id, Code::CANCEL, &mut mux.conn.out);
        mux.leave(self.key);
        mux.wake();
    }
}

impl Stream {
    pub(super) fn open(link: &Link, keep_ms: u64) -> Option<Self> {
        let mux = &mut *link.borrow_mut();
        if mux.codec.is_draining() {
            return None;
        }
        let id = mux.codec.open()?;
        let key = mux.enter(Entry::new(id));
        mux.codec.set_key(id, key);
        mux.keep_ms = keep_ms;
        Some(Self { link: Rc::clone(link), key, id, kept: mux.proven })
    }

    /// Where it is.
    pub(super) const fn parts(&self) -> (&Link, u32, u32) {
        (&self.link, self.key, self.id)
    }

    /// The same stream for another owner: this one has none any more.
    pub(crate) fn hand_over(&mut self) -> Self {
        let key = std::mem::replace(&mut self.key, u32::MAX);
        Self { link: Rc::clone(&self.link), key, id: std::mem::take(&mut self.id), kept: self.kept }
    }

    /// It is on a connection that carried an answer before it began: such a one may end at any time.
    pub(crate) const fn is_on_kept(&self) -> bool {
        self.kept
    }

    /// It is on a connection that was made for it, and carries nothing else.
    pub(crate) fn is_alone(&self) -> bool {
        self.link.borrow().alone
    }

    /// The peer takes extended CONNECT: it has said so (RFC 8441 section 3).
    pub(crate) fn takes_tunnels(&self) -> bool {
        self.link.borrow().codec.peer_extended_connect()
    }

    /// Sends the head of a request, which is there as one of HTTP/1, with `TE: trailers` or none. `end`: nothing follows.
    /// `protocol`: it asks for that one by extended CONNECT (RFC 8441 section 4).
    ///
    /// # Errors
    /// What is no field.
    pub(crate) fn send_head(&self, text: &[u8], protocol: Option<&[u8]>, end: bool) -> Result<(), BadField> {
        const LIMITS: h1::Limits = h1::Limits { line: 1 << 20, head: 2 << 20, headers: 4096 };
        let mut head = h1::Head::default();
        if !matches!(head.request(text, &LIMITS), Ok(h1::Step::Done(_))) {
            return Err(BadField::Value);
        }
        let mux = &mut *self.link.borrow_mut();
        let secure = !mux.conn.is_plain();
        let Mux { conn, codec, .. } = mux;
        let Some(mut writer) = codec.headers(self.id, &mut conn.out) else { return Ok(()) };
        let scheme: &[u8] = if secure { b"https" } else { b"http" };
        let host = head.fields().value(text, Id::Host);
        let method = if protocol.is_some() { b"CONNECT" } else { head.method_name(text) };
        writer.request(method, Some(scheme), host, Some(head.target(text)), protocol)?;
        for line in head.fields().list() {
            let of_connection = matches!(
                line.id,
                Id::Host | Id::Connection | Id::KeepAlive | Id::ProxyConnection | Id::TransferEncoding | Id::Upgrade
            );
            // A stream becomes the other protocol's, and no key is to show that (RFC 8441 section 5).
            let of_upgrade = protocol.is_some() && matches!(line.id, Id::SecWebSocketKey | Id::ContentLength | Id::Te);
            if !of_connection && !of_upgrade {
                writer.field(line.name(text), line.value(text), line.id == Id::Authorization)?;
            }
        }
        writer.finish(end);
        mux.wake();
        Ok(())
    }

    /// Sends a piece of the request's body; the piece keeps what is not taken. False: no more is taken now.
    pub(crate) fn send(&self, piece: &mut Bytes, end: bool, cx: &Context<'_>) -> bool {
        self.link.borrow_mut().put(self.key, piece, end, cx)
    }

    /// Ends the request.
    pub(crate) fn end(&self, trailers: &[u8]) {
        let mux = &mut *self.link.borrow_mut();
        let Mux { conn, codec, .. } = mux;
        if trailers.is_empty() {
            codec.data(self.id, &[], true, &mut conn.out);
        } else {
            send_trailers(codec, self.id, trailers, &mut conn.out);
        }
        mux.wake();
    }

    /// The next head of an answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn poll_head(&self, cx: &Context<'_>) -> Poll<Result<Message, Gone>> {
        let mux = &mut *self.link.borrow_mut();
        let Some(entry) = mux.entry(self.key) else { return Poll::Ready(Err(Gone::Reset)) };
        if let Some(message) = entry.heads.pop_front() {
            return Poll::Ready(Ok(message));
        }
        match entry.gone {
            Some(gone) => Poll::Ready(Err(gone)),
            // An answer without a final head is none.
            None if entry.ended => Poll::Ready(Err(Gone::Malformed)),
            None => {
                entry.note(cx);
                Poll::Pending
            }
        }
    }

    /// The next piece of the answer's body. `None`: it is complete.
    ///
    /// # Errors
    /// `Reset`: the stream is gone.
    pub(crate) fn poll_piece(&self, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        self.link.borrow_mut().poll_piece(self.key, cx)
    }

    /// Whether all of the answer is here; its length then.
    pub(crate) fn is_whole(&self) -> Option<usize> {
        let mux = &mut *self.link.borrow_mut();
        let entry = mux.entry(self.key)?;
        (entry.ended && entry.trailers.is_empty()).then(|| entry.received.len())
    }

    /// The lines behind the answer.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        self.link.borrow_mut().entry(self.key).map_or_else(Vec::new, |e| std::mem::take(&mut e.trailers))
    }

    /// The connection takes no more streams: one of the sides has said so.
    pub(crate) fn is_leaving(&self) -> bool {
        self.link.borrow().codec.is_draining()
    }

    /// The connection does not answer: others are to use another one.
    pub(crate) fn distrust(&self) {
        let mux = &mut *self.link.borrow_mut();
        mux.codec.drain(&mut mux.conn.out);
        mux.wake();
    }
}
