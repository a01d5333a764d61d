//! Conditional requests, dates and entity tags.

use super::trim;
use anyproxy_http::core::conditional::{Conditions, Validators, Verdict, evaluate, range_applies};
use anyproxy_http::core::date;
use anyproxy_http::core::etag::{FileTag, MAX_TAGS, Tag, Tags, parse_list};
use anyproxy_http::core::range;
use anyproxy_http::h1::headers;

/// The lines of `input` as headers. An empty one stands for a header that is not there.
fn header_lines<const N: usize>(input: &[u8]) -> [Option<&[u8]>; N] {
    let mut lines = input.split(|&byte| byte == b'\n').map(|line| Some(line).filter(|line| !line.is_empty()));
    std::array::from_fn(|_| lines.next().flatten())
}

/// Conditional requests. The lines of `input` are `If-Match`, `If-None-Match`, `If-Modified-Since`,
/// `If-Unmodified-Since`, `If-Range`, and the `ETag` and the `Last-Modified` of the file.
pub(crate) fn conditional(input: &[u8]) -> bool {
    let [if_match, if_none_match, if_modified_since, if_unmodified_since, if_range, etag, modified] =
        header_lines(input);
    let conditions = Conditions { if_match, if_none_match, if_modified_since, if_unmodified_since };
    let mut accepted = false;
    // The time settles the century of a date with a year of two digits. The first is in 2001.
    for now in [1_000_000_000, 0, i64::MIN, i64::MAX] {
        let last_modified = modified.and_then(|value| date::parse(value, now));
        for exists in [false, true] {
            let file = Validators { exists, etag, last_modified };
            accepted |= conditions_on(&conditions, if_range, &file, now);
        }
        for value in [if_modified_since, if_unmodified_since, if_range, modified].into_iter().flatten() {
            dates(value, now);
        }
    }
    for value in [if_match, if_none_match, if_range, etag, Some(input)].into_iter().flatten() {
        tags(value);
    }
    accepted
}

fn conditions_on(conditions: &Conditions<'_>, if_range: Option<&[u8]>, file: &Validators<'_>, now: i64) -> bool {
    let of = |get_or_head, conditions: Conditions<'_>| evaluate(get_or_head, &conditions, file, now);
    let verdict = of(true, *conditions);
    // A writer is told the same as a reader, except that it never hears that nothing changed.
    let expected = match verdict {
        Verdict::NotModified if conditions.if_none_match.is_some() => Verdict::PreconditionFailed,
        Verdict::NotModified => Verdict::Proceed,
        verdict => verdict,
    };
    assert_eq!(of(false, *conditions), expected);
    assert_eq!(of(true, Conditions::default()), Verdict::Proceed);
    match verdict {
        Verdict::NotModified => assert!(conditions.if_none_match.or(conditions.if_modified_since).is_some()),
        Verdict::PreconditionFailed => assert!(conditions.if_match.or(conditions.if_unmodified_since).is_some()),
        Verdict::Proceed => {}
    }
    // A tag is asked for in place of a date, whatever comes of it.
    if conditions.if_match.is_some() {
        assert_eq!(of(true, Conditions { if_unmodified_since: None, ..*conditions }), verdict);
    }
    if conditions.if_none_match.is_some() {
        assert_eq!(of(true, Conditions { if_modified_since: None, ..*conditions }), verdict);
    }
    // What changes the file must not be let through, nor anything be kept from a reader, by what cannot be read.
    for unreadable in [&b"\""[..], b"rubbish", b"*, *", b""] {
        let one = Conditions { if_match: Some(unreadable), ..Conditions::default() };
        assert_eq!(of(false, one), Verdict::PreconditionFailed);
        let one = Conditions { if_none_match: Some(unreadable), ..Conditions::default() };
        assert_eq!(of(true, one), Verdict::Proceed);
    }

    assert!(range_applies(None, file, now));
    let Some(value) = if_range else { return verdict != Verdict::Proceed };
    let applies = range_applies(Some(value), file, now);
    match Tag::parse(value) {
        // A range of this file is a part of what the client has: then it has this file.
        Some(tag) => {
            let has = Conditions { if_match: Some(value), ..Conditions::default() };
            assert_eq!(of(true, has) == Verdict::Proceed, applies);
            let has = Conditions { if_none_match: Some(value), ..Conditions::default() };
            assert!(!applies || (!tag.weak && of(true, has) == Verdict::NotModified));
        }
        None if applies => {
            assert!(file.last_modified.is_some_and(|modified| modified < now));
            let has = Conditions {
                if_modified_since: Some(value),
                if_unmodified_since: Some(value),
                ..Conditions::default()
            };
            assert_eq!(of(true, has), Verdict::NotModified);
        }
        None => {}
    }
    applies || verdict != Verdict::Proceed
}

/// A date that was read is the same when it is written and read again.
fn dates(value: &[u8], now: i64) {
    let Some(seconds) = date::parse(value, now) else { return };
    let text = date::format(seconds);
    let again = date::parse(&text, 0).expect("what was written can be read");
    // The leap second at the end of the year 9999 is of a year that cannot be written.
    assert_eq!(again, seconds.min(253_402_300_799));
    // The form that is written was not understood as another day; the day of the week is not held against a date.
    let value = trim(value);
    assert!(value.len() != text.len() || value[3] != b',' || value[23..25] == *b"60" || value[3..] == text[3..]);
}

/// A list of tags that was read is the same when it is written and read again, and the comparisons are what they are named.
fn tags(value: &[u8]) {
    let write = |tag: &Tag<'_>| {
        let mark: &[u8] = if tag.weak { b"W/" } else { b"" };
        [mark, b"\"", tag.opaque, b"\""].concat()
    };
    let lone = Tag::parse(value);
    let list = match parse_list(value) {
        Some(Tags::List(list)) => list,
        Some(Tags::Any) => {
            assert!(trim(value) == b"*" && lone.is_none());
            return;
        }
        None => {
            assert_eq!(lone, None);
            return;
        }
    };
    assert!((1..=MAX_TAGS).contains(&list.len()));
    assert!(lone.is_none_or(|tag| list == [tag]));
    for tag in &list {
        assert!(!tag.opaque.iter().any(|&byte| byte <= b' ' || byte == b'"' || byte == 0x7f));
        assert_eq!(Tag::parse(&write(tag)), Some(*tag));
        for other in &list {
            assert_eq!((tag.weak_eq(other), tag.strong_eq(other)), (other.weak_eq(tag), other.strong_eq(tag)));
            assert!(tag.weak_eq(other) || !tag.strong_eq(other));
        }
        assert_eq!((tag.weak_eq(tag), tag.strong_eq(tag)), (true, !tag.weak));
    }
    let written = list.iter().map(write).collect::<Vec<_>>().join(&b", "[..]);
    assert_eq!(parse_list(&written), Some(Tags::List(list)));

    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte));
    let (modified, size) = value.split_at(value.len() / 2);
    let file = FileTag::new(number(modified), number(size));
    let (strong, weak) = (Tag::parse(file.strong()).expect("a tag"), Tag::parse(file.weak()).expect("a tag"));
    assert!(!strong.weak && weak.weak && strong.weak_eq(&weak) && !strong.strong_eq(&weak));
    assert_eq!(strong.opaque, format!("{:x}-{:x}", number(modified), number(size)).as_bytes());
}
