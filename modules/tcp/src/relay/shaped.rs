//! One direction under a rate limit, a delay that joins small writes, or with a temporary file for a slow target.
//! Slower than `copy` and apart from it, so that what nobody asked for costs nothing there.
//!
//! Bytes come into `head`, wait there for the delay and the rate, and go to the target. When the target is slow and a
//! temporary file is allowed, what comes next goes through `spill::Queue`, which keeps the order.

use super::{
    io::{Fault, Io},
    pump::READS,
    spill::{BLOCK, Queue},
};
use crate::{
    Tcp, conf,
    core::{
        delay::{Decision, Delay},
        rate::{Bucket, Grant},
    },
    session::Direction,
};
use anyproxy_module_api::{Buf, Error, ErrorKind, Session, Sleep, now_ms, poll_buf, sleep};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// The state of one direction.
pub(super) struct Flow {
    head: Buf,
    /// Bytes of `head` that the target has.
    sent: usize,
    /// What is in `head` must go, whatever the delay says.
    flush: bool,
    /// Bytes were accepted and not flushed.
    dirty: bool,
    ended: bool,
    delay: Delay,
    bucket: Bucket,
    queue: Option<Box<Queue>>,
    timer: Option<Sleep>,
    /// When the timer ends, ms.
    timer_at: u64,
}

impl Flow {
    pub(super) fn new(session: &Session<Tcp>, direction: Direction) -> Self {
        let c = conf::of(session);
        let shape = match direction {
            Direction::Upload => c.upload,
            Direction::Download => c.download,
        };
        Self {
            head: Buf::new(),
            sent: 0,
            flush: false,
            dirty: false,
            ended: false,
            delay: Delay::new(c.delay),
            bucket: Bucket::new(shape.limit, now_ms()),
            queue: (shape.spill.size > 0).then(|| Box::new(Queue::new(shape.spill))),
            timer: None,
            timer_at: 0,
        }
    }

    /// Bytes of `head` that wait.
    fn held(&self) -> usize {
        self.head.len() - self.sent
    }

    /// Writes of `head` what may go now. The answer: whether any went.
    fn write(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>, until: &mut u64) -> Result<bool, Fault> {
        let held = self.held();
        if held == 0 {
            return Ok(false);
        }
        if !self.flush {
            match self.delay.on_time(io.now) {
                Decision::FlushNow => self.flush = true,
                Decision::Hold { until_ms } => {
                    *until = (*until).min(until_ms);
                    return Ok(false);
                }
            }
        }
        let n = match self.bucket.allow(io.now, held as u64) {
            Grant::WaitUntil(at) => {
                *until = (*until).min(at);
                return Ok(false);
            }
            Grant::Now(n) => usize::try_from(n).map_or(held, |n| n.min(held)),
        };
        match io.to.poll_write(cx, &self.head[self.sent..self.sent + n]) {
            Poll::Ready(Ok(0)) => return Err(io.target(Error::bare(ErrorKind::BrokenPipe))),
            Poll::Ready(Ok(n)) => {
                self.sent += n;
                self.dirty = !io.plain;
                self.bucket.spend(n as u64);
                io.sent(n);
            }
            Poll::Ready(Err(e)) => return Err(io.target(e)),
            Poll::Pending => {
                io.blocked();
                return Ok(false);
            }
        }
        if self.held() == 0 {
            self.head.clear();
            self.sent = 0;
            self.flush = false;
            self.delay.on_flushed();
        }
        Ok(true)
    }

    /// Reads behind the bytes of `head`, or into the queue. The answer: whether anything came.
    fn read(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Result<bool, Fault> {
        let direct = self.queue.as_ref().is_none_or(|q| q.is_empty());
        let room = self.head.capacity() == 0 || self.head.len() < self.head.capacity();
        let to = match &mut self.queue {
            _ if direct && room => &mut self.head,
            Some(queue) => match queue.tail() {
                Some(tail) => tail,
                None => return Ok(false),
            },
            None => return Ok(false),
        };
        if to.capacity() == 0 {
            // A direction that waits holds no buffer.
            if io.poll_source(cx).is_pending() {
                return Ok(false);
            }
            let size = if direct && room { io.conf.write_buffer } else { BLOCK };
            *to = match poll_buf(cx, size) {
                Poll::Ready(b) => b,
                Poll::Pending => return Ok(false),
            };
        }
        match io.from.poll_read_buf(cx, to) {
            Poll::Pending => {
                io.waits();
                return Ok(false);
            }
            Poll::Ready(Err(e)) => return Err(io.source(e)),
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                // What is held goes before the end does.
                self.flush = true;
            }
            Poll::Ready(Ok(n)) => {
                io.received(n);
                if direct && room {
                    self.flush |= self.delay.on_bytes(io.now, n, self.held()) == Decision::FlushNow;
                }
            }
        }
        Ok(true)
    }

    fn wait(&mut self, cx: &mut Context<'_>, now: u64, until: u64) {
        if until == u64::MAX {
            return;
        }
        // Less than a millisecond would be no wait on a clock of milliseconds.
        let time = Duration::from_millis(until.saturating_sub(now).max(1));
        let timer = self.timer.get_or_insert_with(|| sleep(time));
        if self.timer_at != until {
            self.timer_at = until;
            timer.reset(time);
        }
        if Pin::new(timer).poll(cx).is_ready() {
            // The clock of this turn is older than the timer: look again.
            self.timer_at = 0;
            cx.waker().wake_by_ref();
        }
    }
}

impl super::pump::Flow for Flow {
    fn poll(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>> {
        let mut reads = 0;
        loop {
            let mut until = u64::MAX;
            let mut moved = self.write(cx, io, &mut until)?;
            if let Some(queue) = &mut self.queue {
                moved |= queue.poll(cx, io, &mut until)?;
                if self.head.is_empty()
                    && let Some(block) = queue.pop()
                {
                    self.head = block;
                    self.flush = true;
                    moved = true;
                }
            }
            if !self.ended && reads < READS && self.read(cx, io)? {
                reads += 1;
                moved = true;
            }
            if self.ended && self.held() == 0 && self.queue.as_ref().is_none_or(|q| q.is_empty()) {
                self.head = Buf::new();
                return io.poll_end(cx);
            }
            if !moved {
                self.wait(cx, io.now, until);
                break;
            }
        }
        if reads == READS {
            cx.waker().wake_by_ref();
        }
        if self.head.is_empty() {
            self.head = Buf::new();
        }
        if let Some(queue) = &mut self.queue {
            queue.rest();
        }
        if self.dirty {
            match io.to.poll_flush(cx) {
                Poll::Ready(Ok(())) => self.dirty = false,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(io.target(e))),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }

    fn end(&mut self, session: &Session<Tcp>) {
        if let Some(queue) = &self.queue {
            queue.end(session);
        }
    }
}
