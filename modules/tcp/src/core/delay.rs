//! Decides when joined small writes go out: `stream_delay`, `stream_nodelay_size`, `stream_nopush`.
//! Holds no bytes and no timer: the caller tells what came and how much it holds, and asks again when the time is over.
//!
//! Without a delay everything goes at once. With one, bytes wait for more until
//! - the first of them has waited `delay`, or
//! - they fill a segment (with `nopush`: the whole buffer), which is no small write any more.
//!
//! The first `nodelay_size` bytes of the direction never wait, so a handshake or a first answer is not slowed. A close
//! or half-close flushes what is held before it passes; the caller sees to that.

/// The settings of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest wait of a byte, in milliseconds. 0: bytes are never held.
    pub delay_ms: u64,
    /// Bytes from the beginning that never wait.
    pub nodelay_size: u64,
    /// Wait for a full buffer, where otherwise a full segment ends the wait.
    pub nopush: bool,
    /// Size of the buffer in which the caller joins, in bytes.
    pub buffer_size: usize,
}

/// What to do with the bytes that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep them; ask again when more come, or at this time.
    Hold {
        /// In the milliseconds of the caller's clock.
        until_ms: u64,
    },
    /// Write all of them.
    FlushNow,
}

/// The payload of a TCP segment over Ethernet: IPv4 with timestamps.
const SEGMENT: usize = 1448;

/// The state of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Delay {
    settings: Settings,
    /// Bytes seen, up to `nodelay_size`.
    seen: u64,
    /// When the oldest held byte must go.
    deadline_ms: Option<u64>,
}

impl Delay {
    /// Nothing seen, nothing held.
    pub fn new(settings: Settings) -> Self {
        Self { settings, seen: 0, deadline_ms: None }
    }

    /// `count` bytes came and `buffered` are held with them. After [`Decision::FlushNow`] a new wait begins.
    pub fn on_bytes(&mut self, now_ms: u64, count: usize, buffered: usize) -> Decision {
        let nodelay = self.settings.nodelay_size;
        let at_once = self.seen < nodelay;
        self.seen = self.seen.saturating_add(count as u64).min(nodelay);
        let enough =
            if self.settings.nopush { self.settings.buffer_size } else { self.settings.buffer_size.min(SEGMENT) };
        if at_once || self.settings.delay_ms == 0 || buffered >= enough {
            self.deadline_ms = None;
            return Decision::FlushNow;
        }
        if buffered == 0 {
            self.deadline_ms = None;
            return Decision::Hold { until_ms: u64::MAX };
        }
        let latest = now_ms.saturating_add(self.settings.delay_ms);
        // A clock that went back would otherwise hold longer than the delay.
        let until_ms = self.deadline_ms.map_or(latest, |deadline| deadline.min(latest));
        self.decide(now_ms, until_ms)
    }

    /// The time that was asked for has come, or another wake-up. With nothing held there is nothing to flush.
    pub fn on_time(&mut self, now_ms: u64) -> Decision {
        match self.deadline_ms {
            Some(until_ms) => self.decide(now_ms, until_ms),
            None => Decision::Hold { until_ms: u64::MAX },
        }
    }

    /// The caller wrote everything for a reason of its own, a close say.
    pub fn on_flushed(&mut self) {
        self.deadline_ms = None;
    }

    fn decide(&mut self, now_ms: u64, until_ms: u64) -> Decision {
        if now_ms >= until_ms {
            self.deadline_ms = None;
            return Decision::FlushNow;
        }
        self.deadline_ms = Some(until_ms);
        Decision::Hold { until_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Random;
    use super::Decision::{FlushNow, Hold};
    use super::*;

    fn delay(delay_ms: u64, nodelay_size: u64, nopush: bool) -> Delay {
        Delay::new(Settings { delay_ms, nodelay_size, nopush, buffer_size: 16_384 })
    }

    #[test]
    fn small_reads_join_until_the_first_has_waited_its_delay() {
        let mut state = delay(20, 0, false);
        assert_eq!(state.on_bytes(100, 10, 10), Hold { until_ms: 120 });
        assert_eq!(state.on_bytes(110, 10, 20), Hold { until_ms: 120 });
        assert_eq!(state.on_time(119), Hold { until_ms: 120 });
        assert_eq!(state.on_time(120), FlushNow);
        assert_eq!(state.on_time(130), Hold { until_ms: u64::MAX });
        assert_eq!(state.on_bytes(200, 10, 10), Hold { until_ms: 220 });
        assert_eq!(state.on_bytes(220, 10, 20), FlushNow);
    }

    #[test]
    fn a_segment_ends_the_wait_and_with_nopush_only_a_buffer_does() {
        let mut state = delay(20, 0, false);
        assert_eq!(state.on_bytes(0, SEGMENT - 1, SEGMENT - 1), Hold { until_ms: 20 });
        assert_eq!(state.on_bytes(1, 1, SEGMENT), FlushNow);
        let mut state = delay(20, 0, true);
        assert_eq!(state.on_bytes(0, SEGMENT, SEGMENT), Hold { until_ms: 20 });
        assert_eq!(state.on_bytes(1, 1, 16_383), Hold { until_ms: 20 });
        assert_eq!(state.on_bytes(2, 1, 16_384), FlushNow);
    }

    #[test]
    fn the_first_bytes_never_wait() {
        let mut state = delay(20, 100, true);
        assert_eq!(state.on_bytes(0, 60, 60), FlushNow);
        assert_eq!(state.on_bytes(1, 60, 60), FlushNow);
        assert_eq!(state.on_bytes(2, 60, 60), Hold { until_ms: 22 });
    }

    #[test]
    fn without_a_delay_nothing_is_held() {
        let mut state = delay(0, 0, true);
        assert_eq!(state.on_bytes(0, 1, 1), FlushNow);
    }

    #[test]
    fn a_flush_by_the_caller_ends_the_wait() {
        let mut state = delay(20, 0, false);
        state.on_bytes(0, 1, 1);
        state.on_flushed();
        assert_eq!(state.on_time(50), Hold { until_ms: u64::MAX });
        assert_eq!(state.on_bytes(60, 1, 1), Hold { until_ms: 80 });
    }

    #[test]
    fn no_byte_waits_longer_than_the_delay_and_no_number_overflows() {
        let mut random = Random(3);
        for _ in 0..2000 {
            let mut any = || random.next() >> random.below(64);
            let delay_ms = any();
            let mut state = Delay::new(Settings {
                delay_ms,
                nodelay_size: any(),
                nopush: any() % 2 == 0,
                buffer_size: any() as usize,
            });
            for _ in 0..10 {
                let now = any();
                let held = any() as usize;
                if let Hold { until_ms } = state.on_bytes(now, any() as usize, held) {
                    assert!(held == 0 || until_ms.saturating_sub(now) <= delay_ms);
                }
                state.on_time(any());
            }
        }
    }
}
