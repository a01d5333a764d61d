//! Limits retries to a share of the requests, so that a failing upstream does not get a multiple of its load.
//! Knows not what a request is nor whether it may be repeated.

use super::window::Window;
use std::time::Duration;

/// Requests and retries of this long back count.
const SPAN: Duration = Duration::from_secs(10);
const REQUESTS: usize = 0;
const RETRIES: usize = 1;

/// Retries that a pool may make on one worker: `percent` of the requests of the last ten seconds, and `least` in any case.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    percent: u32,
    least: u32,
    window: Window<2>,
}

impl RetryBudget {
    /// `percent` may exceed 100. `least` is per ten seconds; both 0: no retries.
    pub fn new(percent: u32, least: u32) -> Self {
        Self { percent, least, window: Window::new(SPAN) }
    }

    /// Takes over other limits. What was counted stays.
    pub fn set_limits(&mut self, percent: u32, least: u32) {
        self.percent = percent;
        self.least = least;
    }

    /// Counts a request's first attempt.
    pub fn request(&mut self, now: Duration) {
        self.window.add(now, REQUESTS, 1);
    }

    /// Whether one more retry is within the budget; if so it is counted.
    pub fn try_retry(&mut self, now: Duration) -> bool {
        let [requests, retries] = self.window.sums(now);
        let allowed = u64::from(self.least).saturating_add(requests.saturating_mul(u64::from(self.percent)) / 100);
        let within = retries < allowed;
        if within {
            self.window.add(now, RETRIES, 1);
        }
        within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn retries(budget: &mut RetryBudget, now: Duration) -> usize {
        (0..1000).take_while(|_| budget.try_retry(now)).count()
    }

    #[test]
    fn share_of_the_requests_and_the_least_may_be_retried() {
        let mut budget = RetryBudget::new(20, 3);
        for _ in 0..100 {
            budget.request(secs(1));
        }
        assert_eq!(retries(&mut budget, secs(1)), 23);
        budget.request(secs(2));
        assert_eq!(retries(&mut budget, secs(2)), 0, "used up");
    }

    #[test]
    fn idle_pool_has_the_least() {
        assert_eq!(retries(&mut RetryBudget::new(20, 3), secs(0)), 3);
        assert_eq!(retries(&mut RetryBudget::new(20, 0), secs(0)), 0);
    }

    #[test]
    fn budget_comes_back_after_the_window_and_old_requests_earn_nothing() {
        let mut budget = RetryBudget::new(50, 1);
        for _ in 0..10 {
            budget.request(secs(0));
        }
        assert_eq!(retries(&mut budget, secs(0)), 6);
        assert_eq!(retries(&mut budget, secs(9)), 0);
        assert_eq!(retries(&mut budget, secs(10)), 1);
    }

    #[test]
    fn total_failure_costs_no_more_than_the_budget() {
        let mut budget = RetryBudget::new(20, 0);
        let mut made = 0;
        for request in 0..10_000 {
            let now = Duration::from_millis(request * 5);
            budget.request(now);
            made += usize::from(budget.try_retry(now));
        }
        // A retry is kept in mind as long as the requests that paid for it, give or take a bucket.
        assert!((1900..=2300).contains(&made), "{made} retries for 10,000 requests");
    }

    #[test]
    fn limits_may_change_on_the_way() {
        let mut budget = RetryBudget::new(0, 2);
        assert_eq!(retries(&mut budget, secs(0)), 2);
        budget.set_limits(0, 5);
        assert_eq!(retries(&mut budget, secs(0)), 3);
        budget.set_limits(u32::MAX, u32::MAX);
        assert!(budget.try_retry(secs(0)));
    }
}
