//! Runs the two directions of a session to their ends: time limits, half-close, resets, and what is told of it all.
//! How a direction moves its bytes is a `Flow`'s business.
//!
//! One future, no box inside, no timer: the deadline is one number in the session that the host looks at, set for the
//! earliest limit and, when it fires, compared with when bytes last moved.

use super::io::{Fault, Io, Marks, arm};
use crate::{
    Tcp, conf,
    session::{Direction, state},
};
use anyproxy_module_api::{Cause, CloseReason, Error, ErrorKind, Session, Stage, Stream, Who, buf, now_ms};
use std::{
    pin::Pin,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

/// Reads of one direction in one turn of the loop; others want their turn too.
pub(super) const READS: u32 = 16;
/// Bytes moved that are not yet counted, at most.
const UNCOUNTED: u64 = 1 << 20;

/// Which relay it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Copy,
    Splice,
    Shaped,
}

/// Moves the bytes of one direction.
pub(super) trait Flow: Unpin {
    /// Moves what can be moved. Ready: the end of the source was passed on, behind every byte.
    fn poll(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>>;
    /// The other direction carried bytes.
    fn turned(&mut self) {}
    /// The session ended, in order or not: gives back what is the worker's.
    fn end(&mut self, _session: &Session<Tcp>) {}
}

/// Whether it is a socket and nothing in between.
pub(super) fn is_plain(stream: &Stream) -> bool {
    stream.info().is_plain()
}

/// The relay's future.
pub(super) struct Pump<F: Flow> {
    session: Session<Tcp>,
    client: Stream,
    upstream: Stream,
    flows: [F; 2],
    marks: [Marks; 2],
    kind: Kind,
    /// Both are plain sockets, which have no end of their own to write.
    plain: bool,
    /// Who ended its stream first.
    first: Option<Who>,
    /// `close_type "fast"`: the direction whose source is still heard, and nothing passed on.
    lingering: Option<Direction>,
    over: bool,
}

enum End {
    /// Both sides ended, or the first one with `close_type "fast"`.
    Done {
        reset: bool,
    },
    Fault(Fault),
    /// This side was silent, or took nothing.
    Timeout {
        who: Who,
        reset: bool,
    },
    Killed,
}

impl<F: Flow> Pump<F> {
    pub(super) fn new(
        kind: Kind,
        session: Session<Tcp>,
        client: Stream,
        upstream: Stream,
        flow: impl Fn(&Session<Tcp>, Direction) -> F,
    ) -> Self {
        let now = now_ms();
        let marks = Marks {
            read_ms: now,
            write_ms: now,
            blocked: false,
            waiting: true,
            done: false,
            moved: false,
            begun: false,
            longest_block_ms: 0,
            copied: 0,
            spliced: 0,
        };
        session.module().stats.relays[kind as usize].fetch_add(1, Relaxed);
        state(&session).relay.set(["copy", "splice", "shaped"][kind as usize]);
        session.deadline_ms.set(0);
        session.fired.set(0);
        let mut pump = Self {
            flows: [flow(&session, Direction::Upload), flow(&session, Direction::Download)],
            marks: [marks; 2],
            session,
            plain: is_plain(&client) && is_plain(&upstream),
            client,
            upstream,
            kind,
            first: None,
            lingering: None,
            over: false,
        };
        // Nobody has been silent yet: this only sets the deadline.
        pump.expired(now);
        pump
    }

