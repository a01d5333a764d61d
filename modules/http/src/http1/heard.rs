//! What is waited for from a client: the first bytes of a request, and its head.

use crate::{
    Http,
    conn::within,
    exchange::Request,
    h1::{self, Step},
    http2,
    incoming::Shared,
};
use anyproxy_module_api::{Error, ErrorKind, Session, idle, now_ms, tracing};
use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Most bytes of a request line: what is longer is no address that anybody wrote.
const LINE: u32 = 16 << 10;

/// What ends an idle time.
pub(super) enum First {
    /// The connection ended, or waited too long.
    Nothing,
    /// Nothing is under way, and the configuration has changed.
    Retired,
    /// The client speaks HTTP/2, as was agreed on before.
    Http2,
    /// Bytes of a request.
    Bytes,
}

/// Waits for the first bytes of a request, holding next to nothing: connections are idle most of the time, and each is as
/// large as what it waits in.
pub(super) struct Idle<'a> {
    session: &'a Session<Http>,
    conn: &'a Shared,
    /// 0: it may take for ever.
    end_ms: u64,
    first: bool,
    began: bool,
    /// How often it was asked whether the client is silent, since its connection is to end.
    asked: u8,
}

/// Until the loop has waited once it is not known whether a request has come already: a task has two turns before that.
const ASKED: u8 = 3;

impl<'a> Idle<'a> {
    pub(super) fn new(session: &'a Session<Http>, conn: &'a Shared, served: u32) -> Self {
        let conf = session.conf();
        let limit = if served == 0 { conf.header_ms } else { conf.keepalive_ms };
        let end_ms = if limit == 0 { 0 } else { now_ms().saturating_add(limit) };
        Self { session, conn, end_ms, first: served == 0, began: false, asked: 0 }
    }

    fn is_over(&self) -> bool {
        self.end_ms != 0 && now_ms() >= self.end_ms
    }

    /// It begins, where nothing is there yet.
    fn begin(&self) -> Option<First> {
        if !self.conn.borrow().is_read() {
            return Some(First::Bytes);
        }
        let (session, conf) = (self.session, self.session.conf());
        if !self.first && conf.keepalive_ms == 0 {
            return Some(First::Nothing);
        }
        session.idle.set(idle::WAITS);
        if !self.first {
            // Many are idle, and few speak at a time.
            session.worker().take_back(&mut self.conn.borrow_mut().out);
        }
        session.fired.set(0);
        session.deadline_ms.set(self.end_ms);
        None
    }
}

impl Future for Idle<'_> {
    type Output = Result<First, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let session = self.session;
        if !std::mem::replace(&mut self.began, true)
            && let Some(first) = self.begin()
        {
            return Poll::Ready(Ok(first));
        }
        let found = if session.kill.get() != 0 {
            Err(Error::bare(ErrorKind::Cancelled))
        } else {
            let (most, spare) = (session.conf().header_size, Some(&*session.worker().spare_buf));
            match self.conn.borrow_mut().poll_fill_into(cx, most, spare) {
                Poll::Ready(Ok(0)) => Ok(First::Nothing),
                Poll::Ready(Ok(_)) => Ok(First::Bytes),
                Poll::Ready(Err(e)) if matches!(e.kind, ErrorKind::TimedOut | ErrorKind::Reset) => Ok(First::Nothing),
                Poll::Ready(Err(e)) => Err(e),
                Poll::Pending if session.draining.get() != 0 && self.asked >= ASKED => Ok(First::Retired),
                Poll::Pending if session.fired.replace(0) != 0 && self.is_over() => Ok(First::Nothing),
                Poll::Pending => {
                    if session.draining.get() != 0 {
                        self.asked += 1;
                        cx.waker().wake_by_ref();
                    }
                    return Poll::Pending;
                }
            }
        };
        session.deadline_ms.set(0);
        session.idle.set(idle::BUSY);
        Poll::Ready(found)
    }
}

/// What came of a request's head.
pub(super) enum Got {
    /// The connection ended, or waited too long.
    Nothing,
    /// The client speaks HTTP/2.
    Http2,
    Request,
    Refused(u16),
}

fn limits(session: &Session<Http>) -> h1::Limits {
    let most = session.conf().header_size as u32;
    h1::Limits { line: LINE.min(most / 2), head: most, headers: session.conf().header_count }
}

/// Takes a request's head off the connection; `None`: not all of it is there.
pub(super) fn take_head(session: &Session<Http>, conn: &Shared, to: &RefCell<Request>, served: u32) -> Option<Got> {
    let to = &mut to.borrow_mut().request;
    let conn = &mut *conn.borrow_mut();
    if served == 0 && conn.unread().starts_with(http2::PREFACE) {
        return Some(Got::Http2);
    }
    if served == 0 && http2::PREFACE.starts_with(conn.unread()) {
        return None;
    }
    match to.head.request(conn.unread(), &limits(session)) {
        Ok(Step::Done(len)) => {
            to.take(&conn.unread()[..len]);
            // Before anybody adds to it: what this proxy says to a peer is not the client's to take away.
            h1::strike_listed(&to.head, &to.bytes, &mut to.struck);
            conn.consume_into(len, &session.worker().spare_buf);
            Some(Got::Request)
        }
        Ok(Step::More) => None,
        Err(bad) => {
            tracing::info!(session = session.id, status = bad.status(), "request refused: {}", bad.reason());
            Some(Got::Refused(bad.status()))
        }
    }
}

/// Waits for what is missing of a request's head.
pub(super) async fn await_head(
    session: &Session<Http>,
    conn: &Shared,
    to: &RefCell<Request>,
    served: u32,
) -> Result<Got, Error> {
    let by = now_ms() + session.conf().header_ms;
    let most = session.conf().header_size;
    loop {
        let left = by.saturating_sub(now_ms()).max(1);
        match within(session, left, |cx| conn.borrow_mut().poll_fill(cx, most)).await {
            Ok(0) => return Ok(Got::Nothing),
            Ok(_) => {}
            Err(e) if e.kind == ErrorKind::TimedOut => return Ok(Got::Refused(408)),
            Err(e) => return Err(e),
        }
        if let Some(got) = take_head(session, conn, to, served) {
            return Ok(got);
        }
    }
}
