use super::*;

fn head(buf: &[u8]) -> Head {
    let mut head = Head::default();
    let step = if buf.starts_with(b"HTTP/") {
        head.response(buf, &Limits::default())
    } else {
        head.request(buf, &Limits::default())
    };
    assert_eq!(step, Ok(Step::Done(buf.len())), "{}", buf.escape_ascii());
    head
}

fn of_request(method: &str, version: &str, lines: &str) -> Result<Framing, Bad> {
    let target = if method == "CONNECT" { "a:1" } else { "/" };
    let buf = format!("{method} {target} {version}\r\nHost: h\r\n{lines}\r\n").into_bytes();
    request_framing(&head(&buf), &buf)
}

fn of_response(method: Method, status: &str, lines: &str) -> Result<Framing, Bad> {
    let buf = format!("{status}\r\n{lines}\r\n").into_bytes();
    response_framing(&head(&buf), &buf, method)
}

/// Framing fields that every message is refused for.
const BAD: &[(&str, Bad)] = &[
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Bad::CodingAndLength),
    ("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Bad::CodingAndLength),
    ("Content-Length: 5\r\nTransfer-Encoding: identity\r\n", Bad::CodingAndLength),
    ("Content-Length: 5\r\nContent-Length: 6\r\n", Bad::ContentLength),
    ("Content-Length: 5\r\nContent-Length:\r\n", Bad::ContentLength),
    ("Content-Length: 5, 5\r\n", Bad::ContentLength),
    ("Content-Length: 5,\r\n", Bad::ContentLength),
    ("Content-Length: +5\r\n", Bad::ContentLength),
    ("Content-Length: -5\r\n", Bad::ContentLength),
    ("Content-Length: -0\r\n", Bad::ContentLength),
    ("Content-Length: 0x5\r\n", Bad::ContentLength),
    ("Content-Length: 5 5\r\n", Bad::ContentLength),
    ("Content-Length: 5.0\r\n", Bad::ContentLength),
    ("Content-Length: 5e1\r\n", Bad::ContentLength),
    ("Content-Length: \"5\"\r\n", Bad::ContentLength),
    ("Content-Length: 5;\r\n", Bad::ContentLength),
    ("Content-Length: a\r\n", Bad::ContentLength),
    ("Content-Length:\r\n", Bad::ContentLength),
    ("Content-Length: \u{665}\r\n", Bad::ContentLength),
    ("Content-Length: 18446744073709551616\r\n", Bad::ContentLength),
    ("Content-Length: 99999999999999999999999\r\n", Bad::ContentLength),
    ("Transfer-Encoding:\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked, chunked\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked, gzip\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked,\r\n", Bad::Coding),
    ("Transfer-Encoding: ,chunked\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked;x=y\r\n", Bad::Coding),
    ("Transfer-Encoding: \"chunked\"\r\n", Bad::Coding),
    ("Transfer-Encoding: chun ked\r\n", Bad::Coding),
    ("Transfer-Encoding: chunked\u{a0}\r\n", Bad::Coding),
    ("Transfer-Encoding: gzip\r\n", Bad::UnknownCoding),
    ("Transfer-Encoding: gzip, chunked\r\n", Bad::UnknownCoding),
    ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Bad::UnknownCoding),
    ("Transfer-Encoding: identity\r\n", Bad::UnknownCoding),
    ("Transfer-Encoding: xchunked\r\n", Bad::UnknownCoding),
    ("Transfer-Encoding: chunked-\r\n", Bad::UnknownCoding),
];

