//! What must hold for any bytes that the parsers of this module are given: one function for each fuzz target. The targets
//! and `tests/corpus.rs` share them. A function panics where something does not hold, and otherwise says whether its
//! parser accepted the input, so that a test can tell that the checks behind that were reached.
#![allow(dead_code, reason = "each fuzz target calls one of the functions")]

use anyproxy_http::core::auth::{Credentials, MAX_BASIC, base64, basic, constant_time_eq, password_lines};
use anyproxy_http::core::conditional::{Conditions, Validators, Verdict, evaluate, range_applies};
use anyproxy_http::core::date;
use anyproxy_http::core::encoding::{Coding, negotiate, parse_weight, type_matches};
use anyproxy_http::core::etag::{FileTag, MAX_TAGS, Tag, Tags, parse_list};
use anyproxy_http::core::forwarded::{
    Element, Node, append_forwarded, append_x_forwarded_for, client_by_forwarded, client_by_x_forwarded_for,
    is_request_id, traceparent,
};
use anyproxy_http::core::path::{self, MAX_COMPONENT, MAX_PATH, check_name, normalise, split_query};
use anyproxy_http::core::range::{self, Multipart, Ranges};
use anyproxy_http::h1::{
    Bad, Body, ChunkLimits, ChunkedDecoder, ChunkedEncoder, Connection, Event, Fields, Framing, Head, HeaderAt, Id,
    Keep, Limits, Method, Step, Struck, Target, Version, authority, connection, field, headers, http_date, keep_alive,
    keep_trailers, request_framing, request_line, response_framing, status_line, strip_request, strip_response, tokens,
};
use std::net::{IpAddr, Ipv4Addr};

/// Too large for any input here to meet.
const WIDE: Limits = Limits { line: 1 << 20, head: 1 << 20, headers: u16::MAX };
/// Small enough that inputs meet each of them.
const TIGHT: Limits = Limits { line: 48, head: 160, headers: 4 };

/// Places at which the pieces of `length` bytes end, the last at the end: all at once, byte by byte, in two, and at
/// places that depend on `input`, so that a fuzzer can move them.
fn cuts(input: &[u8], length: usize) -> [Vec<usize>; 4] {
    let mut state = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut uneven = vec![0];
    while let Some(&last) = uneven.last()
        && last < length
    {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        // A step of 0 shows the same bytes again.
        uneven.push((last + (state >> 33) as usize % 24).min(length));
    }
    [vec![length], (0..=length).collect(), vec![length / 2, length], uneven]
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control())
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

// Heads

type Parse = fn(&mut Head, &[u8], &Limits) -> Result<Step<usize>, Bad>;

/// All that a head tells.
#[derive(Debug, PartialEq)]
struct Told {
    length: usize,
    version: Version,
    method: Method,
    status: u16,
    form: Target,
    /// Method or status, target or reason.
    parts: (Vec<u8>, Vec<u8>),
    lines: Vec<HeaderAt>,
    end: usize,
}

/// Parses `buf` in pieces that end at `ends`. `head` may hold another head before.
fn read(parse: Parse, head: &mut Head, buf: &[u8], limits: &Limits, ends: &[usize]) -> Result<Option<Told>, Bad> {
    head.clear();
    assert_eq!(head.len(), 0);
    let mut before = None;
    for &end in ends {
        if let Step::Done(length) = parse(head, &buf[..end], limits)? {
            assert!(length <= end && before.is_none_or(|before| before < length), "{before:?} {length} {end}");
            assert_eq!(parse(head, &buf[..end], limits), Ok(Step::Done(length)), "asked again");
            return Ok(Some(Told {
                length,
                version: head.version(),
                method: head.method(),
                status: head.status(),
                form: head.form(),
                parts: (head.method_name(buf).to_vec(), head.target(buf).to_vec()),
                lines: head.fields().list().to_vec(),
                end: head.fields().end(),
            }));
        }
        assert_eq!(head.len(), 0);
        before = Some(end);
    }
    Ok(None)
}

/// The verdict on a head is the same however it is cut, and limits can only make a refusal of it.
fn same_verdict(parse: Parse, input: &[u8]) {
    // A bad line is only sure to be seen once it ends.
    let buf = [input, b"\r\n\r\n"].concat();
    let unlimited = read(parse, &mut Head::default(), &buf, &WIDE, &[buf.len()]);
    let mut head = Head::default();
    for limits in [WIDE, Limits::default(), TIGHT] {
        let [whole, cuts @ ..] = cuts(input, buf.len());
        let verdict = read(parse, &mut Head::default(), &buf, &limits, &whole);
        for ends in cuts {
            assert_eq!(read(parse, &mut head, &buf, &limits, &ends), verdict, "{limits:?} {ends:?}");
        }
        match verdict {
            Err(Bad::LineTooLong | Bad::HeadTooLarge | Bad::TooManyHeaders) => {}
            // Bytes that are not accepted are not waited for either.
            Ok(None) => assert!(buf.len() < limits.head as usize && unlimited == Ok(None)),
            verdict => assert_eq!(verdict, unlimited),
        }
    }
}

