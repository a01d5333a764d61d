use super::*;

/// Payload, and how many bytes the body took, once it was complete.
type Decoded = Result<(Vec<u8>, Option<usize>), Bad>;

/// Decodes `input` in pieces that end at `ends` and at the end of the input.
fn decode(body: &mut Body, input: &[u8], ends: &[usize]) -> Decoded {
    let (mut payload, mut at) = (Vec::new(), 0);
    for &end in ends.iter().chain([&input.len()]) {
        loop {
            match body.decode(&input[at..end])? {
                Event::Data(range) => {
                    assert!(!range.is_empty());
                    payload.extend_from_slice(&input[at + range.start..at + range.end]);
                    at += range.end;
                }
                Event::End(used) => {
                    assert!(body.is_done());
                    return Ok((payload, Some(at + used)));
                }
                Event::More(used) => {
                    at += used;
                    assert_eq!(at, end);
                    break;
                }
            }
        }
    }
    assert!(!body.is_done());
    Ok((payload, None))
}

fn chunked(limits: ChunkLimits) -> Body {
    Body::new(Framing::Chunked, limits)
}

/// The same result at once, byte by byte, and split at any one place.
fn everywhere(limits: ChunkLimits, input: &[u8]) -> (Decoded, Vec<u8>) {
    let mut body = chunked(limits);
    let result = decode(&mut body, input, &[]);
    let trailers = body.trailers().to_vec();
    let each: Vec<_> = (0..input.len()).collect();
    for ends in (0..input.len()).map(|end| vec![end]).chain([each]) {
        let mut body = chunked(limits);
        let again = decode(&mut body, input, &ends);
        assert_eq!(again, result, "{} split at {ends:?}", input.escape_ascii());
        assert_eq!(body.trailers(), trailers);
    }
    (result, trailers)
}

#[test]
fn good_chunks() {
    for (input, payload, trailers) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("0005\r\nhello\r\n1\r\n!\r\n0000000000000000\r\n\r\n", "hello!", ""),
        ("a\r\n0123456789\r\nB\r\n0123456789a\r\n0\r\n\r\n", "01234567890123456789a", ""),
        ("1;x\r\na\r\n1 \t;x=\"y;z\"\r\nb\r\n0;\r\n\r\n", "ab", ""),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ("1\r\na\r\n0\r\nX: y\r\nZ:\r\n\r\n", "a", "X: y\r\nZ:\r\n"),
        ("0\r\nContent-Length: 5\r\n\r\n", "", "Content-Length: 5\r\n"),
    ] {
        let length = input.len();
        let input = [input.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
        let (result, found) = everywhere(ChunkLimits::default(), &input);
        assert_eq!(result, Ok((payload.as_bytes().to_vec(), Some(length))), "{}", input.escape_ascii());
        assert_eq!(found, trailers.as_bytes());
    }
}

#[test]
fn bad_chunks() {
    for (input, bad) in [
        (&b"\r\n"[..], Bad::ChunkSize),
        (b"\n", Bad::ChunkSize),
        (b" 5\r\n", Bad::ChunkSize),
        (b"+5\r\n", Bad::ChunkSize),
        (b"-5\r\n", Bad::ChunkSize),
        (b"0x5\r\n", Bad::ChunkSize),
        (b"g\r\n", Bad::ChunkSize),
        (b"5g\r\n", Bad::ChunkSize),
        (b"5_\r\n", Bad::ChunkSize),
        (b"5\n", Bad::ChunkSize),
        (b"5\rhello", Bad::ChunkSize),
        (b"5\x00\r\n", Bad::ChunkSize),
        (b";x\r\n", Bad::ChunkSize),
        (b"00000000000000005\r\n", Bad::ChunkSize),
        (b"10000000000000000\r\n", Bad::ChunkSize),
        (b"5 \r\n", Bad::ChunkExtension),
        (b"5 5\r\n", Bad::ChunkExtension),
        (b"5;\x00\r\n", Bad::ChunkExtension),
        (b"5;x\n", Bad::ChunkExtension),
        (b"5;x\rhello", Bad::ChunkSize),
        (b"5;\x0b\r\n", Bad::ChunkExtension),
        (b"1\r\nab\r\n", Bad::ChunkEnd),
        (b"1\r\na\n", Bad::ChunkEnd),
        (b"1\r\na\rb", Bad::ChunkEnd),
        (b"1\r\na0\r\n", Bad::ChunkEnd),
        (b"0\r\n\n", Bad::LineEnd),
        (b"0\r\nX: y\n\r\n", Bad::LineEnd),
        (b"0\r\n\rX\r\n\r\n", Bad::LineEnd),
        (b"0\r\nX : y\r\n\r\n", Bad::Name),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", Bad::Name),
        (b"0\r\nX: y\r\n folded\r\n\r\n", Bad::Fold),
        (b"0\r\nX: \x00\r\n\r\n", Bad::Value),
        (b"0\r\nX: a\rb\r\n\r\n", Bad::LineEnd),
    ] {
        assert_eq!(everywhere(ChunkLimits::default(), input).0, Err(bad), "{}", input.escape_ascii());
    }
}

