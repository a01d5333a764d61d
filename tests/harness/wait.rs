//! Waiting with a limit. Owns the only place of the harness that polls by time.

use std::time::{Duration, Instant};

/// How long a wait lasts where the caller names no limit. Far above what a loaded machine needs: it ends hung tests
/// and asserts nothing about speed.
pub const LIMIT: Duration = Duration::from_secs(20);

/// Calls `probe` until it answers `Some`, at most [`LIMIT`]. For states that announce themselves by no event, such as a
/// line in a log or a counter. Panics with `what` when the limit has passed.
#[track_caller]
pub fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    match within(LIMIT, &mut probe) {
        Some(value) => value,
        None => panic!("did not happen within {LIMIT:?}: {what}"),
    }
}

/// The same with a limit of the caller's; `None` when it has passed.
pub fn within<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return Some(value);
        }
        if Instant::now() >= end {
            return None;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_once_the_probe_does() {
        let mut calls = 0;
        let value = eventually("third call", || {
            calls += 1;
            (calls == 3).then_some(calls)
        });
        assert_eq!(value, 3);
    }

    #[test]
    fn a_limit_ends_the_wait() {
        assert_eq!(within(Duration::ZERO, || None::<()>), None);
    }
}
