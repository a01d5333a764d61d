//! At most one message a second for each reason.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most reasons that are told apart at a time; further ones share one place.
const KEYS: usize = 1024;
const PERIOD: Duration = Duration::from_secs(1);

/// Remembers when each reason was last said.
#[derive(Debug, Default)]
pub(super) struct RateLimit {
    keys: Mutex<HashMap<Box<str>, (Instant, u64)>>,
}

impl RateLimit {
    /// Whether to say `key` now: Some, with the number of times it was held back since it was last said; None: hold back.
    pub(super) fn once_a_second(&self, key: &str, now: Instant) -> Option<u64> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains_key(key) && keys.len() >= KEYS {
            keys.retain(|_, (said, held)| *held > 0 || now.saturating_duration_since(*said) < PERIOD);
        }
        let key = if keys.contains_key(key) || keys.len() < KEYS { key } else { "" };
        let Some((said, held)) = keys.get_mut(key) else {
            keys.insert(key.into(), (now, 0));
            return Some(0);
        };
        if now.saturating_duration_since(*said) < PERIOD {
            *held += 1;
            return None;
        }
        *said = now;
        Some(std::mem::take(held))
    }

    /// What was held back and has not happened for a second since it could be said again, with its number: for a last word
    /// after a flood. One that goes on says its number itself. The shared place of too many reasons is the empty key.
    pub(super) fn held_back(&self, now: Instant) -> Vec<(Box<str>, u64)> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |said: &Instant| now.saturating_duration_since(*said) >= PERIOD * 2;
        let mut found: Vec<_> = keys
            .iter()
            .filter(|(_, (said, held))| *held > 0 && over(said))
            .map(|(key, (_, held))| (key.clone(), *held))
            .collect();
        found.sort();
        keys.retain(|_, (said, _)| !over(said));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_a_second_with_what_was_held_back() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        assert_eq!(limit.once_a_second("full", start), Some(0));
        assert_eq!(limit.once_a_second("full", start + PERIOD / 2), None);
        assert_eq!(limit.once_a_second("full", start + PERIOD / 2), None);
        assert_eq!(limit.once_a_second("other", start), Some(0), "reasons are apart");
        assert_eq!(limit.once_a_second("full", start + PERIOD), Some(2));
        assert_eq!(limit.once_a_second("full", start + PERIOD * 3), Some(0));
    }

    #[test]
    fn what_a_flood_left_unsaid_can_be_asked_for() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        for _ in 0..5 {
            limit.once_a_second("full", start);
        }
        assert!(limit.held_back(start + PERIOD).is_empty(), "the next one may say it");
        assert_eq!(limit.held_back(start + PERIOD * 2), [("full".into(), 4)]);
        assert!(limit.held_back(start + PERIOD * 4).is_empty());
        assert_eq!(limit.once_a_second("full", start + PERIOD * 4), Some(0), "it was said");
    }

    #[test]
    fn number_of_reasons_is_bounded() {
        let (limit, start) = (RateLimit::default(), Instant::now());
        for n in 0..KEYS * 3 {
            limit.once_a_second(&n.to_string(), start);
        }
        assert!(limit.keys.lock().expect("not poisoned").len() <= KEYS + 1);
        assert_eq!(limit.once_a_second("late", start), None, "shares one place");
        assert_eq!(limit.once_a_second("late", start + PERIOD * 2), Some(0), "old ones made room");
    }
}