#[test]
fn the_largest_size_is_no_overflow() {
    let mut body = chunked(ChunkLimits::default());
    assert_eq!(body.decode(b"ffffffffffffffff\r\nabc"), Ok(Event::Data(18..21)));
    assert_eq!(body.decode(b""), Ok(Event::More(0)));
    assert_eq!(body.end_of_stream(), Err(Bad::Truncated));
}

#[test]
fn limits_of_extensions_and_trailers() {
    let limits = ChunkLimits { extension: 4, extensions: 10, trailers: 12, trailer_lines: 2 };
    let of = |input: &str| everywhere(limits, input.as_bytes()).0.map(|(payload, _)| payload.len());
    assert_eq!(of("1;abc\r\na\r\n0\r\n\r\n"), Ok(1));
    assert_eq!(of("1;abcd\r\na\r\n0\r\n\r\n"), Err(Bad::ChunkExtension));
    assert_eq!(of("1   ;\r\na\r\n0\r\n\r\n"), Ok(1));
    assert_eq!(of("1    ;\r\na\r\n0\r\n\r\n"), Err(Bad::ChunkExtension));
    // Each chunk is small enough, but all together are much more than what they carry.
    assert_eq!(of(&"1;abc\r\na\r\n".repeat(3)), Ok(3));
    assert_eq!(of(&"1;abc\r\na\r\n".repeat(4)), Err(Bad::ChunkExtension));
    assert_eq!(of(&"8;abc\r\n12345678\r\n".repeat(40)), Ok(320));
    assert_eq!(of("0\r\nA: 12345\r\n\r\n"), Ok(0));
    assert_eq!(of("0\r\nA: 123456\r\n\r\n"), Err(Bad::TrailersTooLarge));
    assert_eq!(of("0\r\nA: 1234567890"), Err(Bad::TrailersTooLarge));
    assert_eq!(of("0\r\nA:\r\nB:\r\n\r\n"), Ok(0));
    let limits = ChunkLimits { trailer_lines: 1, ..limits };
    assert_eq!(everywhere(limits, b"0\r\nA:\r\nB:\r\n\r\n").0, Err(Bad::TrailersTooLarge));
}

#[test]
fn trailers_that_control_the_message_are_dropped() {
    let raw = b"X-Sum: 1\r\ncontent-length: 5\r\nETag: \"x\"\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
        Set-Cookie: a\r\nAuthorization: b\r\ngrpc-status: 0\r\n";
    let mut out = Vec::new();
    assert!(keep_trailers(raw, &mut out));
    assert_eq!(out, b"X-Sum: 1\r\nETag: \"x\"\r\ngrpc-status: 0\r\n");
    out.clear();
    assert!(!keep_trailers(b"Host: a\r\n", &mut out) && !keep_trailers(b"", &mut out));
    ChunkedEncoder::last(raw, &mut out);
    assert_eq!(out, b"0\r\nX-Sum: 1\r\nETag: \"x\"\r\ngrpc-status: 0\r\n\r\n");
    out.clear();
    ChunkedEncoder::last(b"", &mut out);
    assert_eq!(out, ChunkedEncoder::LAST);
}