    /// Lets a direction move; whether it is done now.
    fn turn(&mut self, cx: &mut Context<'_>, direction: Direction, now: u64) -> Result<(), Fault> {
        let n = direction as usize;
        if self.marks[n].done {
            return Ok(());
        }
        let (from, to) = match direction {
            Direction::Upload => (&mut self.client, &mut self.upstream),
            Direction::Download => (&mut self.upstream, &mut self.client),
        };
        let waited = std::mem::take(&mut self.marks[n].waiting);
        let mut io = Io {
            from,
            to,
            conf: conf::of(&self.session),
            session: &self.session,
            direction,
            now,
            plain: self.plain,
            last: self.plain && self.marks[1 - n].done,
            marks: &mut self.marks[n],
        };
        if let Poll::Ready(r) = self.flows[n].poll(cx, &mut io) {
            r?;
            self.marks[n].done = true;
            self.marks[n].blocked = false;
            self.first = self.first.or(Some(match direction {
                Direction::Upload => Who::Client,
                Direction::Download => Who::Upstream,
            }));
        }
        if self.marks[n].waiting && !waited {
            // Until now the source was not asked: it is silent from now on. When it was asked before, the deadline that was
            // set then is not later than the one that is due now.
            self.marks[n].read_ms = now;
            let limit = conf::of(&self.session).times.recv_ms;
            if limit != 0 {
                arm(&self.session, now.saturating_add(limit));
            }
        }
        if std::mem::take(&mut self.marks[n].moved) {
            self.flows[1 - n].turned();
        }
        Ok(())
    }

    /// `close_type "fast"`, once one side ended; `None`: go on.
    fn close_fast(&mut self, cx: &mut Context<'_>, now: u64) -> Option<End> {
        let close = conf::of(&self.session).close;
        let open = match (self.marks[0].done, self.marks[1].done) {
            (true, false) => Direction::Download,
            (false, true) => Direction::Upload,
            _ => return None,
        };
        match close.linger_ms {
            _ if !close.fast => return None,
            None => return Some(End::Done { reset: false }),
            Some(0) => return Some(End::Done { reset: true }),
            Some(ms) if self.lingering.is_none() => {
                self.lingering = Some(open);
                self.session.deadline_ms.set(now.saturating_add(ms));
            }
            Some(_) => {}
        }
        let (from, to) = match open {
            Direction::Upload => (&mut self.client, &mut self.upstream),
            Direction::Download => (&mut self.upstream, &mut self.client),
        };
        // It ended itself; that it cannot be told so is no failure.
        let _ = to.poll_shutdown(cx);
        let mut thrown = buf(16 << 10)?;
        for _ in 0..READS {
            thrown.clear();
            match from.poll_read_buf(cx, &mut thrown) {
                Poll::Pending => return None,
                Poll::Ready(Ok(0) | Err(_)) => return Some(End::Done { reset: false }),
                Poll::Ready(Ok(_)) => {}
            }
        }
        cx.waker().wake_by_ref();
        None
    }

    /// Whether a limit of time has passed; if none has, the deadline is set for the next.
    fn expired(&mut self, now: u64) -> Option<End> {
        if self.lingering.is_some() {
            return Some(End::Done { reset: true });
        }
        let times = conf::of(&self.session).times;
        let mut next = u64::MAX;
        let mut passed = |limit: u64, since: u64| {
            let at = since.saturating_add(limit);
            if limit == 0 {
                return false;
            }
            next = next.min(at);
            now >= at
        };
        let sources = [Who::Client, Who::Upstream];
        for (n, m) in self.marks.iter().enumerate().filter(|(_, m)| !m.done) {
            if m.blocked && passed(times.send_ms, m.write_ms) {
                return Some(End::Timeout { who: sources[1 - n], reset: true });
            }
            if m.waiting && passed(times.recv_ms, m.read_ms) {
                return Some(End::Timeout { who: sources[n], reset: false });
            }
        }
        let last =
            self.marks.iter().map(|m| m.read_ms.max(if m.blocked { 0 } else { m.write_ms })).max().unwrap_or(now);
        if passed(times.idle_ms, last) {
            return Some(End::Timeout { who: Who::Proxy, reset: false });
        }
        self.session.deadline_ms.set(if next == u64::MAX { 0 } else { next });
        None
    }

