//! From a request's head to that of its answer.

use super::{Download, Phase, malformed, switch};
use crate::{
    conf::Conf,
    conn::ROUNDS,
    fault::Fault,
    h1::{self, Body as Framed, ChunkLimits, Framing, Id, Method, Step},
    message::Message,
    proxy::{
        fetch::Awaited,
        head::{MOST_INTERIM, keep_alive_timeout},
        patience::Patience,
    },
    reply::Call,
};
use anyproxy_module_api::{Cause, ErrorKind, Who, now_ns, tracing};
use std::{
    future::poll_fn,
    task::{Context, Poll},
};

impl Awaited for Download {
    async fn head(&mut self, call: &Call<'_>, conf: &Conf) -> Result<(), Fault> {
        let watch = call.watch;
        watch.fired.set(0);
        let (mut moved, mut patience) = (true, Patience::default());
        let r = poll_fn(|cx| {
            if watch.kill.get() != 0 {
                return Poll::Ready(Err(Fault::new(Who::Proxy, Cause::Killed, 0)));
            }
            match self.poll_head(call, cx, &mut moved) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
            let limit = if self.uploaded { conf.first_byte_ms } else { conf.body_ms };
            if patience.look(watch, &self.incoming, std::mem::take(&mut moved), limit, cx)? {
                return Poll::Ready(Err(self.timed_out()));
            }
            // Whoever waits may be left where it is.
            self.account(call.exchange);
            Poll::Pending
        })
        .await;
        watch.deadline_ms.set(0);
        self.account(call.exchange);
        // A kept connection that has ended says nothing of a peer: it ends connections as any server does.
        let stale = self.reused && self.is_unanswered();
        self.failed.set(r.as_ref().is_err_and(|fault| fault.who == Who::Upstream) && !stale);
        r
    }

    fn timed_out(&mut self) -> Fault {
        if self.uploaded || self.up.as_ref().is_some_and(|u| u.pending() > 0) {
            self.failed.set(true);
            Fault::new(Who::Upstream, Cause::Timeout, 504)
        } else {
            Fault::new(Who::Client, Cause::Timeout, 408)
        }
    }
}

impl Download {
    /// Moves what can be moved, but for so many rounds. True: the head is there.
    fn poll_head(&mut self, call: &Call<'_>, cx: &mut Context<'_>, moved: &mut bool) -> Result<bool, Fault> {
        for _ in 0..ROUNDS {
            let sent = self.upload(cx)?;
            let mut heard = self.has_unread() && self.take_head(call)?;
            let mut came = heard;
            if !heard {
                came = match self.fill(call.exchange.worker(), cx, self.limits.head as usize) {
                    Poll::Ready(Ok(0)) => return Err(Fault::new(Who::Upstream, Cause::Closed, 502)),
                    Poll::Ready(Ok(_)) => true,
                    Poll::Ready(Err(e)) => {
                        let cause = if e.kind == ErrorKind::Reset { Cause::Reset } else { Cause::Closed };
                        return Err(Fault::new(Who::Upstream, cause, 502));
                    }
                    Poll::Pending => false,
                };
                heard = came && self.take_head(call)?;
            }
            if heard && self.pass_head(call)? {
                return Ok(true);
            }
            if let Poll::Ready(Err(e)) = self.incoming.poll_flush(cx) {
                return Err(Fault::of_request(&e));
            }
            *moved |= sent || came;
            // Once the request is sent, only the answer is waited for, and that has just been asked for.
            if !came && (!sent || self.uploaded) {
                return Ok(false);
            }
        }
        cx.waker().wake_by_ref();
        Ok(false)
    }

    fn has_unread(&self) -> bool {
        self.up.as_ref().is_some_and(|up| !up.is_read())
    }

    /// Takes the head of an answer, if it is there.
    fn take_head(&mut self, call: &Call<'_>) -> Result<bool, Fault> {
        let response = &mut call.state.parts.borrow_mut().response;
        let Some(up) = self.up.as_mut() else { return Ok(false) };
        match response.head.response(up.unread(), &self.limits) {
            Ok(Step::Done(len)) => {
                response.take(&up.unread()[..len]);
                up.consume(len);
                Ok(true)
            }
            Ok(Step::More) => Ok(false),
            Err(why) => Err(malformed(call.exchange, why)),
        }
    }

    /// Leaves in the head that was taken what is for the client. False: another answer follows.
    fn pass_head(&mut self, call: &Call<'_>) -> Result<bool, Fault> {
        let parts = &mut *call.state.parts.borrow_mut();
        let method = parts.method();
        let upgrades = parts.response.status() == 101;
        if upgrades && !(self.upgrade && switch::is_as_asked(parts)) {
            return Err(malformed(call.exchange, h1::Bad::Status));
        }
        let Message { bytes, head, struck } = &mut parts.response;
        // The last line end was not kept.
        parts.heads.upstream_received += bytes.len() as u64 + 2;
        let status = head.status();
        let framing = h1::response_framing(head, bytes, method).map_err(|why| malformed(call.exchange, why))?;
        h1::strip_response(head, bytes, method, upgrades, struck);
        if (100..200).contains(&status) && !upgrades {
            self.told |= status != 100;
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                tracing::info!(session = call.exchange.id, "answer refused: too many before it");
                return Err(Fault::new(Who::Upstream, Cause::Limit, 502));
            }
            self.incoming.interim(&parts.response);
            parts.response.clear();
            return Ok(false);
        }
        let says = h1::connection(head, bytes);
        // What follows a 2xx to CONNECT is no HTTP (RFC 9110 section 9.3.6). None is passed on, and none may be kept.
        let tunnel = method == Method::Connect && (200..300).contains(&status);
        self.peer_keeps = h1::keep_alive(head.version(), says) && framing != Framing::UntilClose && !tunnel;
        if let Some(n) = head.fields().value(bytes, Id::KeepAlive).and_then(keep_alive_timeout) {
            // A second less: it may have begun to count when it sent the answer.
            self.keeps_ms = self.keeps_ms.min(n.saturating_mul(1000).saturating_sub(1000));
        }
        self.phase = Phase::Body(Framed::new(framing, ChunkLimits::default()));
        self.answered = now_ns();
        call.stage("answer");
        Ok(true)
    }
}
