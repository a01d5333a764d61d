//! How much a peer may make the connection do for nothing. Each use has to be earned by what is good for something;
//! there is some in advance.

use super::code::Fatal;
use super::config::Config;

/// Answers to control frames that are added to output that is not read; a peer that reads gets one for each.
const UNREAD_ANSWERS: u32 = 100;

/// What is earned by a head: a browser sends some PRIORITY or PRIORITY_UPDATE with each.
const HEAD: u32 = 4;

/// Sent bytes that earn a WINDOW_UPDATE. Those with an increment above that are free.
pub(super) const UPDATE: usize = 512;

/// What is left of each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    resets: u32,
    idle: u32,
    answers: u32,
    most_resets: u32,
    most_idle: u32,
    unsent: usize,
    /// Bytes of DATA that may be on their way on streams that were closed here, and the most that can be.
    in_flight: u32,
    most_in_flight: u32,
}

impl Budget {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            resets: config.resets,
            idle: config.idle_frames,
            answers: UNREAD_ANSWERS,
            most_resets: config.resets,
            most_idle: config.idle_frames,
            unsent: config.unsent as usize,
            in_flight: 0,
            most_in_flight: config.connection_window,
        }
    }

    /// A stream was reset by the peer, or because of the peer: work begun for nothing.
    pub(super) fn reset(&mut self) -> Result<(), Fatal> {
        self.resets = self.resets.checked_sub(1).ok_or(Fatal::calm("too many streams were reset"))?;
        Ok(())
    }

    /// A stream was completed.
    #[inline]
    pub(super) fn completed(&mut self) {
        self.resets = (self.resets + 1).min(self.most_resets);
    }

    /// A frame came that does nothing.
    pub(super) fn idle(&mut self) -> Result<(), Fatal> {
        self.idle = self.idle.checked_sub(1).ok_or(Fatal::calm("too many frames that do nothing"))?;
        Ok(())
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
        self.idle = (self.idle + 1).min(self.most_idle);
    }

    /// A head came.
    #[inline]
    pub(super) fn head(&mut self) {
        self.idle = (self.idle + HEAD).min(self.most_idle);
    }

    /// Bytes of DATA were sent, for which WINDOW_UPDATEs will come.
    #[inline]
    pub(super) fn sent(&mut self, length: usize) {
        self.idle = (self.idle + 2 + (length / UPDATE) as u32).min(self.most_idle);
    }

    /// A frame is answered, behind `waiting` bytes of output.
    pub(super) fn answer(&mut self, waiting: usize) -> Result<(), Fatal> {
        if waiting < self.unsent {
            self.answers = UNREAD_ANSWERS;
            return Ok(());
        }
        self.answers = self.answers.checked_sub(1).ok_or(Fatal::calm("answers are not read"))?;
        Ok(())
    }
}
