use super::*;

fn request(lines: &str) -> (Head, Vec<u8>) {
    let buf = format!("GET http://t:1?q HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes();
    let mut head = Head::default();
    assert_eq!(head.request(&buf, &Limits { headers: 1000, ..Limits::default() }), Ok(Step::Done(buf.len())));
    (head, buf)
}

/// The header lines that are left of a request with these, without `Host`.
fn left(lines: &str, upgrade: bool) -> String {
    let (head, buf) = request(lines);
    let mut struck = Struck::default();
    strike_listed(&head, &buf, &mut struck);
    strip(&head, upgrade, &mut struck);
    let mut out = Vec::new();
    headers(&head, &buf, &struck, &mut out);
    let out = String::from_utf8(out).unwrap();
    out.strip_prefix("Host: h\r\n").unwrap().to_owned()
}

#[test]
fn lines_of_one_connection_are_left_out() {
    let all = "A: 1\r\nConnection: close\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nB: 2\r\nTE: trailers\r\nTrailer: x\r\n\
        Transfer-Encoding: chunked\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\nProxy-Authenticate: y\r\nC: 3\r\n";
    assert_eq!(left(all, false), "A: 1\r\nB: 2\r\nTrailer: x\r\nC: 3\r\n");
    assert_eq!(left(all, true), "A: 1\r\nB: 2\r\nTrailer: x\r\nUpgrade: h2c\r\nC: 3\r\n");
    assert_eq!(left("Connection: trailer\r\nTrailer: x\r\n", false), "");
    assert_eq!(left("A: b\r\n", false), "A: b\r\n");
    assert_eq!(left("", false), "");
}

#[test]
fn lines_that_connection_lists_are_left_out_unless_essential() {
    assert_eq!(left("X-A: 1\r\nConnection: x-a, close\r\nx-A: 2\r\nX-B: 3\r\n", false), "X-B: 3\r\n");
    assert_eq!(left("Connection: via\r\nVia: 1.1 a\r\nConnection: range\r\nRange: x\r\n", false), "");
    let kept = "Content-Length: 0\r\nCookie: a\r\nAuthorization: b\r\nContent-Type: c\r\nX-Forwarded-For: d\r\n\
        X-Forwarded-Proto: e\r\nX-Forwarded-Host: f\r\nForwarded: g\r\nCache-Control: h\r\nX-Real-IP: i\r\n";
    let list = "Connection: host, content-length, cookie, authorization, content-type, x-forwarded-for, \
        x-forwarded-proto, x-forwarded-host, forwarded, cache-control, X-REAL-IP\r\n";
    assert_eq!(left(&format!("{list}{kept}"), false), kept);
    // What is kept is kept although Connection lists it, as it has to.
    assert_eq!(left("Connection: upgrade\r\nUpgrade: websocket\r\n", true), "Upgrade: websocket\r\n");
}

#[test]
fn lengths_that_a_response_must_not_have_are_left_out() {
    for (status, method, lines, expected) in [
        ("200 OK", Method::Get, "Content-Length: 5\r\nA: b\r\nContent-Length: 05\r\n", "Content-Length: 5\r\nA: b\r\n"),
        ("200 OK", Method::Head, "Content-Length: 5\r\n", "Content-Length: 5\r\n"),
        ("304 x", Method::Get, "Content-Length: 5\r\n", "Content-Length: 5\r\n"),
        ("204 x", Method::Get, "Content-Length: 0\r\nA: b\r\n", "A: b\r\n"),
        ("101 x", Method::Get, "Content-Length: 0\r\n", ""),
        ("200 x", Method::Connect, "Content-Length: 0\r\n", ""),
        ("200 x", Method::Get, "Connection: a\r\nA: b\r\nTransfer-Encoding: chunked\r\n", ""),
    ] {
        let buf = format!("HTTP/1.1 {status}\r\n{lines}\r\n").into_bytes();
        let (mut head, mut struck, mut out) = (Head::default(), Struck::default(), Vec::new());
        assert_eq!(head.response(&buf, &Limits::default()), Ok(Step::Done(buf.len())));
        strip_response(&head, &buf, method, false, &mut struck);
        headers(&head, &buf, &struck, &mut out);
        assert_eq!(out, expected.as_bytes(), "{status} {lines}");
    }
}

/// Counts how often it was pushed to.
#[derive(Default)]
struct Pieces(Vec<Vec<u8>>);

impl Sink for Pieces {
    fn push(&mut self, bytes: &[u8]) {
        self.0.push(bytes.to_vec());
    }
}

#[test]
fn gaps_between_struck_lines_are_copied_at_once() {
    let lines = (0..150).map(|n| format!("X-{n}: {n}\r\n")).collect::<Vec<_>>().concat();
    let (head, buf) = request(&lines);
    for (strikes, pieces) in
        [(&[][..], 1), (&[0], 1), (&[150], 1), (&[75], 2), (&[63, 64], 2), (&[0, 63, 65, 128, 150], 4), (&[9999], 1)]
    {
        let (mut struck, mut out) = (Struck::default(), Pieces::default());
        struck.clear(head.fields());
        for &index in strikes {
            struck.strike(index);
        }
        headers(&head, &buf, &struck, &mut out);
        assert_eq!(out.0.len(), pieces, "{strikes:?}");
        let expected: Vec<u8> = std::iter::once("Host: h\r\n")
            .chain(lines.split_inclusive('\n'))
            .enumerate()
            .filter(|(index, _)| !strikes.contains(index))
            .flat_map(|(_, line)| line.bytes())
            .collect();
        assert_eq!(out.0.concat(), expected, "{strikes:?}");
        for index in 0..200 {
            assert_eq!(struck.has(index), index < 151 && strikes.contains(&index));
        }
    }
    let (mut struck, mut out) = (Struck::default(), Pieces::default());
    struck.clear(head.fields());
    (0..151).for_each(|index| struck.strike(index));
    headers(&head, &buf, &struck, &mut out);
    assert!(out.0.is_empty());
}

#[test]
fn first_lines_are_written_in_origin_form() {
    for (line, expected) in [
        ("GET /a?b HTTP/1.0", "GET /a?b HTTP/1.1\r\n"),
        ("GET /a?b HTTP/1.2", "GET /a?b HTTP/1.1\r\n"),
        ("GET http://a/b HTTP/1.9", "GET /b HTTP/1.1\r\n"),
        ("GET http://a/b?c HTTP/1.1", "GET /b?c HTTP/1.1\r\n"),
        ("GET http://a HTTP/1.1", "GET / HTTP/1.1\r\n"),
        ("GET http://a?b HTTP/1.1", "GET /?b HTTP/1.1\r\n"),
        ("OPTIONS http://a HTTP/1.1", "OPTIONS * HTTP/1.1\r\n"),
        ("OPTIONS http://a?b HTTP/1.1", "OPTIONS /?b HTTP/1.1\r\n"),
        ("OPTIONS * HTTP/1.1", "OPTIONS * HTTP/1.1\r\n"),
        ("CONNECT a:1 HTTP/1.1", "CONNECT a:1 HTTP/1.1\r\n"),
        ("Brew /x HTTP/1.1", "Brew /x HTTP/1.1\r\n"),
    ] {
        let buf = format!("{line}\r\nHost: h\r\n\r\n").into_bytes();
        let (mut head, mut out) = (Head::default(), Vec::new());
        assert_eq!(head.request(&buf, &Limits::default()), Ok(Step::Done(buf.len())));
        request_line(&head, &buf, &mut out);
        assert_eq!(out, expected.as_bytes());
    }
}

/// RFC 9110 section 2.5: a later minor version is understood as the latest that is known.
#[test]
fn a_later_minor_version_is_passed_on_as_our_own() {
    let (mut head, mut struck, mut out) = (Head::default(), Struck::default(), Vec::new());
    let buf = b"GET / HTTP/1.2\r\nHost: h\r\n\r\n";
    assert_eq!(head.request(buf, &Limits::default()), Ok(Step::Done(buf.len())));
    assert_eq!(head.version(), Version::Http11);
    struck.clear(head.fields());
    super::request(&head, buf, &struck, &mut out);
    assert_eq!(out, b"GET / HTTP/1.1\r\nHost: h\r\n");
    (head, out) = (Head::default(), Vec::new());
    let buf = b"HTTP/1.9 200 Fine\r\nA: b\r\n\r\n";
    assert_eq!(head.response(buf, &Limits::default()), Ok(Step::Done(buf.len())));
    assert_eq!(head.version(), Version::Http11);
    struck.clear(head.fields());
    assert_eq!(response(&head, buf, head.reason(buf), &struck, &mut out), Ok(()));
    assert_eq!(out, b"HTTP/1.1 200 Fine\r\nA: b\r\n");
}

#[test]
fn no_line_is_written_that_would_be_two() {
    let mut out = Vec::new();
    assert_eq!(status_line(Version::Http11, 200, b"OK", &mut out), Ok(()));
    assert_eq!(status_line(Version::Http10, 204, b"", &mut out), Ok(()));
    assert_eq!(field(b"X-A", b"b\tc", &mut out), Ok(()));
    let expected = b"HTTP/1.1 200 OK\r\nHTTP/1.0 204 \r\nX-A: b\tc\r\n";
    assert_eq!(out, expected);
    assert_eq!(status_line(Version::Http11, 99, b"", &mut out), Err(Bad::Status));
    assert_eq!(status_line(Version::Http11, 1000, b"", &mut out), Err(Bad::Status));
    assert_eq!(status_line(Version::Http11, 200, b"O\r\nX: y", &mut out), Err(Bad::Status));
    for value in [&b"a\r\nb"[..], b"a\nb", b"a\rb", b"a\0b"] {
        assert_eq!(field(b"A", value, &mut out), Err(Bad::Value));
    }
    for name in [&b""[..], b"A:", b"A B", b"A\r\n"] {
        assert_eq!(field(name, b"x", &mut out), Err(Bad::Name));
    }
    assert_eq!(out, expected);
}
