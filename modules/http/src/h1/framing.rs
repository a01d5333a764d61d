//! Where a body ends and whether the connection lives on (RFC 9112 sections 6.3 and 9.3). Owns the rules; the bytes
//! are counted in `body`.

use super::block::{Block, Pattern, SIZE, padded};
use super::fields::Fields;
use super::name::Id;
use super::{Bad, Head, Method, Version, scan, tokens};

/// How the end of a message's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All bytes until the peer closes. Responses only.
    UntilClose,
}

/// The framing of a request (RFC 9112 section 6.3).
///
/// # Errors
/// [`Bad::CodingAndLength`], [`Bad::CodingVersion`], [`Bad::Coding`], [`Bad::UnknownCoding`]; [`Bad::ContentLength`]
/// for anything but one line with one number, even where several are equal; [`Bad::ConnectContent`].
pub fn request_framing(head: &Head, buf: &[u8]) -> Result<Framing, Bad> {
    let fields = head.fields();
    let framing = match (fields.first(Id::TransferEncoding), fields.first(Id::ContentLength)) {
        (None, None) => return Ok(Framing::None),
        (Some(_), Some(_)) => return Err(Bad::CodingAndLength),
        (Some(_), None) => coding(head, buf)?,
        (None, Some(_)) if fields.repeats(Id::ContentLength) => return Err(Bad::ContentLength),
        (None, Some(length)) => Framing::Length(number(length.value(buf))?),
    };
    match (head.method(), framing) {
        (Method::Connect, Framing::Length(0)) => Ok(Framing::None),
        (Method::Connect, _) => Err(Bad::ConnectContent),
        _ => Ok(framing),
    }
}

/// The framing of a response to a request with `method` (RFC 9112 section 6.3). The framing fields have to be right
/// also where the response has no body, since they would be passed on.
///
/// # Errors
/// As [`request_framing`], but several `Content-Length` lines with the same number are one; a list in one line is not.
/// All errors mean 502.
pub fn response_framing(head: &Head, buf: &[u8], method: Method) -> Result<Framing, Bad> {
    let fields = head.fields();
    let mut framing = match fields.value(buf, Id::ContentLength) {
        Some(length) => Framing::Length(number(length)?),
        None => Framing::UntilClose,
    };
    if fields.repeats(Id::ContentLength) {
        for other in fields.all(Id::ContentLength) {
            if Framing::Length(number(other.value(buf))?) != framing {
                return Err(Bad::ContentLength);
            }
        }
    }
    if fields.first(Id::TransferEncoding).is_some() {
        if framing != Framing::UntilClose {
            return Err(Bad::CodingAndLength);
        }
        framing = coding(head, buf)?;
    }
    let bare = method == Method::Head || has_no_length(head.status(), method) || head.status() == 304;
    Ok(if bare { Framing::None } else { framing })
}

/// Whether a response may not have `Content-Length` at all, because it never has content (RFC 9110 section 8.6).
pub(super) fn has_no_length(status: u16, method: Method) -> bool {
    matches!(status, 100..=199 | 204) || (method == Method::Connect && matches!(status, 200..=299))
}

/// Decimal digits only, below 2^64.
fn number(value: &[u8]) -> Result<u64, Bad> {
    if value.is_empty() {
        return Err(Bad::ContentLength);
    }
    let mut number = 0u64;
    // So many digits cannot be too large a number.
    let (first, rest) = value.split_at(value.len().min(19));
    for byte in first {
        number = number * 10 + u64::from(digit(*byte)?);
    }
    for byte in rest {
        let digit = u64::from(digit(*byte)?);
        number = number.checked_mul(10).and_then(|number| number.checked_add(digit)).ok_or(Bad::ContentLength)?;
    }
    Ok(number)
}

#[inline]
fn digit(byte: u8) -> Result<u8, Bad> {
    let digit = byte.wrapping_sub(b'0');
    if digit < 10 { Ok(digit) } else { Err(Bad::ContentLength) }
}

