//! One direction's view of its session for one turn: the streams, and where what happened is noted.

use crate::{
    Tcp,
    conf::Conf,
    session::{Direction, state},
};
use anyproxy_module_api::{Error, Session, Stream, Who, now, ready};
use std::task::{Context, Poll};

/// What went wrong on which side.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) who: Who,
    pub(super) error: Error,
}

/// What is known of one direction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// When bytes last came, or since when they are waited for.
    pub(super) read_ms: u64,
    /// When bytes last were taken, or since when some wait.
    pub(super) write_ms: u64,
    /// Bytes wait for the target.
    pub(super) blocked: bool,
    /// The source has nothing now, and is asked for more.
    pub(super) waiting: bool,
    /// The end was passed on.
    pub(super) done: bool,
    /// Bytes moved in this turn.
    pub(super) moved: bool,
    /// A first byte was seen.
    pub(super) begun: bool,
    pub(super) longest_block_ms: u64,
    /// Bytes sent, and of those by splicing, that are not counted yet.
    pub(super) copied: u64,
    pub(super) spliced: u64,
}

/// One direction's view of the session for one turn.
pub(super) struct Io<'a> {
    pub(super) from: &'a mut Stream,
    pub(super) to: &'a mut Stream,
    pub(super) session: &'a Session<Tcp>,
    pub(super) conf: &'a Conf,
    pub(super) direction: Direction,
    /// The worker's clock, ms.
    pub(super) now: u64,
    pub(super) marks: &'a mut Marks,
    /// Both are plain sockets of the host, which sends what it accepted by itself, and closes as it shuts down.
    pub(super) plain: bool,
    /// The other direction is done, and closing says all that is left to say.
    pub(super) last: bool,
}

impl Io<'_> {
    /// `n` bytes came from the source.
    pub(super) fn received(&mut self, n: usize) {
        let s = self.session;
        let cell = match self.direction {
            Direction::Upload => &s.client_received,
            Direction::Download => &s.upstream_received,
        };
        cell.set(cell.get() + n as u64);
        self.marks.read_ms = self.now;
        self.marks.moved = true;
        if !self.marks.begun && self.direction == Direction::Download {
            self.marks.begun = true;
            state(s).first_received.set(now());
        }
    }

    /// `n` bytes were taken by the target.
    pub(super) fn sent(&mut self, n: usize) {
        let s = self.session;
        let cell = match self.direction {
            Direction::Upload => &s.upstream_sent,
            Direction::Download => &s.client_sent,
        };
        cell.set(cell.get() + n as u64);
        self.marks.copied += n as u64;
        self.unblocked();
        if !self.marks.begun && self.direction == Direction::Upload {
            self.marks.begun = true;
            state(s).first_sent.set(now());
        }
    }

    /// As `sent`, by the kernel.
    pub(super) fn spliced(&mut self, n: usize) {
        self.sent(n);
        self.marks.copied -= n as u64;
        self.marks.spliced += n as u64;
    }

    /// The target took none of the bytes that wait for it.
    pub(super) fn blocked(&mut self) {
        if !self.marks.blocked {
            self.marks.blocked = true;
            self.marks.write_ms = self.now;
            if self.conf.times.send_ms != 0 {
                arm(self.session, self.now.saturating_add(self.conf.times.send_ms));
            }
        }
    }

    /// Nothing waits for the target any more, or it took some.
    pub(super) fn unblocked(&mut self) {
        if self.marks.blocked {
            self.marks.blocked = false;
            self.marks.longest_block_ms = self.marks.longest_block_ms.max(self.now.saturating_sub(self.marks.write_ms));
        }
        self.marks.write_ms = self.now;
    }

    /// The source has nothing now.
    pub(super) fn waits(&mut self) {
        self.marks.waiting = true;
    }

    /// Waits for bytes or the end of the source, without a buffer.
    pub(super) fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let r = self.from.poll_ready(cx, ready::READ).map(|_| ());
        self.marks.waiting |= r.is_pending();
        r
    }

    /// Passes the end of the source on. Ready: it was, or the streams are about to be closed, which does the same.
    pub(super) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.last {
            return Poll::Ready(Ok(()));
        }
        self.to.poll_shutdown(cx).map_err(|e| self.target(e))
    }

    /// The source failed.
    pub(super) fn source(&self, error: Error) -> Fault {
        let who = match self.direction {
            Direction::Upload => Who::Client,
            Direction::Download => Who::Upstream,
        };
        Fault { who, error }
    }

    /// The target failed.
    pub(super) fn target(&self, error: Error) -> Fault {
        let who = match self.direction {
            Direction::Upload => Who::Upstream,
            Direction::Download => Who::Client,
        };
        Fault { who, error }
    }
}

/// Lets the deadline pass no later than `at`.
pub(super) fn arm(session: &Session<Tcp>, at: u64) {
    let now = session.deadline_ms.get();
    if now == 0 || at < now {
        session.deadline_ms.set(at);
    }
}