/// Each line of an accepted head is where the head says, nothing lies between the lines, and the ways to find a line agree.
fn sound_lines(head: &Head, buf: &[u8]) {
    let fields = head.fields();
    let list = fields.list();
    assert!(head.len() <= buf.len() && fields.end() + 2 == head.len());
    assert_eq!(&buf[fields.end()..head.len()], b"\r\n");
    assert_eq!(fields.start(), list.first().map_or_else(|| fields.end(), HeaderAt::line));
    for (index, header) in list.iter().enumerate() {
        let line = &buf[header.line()..fields.next_line(index)];
        assert_eq!(fields.next_line(index), list.get(index + 1).map_or_else(|| fields.end(), HeaderAt::line));
        let (name, value) = (header.name(buf), header.value(buf));
        assert!(is_token(name) && is_value(value));
        let rest = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(b":")).expect("name and colon");
        assert_eq!(trim(rest.strip_suffix(b"\r\n").expect("line end")), value);
        assert_eq!(header.id, Id::of(name));
        assert!(header.id == Id::Other || header.id.name().as_bytes().eq_ignore_ascii_case(name));

        let same: Vec<_> = list.iter().filter(|other| other.id == header.id).collect();
        assert!(fields.seen().has(header.id) && fields.first(header.id) == Some(same[0]));
        assert_eq!(fields.repeats(header.id), same.len() > 1);
        assert!(fields.all(header.id).eq(same.iter().copied()));
        assert_eq!(fields.value(buf, header.id), Some(same[0].value(buf)));
        assert!(fields.tokens(buf, header.id).eq(same.iter().flat_map(|other| tokens(other.value(buf)))));
        assert!(tokens(value).all(|token| !token.is_empty() && !token.contains(&b',') && trim(token) == token));
    }
    let connection_lines: Vec<_> = fields.tokens(buf, Id::Connection).map(<[u8]>::to_ascii_lowercase).collect();
    let lists = |name: &str| connection_lines.iter().any(|token| token == name.as_bytes());
    let expected = Connection { close: lists("close"), keep_alive: lists("keep-alive"), upgrade: lists("upgrade") };
    assert_eq!(connection(head, buf), expected);
    assert!(!keep_alive(head.version(), expected) || !expected.close);
}

/// The values of all lines with `id`, found without the help of [`Fields`].
fn values<'b>(head: &Head, buf: &'b [u8], id: Id) -> Vec<&'b [u8]> {
    let lines = head.fields().list().iter();
    lines.map(|line| (line.name(buf), line.value(buf))).filter(|line| Id::of(line.0) == id).map(|line| line.1).collect()
}

/// A `Content-Length` that says `length` and could say nothing else.
fn says(value: &[u8], length: u64) -> bool {
    let text = std::str::from_utf8(value).expect("digits");
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse() == Ok(u128::from(length))
}

/// What is read as chunks has one plain `Transfer-Encoding`, and nothing that another reader could go by.
fn is_chunked(head: &Head, buf: &[u8]) -> bool {
    matches!(values(head, buf, Id::TransferEncoding)[..], [value] if value.eq_ignore_ascii_case(b"chunked"))
        && values(head, buf, Id::ContentLength).is_empty()
        && head.version() == Version::Http11
}

const KEEPS: [Keep; 3] = [
    Keep { upgrade: false, trailers: false },
    Keep { upgrade: true, trailers: false },
    Keep { upgrade: true, trailers: true },
];

/// Whether a proxy strikes the line (RFC 9110 section 7.6.1), by the words of `strip_request`.
fn is_struck(head: &Head, buf: &[u8], line: &HeaderAt, keep: Keep) -> bool {
    let te = values(head, buf, Id::Te);
    let listed = || {
        let mut names = values(head, buf, Id::Connection).into_iter().flat_map(tokens);
        names.any(|name| name.eq_ignore_ascii_case(line.name(buf)))
    };
    match line.id {
        Id::Upgrade => !keep.upgrade,
        Id::Trailer => !keep.trailers,
        Id::Te => !(keep.trailers && te.len() == 1 && te[0].eq_ignore_ascii_case(b"trailers")),
        Id::Connection
        | Id::KeepAlive
        | Id::ProxyConnection
        | Id::TransferEncoding
        | Id::ProxyAuthenticate
        | Id::ProxyAuthorization => true,
        Id::Host
        | Id::ContentLength
        | Id::ContentType
        | Id::ContentEncoding
        | Id::ContentRange
        | Id::CacheControl
        | Id::Cookie
        | Id::SetCookie
        | Id::Authorization
        | Id::Forwarded
        | Id::XForwardedFor
        | Id::XForwardedProto
        | Id::XForwardedHost
        | Id::XForwardedPort
        | Id::XRealIp
        | Id::AnyproxyDomains => false,
        Id::Other => listed() && !line.name(buf).eq_ignore_ascii_case(b"close"),
        _ => listed(),
    }
}

