//! Messages, well-formed and not (RFC 9113 section 8).

use super::frame::*;
use super::wire_tests::*;
use super::*;

/// A value of a hundred bytes.
const LONG: &str =
    "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy";

#[test]
fn a_request_is_told_with_its_fields() {
    let mut server = Side::server(Config::default());
    let fields =
        with(POST, &[("x", "y"), ("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers"), ("content-length", "3")]);
    assert_eq!(server.feed(&headers(1, false, &fields)), Ok(vec![head(1, false)]));
    let block = server.connection.block();
    assert_eq!(block.method(), Some(&b"POST"[..]));
    assert_eq!(block.scheme(), Some(&b"http"[..]));
    assert_eq!(block.authority(), Some(&b"a"[..]));
    assert_eq!(block.path(), Some(&b"/"[..]));
    assert_eq!((block.status(), block.protocol(), block.content_length()), (None, None, Some(3)));
    let told: Vec<_> = block.iter().collect();
    assert_eq!(told, fields[4..].iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect::<Vec<_>>());
    assert_eq!(block.fields()[1].index, 32);
    server.connection.set_key(1, 77);
    assert_eq!(
        server.feed(&data(1, false, b"abc")),
        Ok(vec![Event::Data { stream: 1, key: 77, payload: 9..12, end: false, credit: 3 }])
    );
    assert_eq!(server.feed(&headers(1, true, &[("x-sum", "1")])), Ok(vec![Event::Trailers { stream: 1, key: 77 }]));
    assert_eq!(server.connection.block().iter().next(), Some((&b"x-sum"[..], &b"1"[..])));
    server.respond(1, true);
    assert_eq!((server.connection.streams(), server.connection.key(1)), (0, None));
}

#[test]
fn malformed_requests_are_reset_and_not_told() {
    let get = |more: &[(&'static str, &'static str)]| with(GET, more);
    let without = |name: &str| GET.iter().copied().filter(|field| field.0 != name).collect::<Vec<_>>();
    let cases = [
        // Names and values.
        get(&[("X", "a")]),
        get(&[("x y", "a")]),
        get(&[("", "a")]),
        get(&[("x", "a\nb")]),
        get(&[("x", "a\rb")]),
        get(&[("x", "a\0")]),
        get(&[("x", " a")]),
        get(&[("x", "a\t")]),
        // Specific to a connection.
        get(&[("connection", "close")]),
        get(&[("keep-alive", "1")]),
        get(&[("proxy-connection", "x")]),
        get(&[("transfer-encoding", "chunked")]),
        get(&[("upgrade", "x")]),
        get(&[("te", "trailers, gzip")]),
        // Pseudo headers: late, twice, unknown, missing, of a response.
        with(&[("x", "y")], GET),
        get(&[(":path", "/")]),
        with(&[(":method", "GET")], GET),
        with(&[(":x", "GET")], GET),
        with(&[(":status", "200")], GET),
        without(":method"),
        without(":scheme"),
        without(":path"),
        without(":authority"),
        vec![],
        // Values of pseudo headers.
        with(&without(":path"), &[(":path", "")]),
        with(&without(":path"), &[(":path", "a")]),
        with(&without(":path"), &[(":path", "/ a")]),
        with(&without(":path"), &[(":path", "*")]),
        with(&without(":method"), &[(":method", "")]),
        with(&without(":method"), &[(":method", "G T")]),
        with(&without(":scheme"), &[(":scheme", "ht:p")]),
        with(&without(":authority"), &[(":authority", "u@a")]),
        with(&without(":authority"), &[(":authority", "")]),
        // Hosts that differ, or are several.
        get(&[("host", "b")]),
        get(&[("host", "a"), ("host", "a")]),
        // Lengths.
        get(&[("content-length", "1")]),
        get(&[("content-length", "0"), ("content-length", "0")]),
        get(&[("content-length", "x")]),
        get(&[("content-length", "99999999999999999999")]),
        // CONNECT, plain and extended.
        vec![(":method", "CONNECT")],
        vec![(":method", "CONNECT"), (":authority", "a"), (":scheme", "http")],
        with(&[(":method", "CONNECT")], &without(":method")),
        with(GET, &[]).into_iter().chain([(":protocol", "websocket")]).collect(),
        vec![(":method", "CONNECT"), (":authority", "a"), (":protocol", "websocket")],
    ];
    let mut server = Side::server(Config { extended_connect: true, ..Config::default() });
    for (at, fields) in cases.iter().enumerate() {
        let stream = at as u32 * 2 + 1;
        server.rejects(&headers(stream, true, fields), stream, Code::PROTOCOL_ERROR);
        assert_eq!(server.connection.streams(), 0, "{fields:?}");
    }
    for fields in [
        get(&[]),
        get(&[("host", "A")]),
        get(&[("content-length", "0")]),
        with(&without(":authority"), &[("host", "a")]),
        vec![(":method", "OPTIONS"), (":scheme", "http"), (":authority", "a"), (":path", "*")],
        vec![(":method", "CONNECT"), (":authority", "a:1")],
    ] {
        let mut server = Side::server(Config::default());
        assert_eq!(server.feed(&headers(1, true, &fields)), Ok(vec![head(1, true)]), "{fields:?}");
    }
}

