//! A connection of HTTP/2 and its streams, of either side: what their tasks share.

use super::{
    PREFACE,
    deadlines::Deadline,
    entry::{Entry, Gone},
    request,
    share::DEAF,
    turns::Turns,
};
use crate::{
    Http,
    conn::Conn,
    h2::{Code, Connection, Event, Fatal, Wrong},
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Cause, Error, ErrorKind, Session, now_ms, tracing};
use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Reads of a connection in one turn of its task, of up to 64 KiB each.
const READS: u32 = 8;

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
    /// Of a server: the client has ended its side. It still hears the answers to what it has asked.
    pub(super) closed: bool,
    /// Of a client: an answer has come on it.
    pub(super) proven: bool,
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
    pub(super) waiting: Turns,
    /// Of a server: the client has said something of the order of answers.
    pub(super) orders: bool,
    /// Too much was to be sent when more was to be read.
    pub(super) deaf: bool,
    /// How often was read in this turn.
    reads: u32,
    /// Of a server: when it was last said that a request is malformed.
    told_ms: u64,
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
            closed: false,
            proven: false,
            alone: false,
            opener: None,
            over: false,
            keep_ms: 0,
            left_ms: 0,
            waker: None,
            waiting: Turns::default(),
            orders: false,
            deaf: false,
            reads: 0,
            told_ms: 0,
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
            if let Some(wrong) = self.codec.take_wrong() {
                self.tell(wrong);
            }
            match event {
                Some(Event::Trailers { stream, key }) => {
                    let lines = request::lines(self.codec.block());
                    if let Some(entry) = self.entry(key).filter(|e| e.id == stream) {
                        entry.trailers = lines;
                        entry.ended = true;
                        entry.wake();
                    }
                }
                Some(Event::Reset { stream, key, code, own }) => {
                    if let Some(entry) = self.entry(key).filter(|e| e.id == stream) {
                        // What was complete before stays so (RFC 9113 section 8.1).
                        if !(entry.ended && code == Code::NO_ERROR) {
                            entry.gone = Some(match code {
                                Code::REFUSED_STREAM => Gone::Refused,
                                _ if own => Gone::Malformed,
                                _ => Gone::Reset,
                            });
                        }
                        entry.lose(Cause::Reset);
                    }
                }
                Some(Event::Priority { stream, key }) => self.reorder(stream, key),
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
                    Poll::Ready(Err(e)) => return Err(Broken::Stream(e)),
                    Poll::Pending => return Ok(Received::Later),
                },
            }
        }
    }

    /// Says what a client did wrong: once a second, however often it does.
    #[cold]
    fn tell(&mut self, Wrong { stream, code, reason }: Wrong) {
        let (Some(session), now) = (&self.session, now_ms()) else { return };
        if self.told_ms == 0 || now >= self.told_ms + 1000 {
            self.told_ms = now;
            tracing::info!(session = session.id, stream, code = %code, "request refused: {reason}");
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
        if entry.gone.is_some() {
            return Poll::Ready(Err(Error::bare(ErrorKind::Reset)));
        }
        if entry.ended {
            return Poll::Ready(Ok(None));
        }
        entry.note(cx);
        Poll::Pending
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
