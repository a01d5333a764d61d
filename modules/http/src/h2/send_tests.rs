//! What the caller sends, and the end of connections.

use super::frame::*;
use super::wire_tests::*;
use super::*;

/// A server whose streams 1 and 3 have a head on its way.
fn server(config: Config) -> Side {
    let mut server = Side::server(config);
    server.feed(&[headers(1, true, GET), headers(3, true, GET)].concat()).unwrap();
    server.respond(1, false);
    server.respond(3, false);
    server.take();
    server
}

#[test]
fn content_goes_as_far_as_the_windows() {
    let mut server = server(Config::default());
    server.connection.set_key(1, 5);
    let content = vec![7; 100_000];
    assert_eq!(server.connection.capacity(1), 65_535);
    assert_eq!(server.connection.data(1, &content, true, &mut server.out), 65_535);
    let frames = server.sent();
    assert_eq!(frames.iter().map(|(head, _)| head.length).collect::<Vec<_>>(), [16_384, 16_384, 16_384, 16_383]);
    assert!(frames.iter().all(|(head, _)| head.flags == 0));
    assert_eq!(server.connection.data(1, &content, true, &mut server.out), 0);
    assert_eq!((server.connection.capacity(1), server.connection.capacity(3)), (0, 0));
    // One window is not enough.
    let writable = |stream, key| Ok(vec![Event::Writable { stream, key }]);
    assert_eq!(server.feed(&number(WINDOW_UPDATE, 1, 1000)), writable(1, 5));
    assert_eq!(server.connection.data(1, &content, true, &mut server.out), 0);
    assert_eq!(server.feed(&number(WINDOW_UPDATE, 0, 2000)), writable(0, 0));
    assert_eq!(server.connection.data(1, &content, true, &mut server.out), 1000);
    assert_eq!(server.connection.data(3, &content[..10], true, &mut server.out), 10);
    assert_eq!(server.feed(&number(WINDOW_UPDATE, 0, 2000)), Ok(vec![]));
    // The end needs no window.
    assert_eq!(server.connection.data(1, b"", true, &mut server.out), 0);
    let frames = server.sent();
    let last: Vec<_> = frames.iter().map(|(head, _)| (head.stream, head.length, head.flags)).collect();
    assert_eq!(last, [(1, 1000, 0), (3, 10, END_STREAM), (1, 0, END_STREAM)]);
    assert_eq!(server.connection.streams(), 0);
    assert_eq!(server.connection.data(1, b"x", true, &mut server.out), 0);
    assert!(server.out.is_empty());
}

#[test]
fn settings_move_the_windows_below_zero_and_back() {
    let mut server = server(Config::default());
    assert_eq!(server.connection.data(1, &[0; 1000], false, &mut server.out), 1000);
    assert_eq!(server.feed(&settings(&[(4, 500)])), Ok(vec![]));
    assert_eq!((server.connection.capacity(1), server.connection.capacity(3)), (0, 500));
    assert_eq!(server.feed(&number(WINDOW_UPDATE, 1, 500)), Ok(vec![]));
    assert_eq!(server.connection.capacity(1), 0);
    assert_eq!(server.feed(&settings(&[(4, 501)])), Ok(vec![Event::Writable { stream: 0, key: 0 }]));
    assert_eq!((server.connection.capacity(1), server.connection.capacity(3)), (1, 501));
    // New streams begin with it.
    server.feed(&headers(5, true, GET)).unwrap();
    assert_eq!(server.connection.capacity(5), 0);
    server.respond(5, false);
    assert_eq!(server.connection.capacity(5), 501);
}

#[test]
fn the_head_of_a_frame_alone() {
    let mut server = server(Config::default());
    assert!(server.connection.data_head(1, 1000, false, &mut server.out));
    assert_eq!(server.take(), encode_head(1000, DATA, 0, 1));
    assert_eq!(server.connection.capacity(1), 64_535);
    assert!(!server.connection.data_head(1, 16_385, false, &mut server.out));
    assert!(!server.connection.data_head(1, 0, false, &mut server.out));
    assert!(!server.connection.data_head(7, 1, false, &mut server.out));
    assert!(server.connection.data_head(1, server.connection.max_data(), true, &mut server.out));
    assert_eq!(server.take(), encode_head(16_384, DATA, END_STREAM, 1));
    assert!(!server.connection.data_head(1, 1, true, &mut server.out));
    assert_eq!(server.connection.streams(), 1);
}

