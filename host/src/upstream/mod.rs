//! The rules of upstream pools: when a peer is checked, taken out, brought back, retried, waited for, resolved anew and
//! recognised after a reload. Owns decisions only: knows no protocol, opens no socket, has no clock and no task.
//!
//! Every function that depends on time takes `now`, the time since an origin that the caller keeps (any monotonic one),
//! and every one that depends on chance takes 64 random bits. A `now` that goes backwards is taken for the latest seen
//! or makes an interval last longer; it never panics.

pub mod again;
mod ask;
pub mod attempts;
mod blame;
pub mod budget;
pub mod connect;
pub mod eject;
pub mod ewma;
pub mod hashed;
pub mod health;
pub mod identity;
pub mod lease;
pub mod line;
pub mod live;
pub mod maintain;
pub mod pick;
pub mod pool;
pub mod queue;
mod random;
pub mod recover;
pub mod registered;
mod render;
pub mod rendered;
pub mod resolve;
pub mod shared;
pub mod slow_start;
pub mod turns;
pub mod uses;
pub mod window;

use std::time::Duration;

/// `base` ± a tenth, by `random`: keeps what began together from staying together.
pub(crate) fn jitter(base: Duration, random: u64) -> Duration {
    let thousandths = 900 + (random % 201) as u32;
    base.saturating_mul(thousandths) / 1000
}

/// A time in `0..span`, by `random`.
pub(crate) fn somewhere_in(span: Duration, random: u64) -> Duration {
    let nanos = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(((u128::from(random) * u128::from(nanos)) >> 64) as u64)
}

/// `base` × 2^`doublings`, at most `most`.
pub(crate) fn backoff(base: Duration, doublings: u32, most: Duration) -> Duration {
    base.saturating_mul(1 << doublings.min(31)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_within_a_tenth() {
        let base = Duration::from_secs(10);
        let all: Vec<_> = (0..1000).map(|random| jitter(base, random)).collect();
        assert_eq!(all.iter().min(), Some(&Duration::from_secs(9)));
        assert_eq!(all.iter().max(), Some(&Duration::from_secs(11)));
        jitter(Duration::MAX, u64::MAX);
    }

    #[test]
    fn start_offset_stays_inside_the_span() {
        let span = Duration::from_secs(1);
        assert_eq!(somewhere_in(span, 0), Duration::ZERO);
        assert_eq!(somewhere_in(span, 1 << 63), span / 2);
        assert!(somewhere_in(span, u64::MAX) < span);
        somewhere_in(Duration::MAX, u64::MAX);
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let (base, most) = (Duration::from_secs(1), Duration::from_secs(30));
        let steps: Vec<_> = (0..7).map(|n| backoff(base, n, most).as_secs()).collect();
        assert_eq!(steps, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff(Duration::MAX, u32::MAX, most), most);
    }
}
