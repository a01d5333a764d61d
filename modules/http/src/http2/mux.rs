//! A connection of HTTP/2 and its streams, of either side: what their tasks share.

use super::{
    PREFACE,
    deadlines::Deadline,
    entry::{Entry, SHARE},
    request,
    turns::Turns,
};
use crate::{
    Http,
    conn::Conn,
    h2::{Code, Connection, Event, Fatal},
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Cause, CloseReason, Error, ErrorKind, Session, Stage, Who, now_ms, ready_tasks};
use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Bytes to be sent from which on streams wait.
pub(super) const FULL: usize = 256 << 10;
/// From so many on no more is read. Streams alone do not come to that: two sides that wait for each other to read would
/// wait for ever.
const DEAF: usize = 2 * FULL;
/// Reads of a connection in one turn of its task, of up to 64 KiB each.
const READS: u32 = 8;
/// From so many tasks in one turn on, less than this waits for what other streams have to say.
const TOGETHER: u64 = 4;
const LITTLE: usize = 16 << 10;
/// From so many bytes on a piece is sent without a copy.
const WHOLE: usize = 4 << 10;

/// What came of reading.
pub(super) enum Received {
    Event(Event),
    /// The peer has ended the connection.
    End,
    /// Nothing more now.
    Later,
}

/// Why a connection cannot go on.
pub(super) enum Broken {
    /// The peer is told why.
    Fatal(Fatal),
    Stream(Error),
}

/// A connection and its streams: shared by their tasks.
pub(crate) type Link = Rc<RefCell<Mux>>;

/// What is said and heard on one connection.
#[derive(Debug)]
pub(crate) struct Mux {
    pub(super) conn: Conn,
    pub(super) codec: Connection,
    pub(super) streams: Vec<Option<Entry>>,
    pub(super) free: Vec<u32>,
    pub(super) open: usize,
    /// Of a server: the connection's, at whose deadline those of the streams are looked at.
    pub(super) session: Option<Session<Http>>,
    /// Of a client: it ends with its first stream.
    pub(super) alone: bool,
    /// Of a client: who opens its first stream once the peer has said what it allows.
    pub(super) opener: Option<Waker>,
    /// Of a client: its task has ended, and nothing is sent any more.
    pub(super) over: bool,
    /// Of a client: for how long it is kept when it has no stream, and since when it has none.
    pub(super) keep_ms: u64,
    pub(super) left_ms: u64,
    /// The connection's task.
    pub(super) waker: Option<Waker>,
    /// Streams that wait for room in what is to be sent.
    waiting: Turns,
    /// Too much was to be sent when more was to be read.
    deaf: bool,
    /// How often was read in this turn.
    reads: u32,
}

impl Mux {
    pub(super) fn new(conn: Conn, codec: Connection) -> Self {
        Self {
            conn,
            codec,
            streams: Vec::new(),
            free: Vec::new(),
            open: 0,
            session: None,
            alone: false,
            opener: None,
            over: false,
            keep_ms: 0,
            left_ms: 0,
            waker: None,
            waiting: Turns::default(),
            deaf: false,
            reads: 0,
        }
    }