#[test]
fn extended_connect_only_where_it_is_allowed() {
    let fields = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
    ];
    Side::server(Config::default()).rejects(&headers(1, false, &fields), 1, Code::PROTOCOL_ERROR);
    let mut server = Side::new(Role::Server, Config { extended_connect: true, ..Config::default() });
    assert!(server.take().windows(6).any(|setting| setting == [0, 8, 0, 0, 0, 1]));
    let mut server = Side::server(Config { extended_connect: true, ..Config::default() });
    assert_eq!(server.feed(&headers(1, false, &fields)), Ok(vec![head(1, false)]));
    assert_eq!(server.connection.block().protocol(), Some(&b"websocket"[..]));
    // In a tunnel there is only DATA.
    assert_eq!(server.feed(&headers(1, true, &[])), Ok(vec![own_reset(1, Code::PROTOCOL_ERROR)]));

    let mut client = Side::client(Config::default());
    assert!(!client.connection.peer_extended_connect());
    assert_eq!(client.feed(&settings(&[(8, 1)])), Ok(vec![]));
    assert!(client.connection.peer_extended_connect());
    assert_eq!(client.fatal(&settings(&[(8, 0)])), Code::PROTOCOL_ERROR);
}

#[test]
fn content_has_the_length_that_was_said() {
    let post = with(POST, &[("content-length", "5")]);
    let wrong: &[&[Vec<u8>]] = &[
        &[data(1, true, b"1234")],
        &[data(1, false, b"123456")],
        &[data(1, false, b"12345"), data(1, false, b"6")],
        &[data(1, false, b"1234"), data(1, true, b"")],
        &[data(1, false, b"1234"), headers(1, true, &[])],
    ];
    for frames in wrong {
        let mut server = Side::server(Config::default());
        let events = server.feed(&[vec![headers(1, false, &post)], frames.to_vec()].concat().concat()).unwrap();
        assert_eq!(events.last(), Some(&own_reset(1, Code::PROTOCOL_ERROR)));
        assert_eq!(server.take(), number(RST_STREAM, 1, Code::PROTOCOL_ERROR.0));
    }
    for frames in [
        vec![data(1, true, b"12345")],
        vec![data(1, false, b"12"), data(1, false, b"345"), data(1, true, b"")],
        vec![data(1, false, b"12345"), headers(1, true, &[])],
        vec![frame(DATA, PADDED | END_STREAM, 1, b"\x0312345\0\0\0")],
    ] {
        let mut server = Side::server(Config::default());
        server.feed(&[vec![headers(1, false, &post)], frames].concat().concat()).unwrap();
        assert!(server.take().is_empty());
        server.respond(1, true);
        assert_eq!(server.connection.streams(), 0);
    }
}

#[test]
fn trailers_end_the_message_and_have_no_pseudo_headers() {
    for (frame, code) in [
        (headers(1, false, &[("x", "y")]), Code::PROTOCOL_ERROR),
        (headers(1, true, &[(":path", "/")]), Code::PROTOCOL_ERROR),
        (headers(1, true, &[("X", "y")]), Code::PROTOCOL_ERROR),
        (headers(1, true, &[("x", LONG); 20]), Code::ENHANCE_YOUR_CALM),
    ] {
        let mut server = Side::server(Config { header_list: 1000, ..Config::default() });
        assert_eq!(server.feed(&headers(1, false, POST)), Ok(vec![head(1, false)]));
        server.connection.set_key(1, 3);
        assert_eq!(server.feed(&frame), Ok(vec![Event::Reset { stream: 1, key: 3, code, own: true }]));
        assert_eq!(server.take(), number(RST_STREAM, 1, code.0));
    }
}

