//! The moving average of response times: rises at once, falls with time. Knows nothing of who measured.
//!
//! A sample above the average replaces it, so one slow answer is felt at the next pick; one below draws it down by how
//! much time has passed since the last sample, not by how many samples there were. ("Peak EWMA", as in Finagle.)

use std::time::Duration;

/// An average and when it was last fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ewma {
    /// Nanoseconds; 0: no sample yet.
    pub value_ns: u64,
    /// When `value_ns` held.
    pub at: Duration,
}

impl Ewma {
    /// Before the first sample.
    pub const EMPTY: Self = Self { value_ns: 0, at: Duration::ZERO };

    /// Takes in a sample and returns the new average. `tau`: after that long a higher past counts 1/e; 0: the last sample holds.
    pub fn observe(&mut self, now: Duration, sample: Duration, tau: Duration) -> u64 {
        let elapsed = now.saturating_sub(self.at);
        // Stored as 0 it would read as "no sample".
        let sample_ns = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX).max(1);
        self.value_ns = next(self.value_ns, sample_ns, elapsed, tau);
        self.at = self.at.max(now);
        self.value_ns
    }
}

/// The average that follows `average_ns` (0: none yet) by a sample `elapsed` after the last one.
pub fn next(average_ns: u64, sample_ns: u64, elapsed: Duration, tau: Duration) -> u64 {
    if sample_ns >= average_ns {
        return sample_ns;
    }
    let fall = (average_ns - sample_ns) as f64 * remaining(elapsed, tau);
    sample_ns.saturating_add(fall as u64)
}

/// What is left of 1 after `elapsed`: e^(−elapsed ÷ tau).
fn remaining(elapsed: Duration, tau: Duration) -> f64 {
    if tau.is_zero() {
        return 0.0;
    }
    let x = elapsed.as_nanos() as u64 as f64 / tau.as_nanos() as u64 as f64;
    // Samples mostly follow soon: then the series' first members are as exact, and need no call.
    if x < 1e-3 { 1.0 - x + x * x / 2.0 } else { (-x).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAU: Duration = Duration::from_secs(10);

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn first_sample_is_the_average_and_a_peak_replaces_it() {
        let mut ewma = Ewma::EMPTY;
        assert_eq!(ewma.observe(ms(50), ms(10), TAU), 10_000_000);
        assert_eq!(ewma.observe(ms(51), ms(400), TAU), 400_000_000);
    }

    #[test]
    fn fall_depends_on_time_and_not_on_the_number_of_samples() {
        let fed = |samples: u64| {
            let mut ewma = Ewma { value_ns: 100_000_000, at: ms(0) };
            for n in 1..=samples {
                ewma.observe(ms(10_000 * n / samples), ms(0), TAU);
            }
            ewma.value_ns as f64 / 1e8
        };
        for samples in [1, 10, 1000] {
            let left = fed(samples);
            assert!((left - 0.3679).abs() < 0.001, "{left} after {samples}");
        }
    }

    #[test]
    fn average_never_falls_below_the_sample_nor_to_none() {
        let mut ewma = Ewma::EMPTY;
        ewma.observe(ms(0), ms(100), TAU);
        assert_eq!(ewma.observe(Duration::from_secs(100_000), ms(7), TAU), 7_000_000);
        assert_eq!(ewma.observe(Duration::from_secs(200_000), ms(0), TAU), 1);
    }

    #[test]
    fn odd_input_is_survived() {
        let mut ewma = Ewma::EMPTY;
        ewma.observe(Duration::MAX, Duration::MAX, Duration::ZERO);
        assert_eq!(ewma.value_ns, u64::MAX);
        assert_eq!(ewma.observe(ms(0), ms(3), Duration::ZERO), 3_000_000);
        ewma.observe(ms(1), ms(1), Duration::MAX);
    }

    #[test]
    fn time_that_goes_backwards_takes_nothing_off() {
        let mut ewma = Ewma::EMPTY;
        ewma.observe(ms(5000), ms(100), TAU);
        assert_eq!(ewma.observe(ms(0), ms(1), TAU), 100_000_000);
        assert_eq!(ewma.at, ms(5000));
    }
}
