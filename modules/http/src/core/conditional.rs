//! Conditional requests (RFC 9110 13): whether to go on, and whether a `Range` still applies.

use super::date;
use super::etag::{self, Tag, Tags};

/// The preconditions of a request. Each is the value of its header, `None` if the request has not got it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Conditions<'a> {
    /// `If-Match`
    pub if_match: Option<&'a [u8]>,
    /// `If-None-Match`
    pub if_none_match: Option<&'a [u8]>,
    /// `If-Modified-Since`
    pub if_modified_since: Option<&'a [u8]>,
    /// `If-Unmodified-Since`
    pub if_unmodified_since: Option<&'a [u8]>,
}

/// What identifies the representation that would be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Validators<'a> {
    /// Whether there is a representation at all: what `*` asks for.
    pub exists: bool,
    /// Its `ETag`, with quotes and `W/` as it is sent; a malformed one matches nothing.
    pub etag: Option<&'a [u8]>,
    /// Its `Last-Modified`, in seconds since the Unix epoch.
    pub last_modified: Option<i64>,
}

/// What the preconditions make of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Carry the request out.
    Proceed,
    /// Answer 304 (RFC 9110 15.4.5).
    NotModified,
    /// Answer 412 (RFC 9110 15.5.13).
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of RFC 9110 13.2.2.
///
/// `get_or_head` says whether the method is one of the two. `now` is in seconds since the Unix epoch, see
/// [`date::parse`]. A date that cannot be read is ignored, and so is one when the representation has none. An
/// `If-Match` that cannot be read matches nothing, so that no change is made that the client did not clearly ask for;
/// an `If-None-Match` that cannot be read matches nothing either, which sends the whole answer to a reader.
#[must_use]
pub fn evaluate(get_or_head: bool, conditions: &Conditions<'_>, validators: &Validators<'_>, now: i64) -> Verdict {
    if let Some(value) = conditions.if_match {
        if !matches(value, validators, |tag, own| tag.strong_eq(own)) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(value) = conditions.if_unmodified_since
        && let (Some(since), Some(modified)) = (date::parse(value, now), validators.last_modified)
        && modified > since
    {
        return Verdict::PreconditionFailed;
    }
    if let Some(value) = conditions.if_none_match {
        if matches(value, validators, |tag, own| tag.weak_eq(own)) {
            return if get_or_head { Verdict::NotModified } else { Verdict::PreconditionFailed };
        }
    } else if get_or_head
        && let Some(value) = conditions.if_modified_since
        && let (Some(since), Some(modified)) = (date::parse(value, now), validators.last_modified)
        && modified <= since
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

fn matches(value: &[u8], validators: &Validators<'_>, equal: fn(&Tag<'_>, &Tag<'_>) -> bool) -> bool {
    match etag::parse_list(value) {
        Some(Tags::Any) => validators.exists,
        Some(Tags::List(tags)) => match validators.etag.and_then(Tag::parse) {
            Some(own) => tags.iter().any(|tag| equal(tag, &own)),
            None => false,
        },
        None => false,
    }
}

/// Whether the `Range` of a request applies, given its `If-Range` (RFC 9110 13.1.5). Without one it does.
///
/// A tag is compared strongly, so that a weak one never matches. A date has to be exactly `Last-Modified`, and that has
/// to lie before `now` (seconds since the Unix epoch): within the same second the file may yet change again under the
/// same date, which makes the date a weak validator (RFC 9110 8.8.2.2). What cannot be read does not match.
#[must_use]
pub fn range_applies(if_range: Option<&[u8]>, validators: &Validators<'_>, now: i64) -> bool {
    let Some(value) = if_range else { return true };
    if let Some(tag) = Tag::parse(value) {
        return validators.etag.and_then(Tag::parse).is_some_and(|own| tag.strong_eq(&own));
    }
    match (date::parse(value, now), validators.last_modified) {
        (Some(date), Some(modified)) => date == modified && modified < now,
        _ => false,
    }
}