#[test]
fn what_is_encoded_decodes_at_every_split() {
    let text: Vec<u8> = (0..=255).cycle().take(300).collect();
    let mut encoded = Vec::new();
    let mut rest = &text[..];
    for length in [1, 9, 10, 15, 16, 17, 200, 32] {
        let (piece, tail) = rest.split_at(length);
        encoded.extend_from_slice(ChunkedEncoder::head(length as u64).as_bytes());
        encoded.extend_from_slice(piece);
        encoded.extend_from_slice(ChunkedEncoder::AFTER);
        rest = tail;
    }
    assert!(rest.is_empty());
    ChunkedEncoder::last(b"X-Sum: 1\r\n", &mut encoded);
    let (result, trailers) = everywhere(ChunkLimits::default(), &encoded);
    assert_eq!(result, Ok((text, Some(encoded.len()))));
    assert_eq!(trailers, b"X-Sum: 1\r\n");
    assert_eq!(ChunkedEncoder::head(u64::MAX).as_bytes(), b"ffffffffffffffff\r\n");
    assert_eq!(ChunkedEncoder::head(26).as_bytes(), b"1a\r\n");
}

#[test]
fn damaged_bodies_decode_the_same_at_every_split() {
    const BODY: &[u8] = b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n";
    let limits = ChunkLimits { extension: 4, extensions: 6, trailers: 12, trailer_lines: 1 };
    for at in 0..BODY.len() {
        for byte in b"\r\n 0f;:\0x\xff" {
            let mut body = BODY.to_vec();
            body[at] = *byte;
            let _ = everywhere(limits, &body);
            body = BODY.to_vec();
            body.insert(at, *byte);
            let _ = everywhere(limits, &body);
        }
        let mut body = BODY.to_vec();
        body.remove(at);
        let _ = everywhere(limits, &body);
    }
}

#[test]
fn bodies_of_other_framings() {
    let mut none = Body::new(Framing::None, ChunkLimits::default());
    assert_eq!((none.decode(b"x"), none.is_done(), none.end_of_stream()), (Ok(Event::End(0)), true, Ok(())));

    let mut empty = Body::new(Framing::Length(0), ChunkLimits::default());
    assert_eq!((empty.decode(b"x"), empty.is_done()), (Ok(Event::End(0)), true));

    let mut length = Body::new(Framing::Length(5), ChunkLimits::default());
    assert_eq!(length.decode(b""), Ok(Event::More(0)));
    assert_eq!((length.decode(b"abc"), length.is_done()), (Ok(Event::Data(0..3)), false));
    assert_eq!(length.clone().end_of_stream(), Err(Bad::Truncated));
    assert_eq!((length.decode(b"defgh"), length.is_done()), (Ok(Event::Data(0..2)), true));
    assert_eq!((length.decode(b"fgh"), length.end_of_stream()), (Ok(Event::End(0)), Ok(())));
    assert_eq!(length.trailers(), b"");

    let mut open = Body::new(Framing::UntilClose, ChunkLimits::default());
    assert_eq!((open.decode(b""), open.decode(b"ab")), (Ok(Event::More(0)), Ok(Event::Data(0..2))));
    assert!(!open.is_done());
    assert_eq!((open.end_of_stream(), open.is_done(), open.decode(b"")), (Ok(()), true, Ok(Event::End(0))));

    let mut cut = chunked(ChunkLimits::default());
    assert_eq!(cut.decode(b"0\r\n"), Ok(Event::More(3)));
    assert_eq!(cut.trailers(), b"");
    assert_eq!(cut.end_of_stream(), Err(Bad::Truncated));
    assert_eq!((cut.decode(b"\r\n"), cut.end_of_stream()), (Ok(Event::End(2)), Ok(())));
    assert_eq!(cut.decode(b"x"), Ok(Event::End(0)));
}