    /// A turn of the connection's task, which is this one, begins.
    pub(super) fn note(&mut self, cx: &Context<'_>) {
        self.reads = 0;
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Reads up to the next event that is not a stream's own: those are noted where they belong.
    ///
    /// # Errors
    /// What the peer did wrong, which is to be told before the end, or what the stream says.
    pub(super) fn receive(&mut self, cx: &mut Context<'_>) -> Result<Received, Broken> {
        loop {
            if self.conn.pending() >= DEAF {
                self.deaf = true;
                return Ok(Received::Later);
            }
            let (unread, out) = self.conn.unread_and_out();
            let (n, event) = self.codec.receive(unread, out).map_err(Broken::Fatal)?;
            if let Some(Event::Data { stream, key, payload, end, credit }) = event {
                let end_of_payload = payload.end;
                let bytes = self.conn.take(payload);
                self.conn.consume(n - end_of_payload);
                self.data(stream, key, bytes, end, credit);
                continue;
            }
            self.conn.consume(n);
            match event {
                Some(Event::Trailers { stream, key }) => {
                    let lines = request::lines(self.codec.block());
                    if let Some(entry) = self.entry(key).filter(|e| e.id == stream) {
                        entry.trailers = lines;
                        entry.ended = true;
                        entry.wake();
                    }
                }
                Some(Event::Reset { stream, key, code, .. }) => {
                    if let Some(entry) = self.entry(key).filter(|e| e.id == stream) {
                        // What was complete before stays so (RFC 9113 section 8.1).
                        if !(entry.ended && code == Code::NO_ERROR) {
                            entry.reset = Some(code);
                        }
                        if let Some(watch) = &entry.watch {
                            watch.kill.set(1);
                            watch.close(CloseReason::new(Who::Client, Stage::Transfer, Cause::Reset));
                        }
                        entry.wake();
                    }
                }
                Some(Event::Writable { stream: 0, .. }) => self.wake_all(),
                Some(Event::Writable { key, .. }) => self.wake_stream(key),
                Some(event) => return Ok(Received::Event(event)),
                // Others of the worker have their turn.
                None if self.reads >= READS => {
                    self.wake();
                    return Ok(Received::Later);
                }
                None => match self.conn.poll_fill(cx, PREFACE.len()) {
                    Poll::Ready(Ok(0)) => return Ok(Received::End),
                    Poll::Ready(Ok(_)) => self.reads += 1,
                    Poll::Ready(Err(e)) if e.kind == ErrorKind::Reset => return Ok(Received::End),
                    Poll::Ready(Err(e)) => return Err(Broken::Stream(e)),
                    Poll::Pending => return Ok(Received::Later),
                },
            }
        }
    }

    fn data(&mut self, stream: u32, key: u32, bytes: Bytes, end: bool, credit: u32) {
        match self.streams.get_mut(key as usize).and_then(Option::as_mut).filter(|e| e.id == stream) {
            Some(entry) => {
                entry.ended |= end;
                if !bytes.is_empty() || credit > 0 {
                    entry.received.push(bytes, credit);
                }
                entry.wake();
            }
            // Whoever would have read it is gone.
            None => self.codec.release(stream, credit, &mut self.conn.out),
        }
    }

    /// The next piece that a stream received. `None`: it is complete.
    ///
    /// # Errors
    /// `Reset`: the stream is gone.
    pub(super) fn poll_piece(&mut self, key: u32, cx: &Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let Some(entry) = self.streams.get_mut(key as usize).and_then(Option::as_mut) else {
            return Poll::Ready(Err(Error::bare(ErrorKind::Reset)));
        };
        while let Some((bytes, credit)) = entry.received.pop() {
            let before = self.conn.out.len();
            self.codec.release(entry.id, credit, &mut self.conn.out);
            if self.conn.out.len() > before
                && let Some(waker) = &self.waker
            {
                waker.wake_by_ref();
            }
            if !bytes.is_empty() {
                return Poll::Ready(Ok(Some(bytes)));
            }
        }
        if entry.reset.is_some() {
            return Poll::Ready(Err(Error::bare(ErrorKind::Reset)));
        }
        if entry.ended {
            return Poll::Ready(Ok(None));
        }
        entry.note(cx);
        Poll::Pending
    }

    /// Sends what is to be sent, and lets streams go on that wait for room.
    ///
    /// # Errors
    /// What the stream says.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.conn.pending() > 0
            && !self.puts_off(cx)
            && let Poll::Ready(Err(e)) = self.conn.poll_send(cx, false)
        {
            return Err(e);
        }
        if self.open == 0 && self.conn.pending() == 0 {
            self.conn.rest();
        }
        if self.conn.pending() < DEAF && std::mem::take(&mut self.deaf) {
            // Nobody else says that there is something to be read.
            self.wake();
        }
        self.share_out();
        Ok(())
    }

    /// Whether little waits for this task's next turn, which comes before the worker looks at sockets again: what the
    /// streams say until then goes with it, in one write.
    fn puts_off(&self, cx: &Context<'_>) -> bool {
        let off = self.conn.pending() < LITTLE && ready_tasks() >= TOGETHER;
        if off {
            cx.waker().wake_by_ref();
        }
        off
    }

    /// Lets as many streams go on as there is room for.
    fn share_out(&mut self) {
        let room = FULL.saturating_sub(self.conn.pending()).div_ceil(SHARE);
        let Some(urgency) = self.waiting.urgency() else { return };
        for _ in 0..room {
            let Some(key) = self.waiting.pop(urgency) else { break };
            if let Some(entry) = self.entry(key) {
                entry.queued = false;
                entry.share = SHARE;
                entry.wake();
            }
        }
        if room > 0 && !self.waiting.is_empty() {
            // Those that were woken may have nothing to send.
            self.wake();
        }
    }