/// The only reason not to strip a head.
fn lists_too_much(head: &Head, buf: &[u8]) -> bool {
    let names = values(head, buf, Id::Connection).into_iter().flat_map(tokens);
    names.filter(|name| Id::of(name) == Id::Other && !name.eq_ignore_ascii_case(b"close")).count() > 32
}

/// `out`, a first line and `added` more, and the lines of `head` that are not struck, parsed again: these lines are there
/// as they were, and no others.
fn rewritten(
    parse: Parse,
    head: &Head,
    buf: &[u8],
    struck: &Struck,
    mut out: Vec<u8>,
    added: usize,
) -> (Head, Vec<u8>) {
    let list = head.fields().list();
    headers(head, buf, struck, &mut out);
    out.extend_from_slice(b"\r\n");
    let mut again = Head::default();
    assert_eq!(parse(&mut again, &out, &WIDE), Ok(Step::Done(out.len())), "{}", out.escape_ascii());
    let kept = list.iter().enumerate().filter(|(index, _)| !struck.has(*index)).map(|(_, line)| line);
    let left: Vec<_> = kept.map(|line| (line.name(buf), line.value(buf), line.id)).collect();
    let found = again.fields().list().iter().skip(added);
    let found: Vec<_> = found.map(|line| (line.name(&out), line.value(&out), line.id)).collect();
    assert_eq!(found, left);
    let indices: Vec<_> = (0..list.len()).filter(|&index| struck.has(index)).collect();
    assert!(struck.iter().eq(indices));
    (again, out)
}

/// Request heads: see [`same_verdict`]; an accepted one is sound, its framing has one meaning, and what a proxy passes
/// on of it has the same.
pub(crate) fn request_head(input: &[u8]) -> bool {
    same_verdict(Head::request, input);
    let mut head = Head::default();
    let Ok(Step::Done(length)) = head.request(input, &WIDE) else { return false };
    assert_eq!(length, head.len());
    sound_lines(&head, input);

    let (name, target, path) = (head.method_name(input), head.target(input), head.path(input));
    assert!(is_token(name) && Method::of(name) == head.method());
    assert!(std::str::from_utf8(target).is_ok() && !target.is_empty() && target.ends_with(path));
    assert!(!target.iter().any(|&byte| byte <= b' ' || byte == 0x7f || byte == b'#'));
    let hosts = values(&head, input, Id::Host);
    assert!(hosts.len() <= 1 && hosts.iter().all(|host| authority(host).is_some()));
    let named = match head.form() {
        Target::Origin => {
            assert!(target == path && path.starts_with(b"/"));
            None
        }
        Target::Asterisk => {
            assert!(target == b"*" && head.method() == Method::Options);
            None
        }
        Target::Authority => {
            assert!(head.method() == Method::Connect);
            Some(target)
        }
        Target::Absolute { https, authority, path: span } => {
            let scheme: &[u8] = if https { b"https://" } else { b"http://" };
            assert!(target[..scheme.len()].eq_ignore_ascii_case(scheme) && span.of(input) == path);
            assert_eq!([authority.of(input), path].concat(), &target[scheme.len()..]);
            assert!(matches!(path, [] | [b'/' | b'?', ..]));
            Some(authority.of(input))
        }
    };
    assert_eq!(head.authority(input), named.or_else(|| hosts.first().copied()).and_then(authority));
    match head.authority(input) {
        Some(found) => {
            // Nothing of it can be taken for the end of a line, a path or a user.
            assert!(!found.host.iter().any(|byte| byte.is_ascii_control() || b"/?#@, \\".contains(byte)));
            let port = found.port.map_or(String::new(), |port| format!(":{port}"));
            assert_eq!(authority(&[found.host, port.as_bytes()].concat()), Some(found));
        }
        None => assert!(head.version() == Version::Http10),
    }

    let framing = request_framing(&head, input);
    let lengths = values(&head, input, Id::ContentLength);
    let codings = values(&head, input, Id::TransferEncoding);
    match framing {
        Ok(Framing::None) => {
            let tunnel = head.method() == Method::Connect && matches!(lengths[..], [value] if says(value, 0));
            assert!(codings.is_empty() && (lengths.is_empty() || tunnel));
        }
        Ok(Framing::Length(length)) => assert!(codings.is_empty() && lengths.len() == 1 && says(lengths[0], length)),
        Ok(Framing::Chunked) => assert!(is_chunked(&head, input)),
        Ok(Framing::UntilClose) => panic!("a request cannot end with the connection"),
        Err(bad) => assert!(bad.status() != 200 && !(codings.is_empty() && lengths.is_empty())),
    }
    assert!(head.method() != Method::Connect || matches!(framing, Ok(Framing::None) | Err(_)));

    for keep in KEEPS {
        let mut struck = Struck::default();
        if let Err(bad) = strip_request(&head, input, keep, &mut struck) {
            assert!(bad == Bad::ConnectionList && lists_too_much(&head, input));
            continue;
        }
        assert!(!lists_too_much(&head, input));
        for (index, line) in head.fields().list().iter().enumerate() {
            assert_eq!(struck.has(index), is_struck(&head, input, line, keep), "{}", line.name(input).escape_ascii());
        }
        let mut out = Vec::new();
        request_line(&head, input, &mut out);
        // What HTTP/1.0 may leave out, HTTP/1.1 needs.
        if hosts.is_empty() {
            field(b"Host", b"added", &mut out).expect("a good line");
        }
        let (again, out) = rewritten(Head::request, &head, input, &struck, out, usize::from(hosts.is_empty()));
        assert_eq!((again.method(), again.method_name(&out)), (head.method(), name));
        let sent = again.target(&out);
        match (head.form(), path) {
            (Target::Absolute { .. }, []) if head.method() == Method::Options => assert_eq!(sent, b"*"),
            (Target::Absolute { .. }, [] | [b'?', ..]) => assert_eq!(sent, [b"/", path].concat()),
            _ => assert_eq!(sent, path),
        }
        if let Ok(framing) = framing {
            let expected = if framing == Framing::Chunked { Framing::None } else { framing };
            assert_eq!(request_framing(&again, &out), Ok(expected));
        }
        let mut second = Struck::default();
        assert_eq!(strip_request(&again, &out, keep, &mut second), Ok(()));
        assert_eq!(second.iter().next(), None, "what is stripped once has nothing more to strip");
    }
    true
}

