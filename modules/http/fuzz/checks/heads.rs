//! Heads of requests and responses.

use super::{TIGHT, WIDE, cuts, is_token, is_value, trim};
use anyproxy_http::core::path;
use anyproxy_http::h1::{
    Bad, Connection, Fields, Framing, Head, HeaderAt, Id, Limits, Method, Step, Struck, Target, Version, authority,
    connection, field, headers, keep_alive, request_framing, request_line, response_framing, status_line,
    strike_listed, strip, strip_response, tokens,
};

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
    /// What was found out of the lines when they were read.
    known: (Connection, Option<Vec<u8>>),
    lines: Vec<HeaderAt>,
    end: usize,
}

/// A request of which much is known once it is read.
const PLAIN: &[u8] = b"GET / HTTP/1.1\r\nHost: plain.example\r\nConnection: close\r\n\r\n";

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
                known: (connection(head, buf), head.plain_host(buf).map(<[u8]>::to_vec)),
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
        for ends in &cuts {
            assert_eq!(read(parse, &mut head, &buf, &limits, ends), verdict, "{limits:?} {ends:?}");
        }
        // Nor does it depend on what the head was before, however much alike that was: each line is left out in turn.
        let lines: Vec<_> = buf.split_inclusive(|&byte| byte == b'\n').collect();
        for left_out in 0..lines.len().min(8) {
            let like = [lines[..left_out].concat(), lines[left_out + 1..].concat()].concat();
            for ends in &cuts {
                // Nor on what was before that.
                let _ = read(Head::request, &mut head, PLAIN, &WIDE, &[PLAIN.len()]);
                let _ = read(parse, &mut head, &like, &limits, &[like.len()]);
                assert_eq!(read(parse, &mut head, &buf, &limits, ends), verdict, "{limits:?} {ends:?} {left_out}");
            }
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
        assert!(!header.id.is_known() || header.id.name().as_bytes().eq_ignore_ascii_case(name));

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
    assert!(!lists_too_much(head, buf));
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

/// Whether a proxy strikes the line (RFC 9110 section 7.6.1), by the words of `strike_listed` and `strip`.
fn is_struck(head: &Head, buf: &[u8], line: &HeaderAt, upgrade: bool) -> bool {
    let listed = || {
        let mut names = values(head, buf, Id::Connection).into_iter().flat_map(tokens);
        names.any(|name| name.eq_ignore_ascii_case(line.name(buf)))
    };
    match line.id {
        Id::Upgrade => !upgrade,
        Id::Te
        | Id::Connection
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
        Id::Other | Id::Underscored => listed() && !line.name(buf).eq_ignore_ascii_case(b"close"),
        _ => listed(),
    }
}

/// It asks for too many looks at every line.
fn lists_too_much(head: &Head, buf: &[u8]) -> bool {
    let names = values(head, buf, Id::Connection).into_iter().flat_map(tokens);
    names.filter(|name| !Id::of(name).is_known() && !name.eq_ignore_ascii_case(b"close")).count() > 32
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

    for upgrade in [false, true] {
        let mut struck = Struck::default();
        strike_listed(&head, input, &mut struck);
        strip(&head, upgrade, &mut struck);
        for (index, line) in head.fields().list().iter().enumerate() {
            assert_eq!(
                struck.has(index),
                is_struck(&head, input, line, upgrade),
                "{}",
                line.name(input).escape_ascii()
            );
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
        strike_listed(&again, &out, &mut second);
        strip(&again, upgrade, &mut second);
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

        for upgrade in [false, true] {
            let mut struck = Struck::default();
            strip_response(&head, input, method, upgrade, &mut struck);
            let mut seen_length = false;
            for (index, line) in head.fields().list().iter().enumerate() {
                let expected = if line.id == Id::ContentLength {
                    lengthless || std::mem::replace(&mut seen_length, true)
                } else {
                    is_struck(&head, input, line, upgrade)
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
            strip_response(&again, &out, method, upgrade, &mut second);
            assert_eq!(second.iter().next(), None, "what is stripped once has nothing more to strip");
        }
    }
    true
}
