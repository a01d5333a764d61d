//! The chunked transfer coding (RFC 9112 section 7.1), both ways. Payload is never copied: the decoder says where it
//! lies.

use super::fields::Fields;
use super::name::{Id, Ids};
use super::text::hex_digits;
use super::write::Sink;
use super::{Bad, scan};
use std::ops::Range;

/// How much around the payload is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes of the extensions of one chunk.
    pub extension: u32,
    /// Bytes by which all extensions of a body together may exceed its payload so far.
    pub extensions: u32,
    /// Bytes of the trailer section, its empty line included.
    pub trailers: u32,
    /// Lines of the trailer section.
    pub trailer_lines: u16,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { extension: 256, extensions: 16 << 10, trailers: 8 << 10, trailer_lines: 32 }
    }
}

/// What a decoder found at the beginning of its input, and how many bytes of that it is done with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Payload lies there in the input, and is not empty. Done with what is before `end` of the range.
    Data(Range<usize>),
    /// The body is complete. Done with so many bytes; what follows is not of this body.
    End(usize),
    /// No payload so far, and the body is not complete. Done with so many bytes, which are all of the input.
    More(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// At the first digit of a size.
    #[default]
    Size,
    /// After so many digits.
    Digits(u8),
    /// In the white space that may come before an extension.
    Space,
    Extension,
    /// After the CR of a size line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the start of a trailer line, or inside one: `trailers` tells.
    Trailers,
    End,
}

/// Decodes one body. Keeps nothing of it but the trailer section.
#[derive(Clone, Debug, Default)]
pub struct ChunkedDecoder {
    limits: ChunkLimits,
    state: State,
    /// Size of the chunk, as far as it is read, then payload still to come of it.
    left: u64,
    /// Bytes of extensions: in this chunk, and in all.
    extension: u32,
    extensions: u64,
    payload: u64,
    trailers: Vec<u8>,
    /// Where the trailer line in progress begins in `trailers`.
    line: usize,
}

impl ChunkedDecoder {
    /// A decoder at the beginning of a body. Allocates nothing until a trailer comes.
    #[must_use]
    pub fn new(limits: ChunkLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Looks at `input`, which continues where the event before said it was done. After [`Event::End`] it says that
    /// again, with 0 bytes.
    ///
    /// # Errors
    /// [`Bad::ChunkSize`], [`Bad::ChunkExtension`], [`Bad::ChunkEnd`], [`Bad::TrailersTooLarge`], and what
    /// [`Fields::parse`] says of the trailer section.
    pub fn decode(&mut self, input: &[u8]) -> Result<Event, Bad> {
        let mut at = 0;
        loop {
            match self.state {
                State::Data => {
                    let rest = input.len() - at;
                    if rest == 0 {
                        return Ok(Event::More(at));
                    }
                    let length = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                    self.left -= length as u64;
                    self.payload = self.payload.saturating_add(length as u64);
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Event::Data(at..at + length));
                }
                State::End => return Ok(Event::End(at)),
                State::Trailers => {
                    let rest = &input[at..];
                    if rest.is_empty() {
                        return Ok(Event::More(at));
                    }
                    at += self.trailer(rest)?;
                }
                state => {
                    let Some(&byte) = input.get(at) else { return Ok(Event::More(at)) };
                    self.state = self.frame(state, byte)?;
                    at += 1;
                }
            }
        }
    }