/// Response heads: as [`request_head`], for requests with each method that changes what a response means.
pub(crate) fn response_head(input: &[u8]) -> bool {
    same_verdict(Head::response, input);
    let mut head = Head::default();
    let Ok(Step::Done(length)) = head.response(input, &WIDE) else { return false };
    assert_eq!(length, head.len());
    sound_lines(&head, input);
    assert!((100..=999).contains(&head.status()) && is_value(head.reason(input)));
    let start = &input[..head.fields().start()];
    assert!(start.ends_with(&[head.reason(input), b"\r\n"].concat()));
    assert!(start[8..].starts_with(format!(" {}", head.status()).as_bytes()));

    let lengths = values(&head, input, Id::ContentLength);
    let codings = values(&head, input, Id::TransferEncoding);
    for method in [Method::Get, Method::Head, Method::Connect] {
        let tunnel = method == Method::Connect && head.status() / 100 == 2;
        let lengthless = head.status() / 100 == 1 || head.status() == 204 || tunnel;
        let bare = lengthless || head.status() == 304 || method == Method::Head;
        let framing = response_framing(&head, input, method);
        match framing {
            Ok(Framing::None) => assert!(bare && (codings.is_empty() || is_chunked(&head, input))),
            Ok(_) if bare => panic!("content where there is none"),
            Ok(Framing::Length(length)) => {
                assert!(codings.is_empty() && !lengths.is_empty() && lengths.iter().all(|value| says(value, length)));
            }
            Ok(Framing::Chunked) => assert!(is_chunked(&head, input)),
            Ok(Framing::UntilClose) => assert!(codings.is_empty() && lengths.is_empty()),
            Err(_) => assert!(!(codings.is_empty() && lengths.is_empty())),
        }

        for keep in KEEPS {
            let mut struck = Struck::default();
            if let Err(bad) = strip_response(&head, input, method, keep, &mut struck) {
                assert!(bad == Bad::ConnectionList && lists_too_much(&head, input));
                continue;
            }
            let mut seen_length = false;
            for (index, line) in head.fields().list().iter().enumerate() {
                let expected = if line.id == Id::ContentLength {
                    lengthless || std::mem::replace(&mut seen_length, true)
                } else {
                    is_struck(&head, input, line, keep)
                };
                assert_eq!(struck.has(index), expected, "{}", line.name(input).escape_ascii());
            }
            let mut out = Vec::new();
            status_line(head.version(), head.status(), head.reason(input), &mut out).expect("it was accepted");
            let (again, out) = rewritten(Head::response, &head, input, &struck, out, 0);
            assert_eq!((again.version(), again.status()), (head.version(), head.status()));
            assert_eq!(again.reason(&out), head.reason(input));
            if let Ok(framing) = framing {
                let expected = if framing == Framing::Chunked { Framing::UntilClose } else { framing };
                assert_eq!(response_framing(&again, &out, method), Ok(expected));
            }
            let mut second = Struck::default();
            assert_eq!(strip_response(&again, &out, method, keep, &mut second), Ok(()));
            assert_eq!(second.iter().next(), None, "what is stripped once has nothing more to strip");
        }
    }
    true
}

