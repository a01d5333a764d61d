//! Sizes, times, rates and percentages as text with units. Knows nothing of where they stand. For the host and the fake one.
//!
//! Every function fails with one line that says what to write instead.

use std::time::Duration;

const SIZES: [(&str, u64); 5] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// In nanoseconds.
const TIMES: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Bytes: `"8MiB"`, `"1.5GiB"`, `"0"`. Units: `B KiB MiB GiB TiB`; only 0 may do without.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text, "a size", "8MiB")?;
    if unit.is_empty() {
        return zero(&number, || format!("a size needs a unit, e.g. {}MiB", number.text));
    }
    let Some((_, factor)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong_size(text, &number, unit));
    };
    number.times(*factor).ok_or_else(|| too_large(text, "size"))?
}

/// A time: `"30s"`, `"1h30m"`, `"0"`. Units: `ns us ms s m h d`, larger before smaller; only 0 may do without. At most 584 years.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut total = 0u64;
    let mut last = u64::MAX;
    loop {
        let (number, tail) = split(rest, "a time", "30s")?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        if unit.is_empty() {
            let whole = last == u64::MAX;
            return zero(&number, || format!("a time needs a unit, e.g. {}s", number.text)).and_then(|_: u64| {
                if whole { Ok(Duration::ZERO) } else { Err(format!("{text}: the last number has no unit")) }
            });
        }
        let Some((_, factor)) = TIMES.iter().find(|(name, _)| *name == unit) else {
            return Err(wrong_time(text, &number, unit));
        };
        if *factor >= last {
            return Err(format!("{text}: larger units come first and each once, e.g. 1h30m"));
        }
        last = *factor;
        total = number
            .times(*factor)
            .and_then(|part| part.map(|part| total.checked_add(part)).transpose())
            .ok_or_else(|| too_large(text, "time"))??;
        if next.is_empty() {
            return Ok(Duration::from_nanos(total));
        }
        rest = next;
    }
}

/// Units a second: bytes (`"10MiB/s"`) or things (`"100/s"`); `"0"`. Also `/m`, `/h`, `/d`, rounded down but not to 0.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let Some((amount, per)) = text.split_once('/') else {
        let (number, unit) = split(text, "a rate", "10MiB/s")?;
        return if unit.is_empty() {
            zero(&number, || format!("a rate ends with /s, e.g. {}/s", number.text))
        } else {
            Err(format!("{text}: a rate ends with /s; write {text}/s"))
        };
    };
    let seconds: u64 = match per {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => {
            return Err(format!("{text}: a rate is per s, m, h or d; write {amount}/s"));
        }
    };
    let (number, unit) = split(amount, "a rate", "10MiB/s")?;
    let total = if unit.is_empty() {
        number.times(1).ok_or_else(|| too_large(text, "rate"))??
    } else {
        parse_size(amount).map_err(|reason| {
            // The suggestion, too, has to be a rate.
            if reason.contains("; write ") { format!("{reason}/{per}").replacen(amount, text, 1) } else { reason }
        })?
    };
    Ok(if total == 0 { 0 } else { (total / seconds).max(1) })
}

/// Hundredths of a percent: `"12.5%"` is 1250. `"0"` may do without the sign.
pub fn parse_percent(text: &str) -> Result<u32, String> {
    let (number, unit) = split(text, "a percentage", "50%")?;
    match unit {
        "%" => {
            let hundredths = number.times(100).ok_or_else(|| too_large(text, "percentage"))??;
            u32::try_from(hundredths).map_err(|_| too_large(text, "percentage"))
        }
        "" => zero(&number, || format!("a percentage ends with %, e.g. {}%", number.text)).map(|_: u64| 0),
        _ => Err(format!("{text}: a percentage ends with %; write {}%", number.text)),
    }
}

/// A number as written: `whole` and `fraction / 10^digits`.
struct Number<'a> {
    text: &'a str,
    whole: u64,
    fraction: u64,
    digits: u32,
}

