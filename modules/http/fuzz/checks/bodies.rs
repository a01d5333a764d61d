//! Bodies in chunks.

use super::cuts;
use anyproxy_http::core::range;
use anyproxy_http::h1::{
    Bad, Body, ChunkLimits, ChunkedDecoder, ChunkedEncoder, Event, Fields, Framing, Id, keep_trailers,
};

/// A body that was decoded.
#[derive(Clone, Debug, Default, PartialEq)]
struct Decoded {
    payload: Vec<u8>,
    /// Why it was refused.
    bad: Option<Bad>,
    /// How many bytes it has, if it is complete, and its trailers.
    end: Option<(usize, Vec<u8>)>,
}

/// Decodes `input` in pieces that end at `ends`.
fn decode(input: &[u8], limits: ChunkLimits, ends: &[usize]) -> Decoded {
    let mut decoder = ChunkedDecoder::new(limits);
    let mut body = Body::new(Framing::Chunked, limits);
    let mut decoded = Decoded::default();
    let mut at = 0;
    for &end in ends {
        loop {
            let piece = &input[at..end];
            assert!(decoder.trailers().is_empty() && !decoder.is_done());
            let event = decoder.decode(piece);
            assert_eq!(body.decode(piece), event);
            assert_eq!((body.is_done(), body.trailers()), (decoder.is_done(), decoder.trailers()));
            match event {
                Ok(Event::Data(range)) => {
                    assert!(!range.is_empty());
                    at += range.end;
                    decoded.payload.extend_from_slice(&piece[range]);
                }
                Ok(Event::More(done)) => {
                    assert!(done == piece.len());
                    at = end;
                    break;
                }
                Ok(Event::End(done)) => {
                    assert!(done <= piece.len() && decoder.is_done());
                    decoded.end = Some((at + done, decoder.trailers().to_vec()));
                    // The end is final, whatever follows.
                    for more in [&piece[done..], b"", b"1\r\nx\r\n", b"\r"] {
                        assert_eq!(decoder.decode(more), Ok(Event::End(0)));
                    }
                    assert_eq!(decoder.trailers(), body.trailers());
                    assert_eq!(body.end_of_stream(), Ok(()));
                    return decoded;
                }
                Err(bad) => {
                    decoded.bad = Some(bad);
                    return decoded;
                }
            }
        }
    }
    assert_eq!(body.end_of_stream(), Err(Bad::Truncated));
    decoded
}

/// The payload of chunks as the simplest reader takes them.
fn simply_decoded(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut payload = Vec::new();
    loop {
        let line = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if digits > 16 {
            return None;
        }
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..digits]).ok()?, 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Some(payload);
        }
        payload.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

/// `payload` in chunks of `size` bytes, and trailers.
fn encode(payload: &[u8], size: usize, trailers: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for chunk in payload.chunks(size) {
        out.extend_from_slice(ChunkedEncoder::head(chunk.len() as u64).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(ChunkedEncoder::AFTER);
    }
    ChunkedEncoder::last(trailers, &mut out);
    out
}

/// Chunks: the payload does not depend on the cuts, nor on who reads; the end is final; what is encoded again is the same.
pub(crate) fn chunked(input: &[u8]) -> bool {
    let tight = ChunkLimits { extension: 8, extensions: 12, trailers: 24, trailer_lines: 2 };
    let [whole, cuts @ ..] = cuts(input, input.len());
    for limits in [tight, ChunkLimits::default()] {
        let decoded = decode(input, limits, &whole);
        for ends in &cuts {
            assert_eq!(decode(input, limits, ends), decoded, "{ends:?}");
        }
    }
    // Tighter limits refuse more, and change nothing else.
    let decoded = decode(input, ChunkLimits::default(), &whole);
    let tightly = decode(input, tight, &whole);
    assert!(tightly.bad.is_some() || tightly == decoded);
    assert!(decoded.payload.starts_with(&tightly.payload));

    // With a length or without one, too, no byte comes twice or from beyond the end.
    let length = input.first().map_or(0, |&byte| u64::from(byte));
    for framing in [Framing::None, Framing::Length(length), Framing::UntilClose] {
        let (mut body, mut at) = (Body::new(framing, tight), 0);
        while let Ok(Event::Data(range)) = body.decode(&input[at..(at + 7).min(input.len())]) {
            assert!(range.start == 0 && !range.is_empty());
            at += range.end;
        }
        let (expected, complete) = match framing {
            Framing::Length(length) => (input.len().min(length as usize), length <= input.len() as u64),
            Framing::UntilClose => (input.len(), true),
            _ => (0, true),
        };
        assert_eq!((at, body.end_of_stream().is_ok()), (expected, complete));
        assert!(!complete || body.decode(input) == Ok(Event::End(0)));
    }

    let Some((length, trailers)) = &decoded.end else { return false };
    assert_eq!(simply_decoded(&input[..*length]).as_ref(), Some(&decoded.payload));
    assert_eq!(decode(&input[..*length], ChunkLimits::default(), &[*length]), decoded);
    let mut kept = Vec::new();
    assert_eq!(keep_trailers(trailers, &mut kept), !kept.is_empty());
    let mut fields = Fields::default();
    let all = fields.parse(&[trailers, &b"\r\n"[..]].concat(), u16::MAX);
    assert_eq!(all, Ok(trailers.len() + 2));
    let total = fields.list().len();
    let section = [&kept[..], b"\r\n"].concat();
    assert_eq!(fields.parse(&section, u16::MAX), Ok(section.len()));
    assert!(
        fields.list().len() <= total
            && fields.list().iter().all(|line| matches!(line.id, Id::Other | Id::Underscored | Id::ETag))
    );
    for size in [1, 10, 4096] {
        let encoded = encode(&decoded.payload, size, trailers);
        let again = decode(&encoded, ChunkLimits::default(), &[encoded.len()]);
        let end = Some((encoded.len(), kept.clone()));
        assert_eq!(again, Decoded { payload: decoded.payload.clone(), bad: None, end });
    }
    true
}
