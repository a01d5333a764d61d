//! HTTP dates (RFC 9110 5.6.7), read in all three forms and written in the one that is still allowed.
//!
//! Days are counted in years that begin in March, so that the day a leap year adds is the last one of its year and
//! every month's offset is a constant.

use super::trim;

/// Length in bytes of the form that is written, `Sun, 06 Nov 1994 08:49:37 GMT`.
pub const DATE_LEN: usize = 29;

const DAY: i64 = 86_400;
/// Days from 1 March of year 0 to 1 January 1970.
const EPOCH: i64 = 719_468;
/// After so many days the calendar begins anew, with the same days of the week.
const FOUR_CENTURIES: i64 = 146_097;
/// Seconds from the epoch to the first and the last second that four digits of a year can write.
const FIRST: i64 = -62_167_219_200;
const LAST: i64 = 253_402_300_799;

static MONTHS: [[u8; 3]; 12] =
    [*b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec"];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// Days between 1 March and the first of each month, from March on.
const OFFSETS: [i64; 12] = [0, 31, 61, 92, 122, 153, 184, 214, 245, 275, 306, 337];

/// A moment as the fields of the Gregorian calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// Year, 0 to 9999.
    pub year: u16,
    /// Month, 1 to 12.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour, 0 to 23.
    pub hour: u8,
    /// Minute, 0 to 59.
    pub minute: u8,
    /// Second, 0 to 59.
    pub second: u8,
    /// Day of the week, 0 (Sunday) to 6.
    pub weekday: u8,
}

impl Civil {
    /// The fields of `seconds` since the Unix epoch. A moment outside the years 0 to 9999 becomes the nearest one inside.
    #[must_use]
    #[inline]
    pub fn from_unix(seconds: i64) -> Self {
        // From four centuries before the year 0 on, so that everything counts upwards.
        let since = (seconds.clamp(FIRST, LAST) + (EPOCH + FOUR_CENTURIES) * DAY) as u64;
        let (days, second) = ((since / DAY as u64) as u32, (since % DAY as u64) as u32);
        let (era, day) = (days / FOUR_CENTURIES as u32, days % FOUR_CENTURIES as u32);
        // Without the leap days before it, a day falls into a year of 365.
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let in_year = day - (year * 365 + year / 4 - year / 100);
        // Months from March on have 31 30 31 30 31 days in turn: 153 in five of them.
        let month = (in_year * 5 + 2) / 153;
        let day = in_year - (month * 153 + 2) / 5 + 1;
        let year = era * 400 + year + u32::from(month > 9) - 400;
        let month = if month > 9 { month - 9 } else { month + 3 };
        // Every value is within its field by the clamp above. The first of the days is a Wednesday.
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
            weekday: ((days + 3) % 7) as u8,
        }
    }
}

/// Days from 1 March of year 0 to 1 March of `year`.
fn year_start(year: i64) -> i64 {
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400)
}

/// Seconds since the epoch of a date (`month` from 0) and a second of the day, or `None` if there is no such day
/// or the year is not one of 0 to 9999.
fn to_unix(year: i64, month: usize, day: i64, time: i64) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        1 => 28 + i64::from(leap),
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if !(0..=9999).contains(&year) || !(1..=length).contains(&day) {
        return None;
    }
    let (start, index) = if month >= 2 { (year, month - 2) } else { (year - 1, month + 10) };
    let days = year_start(start) + OFFSETS.get(index)? + day - 1 - EPOCH;
    Some(days * DAY + time)
}