    /// Puts a piece of a body into frames, as much as windows and the connection take; the piece keeps the rest. False: they
    /// take no more now, and the stream's task is woken when they do.
    pub(super) fn put(&mut self, key: u32, piece: &mut Bytes, end: bool, cx: &Context<'_>) -> bool {
        let alone = self.open < 2;
        loop {
            let full = self.conn.pending() >= FULL;
            let Self { conn, codec, streams, waiting, .. } = self;
            let Some(entry) = streams.get_mut(key as usize).and_then(Option::as_mut) else { return false };
            if alone && entry.share == 0 {
                entry.share = SHARE;
            }
            if full || entry.share == 0 || entry.queued {
                if !std::mem::replace(&mut entry.queued, true) {
                    waiting.push(key, entry.urgency);
                }
                break;
            }
            let (id, len) = (entry.id, piece.len());
            let room = codec.capacity(id).min(codec.max_data());
            let sent = if len > WHOLE && len <= room && codec.data_head(id, len, end, &mut conn.out) {
                conn.put(std::mem::take(piece), false);
                len
            } else {
                let part = len.min(entry.share);
                let sent = codec.data(id, &piece[..part], end && part == len, &mut conn.out);
                piece.advance(sent);
                sent
            };
            entry.share = entry.share.saturating_sub(sent);
            if piece.is_empty() {
                self.wake();
                return true;
            }
            if sent == 0 {
                // The windows: there is an event when they open.
                break;
            }
        }
        if let Some(entry) = self.entry(key) {
            entry.note(cx);
        }
        self.wake();
        false
    }

    /// The connection's task has something to do.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Of a server: what its streams have to do with time.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Deadline<'_>> {
        self.streams.iter().flatten().filter_map(|entry| {
            let watch = entry.watch.as_ref()?;
            Some(Deadline { at_ms: &watch.deadline_ms, fired: &watch.fired, waker: entry.waker.as_ref() })
        })
    }

    /// Of a client: the peer has not said yet what it allows.
    pub(super) fn is_new(&self) -> bool {
        !self.codec.has_settings() && !self.codec.is_draining()
    }

    /// Of a client: nobody has had a use for it for longer than it is kept.
    pub(super) fn is_left(&self, now_ms: u64) -> bool {
        self.open == 0 && self.opener.is_none() && now_ms >= self.left_ms + self.keep_ms
    }

    /// Of a client: another stream may be opened on it, if there is room.
    pub(super) fn is_usable(&self, now_ms: u64) -> bool {
        !self.is_new() && !self.is_left(now_ms)
    }

    pub(super) fn entry(&mut self, key: u32) -> Option<&mut Entry> {
        self.streams.get_mut(key as usize)?.as_mut()
    }

    pub(super) fn enter(&mut self, entry: Entry) -> u32 {
        self.open += 1;
        match self.free.pop() {
            Some(key) => {
                self.streams[key as usize] = Some(entry);
                key
            }
            None => {
                self.streams.push(Some(entry));
                self.streams.len() as u32 - 1
            }
        }
    }

    /// The stream's task is done with it: what it has not read is released.
    pub(super) fn leave(&mut self, key: u32) {
        if let Some(entry) = self.streams.get_mut(key as usize).and_then(Option::as_mut) {
            while let Some((_, credit)) = entry.received.pop() {
                self.codec.release(entry.id, credit, &mut self.conn.out);
            }
        }
        if let Some(entry) = self.streams.get_mut(key as usize).and_then(Option::take) {
            if entry.queued {
                self.waiting.remove(key);
            }
            self.open -= 1;
            self.free.push(key);
            if self.open == 0 {
                self.left_ms = now_ms();
            }
        }
    }

    pub(super) fn wake_stream(&mut self, key: u32) {
        if let Some(entry) = self.entry(key) {
            entry.wake();
        }
    }

    pub(super) fn wake_all(&self) {
        self.streams.iter().flatten().for_each(Entry::wake);
    }
    /// Of a server: an operator has ended some.
    pub(super) fn wake_killed(&self) {
        let killed = |e: &&Entry| e.watch.as_ref().is_some_and(|watch| watch.kill.get() != 0);
        self.streams.iter().flatten().filter(killed).for_each(Entry::wake);
    }
}