    /// One byte between the payload of two chunks.
    #[inline]
    fn frame(&mut self, state: State, byte: u8) -> Result<State, Bad> {
        Ok(match (state, byte) {
            (State::Size | State::Digits(_), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digits = if let State::Digits(digits) = state { digits } else { 0 };
                if digits == 16 {
                    return Err(Bad::ChunkSize);
                }
                let digit = if byte.is_ascii_digit() { byte - b'0' } else { (byte | 0x20) - b'a' + 10 };
                self.left = self.left << 4 | u64::from(digit);
                State::Digits(digits + 1)
            }
            (State::Digits(_) | State::Extension, b'\r') => State::SizeLf,
            (State::Digits(_) | State::Space, b' ' | b'\t') => self.extend(State::Space)?,
            (State::Digits(_) | State::Space, b';') => self.extend(State::Extension)?,
            (State::Extension, _) if scan::is_value_byte(byte) => self.extend(State::Extension)?,
            (State::Space | State::Extension, _) => return Err(Bad::ChunkExtension),
            (State::SizeLf, b'\n') => {
                self.extension = 0;
                if self.left == 0 { State::Trailers } else { State::Data }
            }
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::DataCr | State::DataLf, _) => return Err(Bad::ChunkEnd),
            _ => return Err(Bad::ChunkSize),
        })
    }

    /// Counts one byte of an extension.
    fn extend(&mut self, state: State) -> Result<State, Bad> {
        self.extension = self.extension.saturating_add(1);
        self.extensions += 1;
        let most = self.payload.saturating_add(u64::from(self.limits.extensions));
        if self.extension > self.limits.extension || self.extensions > most {
            return Err(Bad::ChunkExtension);
        }
        Ok(state)
    }

    /// Takes bytes up to the end of a trailer line; returns how many.
    fn trailer(&mut self, rest: &[u8]) -> Result<usize, Bad> {
        let room = (self.limits.trailers as usize).saturating_sub(self.trailers.len());
        let taken = memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
        if taken > room {
            return Err(Bad::TrailersTooLarge);
        }
        // Most bodies have no trailers: then nothing is kept, and nothing allocated.
        if self.trailers.is_empty() && rest.starts_with(b"\r\n") {
            self.state = State::End;
            return Ok(2);
        }
        self.trailers.extend_from_slice(&rest[..taken]);
        if let [.., before, b'\n'] | [before @ b'\n'] = self.trailers[self.line..] {
            if before != b'\r' {
                return Err(Bad::LineEnd);
            }
            let line = std::mem::replace(&mut self.line, self.trailers.len());
            if self.trailers.len() - line == 2 {
                let most = self.limits.trailer_lines;
                Fields::default().parse(&self.trailers, most)?;
                self.trailers.truncate(line);
                self.state = State::End;
            }
        }
        Ok(taken)
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// The trailer lines of a complete body as they were sent, each with its CRLF, without the empty line. They are
    /// well-formed; which of them may be passed on says [`keep_trailers`].
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        if self.is_done() { &self.trailers } else { &[] }
    }
}

/// Appends those of the trailer lines `raw` to `out` that a trailer section may hold (RFC 9110 section 6.5.1): names
/// that mean nothing to this proxy, and `ETag`. All others control framing, routing, authentication or content.
/// `raw` is [`ChunkedDecoder::trailers`]. Returns whether there were any.
pub fn keep_trailers(raw: &[u8], out: &mut impl Sink) -> bool {
    const KEPT: Ids = Ids::of(&[Id::Other, Id::Underscored, Id::ETag]);
    let mut kept = false;
    for line in raw.split_inclusive(|&byte| byte == b'\n') {
        let name = &line[..scan::token_end(line, 0)];
        if KEPT.has(Id::of(name)) && line.ends_with(b"\r\n") {
            out.push(line);
            kept = true;
        }
    }
    kept
}

/// Encodes a body: for each piece of payload [`ChunkedEncoder::head`], the payload, [`ChunkedEncoder::AFTER`]; then
/// [`ChunkedEncoder::LAST`], or [`ChunkedEncoder::last`] with trailers.
#[derive(Clone, Copy, Debug)]
pub struct ChunkedEncoder {
    bytes: [u8; 18],
    start: u8,
}

impl ChunkedEncoder {
    /// Follows the payload of each chunk.
    pub const AFTER: &'static [u8] = b"\r\n";
    /// Ends a body without trailers.
    pub const LAST: &'static [u8] = b"0\r\n\r\n";

    /// What goes in front of a chunk of `length` bytes, which is not 0: that would end the body.
    #[must_use]
    pub fn head(length: u64) -> Self {
        debug_assert_ne!(length, 0);
        let (digits, start) = hex_digits(length);
        let mut bytes = [0; 18];
        bytes[..16].copy_from_slice(&digits);
        bytes[16..].copy_from_slice(b"\r\n");
        Self { bytes, start }
    }

    /// The bytes of [`ChunkedEncoder::head`], 3 to 18.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }

    /// Ends a body with those of the trailer lines `raw` that [`keep_trailers`] keeps.
    pub fn last(raw: &[u8], out: &mut impl Sink) {
        out.push(b"0\r\n");
        keep_trailers(raw, out);
        out.push(b"\r\n");
    }
}
