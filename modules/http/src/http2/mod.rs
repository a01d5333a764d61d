//! The life of a client's connection of HTTP/2 (RFC 9113): each request is a stream with a task and an exchange of its own.
//! This task reads frames and sends what the streams have to say.
//!
//! ```text
//! preface, SETTINGS → frames: head → exchange, task → respond → head and body of the answer, in frames
//!                   → GOAWAY, when the configuration is retired or nobody asks for anything
//! ```

mod request;
mod stream;
mod tunnel;

pub(crate) use stream::Body;

use crate::{
    Http,
    conf::Conf,
    conn::Conn,
    exchange::State,
    h2::{Code, Config, Connection, Event, Fatal, Role},
    reply::Client,
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{
    Cause, CloseReason, Error, ErrorKind, Exchange, Session, Stage, Task, Who, now_ms, spawn, tracing,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, Waker},
};

/// What every client of HTTP/2 begins with (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes to be sent from which on no more is read and streams wait.
const FULL: usize = 256 << 10;
/// How often the deadlines of streams are looked at.
const TICK_MS: u64 = 200;
/// A client that does not answer PING within this time hears the last word without it.
const LAST_WORD_MS: u64 = 1000;
/// How long the end may take.
const END_MS: u64 = 1000;
/// What PING carries before the last word.
const MARK: [u8; 8] = *b"anyproxy";

/// A connection and its streams: shared by their tasks.
pub(crate) type Link = Rc<RefCell<Mux>>;

/// What is said and heard on one connection.
#[derive(Debug)]
pub(crate) struct Mux {
    conn: Conn,
    codec: Connection,
    streams: Vec<Option<Entry>>,
    free: Vec<u32>,
    open: usize,
    /// The connection's task.
    waker: Option<Waker>,
    /// Streams that wait for room in what is to be sent.
    waiting: Vec<u32>,
}

/// A stream whose answer is under way.
#[derive(Debug)]
struct Entry {
    id: u32,
    /// Its task's; set when that is polled first.
    waker: Option<Waker>,
    task: Option<Task>,
    /// Its deadline and its end.
    watch: Session<Http>,
    received: VecDeque<(Bytes, u32)>,
    trailers: Vec<u8>,
    /// Nothing more is received.
    ended: bool,
    /// It is gone.
    reset: bool,
}

impl Mux {
    /// The connection's task has something to do.
    fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    fn entry(&mut self, key: u32) -> Option<&mut Entry> {
        self.streams.get_mut(key as usize)?.as_mut()
    }