// Bodies

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
    assert!(fields.list().len() <= total && fields.list().iter().all(|line| matches!(line.id, Id::Other | Id::ETag)));
    for size in [1, 10, 4096] {
        let encoded = encode(&decoded.payload, size, trailers);
        let again = decode(&encoded, ChunkLimits::default(), &[encoded.len()]);
        let end = Some((encoded.len(), kept.clone()));
        assert_eq!(again, Decoded { payload: decoded.payload.clone(), bad: None, end });
    }
    true
}

// Ranges

/// Whether `header`, which is well-formed, asks for byte `at` of `len`.
fn asks_for(header: &str, at: u128, len: u128) -> bool {
    header.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).any(|member| {
        let (first, last) = member.split_once('-').expect("a dash");
        // A number too large for this one is beyond every length.
        let number = |text: &str| text.parse::<u128>().unwrap_or(u128::MAX);
        match (first, last) {
            ("", size) => len.saturating_sub(number(size)) <= at,
            (first, "") => number(first) <= at,
            (first, last) => (number(first)..=number(last)).contains(&at),
        }
    })
}

/// `Range`: what comes of it lies within the representation, is disjoint, and is what was asked for.
pub(crate) fn range(input: &[u8]) -> bool {
    let mut accepted = false;
    for most in [0, 1, 3, 100] {
        // Whether a header is well-formed has nothing to do with the file.
        let ignored = range::parse(input, 1, most) == Ranges::Ignore;
        for len in [0, 1, 10, 1000, u64::MAX] {
            let ranges = match range::parse(input, len, most) {
                Ranges::Ignore => {
                    assert!(ignored || len == 0);
                    continue;
                }
                ranges => {
                    assert!(!ignored && most > 0);
                    assert_eq!(range::parse(input, len, 1000), ranges, "more would have been allowed");
                    ranges
                }
            };
            let header = std::str::from_utf8(trim(input)).expect("digits, dashes and commas").split_once('=');
            let header = header.expect("an equals sign").1;
            let Ranges::Some(ranges) = ranges else {
                assert!((0..u128::from(len.min(10))).all(|at| !asks_for(header, at, len.into())));
                continue;
            };
            accepted = true;
            assert!(!ranges.is_empty() && ranges.len() <= most);
            assert!(ranges.iter().all(|&(start, end)| start < end && end <= len));
            let mut sorted = ranges.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
            // Each edge, and what lies beside it.
            let edges =
                ranges.iter().flat_map(|&(start, end)| [start.checked_sub(1), Some(start), Some(end - 1), Some(end)]);
            for at in edges.flatten().filter(|&at| at < len) {
                let served = ranges.iter().any(|&(start, end)| (start..end).contains(&at));
                assert_eq!(served, asks_for(header, at.into(), len.into()), "{at} of {len}");
            }
            // Asked for in the words of the answer, the same comes again.
            let words: Vec<_> = ranges.iter().map(|&(start, end)| format!("{start}-{}", end - 1)).collect();
            let value = format!("bytes={}", words.join(","));
            assert_eq!(range::parse(value.as_bytes(), len, most), Ranges::Some(ranges.clone()));
            for (word, &(start, end)) in words.iter().zip(&ranges) {
                assert_eq!(range::content_range(start, end, len), format!("bytes {word}/{len}"));
            }
            let parts = Multipart::new("b", Some("text/plain"), len).expect("a good boundary");
            let heads =
                ranges.iter().enumerate().map(|(index, &range)| parts.part_head(index == 0, range).len() as u64);
            let bytes = ranges.iter().map(|&(start, end)| end - start).sum::<u64>();
            let total = bytes.checked_add(heads.sum::<u64>() + parts.closing().len() as u64);
            assert_eq!(parts.content_length(&ranges), total);
        }
    }
    accepted
}

// Paths

/// Targets: an accepted path names nothing outside of its root, and has one spelling.
pub(crate) fn path(input: &[u8]) -> bool {
    let (raw, query) = split_query(input);
    let question: &[u8] = if query.is_some() { b"?" } else { b"" };
    assert_eq!([raw, question, query.unwrap_or_default()].concat(), input);
    assert!(!raw.contains(&b'?'));
    let mut accepted = false;
    for merge in [false, true] {
        // A question mark may stand in a path where it was escaped, so that all of the input is tried as one.
        for raw in [raw, input] {
            accepted |= path_of(raw, merge);
        }
    }
    accepted
}