impl Number<'_> {
    /// In the smallest unit, rounded down. `None`: over 64 bits. A part of the smallest unit: an error.
    fn times(&self, factor: u64) -> Option<Result<u64, String>> {
        let scale = 10u128.pow(self.digits);
        let part = u128::from(self.fraction) * u128::from(factor);
        if factor == 1 && self.fraction != 0 {
            let text = self.text;
            return Some(Err(format!("{text}: there are no parts of this unit")));
        }
        let all = u128::from(self.whole) * u128::from(factor) + part / scale;
        u64::try_from(all).ok().map(Ok)
    }
}

/// The number at the start, and what follows.
fn split<'a>(text: &'a str, what: &str, example: &str) -> Result<(Number<'a>, &'a str), String> {
    if text.starts_with('-') {
        return Err(format!("{text}: {what} is not negative"));
    }
    if text.contains(char::is_whitespace) {
        let joined: String = text.split_whitespace().collect();
        return Err(format!("{text}: no space before the unit; write {joined}"));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let good = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if number.contains('_') || !good(whole) || !good(fraction) || fraction.len() > 9 {
        return Err(format!("\"{text}\" is not {what}; write e.g. {example}"));
    }
    let number = Number {
        text: number,
        whole: whole.parse().map_err(|_| too_large(text, &what[2..]))?,
        fraction: fraction.parse().map_err(|_| too_large(text, &what[2..]))?,
        digits: u32::try_from(fraction.len()).unwrap_or(9),
    };
    Ok((number, unit))
}

/// 0, or the reason why there must be a unit.
fn zero(number: &Number<'_>, reason: impl FnOnce() -> String) -> Result<u64, String> {
    if number.whole == 0 && number.fraction == 0 { Ok(0) } else { Err(reason()) }
}

fn too_large(text: &str, what: &str) -> String {
    format!("{text}: the {what} is too large")
}

fn wrong_size(text: &str, number: &Number<'_>, unit: &str) -> String {
    let n = number.text;
    let lower = unit.to_ascii_lowercase();
    let known = SIZES.iter().find(|(name, _)| name.to_ascii_lowercase() == lower);
    if let Some((name, _)) = known {
        return format!("{text}: units are case-sensitive; write {n}{name}");
    }
    let prefix = lower.strip_suffix('b').unwrap_or(&lower);
    let decimal = ["k", "m", "g", "t"].contains(&prefix);
    if decimal {
        let prefix = prefix.to_ascii_uppercase();
        let why = if lower.ends_with('b') { "decimal units are not used" } else { "the unit is not complete" };
        return format!("{text}: {why}; write {n}{prefix}iB");
    }
    if ["byte", "bytes"].contains(&lower.as_str()) {
        return format!("{text}: units are short; write {n}B");
    }
    format!("{text}: unknown unit of size \"{unit}\"; there are B, KiB, MiB, GiB and TiB")
}

fn wrong_time(text: &str, number: &Number<'_>, unit: &str) -> String {
    let n = number.text;
    let meant = match unit.to_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" | "s" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" | "h" => "h",
        "day" | "days" | "d" => "d",
        "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "µs" | "μs" | "usec" | "micros" | "us" => "us",
        "nsec" | "nanos" | "ns" => "ns",
        _ => {
            return format!("{text}: unknown unit of time \"{unit}\"; there are ns, us, ms, s, m, h and d");
        }
    };
    format!("{text}: unknown unit of time \"{unit}\"; write {n}{meant}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("17B"), Ok(17));
        assert_eq!(parse_size("8MiB"), Ok(8 << 20));
        assert_eq!(parse_size("1.5GiB"), Ok(3 << 29));
        assert_eq!(parse_size("2TiB"), Ok(2 << 40));
    }

    #[test]
    fn a_wrong_size_is_told_what_to_write() {
        for (text, reason) in [
            ("8MB", "8MB: decimal units are not used; write 8MiB"),
            ("8mib", "8mib: units are case-sensitive; write 8MiB"),
            ("8k", "8k: the unit is not complete; write 8KiB"),
            ("8", "a size needs a unit, e.g. 8MiB"),
            ("8 MiB", "8 MiB: no space before the unit; write 8MiB"),
            ("-1B", "-1B: a size is not negative"),
            ("1.5B", "1.5: there are no parts of this unit"),
            ("MiB", "\"MiB\" is not a size; write e.g. 8MiB"),
            ("", "\"\" is not a size; write e.g. 8MiB"),
            ("16777216TiB", "16777216TiB: the size is too large"),
            ("99999999999999999999B", "99999999999999999999B: the size is too large"),
            ("1XiB", "1XiB: unknown unit of size \"XiB\"; there are B, KiB, MiB, GiB and TiB"),
        ] {
            assert_eq!(parse_size(text), Err(reason.to_owned()));
        }
    }

    #[test]
    fn times_may_be_combined() {
        assert_eq!(parse_time("0"), Ok(Duration::ZERO));
        assert_eq!(parse_time("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_time("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse_time("1d2h3m4s5ms6us7ns").map(|d| d.as_nanos()), Ok(93_784_005_006_007));
        assert_eq!(parse_time("1.5s"), Ok(Duration::from_millis(1500)));
    }

    #[test]
    fn a_wrong_time_is_told_what_to_write() {
        for (text, reason) in [
            ("30", "a time needs a unit, e.g. 30s"),
            ("30sec", "30sec: unknown unit of time \"sec\"; write 30s"),
            ("1m1h", "1m1h: larger units come first and each once, e.g. 1h30m"),
            ("1s1s", "1s1s: larger units come first and each once, e.g. 1h30m"),
            ("1h30", "a time needs a unit, e.g. 30s"),
            ("1h0", "1h0: the last number has no unit"),
            ("1000000d", "1000000d: the time is too large"),
            ("3w", "3w: unknown unit of time \"w\"; there are ns, us, ms, s, m, h and d"),
        ] {
            assert_eq!(parse_time(text), Err(reason.to_owned()));
        }
    }

    #[test]
    fn rates_are_bytes_or_things_a_second() {
        assert_eq!(parse_rate("10MiB/s"), Ok(10 << 20));
        assert_eq!(parse_rate("100/s"), Ok(100));
        assert_eq!(parse_rate("120/m"), Ok(2));
        assert_eq!(parse_rate("1/h"), Ok(1));
        assert_eq!(parse_rate("0"), Ok(0));
        for (text, reason) in [
            ("10", "a rate ends with /s, e.g. 10/s"),
            ("10MiB", "10MiB: a rate ends with /s; write 10MiB/s"),
            ("10MB/s", "10MB/s: decimal units are not used; write 10MiB/s"),
            ("10/sec", "10/sec: a rate is per s, m, h or d; write 10/s"),
        ] {
            assert_eq!(parse_rate(text), Err(reason.to_owned()));
        }
    }

    #[test]
    fn percentages_are_hundredths_of_a_percent() {
        assert_eq!(parse_percent("50%"), Ok(5000));
        assert_eq!(parse_percent("12.5%"), Ok(1250));
        assert_eq!(parse_percent("0"), Ok(0));
        assert_eq!(parse_percent("50"), Err("a percentage ends with %, e.g. 50%".to_owned()));
        assert_eq!(parse_percent("42949673%"), Err("42949673%: the percentage is too large".to_owned()));
    }

    #[test]
    fn no_text_panics() {
        let alphabet = ["1", ".", "9999999999", "MiB", "s", "/", "%", "µ", "-", "_", " "];
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    let text = format!("{a}{b}{c}");
                    let _ = (parse_size(&text), parse_time(&text));
                    let _ = (parse_rate(&text), parse_percent(&text));
                }
            }
        }
    }
}
