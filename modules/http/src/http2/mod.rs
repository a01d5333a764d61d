//! The life of a client's connection of HTTP/2 (RFC 9113): each request is a stream with a task and an exchange of its own.
//! This task reads frames and sends what the streams have to say.
//!
//! ```text
//! preface, SETTINGS → frames: head → exchange, task → respond → head and body of the answer, in frames
//!                   → GOAWAY, when the configuration is retired or nobody asks for anything
//! ```

pub(crate) mod client;
#[cfg(test)]
mod counted;
mod deadlines;
mod entry;
mod inbox;
mod mux;
mod order;
pub(crate) mod peers;
mod request;
mod sending;
mod share;
mod stream;
pub(crate) mod tunnel;
mod turns;
mod unwanted;
mod waiting;

pub(crate) use entry::Gone;
pub(crate) use stream::Body;

use crate::{
    Http,
    conf::Conf,
    conn::Conn,
    exchange::State,
    fault::Fault,
    h2::{Code, Config, Connection, Event, Fatal, Role},
};
use anyproxy_module_api::{
    Addr, Cause, CloseReason, Error, ErrorKind, Exchange, Session, Stage, Task, Who, idle, now_ms, ready, spawn,
    tracing,
};
use entry::Entry;
use mux::{Broken, Link, Mux, Received};
use share::FULL;
use std::{
    cell::RefCell,
    future::poll_fn,
    rc::Rc,
    task::{Context, Poll},
};