fn path_of(raw: &[u8], merge: bool) -> bool {
    let normalised = normalise(raw, merge);
    let mut plain = normalise(b"/%2f\\", merge).expect("a path");
    let before = plain.clone();
    if plain.set_plain(raw) {
        let anyway = normalise(split_query(raw).0, merge);
        assert_eq!(anyway.as_ref(), Ok(&plain), "what is plain is what it is anyway");
    } else {
        assert_eq!(plain, before);
    }
    let path = match normalised {
        Ok(path) => path,
        Err(error) => {
            assert_eq!(error == path::Error::NotAbsolute, raw.first() != Some(&b'/'));
            // Slashes that stay are levels that `..` can leave, so that merging them never makes a path a good one.
            assert!(merge || normalise(raw, true) == Err(error));
            return false;
        }
    };
    let bytes = path.as_bytes();
    assert!(bytes.starts_with(b"/") && bytes.len() <= raw.len());
    assert!(!bytes.iter().any(u8::is_ascii_control));
    assert!(bytes.split(|&byte| byte == b'/').all(|name| name != b"." && name != b".."));
    assert!(!merge || !bytes.windows(2).any(|pair| pair == b"//"));
    assert_eq!(path.is_directory(), bytes.ends_with(b"/"));
    // Two spellings of one path are told apart, also where `..` took them away again. In a good path each percent sign
    // begins an escape.
    let escapes = |escape: &[u8]| raw.windows(3).any(|three| three.eq_ignore_ascii_case(escape));
    assert_eq!(path.had_encoded_slash(), escapes(b"%2f"));
    assert_eq!(path.has_backslash(), raw.contains(&b'\\') || escapes(b"%5c"));
    // Written as a target again it is the same path.
    let mut target = String::new();
    path::encode(bytes, &mut target);
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()) && target.len() <= bytes.len() * 3);
    let again = normalise(target.as_bytes(), merge).expect("a path");
    assert_eq!((again.as_bytes(), again.had_encoded_slash()), (bytes, false));

    let Ok(names) = path.components() else { return true };
    let names: Vec<_> = names.collect();
    assert!(!path.had_encoded_slash() && !path.has_backslash() && bytes.len() <= MAX_PATH);
    for name in &names {
        assert!(!matches!(*name, b"" | b"." | b"..") && name.len() <= MAX_COMPONENT);
        assert!(!name.iter().any(|byte| b"/\\\0".contains(byte)) && check_name(name) == Ok(()));
    }
    let slash: &[u8] = if path.is_directory() && !names.is_empty() { b"/" } else { b"" };
    assert_eq!([b"/", &names.join(&b'/')[..], slash].concat(), bytes);
    #[cfg(unix)]
    {
        let root = std::path::Path::new("/srv/root");
        let joined = path.join(root).expect("its components are good");
        assert!(joined.starts_with(root));
        let below = joined.strip_prefix(root).expect("below its root").components();
        assert!(below.clone().all(|part| matches!(part, std::path::Component::Normal(_))));
        assert_eq!(below.count(), names.len());
    }
    true
}

// Conditions

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
    if let Ok(seconds) = u64::try_from(seconds) {
        assert_eq!(http_date(seconds), text, "the two writers of dates agree");
    }
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

// Negotiation

