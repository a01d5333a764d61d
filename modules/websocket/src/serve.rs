//! A WebSocket on its stream: turns, time, books, and what comes after its end.

use crate::{
    WebSockets,
    conf::{Does, Limits},
    io::Io,
    stats::Books,
    talk::{Says, Talk, Turn, Wire},
};
use anyproxy_http_contract::Exchange;
use anyproxy_module_api::{
    Cause, CloseReason, Error, Sleep, Stage, Stream, Who, now_ms, sleep, timeout, tracing, yield_now,
};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

/// What a client still sends after the end is heard for so long, and so much of it.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: u64 = 16 << 20;

/// Serves one connection to its end.
pub(crate) async fn serve(
    exchange: Exchange<WebSockets>,
    does: Does,
    limits: Limits,
    stream: Stream,
) -> Result<(), Error> {
    let (says, template) = match does {
        Does::Static { text, every_ms } => (Says::Text { every_ms }, text),
        Does::Echo | Does::Proxy => (Says::Echo, 0),
    };
    Books::of(&exchange).opened();
    let talk = Talk::new(Io::new(stream), says, limits, now_ms());
    let mut open = Open { talk: Some(talk), exchange, template, timer: None, timer_ms: 0, booked: (0, 0) };
    loop {
        match poll_fn(|cx| open.poll(cx)).await {
            Turn::Over(end) => {
                let Some(talk) = open.talk.take() else { return Ok(()) };
                let exchange = &open.exchange;
                Books::of(exchange).closed(end.code);
                if let Some((who, cause)) = end.why {
                    exchange.close(CloseReason::new(who, Stage::Transfer, cause));
                }
                tracing::debug!(session = exchange.id, code = end.code, "closed");
                if let Some(e) = end.error {
                    return Err(e.into());
                }
                let mut stream = talk.into_wire().stream;
                // An end without all of this is the client's own.
                let _ = timeout(LINGER, finish(&mut stream, exchange, end.linger)).await;
                return Ok(());
            }
            Turn::More | Turn::Wait(_) => yield_now().await,
        }
    }
}

/// Ends the stream. While the client sends, closing would be a reset, which takes from it what was said last.
async fn finish(stream: &mut Stream, exchange: &Exchange<WebSockets>, linger: bool) -> Result<(), Error> {
    stream.shutdown().await?;
    let mut left = if linger { LINGER_BYTES } else { 0 };
    // On the heap: in the future every connection would hold it.
    let mut buf = if linger { vec![0; 16 << 10] } else { Vec::new() };
    while left > 0 {
        let n = stream.read(&mut buf).await? as u64;
        exchange.client_received.set(exchange.client_received.get() + n);
        left = if n == 0 { 0 } else { left.saturating_sub(n) };
    }
    Ok(())
}

/// One that is open. Dropped before its end, it says that the server goes.
struct Open {
    /// `None`: it is over.
    talk: Option<Talk<Io>>,
    exchange: Exchange<WebSockets>,
    template: u32,
    timer: Option<Sleep>,
    /// When the timer fires; 0: not any more.
    timer_ms: u64,
    /// Bytes that are in the books of the exchange.
    booked: (u64, u64),
}

impl Open {
    /// A turn; ready with `More` or `Over`.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Turn> {
        match self.turn(cx) {
            Turn::Wait(0) => Poll::Pending,
            // An earlier time than is meant now only costs a turn.
            Turn::Wait(at) => self.poll_time(cx, at).map(|()| Turn::More),
            turn => Poll::Ready(turn),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Turn {
        let Some(talk) = &mut self.talk else { return Turn::Wait(0) };
        let exchange = &self.exchange;
        talk.wire().begin(cx);
        // Neither a reload nor the end of a worker cuts anything before its time is over.
        let away = exchange.kill.get() != 0;
        let turn = talk.turn(now_ms(), away, &mut || {
            let mut text = Vec::new();
            exchange.render(self.template, &mut text);
            String::from_utf8(text).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
        });
        let (received, sent) = talk.take_messages();
        Books::of(exchange).moved(received, sent);
        let moved = talk.wire().moved();
        let add = |to: &Cell<u64>, n: u64| to.set(to.get() + n);
        add(&exchange.client_received, moved.0 - self.booked.0);
        add(&exchange.client_sent, moved.1 - self.booked.1);
        self.booked = moved;
        turn
    }

    fn poll_time(&mut self, cx: &mut Context<'_>, at: u64) -> Poll<()> {
        // Most times move away as the client is heard: the timer is set anew once it has fired.
        if self.timer_ms == 0 || at < self.timer_ms {
            let after = Duration::from_millis(at.saturating_sub(now_ms()).max(1));
            match &mut self.timer {
                Some(timer) => timer.reset(after),
                None => self.timer = Some(sleep(after)),
            }
            self.timer_ms = at;
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(Pin::new(timer).poll(cx));
        self.timer_ms = 0;
        Poll::Ready(())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Some(mut talk) = self.talk.take() else { return };
        // Ended by force, by an operator or with the process: the client is to know that it is not its fault.
        talk.wire().begin(&Context::from_waker(Waker::noop()));
        talk.leave();
        Books::of(&self.exchange).closed(1001);
        self.exchange.close(CloseReason::new(Who::Proxy, Stage::Transfer, Cause::Killed));
    }
}
