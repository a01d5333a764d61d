use super::*;

const LIMITS: Limits = Limits { line: 200, head: 1000, headers: 10 };

fn request(bytes: &[u8]) -> Result<Head, Bad> {
    let mut head = Head::default();
    match head.request(bytes, &LIMITS)? {
        Step::Done(length) => assert_eq!(length, head.len()),
        Step::More => panic!("incomplete: {:?}", bytes.escape_ascii().to_string()),
    }
    Ok(head)
}

fn response(bytes: &[u8]) -> Result<Head, Bad> {
    let mut head = Head::default();
    match head.response(bytes, &LIMITS)? {
        Step::Done(length) => assert_eq!(length, head.len()),
        Step::More => panic!("incomplete: {:?}", bytes.escape_ascii().to_string()),
    }
    Ok(head)
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn a_request_is_taken_apart() {
    let buf = b"\r\nPOST /a?b=c HTTP/1.1\r\nhOST: example.com:81\r\nX-One:1\r\nCookie: \t a=b \t\r\nx-empty:\r\ncookie: c\xff\td\r\n\r\nbody";
    let head = request(buf).unwrap();
    assert_eq!(head.len(), buf.len() - 4);
    assert_eq!((head.method(), head.method_name(buf)), (Method::Post, &b"POST"[..]));
    assert_eq!((head.form(), head.target(buf), head.path(buf)), (Target::Origin, &b"/a?b=c"[..], &b"/a?b=c"[..]));
    assert_eq!(head.version(), Version::Http11);
    let fields = head.fields();
    let lines: Vec<_> = fields.list().iter().map(|header| (header.name(buf), header.value(buf), header.id)).collect();
    assert_eq!(
        lines,
        [
            (&b"hOST"[..], &b"example.com:81"[..], Id::Host),
            (b"X-One", b"1", Id::Other),
            (b"Cookie", b"a=b", Id::Cookie),
            (b"x-empty", b"", Id::Other),
            (b"cookie", b"c\xff\td", Id::Cookie),
        ]
    );
    assert_eq!(fields.value(buf, Id::Cookie), Some(&b"a=b"[..]));
    assert_eq!(fields.all(Id::Cookie).map(|header| header.value(buf)).collect::<Vec<_>>(), [&b"a=b"[..], b"c\xff\td"]);
    assert_eq!(fields.all(Id::Host).count(), 1);
    assert_eq!(fields.all(Id::Via).count(), 0);
    assert!(fields.first(Id::Via).is_none());
    assert!(fields.repeats(Id::Cookie) && !fields.repeats(Id::Host));
    assert_eq!(head.authority(buf), Some(Authority { host: b"example.com", port: Some(81) }));
}

#[test]
fn a_line_takes_twelve_bytes() {
    assert_eq!(size_of::<HeaderAt>(), 12);
}

#[test]
fn a_response_is_taken_apart() {
    for (line, version, status, reason) in [
        ("HTTP/1.1 200 OK", Version::Http11, 200, "OK"),
        ("HTTP/1.0 404 Not  Found\t!", Version::Http10, 404, "Not  Found\t!"),
        ("HTTP/1.1 204 ", Version::Http11, 204, ""),
        ("HTTP/1.1 999", Version::Http11, 999, ""),
        ("HTTP/1.1 100 \u{e9}", Version::Http11, 100, "\u{e9}"),
    ] {
        let buf = format!("{line}\r\nServer: x\r\n\r\n").into_bytes();
        let head = response(&buf).unwrap();
        assert_eq!((head.version(), head.status(), head.reason(&buf)), (version, status, reason.as_bytes()));
        assert_eq!(head.fields().value(&buf, Id::Server), Some(&b"x"[..]));
    }
    let head = response(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert_eq!((head.len(), head.fields().list().len(), head.fields().start()), (19, 0, 17));
}

#[test]
fn forms_of_targets() {
    let absolute = |https, authority: (u32, u32), path: (u32, u32)| Target::Absolute {
        https,
        authority: Span { at: authority.0, len: authority.1 },
        path: Span { at: path.0, len: path.1 },
    };
    for (line, form, path, host) in [
        ("GET / HTTP/1.1", Target::Origin, "/", "h"),
        ("GET //x/../y?*:@ HTTP/1.1", Target::Origin, "//x/../y?*:@", "h"),
        ("GET /\u{e9}\"<>\\^ HTTP/1.1", Target::Origin, "/\u{e9}\"<>\\^", "h"),
        ("GET http://a:1/b?c HTTP/1.1", absolute(false, (11, 3), (14, 4)), "/b?c", "a"),
        ("GET HTTPS://[::1] HTTP/1.1", absolute(true, (12, 5), (17, 0)), "", "[::1]"),
        ("GET http://a?b/c HTTP/1.1", absolute(false, (11, 1), (12, 4)), "?b/c", "a"),
        ("CONNECT a:443 HTTP/1.1", Target::Authority, "a:443", "a"),
        ("OPTIONS * HTTP/1.1", Target::Asterisk, "*", "h"),
        ("OPTIONS /x HTTP/1.1", Target::Origin, "/x", "h"),
        ("M-SEARCH / HTTP/1.1", Target::Origin, "/", "h"),
    ] {
        let buf = format!("{line}\r\nHost: h\r\n\r\n").into_bytes();
        let head = request(&buf).unwrap();
        assert_eq!((head.form(), head.path(&buf)), (form, path.as_bytes()), "{line}");
        assert_eq!(head.authority(&buf).unwrap().host, host.as_bytes(), "{line}");
    }
}

#[test]
fn bad_request_lines() {
    for (line, bad) in [
        (&b" GET / HTTP/1.1"[..], Bad::Method),
        (b"\tGET / HTTP/1.1", Bad::Method),
        (b"\x16\x03\x01\x02", Bad::Method),
        (b"G\x00T / HTTP/1.1", Bad::Method),
        (b"GET\t/ HTTP/1.1", Bad::Method),
        (b"G(T / HTTP/1.1", Bad::Method),
        (b"GET", Bad::Method),
        (b"GE\xc3\x89 / HTTP/1.1", Bad::Method),
        (b"\r\n\r\n\r\nGET / HTTP/1.1", Bad::Method),
        (b"\nGET / HTTP/1.1", Bad::LineEnd),
        (b"\rGET / HTTP/1.1", Bad::LineEnd),
        (b"GET  / HTTP/1.1", Bad::Target),
        (b"GET / ", Bad::Protocol),
        (b"GET /", Bad::Target),
        (b"GET /\tHTTP/1.1", Bad::Target),
        (b"GET /a b HTTP/1.1", Bad::Protocol),
        (b"GET /\x00 HTTP/1.1", Bad::Target),
        (b"GET /\x7f HTTP/1.1", Bad::Target),
        (b"GET /\xe9 HTTP/1.1", Bad::Target),
        (b"GET /\x0b HTTP/1.1", Bad::Target),
        (b"GET /\rx HTTP/1.1", Bad::Target),
        (b"GET /#x HTTP/1.1", Bad::Target),
        (b"GET x HTTP/1.1", Bad::Target),
        (b"GET ?x HTTP/1.1", Bad::Target),
        (b"GET * HTTP/1.1", Bad::Target),
        (b"OPTIONS ** HTTP/1.1", Bad::Target),
        (b"GET a:80 HTTP/1.1", Bad::Target),
        (b"GET http:// HTTP/1.1", Bad::Target),
        (b"GET http:/// HTTP/1.1", Bad::Target),
        (b"GET http:/a HTTP/1.1", Bad::Target),
        (b"GET http:a HTTP/1.1", Bad::Target),
        (b"GET https:/ HTTP/1.1", Bad::Target),
        (b"GET http://u@a/ HTTP/1.1", Bad::Target),
        (b"GET http://a,b/ HTTP/1.1", Bad::Target),
        (b"GET ftp://a/ HTTP/1.1", Bad::Target),
        (b"CONNECT a HTTP/1.1", Bad::Target),
        (b"CONNECT / HTTP/1.1", Bad::Target),
        (b"CONNECT http://a:1/ HTTP/1.1", Bad::Target),
        (b"CONNECT u@a:1 HTTP/1.1", Bad::Target),
        (b"PRI * HTTP/2.0", Bad::Target),
        (b"GET / HTTP/2.0", Bad::Version),
        (b"GET / HTTP/3.0", Bad::Version),
        (b"GET / HTTP/0.9", Bad::Version),
        (b"GET / http/1.1", Bad::Protocol),
        (b"GET / HTTP/1.1 ", Bad::Protocol),
        (b"GET / HTTP/1.10", Bad::Protocol),
        (b"GET / HTTP/11", Bad::Protocol),
        (b"GET / HTTP/1,1", Bad::Protocol),
        (b"GET /  HTTP/1.1", Bad::Protocol),
        (b"GET / HTTP/1.1\rX: y", Bad::LineEnd),
        (b"GET / HTTP/1.1\nHost: h", Bad::LineEnd),
    ] {
        let buf = [line, b"\r\nHost: h\r\n\r\n"].concat();
        assert_eq!(request(&buf).err(), Some(bad), "{}", shown(line));
    }
}

#[test]
fn bad_status_lines() {
    for (line, bad) in [
        (&b"\r\nHTTP/1.1 200 OK"[..], Bad::Protocol),
        (b"ICY 200 OK", Bad::Protocol),
        (b"HTTP/1.1", Bad::Protocol),
        (b"HTTP/1.1  200 OK", Bad::Status),
        (b"HTTP/1.1\t200 OK", Bad::Protocol),
        (b"HTTP/2.0 200 OK", Bad::Version),
        (b"HTTP/1.10 200 OK", Bad::Protocol),
        (b"HTTP/1.1 20 OK", Bad::Status),
        (b"HTTP/1.1 2000 OK", Bad::Status),
        (b"HTTP/1.1 099 OK", Bad::Status),
        (b"HTTP/1.1 +20 OK", Bad::Status),
        (b"HTTP/1.1 2x0 OK", Bad::Status),
        (b"HTTP/1.1 200\tOK", Bad::Status),
        (b"HTTP/1.1 200 O\x00K", Bad::Status),
        (b"HTTP/1.1 200 O\x7fK", Bad::Status),
        (b"HTTP/1.1 200 O\rK", Bad::LineEnd),
        (b"HTTP/1.1 200 OK\nA: b", Bad::LineEnd),
        (b"HTTP/1.1 200\nA: b", Bad::LineEnd),
    ] {
        let buf = [line, b"\r\n\r\n"].concat();
        assert_eq!(response(&buf).err(), Some(bad), "{}", shown(line));
    }
}

#[test]
fn bad_header_lines() {
    let long = [&[b'a'; 256][..], b": x"].concat();
    for (line, bad) in [
        (&b" folded"[..], Bad::Fold),
        (b"A: b\r\n folded", Bad::Fold),
        (b"A: b\r\n\tfolded", Bad::Fold),
        (b"A: b\r\n \r\nC: d", Bad::Fold),
        (b"Transfer-Encoding : chunked", Bad::Name),
        (b"Transfer-Encoding\t: chunked", Bad::Name),
        (b"Transfer Encoding: chunked", Bad::Name),
        (b"Transfer-Encoding\x00: chunked", Bad::Name),
        (b"\x0bTransfer-Encoding: chunked", Bad::Name),
        (b"Content-Length\xa0: 5", Bad::Name),
        (b"(A): b", Bad::Name),
        (b"A\"b: c", Bad::Name),
        (b"A/b: c", Bad::Name),
        (b": no name", Bad::Name),
        (b"no colon", Bad::Name),
        (b"no-colon", Bad::Name),
        (&long, Bad::Name),
        (b"A: b\x00c", Bad::Value),
        (b"A: \x01", Bad::Value),
        (b"A: \x7f", Bad::Value),
        (b"A: \x1b[0m", Bad::Value),
        (b"Transfer-Encoding: \x0bchunked", Bad::Value),
        (b"Transfer-Encoding: chunked\x00", Bad::Value),
        (b"Transfer-Encoding: \x0cchunked", Bad::Value),
        (b"A: b\rC: d", Bad::LineEnd),
        (b"A: b\nC: d", Bad::LineEnd),
        (b"A: b\r\r", Bad::LineEnd),
        (b"A: b\n\nGET /x HTTP/1.1", Bad::LineEnd),
        (b"A: b\r\n\nC: d", Bad::LineEnd),
        (b"A: b\r\n\rC: d", Bad::LineEnd),
    ] {
        let buf = [b"GET / HTTP/1.1\r\nHost: h\r\n", line, b"\r\n\r\n"].concat();
        assert_eq!(request(&buf).err(), Some(bad), "{}", shown(line));
        let buf = [b"HTTP/1.1 200 OK\r\n", line, b"\r\n\r\n"].concat();
        assert_eq!(response(&buf).err(), Some(bad), "{}", shown(line));
    }
    for line in ["!#$%&'*+-.^_`|~09: x", "a:", "a: \t ", "a: b:c", "a: \"b\\", "anyproxy_domains: x"] {
        let buf = format!("GET / HTTP/1.1\r\nHost: h\r\n{line}\r\n\r\n").into_bytes();
        assert!(request(&buf).is_ok(), "{line}");
    }
}

#[test]
fn hosts_that_are_missing_many_or_wrong() {
    for (rest, bad) in [
        ("HTTP/1.1\r\n", Some(Bad::NoHost)),
        ("HTTP/1.0\r\n", None),
        ("HTTP/1.1\r\nHost: a\r\nhost: a\r\n", Some(Bad::ManyHosts)),
        ("HTTP/1.0\r\nHost: a\r\nhost: b\r\n", Some(Bad::ManyHosts)),
        ("HTTP/1.1\r\nHost:\r\n", Some(Bad::Host)),
        ("HTTP/1.0\r\nHost:\r\n", Some(Bad::Host)),
        ("HTTP/1.1\r\nHost: a, b\r\n", Some(Bad::Host)),
        ("HTTP/1.1\r\nHost: u@a\r\n", Some(Bad::Host)),
        ("HTTP/1.1\r\nHost: a/b\r\n", Some(Bad::Host)),
        ("HTTP/1.1\r\nHost: a:80\r\n", None),
        ("HTTP/1.1\r\nHost: a:\r\n", None),
    ] {
        let buf = format!("GET / {rest}\r\n").into_bytes();
        assert_eq!(request(&buf).err(), bad, "{rest}");
    }
    // What the target says does not excuse Host.
    assert_eq!(request(b"GET http://a/ HTTP/1.1\r\n\r\n").err(), Some(Bad::NoHost));
    assert_eq!(request(b"GET http://a/ HTTP/1.1\r\nHost: ,\r\n\r\n").err(), Some(Bad::Host));
    assert_eq!(request(b"GET / HTTP/1.0\r\n\r\n").unwrap().authority(b""), None);
}

#[test]
fn limits_are_exact() {
    let limits = |line, head, headers| Limits { line, head, headers };
    let line = "GET / HTTP/1.1\r\n";
    let buf = format!("{line}Host: h\r\nA: b\r\n\r\n").into_bytes();
    let (first, all) = (line.len() as u32, buf.len() as u32);
    let parse = |limits| Head::default().request(&buf, &limits);
    assert_eq!(parse(limits(first, all, 2)), Ok(Step::Done(buf.len())));
    assert_eq!(parse(limits(first - 1, all, 2)), Err(Bad::LineTooLong));
    assert_eq!(parse(limits(first, all - 1, 2)), Err(Bad::HeadTooLarge));
    assert_eq!(parse(limits(first, first, 2)), Err(Bad::HeadTooLarge));
    assert_eq!(parse(limits(first, first - 1, 2)), Err(Bad::HeadTooLarge));
    assert_eq!(parse(limits(first, all, 1)), Err(Bad::TooManyHeaders));
    assert_eq!(parse(limits(0, 0, 0)), Err(Bad::HeadTooLarge));
    // Empty lines in front count for the head but not for the line.
    let shifted = [b"\r\n\r\n", &buf[..]].concat();
    assert_eq!(Head::default().request(&shifted, &limits(first, all + 4, 2)), Ok(Step::Done(shifted.len())));
    assert_eq!(Head::default().request(&shifted, &limits(first, all + 3, 2)), Err(Bad::HeadTooLarge));
    assert_eq!(Head::default().request(&shifted, &limits(first - 1, all + 4, 2)), Err(Bad::LineTooLong));
}

#[test]
fn a_long_line_or_head_is_refused_before_it_ends() {
    let limits = Limits { line: 100, head: 1 << 20, headers: 10 };
    let long = [b"GET /", &[b'a'; 200][..]].concat();
    assert_eq!(Head::default().request(&long, &limits), Err(Bad::LineTooLong));
    assert_eq!(Head::default().request(&long[..99], &limits), Ok(Step::More));
    let value = [&b"GET / HTTP/1.1\r\nHost: h\r\nA: "[..], &vec![b'a'; 65_535][..], b"\r\n\r\n"].concat();
    assert_eq!(Head::default().request(&value, &limits), Ok(Step::Done(value.len())));
    let value = [&b"GET / HTTP/1.1\r\nHost: h\r\nA: "[..], &vec![b'a'; 65_536][..], b"\r\n\r\n"].concat();
    assert_eq!(Head::default().request(&value, &limits), Err(Bad::HeadTooLarge));
    let many = [b"GET / HTTP/1.1\r\nHost: h\r\n", &b"A: b\r\n".repeat(100)[..]].concat();
    assert_eq!(Head::default().request(&many, &limits), Err(Bad::TooManyHeaders));
}

#[test]
fn a_head_is_used_again() {
    let mut head = Head::default();
    let first = b"GET /a HTTP/1.1\r\nHost: h\r\nHost-X: 1\r\nCookie: a\r\nCookie: b\r\n\r\n";
    let second = b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n";
    assert_eq!(head.request(first, &LIMITS), Ok(Step::Done(first.len())));
    assert_eq!(head.request(first, &LIMITS), Ok(Step::Done(first.len())), "asked again");
    head.clear();
    assert_eq!(head.len(), 0);
    assert_eq!(head.response(second, &LIMITS), Ok(Step::Done(second.len())));
    assert_eq!(head.fields().list().len(), 1);
    assert!(head.fields().first(Id::Cookie).is_none() && !head.fields().repeats(Id::Cookie));
    // Of another buffer than the one that was parsed nothing comes, but no panic either.
    assert_eq!((head.reason(b""), head.fields().list()[0].value(b"HTTP")), (&b""[..], &b""[..]));
}

#[test]
fn answers_to_bad_requests() {
    for (bad, status) in [
        (Bad::Name, 400),
        (Bad::LineTooLong, 414),
        (Bad::HeadTooLarge, 431),
        (Bad::TooManyHeaders, 431),
        (Bad::UnknownCoding, 501),
        (Bad::Version, 505),
    ] {
        assert_eq!(bad.status(), status);
        assert_eq!(bad.to_string(), bad.reason());
    }
}

#[test]
fn long_lists_in_connection_are_refused() {
    let list = |names: usize| format!("close{}", ", x".repeat(names));
    for (parse, start) in [(request as fn(&[u8]) -> _, "GET / HTTP/1.1\r\nHost: h"), (response, "HTTP/1.1 200 OK")] {
        let with = |lines: &str| parse(format!("{start}\r\n{lines}\r\n").as_bytes());
        assert!(with(&format!("Connection: {}\r\n", list(32))).is_ok());
        assert_eq!(with(&format!("Connection: {}\r\n", list(33))).err(), Some(Bad::ConnectionList));
        let two = format!("Connection: {}\r\nX: y\r\nconnection: {}\r\n", list(16), list(17));
        assert_eq!(with(&two).err(), Some(Bad::ConnectionList));
        // Names that are known cost next to nothing.
        assert!(with(&format!("Connection: {}\r\n", "te, ".repeat(150))).is_ok());
    }
    let (mut head, mut bytes) = (Head::default(), Vec::new());
    head.make_request(b"GET", b"/", &mut bytes).unwrap();
    for (names, appended) in [(16, Ok(())), (17, Err(Bad::ConnectionList)), (16, Ok(())), (1, Err(Bad::ConnectionList))]
    {
        let before = bytes.clone();
        assert_eq!(head.append(b"Connection", list(names).as_bytes(), &mut bytes), appended);
        assert_eq!(bytes == before, appended.is_err());
    }
}
