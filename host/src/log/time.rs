//! Local time as text: `2026-05-01T12:00:00.123+08:00` (RFC 3339). The calendar is asked once a second.

use anyproxy_module_api::text;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes times, best from one thread: the text of the last second is kept.
#[derive(Debug, Default)]
pub struct LocalTime {
    second: Option<i64>,
    /// Since 1970, of the text: many lines are of one turn of the loop.
    at_ms: u64,
    /// `2026-05-01T12:00:00.123+08:00`: of this second, and of the millisecond that was written last.
    text: Vec<u8>,
    /// Where its millisecond is.
    millis: usize,
}

impl LocalTime {
    /// Appends `time` to `out`, always 29 bytes for the years 1970 to 9999. Earlier ones are written as 1970.
    pub fn write(&mut self, time: SystemTime, out: &mut Vec<u8>) {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.write_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX), out);
    }

    /// The same for milliseconds since 1970.
    pub fn write_ms(&mut self, since_ms: u64, out: &mut Vec<u8>) {
        if self.at_ms != since_ms || self.second.is_none() {
            self.at_ms = since_ms;
            self.set(since_ms);
        }
        out.extend_from_slice(&self.text);
    }

    #[inline(never)]
    fn set(&mut self, since_ms: u64) {
        let second = i64::try_from(since_ms / 1000).unwrap_or(i64::MAX);
        if self.second != Some(second) {
            self.second = Some(second);
            let stamp = jiff::Timestamp::from_second(second).unwrap_or(jiff::Timestamp::MAX);
            let zoned = stamp.to_zoned(jiff::tz::TimeZone::system());
            self.text = zoned.strftime("%Y-%m-%dT%H:%M:%S.").to_string().into_bytes();
            self.millis = self.text.len();
            self.text.extend_from_slice(b"000");
            self.text.extend_from_slice(zoned.strftime("%:z").to_string().as_bytes());
        }
        if let Some(millis) = self.text[self.millis..].first_chunk_mut() {
            *millis = text::millis((since_ms % 1000) as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn text_parses_back_to_the_same_millisecond() {
        let mut local = LocalTime::default();
        for millis in [0, 1, 999, 1_000, 1_777_608_000_123, 1_777_608_000_999, 1_700_000_000_010] {
            let mut out = Vec::new();
            local.write(UNIX_EPOCH + Duration::from_millis(millis), &mut out);
            let text = String::from_utf8(out).expect("ASCII");
            assert_eq!(text.len(), 29, "{text}");
            let stamp: jiff::Timestamp = text.parse().expect("RFC 3339");
            assert_eq!(stamp.as_millisecond(), millis as i64, "{text}");
        }
    }

    #[test]
    fn times_outside_the_calendar_do_not_panic() {
        let mut out = Vec::new();
        LocalTime::default().write(UNIX_EPOCH - Duration::from_secs(5), &mut out);
        if let Some(late) = UNIX_EPOCH.checked_add(Duration::from_secs(1 << 60)) {
            LocalTime::default().write(late, &mut out);
        }
        assert!(!out.is_empty());
    }
}