#[test]
fn a_request_that_is_too_large_can_be_answered() {
    let config = Config { header_list: 1000, header_count: 20, ..Config::default() };
    let large = with(GET, &[("x", LONG); 10]);
    let many = with(GET, &[("x", "y"); 21]);
    for fields in [&large[..], &many] {
        let mut server = Side::server(config);
        let insert = [&[0x40, 1, b'a', 1, b'b'][..], &literals(fields), &[0x40, 1, b'c', 1, b'd']].concat();
        let refused = Event::Refused { stream: 1, end: false, status: 431 };
        assert_eq!(server.feed(&frame(HEADERS, END_HEADERS, 1, &insert)), Ok(vec![refused]));
        server.respond(1, true);
        server.connection.reset(1, Code::NO_ERROR, &mut server.out);
        // The tables are in step.
        let next = [literals(GET), vec![0xbe, 0xbf]].concat();
        assert_eq!(server.feed(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &next)), Ok(vec![head(3, true)]));
        let fields: Vec<_> = server.connection.block().iter().collect();
        assert_eq!(fields, [(&b"c"[..], &b"d"[..]), (b"a", b"b")]);
    }
    let mut client = Side::client(config);
    client.request("GET", true);
    let large = with(&[(":status", "200")], &[("x", LONG); 10]);
    assert_eq!(client.feed(&headers(1, true, &large)), Ok(vec![own_reset(1, Code::ENHANCE_YOUR_CALM)]));
}

#[test]
fn responses_interim_and_final() {
    let mut client = Side::client(Config::default());
    assert_eq!(client.request("GET", true), 1);
    assert_eq!(client.feed(&headers(1, false, &[(":status", "103"), ("link", "x")])), Ok(vec![head(1, false)]));
    assert_eq!(client.connection.block().status(), Some(103));
    assert_eq!(
        client.feed(&headers(1, false, &[(":status", "200"), ("content-length", "1")])),
        Ok(vec![head(1, false)])
    );
    assert_eq!(client.feed(&data(1, true, b"x")).unwrap().len(), 1);
    assert_eq!(client.connection.streams(), 0);
    for bad in [
        headers(1, true, &[(":status", "100")]),
        headers(1, false, &[(":status", "101")]),
        headers(1, false, &[(":status", "20")]),
        headers(1, false, &[]),
        headers(1, false, &[(":status", "200"), (":status", "200")]),
        headers(1, false, &[(":status", "200"), (":path", "/")]),
        headers(1, false, &[(":status", "200"), ("connection", "x")]),
        headers(1, true, &[(":status", "200"), ("content-length", "1")]),
        data(1, true, b""),
    ] {
        let mut client = Side::client(Config::default());
        client.request("GET", true);
        assert_eq!(client.feed(&bad), Ok(vec![own_reset(1, Code::PROTOCOL_ERROR)]));
    }
}

#[test]
fn a_response_without_content_may_say_a_length() {
    for (method, status) in [("HEAD", "200"), ("GET", "304"), ("GET", "204")] {
        let fields = [(":status", status), ("content-length", "10")];
        let mut client = Side::client(Config::default());
        client.request(method, true);
        assert_eq!(client.feed(&headers(1, true, &fields)), Ok(vec![head(1, true)]));
        client.request(method, true);
        let frames = [headers(3, false, &fields), data(3, true, b"0123456789")].concat();
        assert_eq!(client.feed(&frames), Ok(vec![head(3, false), own_reset(3, Code::PROTOCOL_ERROR)]));
    }
    let mut client = Side::client(Config::default());
    let stream = client.connection.open().unwrap();
    let mut request = client.connection.headers(stream, &mut client.out).unwrap();
    assert_eq!(request.request(b"CONNECT", None, Some(b"a:1"), None, None), Ok(()));
    request.finish(false);
    assert_eq!(
        client.feed(&headers(1, false, &[(":status", "200"), ("content-length", "1")])),
        Ok(vec![head(1, false)])
    );
    assert_eq!(client.feed(&data(1, false, b"0123456789")).unwrap().len(), 1);
}

#[test]
fn a_connect_that_is_declined_is_a_request_as_others() {
    let connect = || {
        let mut client = Side::client(Config::default());
        let stream = client.connection.open().unwrap();
        let mut request = client.connection.headers(stream, &mut client.out).unwrap();
        let sent = request.request(b"CONNECT", Some(b"http"), Some(b"a"), Some(b"/"), Some(b"websocket"));
        assert_eq!(sent, Ok(()));
        request.finish(false);
        client
    };
    let trailers = headers(1, true, &[("x", "y")]);
    let mut declined = connect();
    assert_eq!(declined.feed(&headers(1, false, &[(":status", "403")])), Ok(vec![head(1, false)]));
    assert_eq!(declined.feed(&trailers), Ok(vec![Event::Trailers { stream: 1, key: 0 }]));
    // A tunnel has none (RFC 9113 section 8.5).
    let mut tunnel = connect();
    assert_eq!(tunnel.feed(&headers(1, false, &[(":status", "200")])), Ok(vec![head(1, false)]));
    assert_eq!(tunnel.feed(&trailers), Ok(vec![own_reset(1, Code::PROTOCOL_ERROR)]));
}
