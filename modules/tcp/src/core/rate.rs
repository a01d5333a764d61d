//! Limits the bytes a second of one direction of one session: a token bucket with a free beginning.
//! Has no clock and no timer: times come in as milliseconds of any monotonic clock, waits go out as such.

/// What a direction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Up to so many bytes now, at least 1 and at most what was wanted. What is really moved is told by
    /// [`Bucket::spend`].
    Now(u64),
    /// Nothing before this time.
    WaitUntil(u64),
}

/// A rate with its burst and the bytes that are free at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes a second. 0: no limit.
    pub rate: u64,
    /// Most bytes that collect while a direction is idle. 0: a tenth of a second's worth. Never less than 40 ms' worth:
    /// a timer that fires late must not cost rate.
    pub burst: u64,
    /// Bytes from the beginning that are not limited.
    pub after: u64,
}

/// The state of one direction.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: u64,
    free: u64,
    /// Thousandths of a byte: at a rate of R bytes a second a millisecond earns R of them, so nothing is rounded away.
    credit: u128,
    most_credit: u128,
    burst: u64,
    /// Below this many bytes a grant is not worth a system call.
    quantum: u64,
    earned_until: u64,
}

const PER_BYTE: u128 = 1000;

impl Bucket {
    /// A full bucket at `now_ms`.
    pub fn new(limit: Limit, now_ms: u64) -> Self {
        // 20 ms' worth: 50 writes a second at most.
        let quantum = (limit.rate / 50).max(1);
        let burst = match limit.burst {
            0 => limit.rate / 10,
            burst => burst,
        }
        .max(quantum.saturating_mul(2));
        // What a wait that is rounded up to whole milliseconds earns too much is kept, else the rate would be missed.
        let most_credit = u128::from(burst) * PER_BYTE + u128::from(limit.rate);
        Self {
            rate: limit.rate,
            free: limit.after,
            credit: u128::from(burst) * PER_BYTE,
            most_credit,
            burst,
            quantum,
            earned_until: now_ms,
        }
    }

    /// How much of `want` may move. Takes nothing: asking again without spending gives no less. `want` of 0 is asked as 1.
    pub fn allow(&mut self, now_ms: u64, want: u64) -> Grant {
        let want = want.max(1);
        if self.rate == 0 {
            return Grant::Now(want);
        }
        self.earn(now_ms);
        let available = self.free.saturating_add(self.whole());
        // Small wants are not held up for the quantum.
        let least = want.min(self.quantum);
        if available >= least {
            return Grant::Now(available.min(want));
        }
        let missing = u128::from(least - available) * PER_BYTE - self.credit % PER_BYTE;
        let wait = u64::try_from(missing.div_ceil(self.rate.into())).unwrap_or(u64::MAX);
        Grant::WaitUntil(now_ms.max(self.earned_until).saturating_add(wait))
    }

    /// Bytes that were moved; the free ones go first. More than was granted empties the bucket and no further.
    pub fn spend(&mut self, bytes: u64) {
        let free = bytes.min(self.free);
        self.free -= free;
        let paid = u128::from(bytes - free) * PER_BYTE;
        self.credit = self.credit.saturating_sub(paid);
    }

    /// A clock that stands still or runs backwards earns nothing and loses nothing.
    fn earn(&mut self, now_ms: u64) {
        let passed = now_ms.saturating_sub(self.earned_until);
        self.earned_until = self.earned_until.max(now_ms);
        let earned = u128::from(passed) * u128::from(self.rate);
        self.credit = self.credit.saturating_add(earned).min(self.most_credit);
    }

    fn whole(&self) -> u64 {
        u64::try_from(self.credit / PER_BYTE).map_or(self.burst, |whole| whole.min(self.burst))
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Random;
    use super::*;

    fn bucket(rate: u64, burst: u64, after: u64) -> Bucket {
        Bucket::new(Limit { rate, burst, after }, 0)
    }

    fn moved(bucket: &mut Bucket, until: u64, want: u64) -> u64 {
        let (mut now, mut total) = (0, 0);
        while now <= until {
            match bucket.allow(now, want) {
                Grant::Now(bytes) => {
                    bucket.spend(bytes);
                    total += bytes;
                }
                Grant::WaitUntil(then) => {
                    assert!(then > now);
                    now = then;
                }
            }
        }
        total
    }

    #[test]
    fn the_rate_is_kept_over_time() {
        for rate in [1, 7, 50, 999, 1000, 65_537, 1 << 30] {
            let burst = (rate / 25).max(2);
            let total = moved(&mut bucket(rate, 1, 0), 100_000, 16_384);
            let expected = rate * 100..=rate * 100 + burst;
            assert!(expected.contains(&total), "{rate}: {total}");
        }
    }

    #[test]
    fn the_first_bytes_are_free() {
        let mut limited = bucket(1000, 100, 5000);
        assert_eq!(limited.allow(0, 10_000), Grant::Now(5100));
        limited.spend(5000);
        assert_eq!(limited.allow(0, 10_000), Grant::Now(100));
        limited.spend(100);
        assert_eq!(limited.allow(0, 10_000), Grant::WaitUntil(20));
    }

    #[test]
    fn the_burst_is_bounded_however_long_it_was_idle() {
        let mut limited = bucket(1000, 300, 0);
        assert_eq!(limited.allow(u64::MAX, u64::MAX), Grant::Now(300));
        let mut default = bucket(1000, 0, 0);
        assert_eq!(default.allow(1 << 40, u64::MAX), Grant::Now(100));
    }

    #[test]
    fn asking_takes_nothing() {
        let mut limited = bucket(1000, 300, 0);
        assert_eq!(limited.allow(0, 200), Grant::Now(200));
        assert_eq!(limited.allow(0, 400), Grant::Now(300));
        limited.spend(10);
        assert_eq!(limited.allow(0, 400), Grant::Now(290));
    }

    #[test]
    fn small_wants_do_not_wait_for_the_quantum() {
        let mut limited = bucket(100_000, 10_000, 0);
        limited.spend(10_000);
        assert_eq!(limited.allow(0, 10_000), Grant::WaitUntil(20));
        assert_eq!(limited.allow(0, 100), Grant::WaitUntil(1));
        assert_eq!(limited.allow(1, 100), Grant::Now(100));
    }

    #[test]
    fn no_rate_is_no_limit() {
        let mut free = bucket(0, 0, 0);
        free.spend(u64::MAX);
        assert_eq!(free.allow(0, u64::MAX), Grant::Now(u64::MAX));
    }

    #[test]
    fn a_clock_that_runs_backwards_grants_nothing() {
        let mut limited = bucket(1000, 100, 0);
        limited.spend(100);
        assert_eq!(limited.allow(50, 50), Grant::Now(50));
        limited.spend(50);
        assert_eq!(limited.allow(10, 10), Grant::WaitUntil(60));
        assert_eq!(limited.allow(50, 10), Grant::WaitUntil(60));
    }

    #[test]
    fn no_numbers_overflow_or_grant_more_than_was_wanted() {
        let mut random = Random(7);
        for _ in 0..20_000 {
            let mut any = || random.next() >> random.below(64);
            let mut limited = bucket(any(), any(), any());
            for _ in 0..4 {
                let (now, want) = (any(), any());
                match limited.allow(now, want) {
                    Grant::Now(bytes) => assert!((1..=want.max(1)).contains(&bytes)),
                    Grant::WaitUntil(then) => assert!(then >= now),
                }
                limited.spend(any());
            }
        }
        let mut most = bucket(u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(most.allow(u64::MAX, u64::MAX), Grant::Now(u64::MAX));
        most.spend(u64::MAX);
    }
}
