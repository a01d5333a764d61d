//! Brings a peer's weight up over time after it became usable, so that cold caches and pools can warm.
//! Owns the curve alone; whether the peer is usable is told.

use std::time::Duration;

/// The whole weight, in thousandths.
pub const FULL: u32 = 1000;
/// The least share: with less a peer would hardly be picked and learn nothing.
const LEAST: u32 = 50;
/// `next_change` comes in steps of this many thousandths.
const STEP: u32 = 25;

/// One peer's ramp. `PeerState::ramp` is set to `thousandths` at each `next_change`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ramp {
    /// When it became usable again; `None`: at full weight.
    since: Option<Duration>,
}

impl Ramp {
    /// At full weight. So is every peer at the start of the process: when all are cold none can be spared.
    pub fn full() -> Self {
        Self::default()
    }

    /// The peer became usable, or was added to a running pool.
    pub fn begin(&mut self, now: Duration) {
        self.since = Some(now);
    }

    /// The peer is no longer usable. Its share is full until the next `begin`; nothing reads it meanwhile.
    pub fn cancel(&mut self) {
        self.since = None;
    }

    /// Share of the weight that holds now, 50..=1000, in a straight line over `duration`. 0: no slow start.
    pub fn thousandths(&self, now: Duration, duration: Duration) -> u32 {
        let Some(since) = self.since else {
            return FULL;
        };
        let elapsed = now.saturating_sub(since);
        if elapsed >= duration {
            return FULL;
        }
        // elapsed < duration, so the quotient is under 1000.
        let risen = (elapsed.as_nanos().saturating_mul(u128::from(FULL)) / duration.as_nanos()) as u32;
        risen.max(LEAST)
    }

    /// When `thousandths` should be read again; `None`: it stays full.
    pub fn next_change(&self, now: Duration, duration: Duration) -> Option<Duration> {
        let since = self.since?;
        let at = self.thousandths(now, duration);
        if at >= FULL {
            return None;
        }
        let next = (at / STEP + 1) * STEP;
        let wait =
            Duration::try_from_secs_f64(duration.as_secs_f64() * f64::from(next) / f64::from(FULL)).unwrap_or(duration);
        // Rounding may leave it a nanosecond short, which would be a loop without progress.
        Some(since.saturating_add(wait).max(now.saturating_add(Duration::from_millis(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn share_rises_in_a_straight_line() {
        let mut ramp = Ramp::full();
        assert_eq!(ramp.thousandths(ms(0), TEN), 1000);
        ramp.begin(ms(5_000));
        for (at, share) in [(5_000, 50), (6_000, 100), (10_000, 500), (14_990, 999), (15_000, 1000), (99_000, 1000)] {
            assert_eq!(ramp.thousandths(ms(at), TEN), share, "at {at}");
        }
    }

    #[test]
    fn updates_are_few_make_progress_and_end() {
        let mut ramp = Ramp::full();
        assert_eq!(ramp.next_change(ms(0), TEN), None);
        ramp.begin(ms(0));
        let (mut now, mut share, mut updates) = (ms(0), ramp.thousandths(ms(0), TEN), 0);
        while let Some(next) = ramp.next_change(now, TEN) {
            assert!(next > now);
            now = next;
            let risen = ramp.thousandths(now, TEN);
            assert!(risen >= share);
            share = risen;
            updates += 1;
            assert!(updates <= 100);
        }
        assert_eq!(share, 1000);
        assert!(updates >= 30, "{updates}");
    }

    #[test]
    fn ramp_begins_anew_after_each_return() {
        let mut ramp = Ramp::full();
        ramp.begin(ms(0));
        ramp.cancel();
        assert_eq!(ramp.thousandths(ms(1), TEN), 1000);
        ramp.begin(ms(20_000));
        assert_eq!(ramp.thousandths(ms(20_000), TEN), 50);
    }

    #[test]
    fn without_a_duration_there_is_no_ramp() {
        let mut ramp = Ramp::full();
        ramp.begin(ms(0));
        assert_eq!(ramp.thousandths(ms(0), Duration::ZERO), 1000);
        assert_eq!(ramp.next_change(ms(0), Duration::ZERO), None);
    }

    #[test]
    fn odd_times_are_survived() {
        let mut ramp = Ramp::full();
        ramp.begin(Duration::MAX);
        assert_eq!(ramp.thousandths(ms(0), Duration::MAX), 50);
        assert!(ramp.next_change(ms(0), Duration::from_secs(u64::MAX / 2)).is_some());
        ramp.begin(ms(0));
        assert!(ramp.next_change(Duration::from_secs(u64::MAX / 100 * 99), Duration::MAX).is_some());
    }
}