/// `Accept-Encoding`: the choice is one that the server has and the client accepts, and others on offer do not matter to
/// a client that would not take them.
pub(crate) fn accept_encoding(input: &[u8]) -> bool {
    const ALL: [Coding; 4] = [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Identity];
    let pairs = ALL.map(|first| ALL.map(|second| negotiate(Some(input), &[first, second])));
    let alone = |coding: Coding| pairs[coding as usize][coding as usize].is_some();
    let twice = [input, b",", input].concat();
    let spread = [b" ,, ", input, b"\t,"].concat();
    let capitals = input.to_ascii_uppercase();
    for subset in 0..16 {
        let mut available: Vec<_> = ALL.into_iter().filter(|&coding| subset >> coding as u32 & 1 == 1).collect();
        for _ in 0..2 {
            let chosen = negotiate(Some(input), &available);
            match available.iter().position(|&coding| Some(coding) == chosen) {
                // It would be chosen before each other one, too, if there were no third.
                Some(place) => {
                    let coding = available[place] as usize;
                    assert!(alone(available[place]));
                    assert!(available[..place].iter().all(|&other| pairs[other as usize][coding] == chosen));
                    assert!(available[place..].iter().all(|&other| pairs[coding][other as usize] == chosen));
                }
                None => assert!(chosen.is_none() && !available.iter().any(|&coding| alone(coding))),
            }
            available.reverse();
        }
    }
    for same in [&twice, &spread, &capitals] {
        assert_eq!(negotiate(Some(same), &ALL), negotiate(Some(input), &ALL));
        assert_eq!(
            ALL.map(|coding| negotiate(Some(same), &[coding])),
            ALL.map(|coding| negotiate(Some(input), &[coding]))
        );
    }
    // What is not named is not sent.
    let names = |name: &[u8]| capitals.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name));
    for coding in ALL {
        assert_eq!(Coding::from_name(coding.name().as_bytes()), Some(coding));
        // The first of two weights counts.
        for (weight, acceptable) in [("0", false), ("0.001", true)] {
            let value = [format!("{};q={weight},", coding.name()).as_bytes(), input].concat();
            assert_eq!(negotiate(Some(&value), &[coding]).is_some(), acceptable);
        }
        assert!(!alone(coding) || coding == Coding::Identity || names(b"*") || names(coding.name().as_bytes()));
    }
    assert!(alone(Coding::Identity) || names(b"identity") || names(b"*"));

    for weight in input.split(|byte| b",;=".contains(byte)) {
        if let Some(thousandths) = parse_weight(weight) {
            assert!(thousandths <= 1000 && weight.len() <= 5);
            let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
            assert_eq!(parse_weight(text.as_bytes()), Some(thousandths));
        }
    }
    let any = type_matches(input, &["*/*"]);
    for pattern in ["text/*", "application/json", "application/*+xml"] {
        let matched = type_matches(input, &[pattern]);
        assert!(any || !matched);
        assert_eq!(type_matches(&capitals, &[pattern]), matched);
    }
    let text = String::from_utf8_lossy(input);
    // A type without parameters is a pattern for itself.
    assert!(!any || text.contains([';', ' ', '\t']) || type_matches(input, &[&text]));
    ALL[..3].iter().any(|&coding| alone(coding))
}

// What other hops say

/// `X-Forwarded-For`, `Forwarded` and the other headers of hops: nobody is believed who is not trusted, and nothing that
/// a client sends changes how the word of a trusted proxy is read.
pub(crate) fn forwarded(input: &[u8]) -> bool {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let trusted = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
    let (client, stranger) = (IpAddr::from([203, 0, 113, 5]), IpAddr::from([192, 0, 2, 9]));
    type Read = fn(IpAddr, &[u8], &dyn Fn(IpAddr) -> bool) -> IpAddr;
    let by_list: Read = |peer, value, trusted| client_by_x_forwarded_for(peer, value, trusted);
    let by_elements: Read = |peer, value, trusted| client_by_forwarded(peer, value, trusted);
    let mut accepted = false;
    for by in [by_list, by_elements] {
        assert_eq!(by(stranger, input, &trusted), stranger);
        assert_eq!(by(address(1), input, &|_| false), address(1));
        let found = by(address(1), input, &trusted);
        assert_eq!(found.to_canonical(), found);
        accepted |= found != address(1);
        // Who trusts everybody hears of whoever is furthest away, who trusts nobody more hears of somebody nearer: the
        // addresses on the way do not depend on who asks.
        let way = std::cell::RefCell::new(Vec::new());
        let furthest = by(address(1), input, &|ip| {
            way.borrow_mut().push(ip);
            true
        });
        let way = way.into_inner();
        assert_eq!((way.first(), way.last()), (Some(&address(1)), Some(&furthest)));
        assert_eq!(found, way.iter().copied().find(|&ip| !trusted(ip)).unwrap_or(furthest));
    }

    // What stands left of a word that is no address was vouched for by nobody.
    assert_eq!(by_list(address(1), &[input, b", unknown, 10.0.0.2"].concat(), &trusted), address(2));
    assert_eq!(by_elements(address(1), &[input, b", for=unknown, for=10.0.0.2"].concat(), &trusted), address(2));
    // Three hops, each of which passes on what it got: a client, which sends anything, and two proxies.
    let hops = [client, address(3), address(2)];
    let mut list = input.to_vec();
    for hop in hops {
        list = append_x_forwarded_for(Some(&list), hop);
    }
    assert_eq!(by_list(address(1), &list, &trusted), client);
    let text = String::from_utf8_lossy(input);
    let elements = [
        Element { host: Some(input), proto: Some(input), ..Element::default() },
        Element { by: Some(Node::Hidden(&text)), host: Some(input), ..Element::default() },
        Element { by: Some(Node::Unknown), proto: Some(b"https"), ..Element::default() },
    ];
    let mut value = input.to_vec();
    for (hop, element) in hops.into_iter().zip(elements) {
        let text = Element { from: Some(Node::Address(hop)), ..element }.text();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && is_element(&text), "{text}");
        value = append_forwarded(Some(&value), &text);
    }
    assert_eq!(by_elements(address(1), &value, &trusted), client);
    // All that was added can stand in a header line.
    if is_value(input) {
        let mut out = Vec::new();
        assert_eq!(
            field(b"X-Forwarded-For", &list, &mut out).and_then(|()| field(b"Forwarded", &value, &mut out)),
            Ok(())
        );
    }

    if let Some(parent) = traceparent(input) {
        let (trace, span) = (String::from_utf8_lossy(parent.trace_id), String::from_utf8_lossy(parent.parent_id));
        let text = format!("{:02x}-{trace}-{span}-{:02x}", parent.version, parent.flags);
        assert!(trim(input).starts_with(text.as_bytes()) && parent.version < 255);
        assert!(parent.version > 0 || trim(input) == text.as_bytes());
        assert_eq!(traceparent(text.as_bytes()), Some(parent));
        assert!([&trace, &span].iter().all(|id| id.bytes().any(|byte| byte != b'0')));
        accepted = true;
    }
    if is_request_id(input) {
        assert!(is_token(input) && input.len() <= 128);
    }
    accepted
}