#[test]
fn requests() {
    for (lines, framing) in [
        ("", Framing::None),
        ("Content-Length: 0\r\n", Framing::Length(0)),
        ("content-length:  42\t\r\n", Framing::Length(42)),
        ("Content-Length: 007\r\n", Framing::Length(7)),
        ("Content-Length: 18446744073709551615\r\n", Framing::Length(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", Framing::Chunked),
        ("transfer-encoding: \t CHUNKED \r\n", Framing::Chunked),
    ] {
        assert_eq!(of_request("POST", "HTTP/1.1", lines), Ok(framing), "{lines}");
        assert_eq!(of_request("GET", "HTTP/1.1", lines), Ok(framing), "{lines}");
    }
    for &(lines, bad) in BAD {
        assert_eq!(of_request("POST", "HTTP/1.1", lines), Err(bad), "{lines}");
    }
    let twice = "Content-Length: 5\r\nContent-Length: 5\r\n";
    assert_eq!(of_request("POST", "HTTP/1.1", twice), Err(Bad::ContentLength));
    assert_eq!(of_request("POST", "HTTP/1.0", "Content-Length: 5\r\n"), Ok(Framing::Length(5)));
    assert_eq!(of_request("POST", "HTTP/1.0", "Transfer-Encoding: chunked\r\n"), Err(Bad::CodingVersion));
    assert_eq!(of_request("CONNECT", "HTTP/1.1", ""), Ok(Framing::None));
    assert_eq!(of_request("CONNECT", "HTTP/1.1", "Content-Length: 0\r\n"), Ok(Framing::None));
    assert_eq!(of_request("CONNECT", "HTTP/1.1", "Content-Length: 1\r\n"), Err(Bad::ConnectContent));
    assert_eq!(of_request("CONNECT", "HTTP/1.1", "Transfer-Encoding: chunked\r\n"), Err(Bad::ConnectContent));
}

#[test]
fn responses() {
    let (ok, length, chunked) = ("HTTP/1.1 200 OK", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    assert_eq!(of_response(Method::Get, ok, ""), Ok(Framing::UntilClose));
    assert_eq!(of_response(Method::Get, ok, length), Ok(Framing::Length(5)));
    assert_eq!(of_response(Method::Get, ok, &length.repeat(2)), Ok(Framing::Length(5)));
    assert_eq!(of_response(Method::Get, ok, chunked), Ok(Framing::Chunked));
    assert_eq!(of_response(Method::Get, "HTTP/1.0 200 OK", length), Ok(Framing::Length(5)));
    assert_eq!(of_response(Method::Get, "HTTP/1.0 200 OK", chunked), Err(Bad::CodingVersion));
    assert_eq!(of_response(Method::Connect, "HTTP/1.1 403 No", length), Ok(Framing::Length(5)));
    for (method, status) in [
        (Method::Head, "HTTP/1.1 200 OK"),
        (Method::Get, "HTTP/1.1 100 Continue"),
        (Method::Get, "HTTP/1.1 101 Switching Protocols"),
        (Method::Get, "HTTP/1.1 199 x"),
        (Method::Get, "HTTP/1.1 204 No Content"),
        (Method::Get, "HTTP/1.1 304 Not Modified"),
        (Method::Connect, "HTTP/1.1 200 OK"),
        (Method::Connect, "HTTP/1.1 299 OK"),
    ] {
        for lines in ["", length, chunked] {
            assert_eq!(of_response(method, status, lines), Ok(Framing::None), "{status}");
        }
        for &(lines, bad) in BAD {
            assert_eq!(of_response(method, status, lines), Err(bad), "{status} {lines}");
        }
    }
    for &(lines, bad) in BAD {
        assert_eq!(of_response(Method::Get, ok, lines), Err(bad), "{lines}");
    }
}

#[test]
fn connections_that_live_on() {
    for (line, lines, lives) in [
        ("HTTP/1.1 200 OK", "", true),
        ("HTTP/1.1 200 OK", "Connection: close\r\n", false),
        ("HTTP/1.1 200 OK", "Connection: Keep-Alive\r\n", true),
        ("HTTP/1.1 200 OK", "Connection: x, ,CLOSE\t,\r\n", false),
        ("HTTP/1.1 200 OK", "Connection: x\r\nConnection: close\r\n", false),
        ("HTTP/1.1 200 OK", "Connection: closed\r\n", true),
        ("HTTP/1.0 200 OK", "", false),
        ("HTTP/1.0 200 OK", "Connection: keep-alive\r\n", true),
        ("HTTP/1.0 200 OK", "Connection: keep-alive, close\r\n", false),
        ("HTTP/1.0 200 OK", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let buf = format!("{line}\r\n{lines}\r\n").into_bytes();
        let head = head(&buf);
        assert_eq!(keep_alive(head.version(), connection(&head, &buf)), lives, "{line} {lines}");
    }
    let buf = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, keep-alive\r\n\r\n";
    let expected = Connection { close: false, keep_alive: true, upgrade: true };
    assert_eq!(connection(&head(buf), buf), expected);
}

#[test]
fn lists_are_split_at_commas() {
    for (value, expected) in
        [("", &[][..]), (" , ,\t,", &[]), ("a", &["a"]), ("a,b", &["a", "b"]), (" a b ,\tc\t,,d ", &["a b", "c", "d"])]
    {
        let found: Vec<_> = tokens(value.as_bytes()).collect();
        assert_eq!(found, expected.iter().map(|token| token.as_bytes()).collect::<Vec<_>>(), "{value}");
    }
    let buf = b"HTTP/1.1 200 OK\r\nVary: a, b\r\nVia: x\r\nVary: c\r\n\r\n";
    assert_eq!(head(buf).fields().tokens(buf, Id::Vary).collect::<Vec<_>>(), [b"a", b"b", b"c"]);
}