/// `Chunked` where all lines of `Transfer-Encoding` are that one coding. Empty members of the list are not skipped as
/// elsewhere: other readers may not skip them.
fn coding(head: &Head, buf: &[u8]) -> Result<Framing, Bad> {
    if head.version() == Version::Http10 {
        return Err(Bad::CodingVersion);
    }
    let (mut others, mut chunked) = (false, false);
    for header in head.fields().all(Id::TransferEncoding) {
        for member in header.value(buf).split(|&byte| byte == b',').map(scan::trim) {
            if chunked || !scan::is_token(member) {
                return Err(Bad::Coding);
            }
            if member.eq_ignore_ascii_case(b"chunked") {
                chunked = true;
            } else {
                others = true;
            }
        }
    }
    if others { Err(Bad::UnknownCoding) } else { Ok(Framing::Chunked) }
}

/// What the `Connection` lines of a head say of the connection (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close`
    pub close: bool,
    /// `keep-alive`
    pub keep_alive: bool,
    /// `upgrade`
    pub upgrade: bool,
}

/// What the `Connection` lines say. Names of fields in them are for `strike_listed`.
///
/// The bytes are not needed: it was noted when the head was read, because it is asked for several times.
#[must_use]
#[inline]
pub fn connection(head: &Head, _buf: &[u8]) -> Connection {
    head.listed().connection
}

/// What a head's `Connection` lines say, noted when the head is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listed {
    pub(super) connection: Connection,
    /// They name something else, too.
    pub(super) others: bool,
    /// How many of those names have no [`Id`].
    unknown: u8,
}

/// Names without an [`Id`] that `Connection` may list. Each costs a look at every header line.
const MOST_LISTED: u8 = 32;

/// Values with their line end that nearly all `Connection` lines have.
static KEEP_ALIVE: Pattern<SIZE> = Pattern::of(b"keep-alive", b"\r");
static CLOSE: Pattern<SIZE> = Pattern::of(b"close", b"\r");

impl Listed {
    /// Reads the `Connection` lines.
    ///
    /// # Errors
    /// [`Bad::ConnectionList`]
    #[inline]
    pub(super) fn of(fields: &Fields, buf: &[u8]) -> Result<Self, Bad> {
        let Some(line) = fields.first(Id::Connection) else { return Ok(Self::default()) };
        let mut listed = Self::default();
        let block = match line.block(buf) {
            Some(block) => *block,
            // The last line of all that came.
            None => padded(line.value(buf), b'\r'),
        };
        let alone = line.value(buf).len() < SIZE && !fields.repeats(Id::Connection);
        if alone && Block(&block).is(&KEEP_ALIVE) {
            listed.connection.keep_alive = true;
        } else if alone && Block(&block).is(&CLOSE) {
            listed.connection.close = true;
        } else {
            return fields.all(Id::Connection).try_fold(listed, |listed, line| listed.and(line.value(buf)));
        }
        Ok(listed)
    }

    /// With what one more line says.
    ///
    /// # Errors
    /// [`Bad::ConnectionList`]
    #[inline(never)]
    pub(super) fn and(mut self, value: &[u8]) -> Result<Self, Bad> {
        for token in tokens(value) {
            match Id::of(token) {
                Id::KeepAlive => self.connection.keep_alive = true,
                Id::Upgrade => self.connection.upgrade = true,
                Id::Other if token.eq_ignore_ascii_case(b"close") => self.connection.close = true,
                id if !id.is_known() && self.unknown == MOST_LISTED => return Err(Bad::ConnectionList),
                id => {
                    self.others = true;
                    self.unknown += u8::from(!id.is_known());
                }
            }
        }
        Ok(self)
    }
}

/// Whether the sender of a message takes another one on the connection (RFC 9112 section 9.3). `close` beats
/// `keep-alive`. After [`Framing::UntilClose`] there is no other message whatever this says.
#[must_use]
pub fn keep_alive(version: Version, connection: Connection) -> bool {
    !connection.close && (version == Version::Http11 || connection.keep_alive)
}