    /// Counts what was not counted yet.
    fn count(&mut self) {
        let worker = self.session.worker();
        let copied: u64 = self.marks.iter().map(|m| m.copied).sum();
        let spliced: u64 = self.marks.iter().map(|m| m.spliced).sum();
        if copied > 0 {
            if self.kind == Kind::Shaped { worker.shaped } else { worker.copied }.add(copied);
        }
        if spliced > 0 {
            worker.spliced.add(spliced);
        }
        let longest = self.marks[0].longest_block_ms.max(self.marks[1].longest_block_ms);
        if spliced > 0 || longest > 0 {
            let s = state(&self.session);
            s.write_blocked_ms.set(s.write_blocked_ms.get().max(longest));
            for (to, m) in s.spliced.iter().zip(&self.marks) {
                to.set(to.get() + m.spliced);
            }
        }
        for m in &mut self.marks {
            (m.copied, m.spliced) = (0, 0);
        }
    }

    fn finish(&mut self, end: End) -> Result<(), Error> {
        self.over = true;
        self.session.deadline_ms.set(0);
        let (who, cause, reset, result) = match end {
            End::Done { reset } => (self.first.unwrap_or(Who::Proxy), Cause::Done, reset, Ok(())),
            End::Timeout { who, reset } => (who, Cause::Timeout, reset, Err(Error::bare(ErrorKind::TimedOut))),
            End::Killed => (Who::Proxy, Cause::Killed, true, Err(Error::bare(ErrorKind::Cancelled))),
            End::Fault(Fault { who, error }) => {
                let cause = match (who, error.kind) {
                    (Who::Proxy, _) => Cause::Internal,
                    // A broken pipe is a reset whose error a splice that had moved some bytes has swallowed.
                    (_, ErrorKind::Reset | ErrorKind::BrokenPipe) => Cause::Reset,
                    (_, ErrorKind::TimedOut) => Cause::Timeout,
                    (_, ErrorKind::Unreachable) => Cause::Unreachable,
                    (_, ErrorKind::Invalid) => Cause::Protocol,
                    (_, ErrorKind::Panicked) => Cause::Panic,
                    _ => Cause::Closed,
                };
                (who, cause, true, Err(error))
            }
        };
        self.session.close(CloseReason::new(who, Stage::Transfer, cause));
        if reset {
            // Neither side may take a part for the whole.
            self.client.set_reset();
            self.upstream.set_reset();
        }
        result
    }

    fn step(&mut self, cx: &mut Context<'_>) -> Option<End> {
        if self.session.kill.get() != 0 {
            return Some(End::Killed);
        }
        let now = now_ms();
        if self.session.fired.replace(0) != 0
            && let Some(end) = self.expired(now)
        {
            return Some(end);
        }
        if self.lingering.is_none() {
            for direction in [Direction::Upload, Direction::Download] {
                if let Err(fault) = self.turn(cx, direction, now) {
                    return Some(End::Fault(fault));
                }
            }
        }
        if self.marks[0].done && self.marks[1].done {
            return Some(End::Done { reset: false });
        }
        if self.first.is_some() {
            return self.close_fast(cx, now);
        }
        None
    }
}

impl<F: Flow> Future for Pump<F> {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(end) = this.step(cx) {
            return Poll::Ready(this.finish(end));
        }
        let moved: u64 = this.marks.iter().map(|m| m.copied + m.spliced).sum();
        if moved >= UNCOUNTED {
            this.count();
        }
        Poll::Pending
    }
}

impl<F: Flow> Drop for Pump<F> {
    fn drop(&mut self) {
        if !self.over {
            // Dropped on its way: the worker ends. A cut session must not look like one that ended.
            self.client.set_reset();
            self.upstream.set_reset();
        }
        self.count();
        for flow in &mut self.flows {
            flow.end(&self.session);
        }
        self.session.module().stats.relays[self.kind as usize].fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{relay::copy, session::State};

    #[test]
    fn an_idle_session_is_a_few_hundred_bytes() {
        let pump = size_of::<Pump<copy::Flow>>();
        assert!(pump <= 384, "{pump}");
        let slot = size_of::<State>();
        assert!(slot <= 136, "{slot}");
    }
}
