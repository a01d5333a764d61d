//! How much a peer may make the connection do for nothing. Each use has to be earned by what is good for something;
//! there is some in advance, and again with time: a connection that lasts for days does such things now and then.

use super::code::Fatal;
use super::config::Config;

/// Answers to control frames that are added to output that is not read; a peer that reads gets one for each.
const UNREAD_ANSWERS: u32 = 100;

/// What is earned by a head: a browser sends some PRIORITY or PRIORITY_UPDATE with each.
const HEAD: u32 = 4;

/// Sent bytes that earn a WINDOW_UPDATE. Those with an increment above that are free.
pub(super) const UPDATE: usize = 512;

/// Milliseconds after which all of one that was used up is there again.
const RECOVERY_MS: u64 = 10_000;

/// Uses of one kind.
#[derive(Clone, Copy, Debug)]
struct Uses {
    left: u32,
    most: u32,
    /// Until when time has counted, in milliseconds.
    since_ms: u64,
}

impl Uses {
    const fn new(most: u32, now_ms: u64) -> Self {
        Self { left: most, most, since_ms: now_ms }
    }

    #[inline]
    fn earn(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }

    /// One less; false: none was left. Only then the clock is asked, so that time costs nothing where all is well; who
    /// waited for long may use twice as many as there are.
    fn take(&mut self, clock: fn() -> u64) -> bool {
        if self.left == 0 {
            let now_ms = clock();
            let passed = u128::from(now_ms.saturating_sub(self.since_ms));
            let more = passed * u128::from(self.most) / u128::from(RECOVERY_MS);
            if more > 0 {
                self.since_ms = now_ms;
                self.earn(u32::try_from(more).unwrap_or(self.most));
            }
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

/// What is left of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    clock: fn() -> u64,
    resets: Uses,
    idle: Uses,
    answers: Uses,
    unsent: usize,
    /// Bytes of DATA that may be on their way on streams that were closed here, and the most that can be.
    in_flight: u32,
    most_in_flight: u32,
}

impl Budget {
    pub(super) fn new(config: &Config) -> Self {
        let now_ms = (config.clock)();
        Self {
            clock: config.clock,
            resets: Uses::new(config.resets, now_ms),
            idle: Uses::new(config.idle_frames, now_ms),
            answers: Uses::new(UNREAD_ANSWERS, now_ms),
            unsent: config.unsent as usize,
            in_flight: 0,
            most_in_flight: config.connection_window,
        }
    }

    /// A stream was reset by the peer, or because of the peer: work begun for nothing.
    pub(super) fn reset(&mut self) -> Result<(), Fatal> {
        if self.resets.take(self.clock) { Ok(()) } else { Err(Fatal::calm("too many streams were reset")) }
    }

    /// A stream was completed.
    #[inline]
    pub(super) fn completed(&mut self) {
        self.resets.earn(1);
    }

    /// A frame came that does nothing.
    pub(super) fn idle(&mut self) -> Result<(), Fatal> {
        if self.idle.take(self.clock) { Ok(()) } else { Err(Fatal::calm("too many frames that do nothing")) }
    }

    /// A stream is closed on which the peer may have sent `left` bytes that are not here yet. Of all streams together they
    /// are no more than the connection's window.
    pub(super) fn closed(&mut self, left: u32) {
        self.in_flight = self.in_flight.saturating_add(left).min(self.most_in_flight);
    }

    /// DATA came on a stream that is closed. True: it was sent in good faith, within the window that the stream had (RFC 9113
    /// section 5.1).
    pub(super) fn was_in_flight(&mut self, length: u32) -> bool {
        let left = self.in_flight.checked_sub(length).filter(|_| length > 0);
        self.in_flight = left.unwrap_or(self.in_flight);
        left.is_some()
    }

    /// A frame came that does something.
    #[inline]
    pub(super) fn useful(&mut self) {
        self.idle.earn(1);
    }

    /// A head came.
    #[inline]
    pub(super) fn head(&mut self) {
        self.idle.earn(HEAD);
    }

    /// Bytes of DATA were sent, for which WINDOW_UPDATEs will come.
    #[inline]
    pub(super) fn sent(&mut self, length: usize) {
        self.idle.earn(2 + (length / UPDATE) as u32);
    }

    /// A frame is answered, behind `waiting` bytes of output.
    pub(super) fn answer(&mut self, waiting: usize) -> Result<(), Fatal> {
        if waiting < self.unsent {
            self.answers.earn(UNREAD_ANSWERS);
            return Ok(());
        }
        if self.answers.take(self.clock) { Ok(()) } else { Err(Fatal::calm("answers are not read")) }
    }
}