    fn enter(&mut self, entry: Entry) -> u32 {
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

    fn leave(&mut self, key: u32) {
        if let Some(entry) = self.streams.get_mut(key as usize)
            && entry.take().is_some()
        {
            self.open -= 1;
            self.free.push(key);
        }
    }

    fn wake_stream(&mut self, key: u32) {
        if let Some(waker) = self.entry(key).and_then(|e| e.waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    fn wake_all(&self) {
        self.streams.iter().flatten().filter_map(|e| e.waker.as_ref()).for_each(Waker::wake_by_ref);
    }
}

/// What a block of the configuration allows a client.
fn config(conf: &Conf) -> Config {
    Config {
        max_streams: conf.http2_streams,
        window: conf.http2_window,
        connection_window: conf.http2_window.saturating_mul(4).max(1 << 20),
        header_list: conf.header_size as u32,
        header_count: conf.header_count,
        extended_connect: true,
        unsent: FULL as u32,
        ..Config::default()
    }
}

/// Serves a connection whose first bytes are those of HTTP/2.
///
/// # Errors
/// What the stream says.
pub(crate) async fn serve(session: Session<Http>, conn: Conn, secure: bool) -> Result<(), Error> {
    let mut codec = Connection::new(Role::Server, config(session.conf()));
    let mut conn = conn;
    codec.start(&mut conn.out);
    let mux = Mux { conn, codec, streams: Vec::new(), free: Vec::new(), open: 0, waker: None, waiting: Vec::new() };
    let now = now_ms();
    let mut life = Life {
        link: Rc::new(RefCell::new(mux)),
        client: Rc::new(Client::new(&session)),
        secure,
        served: 0,
        idle_since: now,
        drained: 0,
        finished: false,
        session,
    };
    let result = poll_fn(|cx| life.turn(cx)).await;
    life.end_streams();
    let link = Rc::clone(&life.link);
    let session = &life.session;
    // What is left to be said: GOAWAY, mostly.
    let _ = crate::conn::within(session, END_MS, |cx| link.borrow_mut().conn.poll_send(cx, true)).await;
    let _ = crate::conn::within(session, END_MS, |cx| link.borrow_mut().conn.stream.poll_shutdown(cx)).await;
    result
}

struct Life {
    session: Session<Http>,
    link: Link,
    client: Rc<Client>,
    secure: bool,
    served: u64,
    /// When the last stream ended.
    idle_since: u64,
    /// When the client was told to ask for nothing more; 0: it was not.
    drained: u64,
    /// It was told which stream was the last.
    finished: bool,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.end_streams();
    }
}

impl Life {
    /// Reads, begins streams, sends.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.session.kill.get() != 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::Cancelled)));
        }
        {
            let mux = &mut *self.link.borrow_mut();
            if !mux.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                mux.waker = Some(cx.waker().clone());
            }
        }
        let ended = match self.read(cx) {
            Ok(ended) => ended,
            Err(e) => return Poll::Ready(e),
        };
        self.time();
        let mux = &mut *self.link.borrow_mut();
        if mux.conn.pending() > 0
            && !mux.conn.puts_off(cx)
            && let Poll::Ready(Err(e)) = mux.conn.poll_send(cx, false)
        {
            return Poll::Ready(Err(e));
        }
        if mux.conn.pending() < FULL {
            for key in std::mem::take(&mut mux.waiting) {
                mux.wake_stream(key);
            }
        }
        if ended || (self.finished && mux.open == 0 && mux.conn.pending() == 0) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// Reads what is there. True: the client has ended the connection.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Result<(), Error>> {
        loop {
            let event = {
                let Mux { conn, codec, .. } = &mut *self.link.borrow_mut();
                if conn.pending() >= FULL {
                    return Ok(false);
                }
                let (unread, out) = conn.unread_and_out();
                match codec.receive(unread, out) {
                    Ok((n, Some(Event::Data { stream, key, payload, end, credit }))) => {
                        let end_of_payload = payload.end;
                        let bytes = conn.take(payload);
                        conn.consume(n - end_of_payload);
                        Some(Heard::Data { stream, key, bytes, end, credit })
                    }
                    Ok((n, event)) => {
                        conn.consume(n);
                        event.map(Heard::Other)
                    }
                    Err(fatal) => return Err(self.fatal(fatal)),
                }
            };
            match event {
                Some(Heard::Data { stream, key, bytes, end, credit }) => self.data(stream, key, bytes, end, credit),
                Some(Heard::Other(event)) => self.hear(event),
                None => match self.link.borrow_mut().conn.poll_fill(cx, PREFACE.len()) {
                    Poll::Ready(Ok(0)) => return Ok(true),
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(e)) if e.kind == ErrorKind::Reset => return Ok(true),
                    Poll::Ready(Err(e)) => return Err(Err(e)),
                    Poll::Pending => return Ok(false),
                },
            }
        }
    }

    fn fatal(&self, fatal: Fatal) -> Result<(), Error> {
        tracing::info!(session = self.session.id, code = fatal.code.name(), "connection ended: {}", fatal.reason);
        self.session.close(CloseReason::new(Who::Client, Stage::Transfer, Cause::Malformed));
        // It is said to the client before the end.
        Ok(())
    }

    fn data(&mut self, stream: u32, key: u32, bytes: Bytes, end: bool, credit: u32) {
        let mux = &mut *self.link.borrow_mut();
        match mux.streams.get_mut(key as usize).and_then(Option::as_mut).filter(|e| e.id == stream) {
            Some(entry) => {
                entry.ended |= end;
                if !bytes.is_empty() || credit > 0 {
                    entry.received.push_back((bytes, credit));
                }
                mux.wake_stream(key);
            }
            // Whoever would have read it is gone.
            None => mux.codec.release(stream, credit, &mut mux.conn.out),
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Head { stream, end, .. } => self.begin(stream, end, None),
            Event::Refused { stream, end, status } => self.begin(stream, end, Some(status)),
            Event::Trailers { stream, key } => {
                let mux = &mut *self.link.borrow_mut();
                let lines = request::lines(mux.codec.block());
                if let Some(entry) = mux.entry(key).filter(|e| e.id == stream) {
                    entry.trailers = lines;
                    entry.ended = true;
                    mux.wake_stream(key);
                }
            }
            Event::Reset { stream, key, code, .. } => {
                let mux = &mut *self.link.borrow_mut();
                if let Some(entry) = mux.entry(key).filter(|e| e.id == stream) {
                    tracing::debug!(session = entry.watch.id, code = code.name(), "stream reset");
                    entry.reset = true;
                    entry.watch.kill.set(1);
                    entry.watch.close(CloseReason::new(Who::Client, Stage::Transfer, Cause::Reset));
                    mux.wake_stream(key);
                }
            }
            Event::Writable { stream: 0, .. } => self.link.borrow().wake_all(),
            Event::Writable { key, .. } => self.link.borrow_mut().wake_stream(key),
            Event::Pong { payload: MARK } if self.drained > 0 => self.finish(),
            // A client that says so may still have streams.
            Event::GoAway { .. } | Event::Pong { .. } | Event::Data { .. } => {}
        }
    }

    /// Begins the answer to a request whose head is in the codec's block.
    fn begin(&mut self, id: u32, end: bool, refused: Option<u16>) {
        self.served += 1;
        let session = &self.session;
        session.module().stats.requests.fetch_add(1, Relaxed);
        session.idle.set(0);
        let parts = session.worker().request();
        let exchange: Exchange<Http> = session.exchange();
        let mux = &mut *self.link.borrow_mut();
        let made = request::make(mux.codec.block(), &mut parts.borrow_mut(), self.secure);
        let status = refused.or(made.err());
        let length = if end { Some(0) } else { mux.codec.block().content_length() };
        exchange.client_received.set(parts.borrow().request.bytes.len() as u64);
        exchange.slot(|| State::new(parts, &session.worker().spare));
        let entry = Entry {
            id,
            waker: None,
            task: None,
            watch: Session::clone(&exchange),
            received: VecDeque::new(),
            trailers: Vec::new(),
            ended: end,
            reset: false,
        };
        let key = mux.enter(entry);
        mux.codec.set_key(id, key);
        let body = Body::new(&self.link, key, id);
        let stream = stream::answer(body, exchange, Rc::clone(&self.client), length, status);
        // It runs after this turn: nothing of it is polled here.
        let task = spawn(stream);
        if let Some(entry) = mux.entry(key) {
            entry.task = Some(task);
        }
        let most = session.conf().keepalive_requests;
        if most != 0 && self.served >= most && self.drained == 0 {
            drain(mux, &mut self.drained);
        }
    }

    /// Looks at what has to do with time, and with the end.
    fn time(&mut self) {
        let now = now_ms();
        let session = &self.session;
        let mux = &mut *self.link.borrow_mut();
        session.fired.set(0);
        if session.draining.get() != 0 && self.drained == 0 {
            drain(mux, &mut self.drained);
        }
        let mut next = u64::MAX;
        if mux.open > 0 {
            self.idle_since = now;
            for entry in mux.streams.iter().flatten() {
                let deadline = entry.watch.deadline_ms.get();
                if deadline != 0 && deadline <= now && entry.watch.fired.get() == 0 {
                    entry.watch.fired.set(1);
                    if let Some(waker) = &entry.waker {
                        waker.wake_by_ref();
                    }
                }
            }
            next = now + TICK_MS;
        } else {
            session.idle.set(1);
            let conf = session.conf();
            let limit = if self.served == 0 { conf.header_ms } else { conf.keepalive_ms };
            if now >= self.idle_since + limit && self.drained == 0 {
                drain(mux, &mut self.drained);
            } else if self.drained == 0 {
                next = self.idle_since + limit;
            }
        }
        if self.drained > 0 && !self.finished {
            if now >= self.drained + LAST_WORD_MS {
                mux.codec.finish_drain(&mut mux.conn.out);
                self.finished = true;
            }
            next = next.min(self.drained + LAST_WORD_MS);
        }
        session.deadline_ms.set(if next == u64::MAX { 0 } else { next.max(now + 1) });
    }

    fn finish(&mut self) {
        if !std::mem::replace(&mut self.finished, true) {
            let Mux { codec, conn, .. } = &mut *self.link.borrow_mut();
            codec.finish_drain(&mut conn.out);
        }
    }

    /// Ends the tasks of all streams.
    fn end_streams(&mut self) {
        let tasks: Vec<_> = {
            let mux = &mut *self.link.borrow_mut();
            if mux.open > 0 && !self.finished {
                mux.codec.go_away(Code::NO_ERROR, &mut mux.conn.out);
            }
            mux.waker = None;
            mux.streams.iter_mut().flatten().filter_map(|e| e.task.take()).collect()
        };
        tasks.iter().for_each(Task::abort);
    }
}

/// Asks the client to open no more streams.
fn drain(mux: &mut Mux, drained: &mut u64) {
    *drained = now_ms().max(1);
    mux.codec.drain(&mut mux.conn.out);
    mux.codec.ping(MARK, &mut mux.conn.out);
}

enum Heard {
    Data { stream: u32, key: u32, bytes: Bytes, end: bool, credit: u32 },
    Other(Event),
}