/// What every client of HTTP/2 begins with (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client that does not answer PING within this time hears the last word without it.
const LAST_WORD_MS: u64 = 1000;
/// How long the end may take.
const END_MS: u64 = 1000;
/// How often one that has ended its side is asked whether it is still there, while it has streams.
const PROBE_MS: u64 = 500;
/// What PING carries before the last word.
const MARK: [u8; 8] = *b"anyproxy";

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
        clock: now_ms,
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
    let mut mux = Mux::new(conn, codec);
    mux.session = Some(Session::clone(&session));
    let now = now_ms();
    let mut life = Life {
        link: Rc::new(RefCell::new(mux)),
        sender: session.client.get(),
        secure,
        served: 0,
        idle_since: now,
        drained: 0,
        finished: false,
        probe_at: 0,
        lost: Cause::Killed,
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
    sender: Addr,
    secure: bool,
    served: u64,
    /// When the last stream ended.
    idle_since: u64,
    /// When the client was told to ask for nothing more; 0: it was not.
    drained: u64,
    /// It was told which stream was the last.
    finished: bool,
    /// When the client is to be probed that has ended its side.
    probe_at: u64,
    /// Why streams have no answer that are open at the end.
    lost: Cause,
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
        self.link.borrow_mut().note(cx);
        let mut closed = self.link.borrow().closed;
        if !closed {
            closed = match self.read(cx) {
                Ok(closed) => closed,
                Err(e) => return Poll::Ready(e),
            };
            if closed {
                self.close();
            }
        }
        if let Some(fatal) = self.time() {
            self.lost = Cause::Timeout;
            return Poll::Ready(self.fatal(fatal));
        }
        let mux = &mut *self.link.borrow_mut();
        if let Err(e) = mux.send(cx) {
            self.lost = Fault::of_request(&e).cause;
            return Poll::Ready(Err(e));
        }
        if closed && mux.conn.stream.state() & ready::HUP != 0 {
            // It was not its side alone that it has ended.
            self.lost = Cause::Reset;
            return Poll::Ready(Ok(()));
        }
        // One that has ended its side and takes nothing is not waited for any longer than an idle one.
        let all_sent = mux.conn.pending() == 0 || (closed && self.drained > 0);
        if (self.finished || closed) && mux.open == 0 && all_sent {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }

    /// The client has ended its side: what it has asked in full is answered, if it turns out to be there yet.
    fn close(&mut self) {
        let mux = &mut *self.link.borrow_mut();
        mux.closed = true;
        for entry in mux.streams.iter().flatten() {
            // Those that wait for a window look at it again: it opens no more.
            if entry.ended { entry.wake() } else { entry.lose(Cause::Closed) }
        }
    }

    /// Reads what is there. True: the client has ended the connection.
    ///
    /// # Errors
    /// How the connection ends that cannot go on.
    fn read(&mut self, cx: &mut Context<'_>) -> Result<bool, Result<(), Error>> {
        loop {
            let event = self.link.borrow_mut().receive(cx);
            match event {
                Ok(Received::Event(event)) => self.hear(event),
                Ok(Received::End) => return Ok(true),
                Ok(Received::Later) => return Ok(false),
                Err(Broken::Fatal(fatal)) => {
                    self.lost = Cause::Malformed;
                    return Err(self.fatal(fatal));
                }
                Err(Broken::Stream(e)) => {
                    self.lost = Fault::of_request(&e).cause;
                    return Err(if e.kind == ErrorKind::Reset { Ok(()) } else { Err(e) });
                }
            }
        }
    }

    fn fatal(&mut self, fatal: Fatal) -> Result<(), Error> {
        tracing::info!(session = self.session.id, code = fatal.code.name(), "connection ended: {}", fatal.reason);
        self.session.close(CloseReason::new(Who::Client, Stage::Transfer, self.lost));
        // It is said to the client before the end.
        Ok(())
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Head { stream, end, .. } => self.begin(stream, end, None),
            Event::Refused { stream, end, status } => self.begin(stream, end, Some(status)),
            Event::Pong { payload: MARK } if self.drained > 0 => self.finish(),
            // A client that says GOAWAY may still have streams.
            _ => {}
        }
    }

    /// Begins the answer to a request whose head is in the codec's block.
    fn begin(&mut self, id: u32, end: bool, refused: Option<u16>) {
        self.served += 1;
        let session = &self.session;
        session.worker().stats.requests.add();
        session.idle.set(idle::BUSY);
        let parts = session.worker().request();
        let exchange: Exchange<Http> = session.exchange();
        let mux = &mut *self.link.borrow_mut();
        let made = request::make(mux.codec.block(), &mut parts.borrow_mut(), self.secure);
        let status = refused.or_else(|| made.err());
        let length = if end { Some(0) } else { mux.codec.block().content_length() };
        let received = parts.borrow().request.bytes.len() as u64;
        exchange.client_received.set(received);
        parts.borrow_mut().heads.client_received = received;
        exchange.fill_slot(State::new(parts, &session.worker().spare));
        let entry = Entry { ended: end, watch: Some(Session::clone(&exchange)), ..Entry::new(id) };
        let key = mux.enter(entry);
        mux.codec.set_key(id, key);
        let body = Body::new(&self.link, key, id);
        let stream = stream::answer(body, exchange, self.sender, length, status);
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

    /// Looks at what has to do with time, and with the end. Some: the client takes too long for a head.
    fn time(&mut self) -> Option<Fatal> {
        let now = now_ms();
        let session = &self.session;
        let mux = &mut *self.link.borrow_mut();
        if session.fired.replace(0) != 0 {
            mux.wake_killed();
        }
        if session.draining.get() != 0 && self.drained == 0 {
            drain(mux, &mut self.drained);
        }
        let mut next = u64::MAX;
        if mux.open > 0 {
            self.idle_since = now;
            // Streams that set one tell of it: until the next one there is nothing to look for.
            let known = session.deadline_ms.get();
            next = if known > now { known } else { deadlines::expire(mux.deadlines(), now) };
            if mux.closed {
                if now >= self.probe_at {
                    // What waits to be sent asks as well, and is no more than it was.
                    if mux.conn.pending() == 0 {
                        mux.codec.probe(&mut mux.conn.out);
                    }
                    self.probe_at = now + PROBE_MS;
                }
                next = next.min(self.probe_at);
            }
        } else {
            session.idle.set(idle::WAITS);
            let conf = session.conf();
            let limit = if self.served == 0 { conf.header_ms } else { conf.keepalive_ms };
            if now >= self.idle_since + limit && self.drained == 0 {
                drain(mux, &mut self.drained);
            } else if self.drained == 0 {
                next = self.idle_since + limit;
            }
        }
        // Whatever else goes on: nothing is heard of that before the head is complete.
        if let Some(begun) = mux.codec.begun_ms().filter(|_| !mux.closed) {
            let by = begun + session.conf().header_ms;
            if now >= by {
                let fatal = Fatal { code: Code::NO_ERROR, reason: "a head does not come to its end" };
                mux.codec.go_away(fatal.code, &mut mux.conn.out);
                self.finished = true;
                return Some(fatal);
            }
            next = next.min(by);
        }
        if self.drained > 0 && !self.finished {
            if now >= self.drained + LAST_WORD_MS {
                mux.codec.finish_drain(&mut mux.conn.out);
                self.finished = true;
            }
            next = next.min(self.drained + LAST_WORD_MS);
        }
        session.deadline_ms.set(if next == u64::MAX { 0 } else { next.max(now + 1) });
        None
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
            // Who ends the connection ends what is under way on it.
            let why = match self.session.close_reason.get() {
                0 => CloseReason::new(Who::Client, Stage::Transfer, self.lost).code(),
                why => why,
            };
            mux.streams.iter().flatten().for_each(|entry| entry.lose_by(why));
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