#[test]
fn a_large_section_is_split() {
    let mut server = Side::server(Config::default());
    server.feed(&headers(1, true, GET)).unwrap();
    let value = vec![0xff; 40_000];
    let mut writer = server.connection.headers(1, &mut server.out).unwrap();
    assert_eq!(writer.status(200), Ok(()));
    assert_eq!(writer.field(b"X-Large", &value, false), Ok(()));
    writer.finish(true);
    let frames = server.sent();
    let kinds: Vec<_> = frames.iter().map(|(head, _)| (head.kind, head.flags)).collect();
    assert_eq!(kinds, [(HEADERS, END_STREAM), (CONTINUATION, 0), (CONTINUATION, END_HEADERS)]);
    let bytes: Vec<_> = frames.iter().flat_map(|(head, payload)| frame(head.kind, head.flags, 1, payload)).collect();
    let mut client = Side::client(Config { header_list: 1 << 20, ..Config::default() });
    client.request("GET", true);
    assert_eq!(client.feed(&bytes), Ok(vec![head(1, true)]));
    assert_eq!(client.connection.block().iter().next(), Some((&b"x-large"[..], &value[..])));
}

#[test]
fn a_head_that_is_dropped_was_never_there() {
    let (mut server, mut client) = (Side::server(Config::default()), Side::client(Config::default()));
    for round in 0..10u32 {
        let stream = client.request("GET", true);
        let bytes = client.take();
        assert_eq!(server.feed(&bytes), Ok(vec![head(stream, true)]));
        if round % 3 == 0 {
            let mut lost = server.connection.headers(stream, &mut server.out).unwrap();
            assert_eq!(lost.field(b"server", b"x", false), Ok(()));
            assert_eq!(lost.field(b"x-lost", b"x", false), Ok(()));
            drop(lost);
            assert!(server.out.is_empty());
        }
        let mut response = server.connection.headers(stream, &mut server.out).unwrap();
        assert_eq!(response.status(200), Ok(()));
        assert_eq!(response.field(b"server", b"x", false), Ok(()));
        response.finish(true);
        let bytes = server.take();
        assert_eq!(client.feed(&bytes), Ok(vec![head(stream, true)]));
        assert_eq!(client.connection.block().iter().collect::<Vec<_>>(), [(&b"server"[..], &b"x"[..])]);
    }
}

#[test]
fn interim_responses_and_trailers_go_the_same_way() {
    let mut server = Side::server(Config::default());
    server.feed(&headers(1, true, GET)).unwrap();
    let mut early = server.connection.headers(1, &mut server.out).unwrap();
    assert_eq!(early.status(103), Ok(()));
    early.finish(false);
    assert_eq!(server.connection.data(1, b"x", false, &mut server.out), 0);
    server.respond(1, false);
    assert_eq!(server.connection.data(1, b"x", false, &mut server.out), 1);
    let mut trailers = server.connection.headers(1, &mut server.out).unwrap();
    assert_eq!(trailers.field(b"X-Sum", b"1", false), Ok(()));
    trailers.finish(true);
    assert!(server.connection.headers(1, &mut server.out).is_none());
    let mut client = Side::client(Config::default());
    client.request("GET", true);
    let bytes = server.take();
    let events = client.feed(&bytes).unwrap();
    assert_eq!(events[..2], [head(1, false), head(1, false)]);
    assert_eq!(events[3], Event::Trailers { stream: 1, key: 0 });
}