/// Reads the three forms of a date (RFC 9110 5.6.7), with spaces around it allowed, as seconds since the Unix epoch.
///
/// `now` (seconds since the epoch) settles the century of the RFC 850 form: a year more than 50 years ahead is the most
/// recent past one with the same last digits. Names of days and months are case-sensitive as the RFC wants; the day of
/// the week has to be one, but is not held against the date. `None` for anything that is not a date.
#[must_use]
pub fn parse(value: &[u8], now: i64) -> Option<i64> {
    let value = trim(value);
    let comma = value.iter().position(|&byte| byte == b',');
    match comma {
        Some(3) => imf(value),
        Some(_) => rfc850(value, now),
        None => asctime(value),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(value: &[u8]) -> Option<i64> {
    let mut rest = weekday(value, true)?;
    rest = literal(rest, b", ")?;
    let (day, rest) = digits(rest, 2)?;
    let (month, rest) = month(literal(rest, b" ")?)?;
    let (year, rest) = digits(literal(rest, b" ")?, 4)?;
    let (time, rest) = time(literal(rest, b" ")?)?;
    end(literal(rest, b" GMT")?)?;
    to_unix(year, month, day, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: i64) -> Option<i64> {
    let mut rest = weekday(value, false)?;
    rest = literal(rest, b", ")?;
    let (day, rest) = digits(rest, 2)?;
    let (month, rest) = month(literal(rest, b"-")?)?;
    let (short, rest) = digits(literal(rest, b"-")?, 2)?;
    let (time, rest) = time(literal(rest, b" ")?)?;
    end(literal(rest, b" GMT")?)?;
    let this = i64::from(Civil::from_unix(now).year);
    // The latest year with these digits that is at most 50 years ahead.
    let year = this + 50 - (this + 50 - short).rem_euclid(100);
    let seconds = to_unix(year, month, day, time);
    // In the fiftieth year itself the part of the year decides.
    if year == this + 50 && seconds.is_none_or(|at| at > years_ahead(now, 50)) {
        return to_unix(year - 100, month, day, time);
    }
    seconds
}

/// `now` with `years` added to its year; 29 February becomes 1 March where there is none.
fn years_ahead(now: i64, years: i64) -> i64 {
    let at = Civil::from_unix(now);
    let time = now.clamp(FIRST, LAST).rem_euclid(DAY);
    let year = i64::from(at.year) + years;
    let month = usize::from(at.month) - 1;
    to_unix(year, month, i64::from(at.day), time).or_else(|| to_unix(year, 2, 1, time)).unwrap_or(now)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<i64> {
    let rest = weekday(value, true)?;
    let (month, rest) = month(literal(rest, b" ")?)?;
    let rest = literal(rest, b" ")?;
    let (day, rest) = match rest {
        [b' ', after @ ..] => digits(after, 1)?,
        _ => digits(rest, 2)?,
    };
    let (time, rest) = time(literal(rest, b" ")?)?;
    let (year, rest) = digits(literal(rest, b" ")?, 4)?;
    end(rest)?;
    to_unix(year, month, day, time)
}

fn weekday(value: &[u8], short: bool) -> Option<&[u8]> {
    WEEKDAYS.iter().find_map(|name| literal(value, &name.as_bytes()[..if short { 3 } else { name.len() }]))
}

/// The month from 0, and what follows it.
fn month(value: &[u8]) -> Option<(usize, &[u8])> {
    let (name, rest) = value.split_at_checked(3)?;
    Some((MONTHS.iter().position(|month| month == name)?, rest))
}

/// The second of the day, and what follows it. Second 60 is the leap second: the first of the next minute here.
fn time(value: &[u8]) -> Option<(i64, &[u8])> {
    let (hour, rest) = digits(value, 2)?;
    let (minute, rest) = digits(literal(rest, b":")?, 2)?;
    let (second, rest) = digits(literal(rest, b":")?, 2)?;
    (hour < 24 && minute < 60 && second <= 60).then_some((hour * 3600 + minute * 60 + second, rest))
}

fn digits(value: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = value.split_at_checked(count)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((head.iter().fold(0, |sum, &digit| sum * 10 + i64::from(digit - b'0')), rest))
}

fn literal<'a>(value: &'a [u8], want: &[u8]) -> Option<&'a [u8]> {
    value.strip_prefix(want)
}

fn end(value: &[u8]) -> Option<()> {
    value.is_empty().then_some(())
}

/// Writes `seconds` since the Unix epoch in the preferred form (IMF-fixdate, RFC 9110 5.6.7), 29 bytes of ASCII. A
/// moment outside the years 0 to 9999 becomes the nearest one inside.
#[must_use]
pub fn format(seconds: i64) -> [u8; DATE_LEN] {
    static DAYS: [[u8; 3]; 7] = [*b"Sun", *b"Mon", *b"Tue", *b"Wed", *b"Thu", *b"Fri", *b"Sat"];
    let at = Civil::from_unix(seconds);
    let mut out = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    // Both are within their fields.
    out[..3].copy_from_slice(&DAYS[usize::from(at.weekday)]);
    out[8..11].copy_from_slice(&MONTHS[usize::from(at.month - 1)]);
    let mut two = |at: usize, value: u8| {
        out[at] = b'0' + value / 10;
        out[at + 1] = b'0' + value % 10;
    };
    two(5, at.day);
    two(12, (at.year / 100) as u8);
    two(14, (at.year % 100) as u8);
    two(17, at.hour);
    two(20, at.minute);
    two(23, at.second);
    out
}
