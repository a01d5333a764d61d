//! Counts of the recent past: a ring of buckets that forgets the oldest as time goes on. Knows not what is counted.

use std::time::Duration;

/// Buckets of a window. What is counted leaves in steps of a tenth of the span.
const BUCKETS: usize = 10;

/// `N` kinds of events over a sliding span. Fixed size, no allocation.
#[derive(Clone, Debug)]
pub struct Window<const N: usize> {
    bucket_ns: u64,
    buckets: [[u32; N]; BUCKETS],
    sums: [u64; N],
    /// Number of the current bucket since the origin of time.
    head: u64,
    /// When it ends: until then there is nothing to forget, and nothing to divide.
    head_ends_ns: u64,
}

impl<const N: usize> Window<N> {
    /// An empty window of the last `span`: at least nine tenths of it, at most all. Spans under 10 ns count as 10 ns.
    pub fn new(span: Duration) -> Self {
        let bucket_ns = (nanos(span) / BUCKETS as u64).max(1);
        Self { bucket_ns, buckets: [[0; N]; BUCKETS], sums: [0; N], head: 0, head_ends_ns: bucket_ns }
    }

    /// Counts `n` events of `kind`. A kind of `N` or more is ignored.
    pub fn add(&mut self, now: Duration, kind: usize, n: u32) {
        self.advance(now);
        let slot = (self.head % BUCKETS as u64) as usize;
        let Some(count) = self.buckets[slot].get_mut(kind) else {
            return;
        };
        // What a full bucket cannot hold is not in the sum either, so that it can be taken off again.
        let before = *count;
        *count = count.saturating_add(n);
        self.sums[kind] += u64::from(*count - before);
    }

    /// Events of each kind that are still inside the span.
    pub fn sums(&mut self, now: Duration) -> [u64; N] {
        self.advance(now);
        self.sums
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets = [[0; N]; BUCKETS];
        self.sums = [0; N];
    }

    fn advance(&mut self, now: Duration) {
        let now = nanos(now);
        if now < self.head_ends_ns {
            return;
        }
        let bucket = now / self.bucket_ns;
        let steps = bucket.saturating_sub(self.head);
        if steps >= BUCKETS as u64 {
            self.clear();
        } else {
            for step in 1..=steps {
                let slot = ((self.head + step) % BUCKETS as u64) as usize;
                for (sum, count) in self.sums.iter_mut().zip(&mut self.buckets[slot]) {
                    *sum -= u64::from(std::mem::take(count));
                }
            }
        }
        self.head += steps;
        self.head_ends_ns = self.head.saturating_add(1).saturating_mul(self.bucket_ns);
    }
}

/// Without 128 bits.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn events_leave_after_the_span_and_not_before_nine_tenths() {
        let mut window = Window::<2>::new(ms(1000));
        window.add(ms(0), 0, 3);
        window.add(ms(550), 1, 4);
        assert_eq!(window.sums(ms(900)), [3, 4]);
        assert_eq!(window.sums(ms(1000)), [0, 4]);
        assert_eq!(window.sums(ms(1499)), [0, 4]);
        assert_eq!(window.sums(ms(1550)), [0, 0]);
    }

    #[test]
    fn long_silence_empties_it() {
        let mut window = Window::<1>::new(ms(1000));
        window.add(ms(0), 0, 7);
        assert_eq!(window.sums(Duration::from_secs(86_400 * 365)), [0]);
        window.add(Duration::MAX, 0, 1);
        assert_eq!(window.sums(Duration::MAX), [1]);
    }

    #[test]
    fn time_that_goes_backwards_counts_as_now() {
        let mut window = Window::<1>::new(ms(1000));
        window.add(ms(5000), 0, 1);
        window.add(ms(10), 0, 1);
        assert_eq!(window.sums(ms(5000)), [2]);
    }

    #[test]
    fn full_bucket_and_unknown_kind_do_no_harm() {
        let mut window = Window::<1>::new(Duration::ZERO);
        window.add(ms(1), 0, u32::MAX);
        window.add(ms(1), 0, u32::MAX);
        window.add(ms(1), 1, 5);
        assert_eq!(window.sums(ms(1)), [u64::from(u32::MAX)]);
        assert_eq!(window.sums(ms(2)), [0]);
    }
}