/// Whether `text` is one element of `Forwarded` (RFC 7239 section 4), read from the left.
fn is_element(text: &str) -> bool {
    let mut rest = text.as_bytes();
    loop {
        let Some(equals) = rest.iter().position(|&byte| byte == b'=') else { return false };
        let name = &rest[..equals];
        rest = &rest[equals + 1..];
        let length = if rest.first() == Some(&b'"') {
            let mut at = 1;
            while let Some(&byte) = rest.get(at)
                && byte != b'"'
            {
                at += if byte == b'\\' { 2 } else { 1 };
            }
            at + 1
        } else {
            rest.iter().take_while(|byte| is_token(&[**byte])).count()
        };
        if !is_token(name) || length == 0 || length > rest.len() {
            return false;
        }
        rest = match &rest[length..] {
            [] => return true,
            [b';', rest @ ..] => rest,
            _ => return false,
        };
    }
}

// Credentials

/// `plain` in base64 (RFC 4648 section 4).
fn to_base64(plain: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in plain.chunks(3) {
        let bits = (0..3).fold(0, |sum, at| sum << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - place * 6) & 63) as usize];
            text.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    text
}

/// `Authorization` and password files: one text has one spelling, and what is taken out was there.
pub(crate) fn auth(input: &[u8]) -> bool {
    let encoded = to_base64(input);
    assert_eq!(base64(&encoded, encoded.len()).as_deref(), Some(input));
    assert!(encoded.is_empty() || base64(&encoded, encoded.len() - 1).is_none());
    if let Some(plain) = base64(input, input.len()) {
        assert_eq!(to_base64(&plain), input);
    }

    // What a client means with these bytes as user and password, and with these as the whole header.
    let sound = encoded.len() <= MAX_BASIC && input.contains(&b':') && !input.iter().any(u8::is_ascii_control);
    assert_eq!(basic(&[b"bAsIc ", &encoded[..]].concat()).is_some(), sound);
    let credentials = basic(input);
    if let Some(Credentials { user, password }) = &credentials {
        assert!(!user.contains(&b':') && ![user, password].iter().any(|part| part.iter().any(u8::is_ascii_control)));
        let text = to_base64(&[user, &b":"[..], password].concat());
        let (scheme, rest) = trim(input).split_at(5);
        assert!(scheme.eq_ignore_ascii_case(b"Basic") && rest.starts_with(b" ") && trim(rest) == text);
        assert!(text.len() <= MAX_BASIC);
        // Nothing of the password is shown.
        let other = Credentials { user: user.clone(), password: b"other".to_vec() };
        assert_eq!(format!("{credentials:?}"), format!("{:?}", Some(other)));
    }

    let lines: Vec<_> = input.split(|&byte| byte == b'\n').collect();
    let mut before = 0;
    for line in password_lines(input) {
        match line {
            Ok((number, user, rest)) => {
                assert!(before < number && number <= lines.len());
                before = number;
                assert!(!user.is_empty() && !rest.is_empty() && !user.contains(&b':') && !user.starts_with(b"#"));
                let line = [user, b":", rest].concat();
                assert!(lines.iter().any(|whole| whole.strip_suffix(b"\r").unwrap_or(whole) == line));
            }
            Err(bad) => {
                assert!(before < bad.line && bad.line <= lines.len());
                before = bad.line;
            }
        }
    }

    let (left, right) = input.split_at(input.len() / 2);
    assert_eq!(constant_time_eq(left, right), left == right);
    assert!(constant_time_eq(input, input));
    credentials.is_some()
}