#[test]
fn resets_by_the_caller() {
    let mut server = server(Config::default());
    server.connection.reset(1, Code::CANCEL, &mut server.out);
    assert_eq!(server.take(), number(RST_STREAM, 1, 8));
    server.connection.reset(1, Code::CANCEL, &mut server.out);
    assert!(server.out.is_empty() && server.connection.headers(1, &mut server.out).is_none());
    assert!(!server.connection.is_open(1) && server.connection.is_open(3));
    // In the middle of a frame, whose rest is passed over.
    let mut server = Side::server(Config { connection_window: 65_535, ..Config::default() });
    server.feed(&headers(1, false, POST)).unwrap();
    let bytes = data(1, true, &[0; 16_000]);
    for _ in 0..3 {
        server.feed(&bytes[..1000]).unwrap();
        server.connection.reset(1, Code::CANCEL, &mut server.out);
        assert_eq!(server.feed(&bytes[1000..]), Ok(vec![]));
    }
    let updates = server.sent();
    assert_eq!(updates.last().map(|(head, _)| (head.kind, head.stream)), Some((WINDOW_UPDATE, 0)));
}

#[test]
fn a_client_opens_what_it_may() {
    let mut client = Side::client(Config::default());
    assert_eq!(client.connection.room(), 100);
    assert_eq!(client.feed(&settings(&[(3, 2)])), Ok(vec![]));
    assert_eq!(client.connection.room(), 2);
    assert_eq!((client.request("GET", true), client.request("GET", true), client.connection.open()), (1, 3, None));
    assert_eq!(client.feed(&settings(&[(3, 1)])), Ok(vec![]));
    assert_eq!(client.connection.room(), 0, "fewer than there are");
    assert_eq!(client.feed(&settings(&[(3, 3)])), Ok(vec![Event::Writable { stream: 0, key: 0 }]));
    assert_eq!(client.connection.room(), 1);
    assert_eq!(client.request("GET", true), 5);
    client.feed(&headers(1, true, &[(":status", "200")])).unwrap();
    client.take();
    // One without a request is not known to the peer.
    let stream = client.connection.open().unwrap();
    client.connection.reset(stream, Code::CANCEL, &mut client.out);
    assert!(client.out.is_empty());
    assert_eq!(client.connection.streams(), 2);
    let mut server = Side::server(Config::default());
    assert_eq!((server.connection.room(), server.connection.open()), (0, None));
}

#[test]
fn a_client_hears_which_streams_were_left_out() {
    let mut client = Side::client(Config::default());
    for key in [11, 13, 15] {
        let stream = client.request("GET", true);
        client.connection.set_key(stream, key);
    }
    let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0, b'x']);
    let left = |stream, key| Event::Reset { stream, key, code: Code::REFUSED_STREAM, own: true };
    let told = Event::GoAway { last: 1, code: Code::NO_ERROR };
    assert_eq!(client.feed(&goaway), Ok(vec![told, left(3, 13), left(5, 15)]));
    assert!(client.connection.is_draining() && client.connection.room() == 0 && client.connection.open().is_none());
    let done = Event::Head { stream: 1, key: 11, end: true };
    assert_eq!(client.feed(&headers(1, true, &[(":status", "200")])), Ok(vec![done]));
    assert_eq!(client.connection.streams(), 0);
}

#[test]
fn a_server_drains() {
    let mut server = server(Config::default());
    assert!(!server.connection.is_draining());
    server.connection.drain(&mut server.out);
    let goaway = |last: u32| frame(GOAWAY, 0, 0, &[&last.to_be_bytes()[..], &[0; 4]].concat());
    assert_eq!(server.take(), goaway(MOST));
    assert!(server.connection.is_draining());
    // On its way before the peer knew.
    assert_eq!(server.feed(&headers(5, true, GET)), Ok(vec![head(5, true)]));
    server.connection.finish_drain(&mut server.out);
    assert_eq!(server.take(), goaway(5));
    assert_eq!(server.feed(&[headers(7, false, POST), data(7, true, b"x")].concat()), Ok(vec![]));
    assert!(server.out.is_empty());
    server.connection.finish_drain(&mut server.out);
    assert!(server.out.is_empty());
    for stream in [1, 3] {
        server.connection.data(stream, b"", true, &mut server.out);
    }
    server.respond(5, true);
    assert_eq!(server.connection.streams(), 0);
    server.take();
    // What is said after an error is not more than before.
    assert_eq!(server.fatal(&data(0, true, b"")), Code::PROTOCOL_ERROR);
}
