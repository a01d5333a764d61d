//! Frames and the states of streams (RFC 9113 sections 3.4 to 6.10).

use super::frame::*;
use super::wire_tests::*;
use super::*;

fn server() -> Side {
    Side::server(Config::default())
}

/// A server whose stream 1 has had its request, whole or not.
fn open(end: bool) -> Side {
    let mut server = server();
    assert_eq!(server.feed(&headers(1, end, POST)), Ok(vec![head(1, end)]));
    server
}

#[test]
fn both_sides_begin_with_settings() {
    let config = Config { header_table: 8192, max_frame: 1 << 15, connection_window: 100_000, ..Config::default() };
    let mut server = Side::new(Role::Server, config);
    let sent = server.sent();
    let list: Vec<_> = sent[0].1.chunks(6).map(|setting| setting[1]).collect();
    assert_eq!((sent[0].0.kind, list), (SETTINGS, vec![1, 3, 4, 5, 6, 9]));
    assert_eq!((sent[1].0.kind, &sent[1].1[..]), (WINDOW_UPDATE, &(100_000u32 - 65_535).to_be_bytes()[..]));
    let mut client = Side::new(Role::Client, Config::default());
    assert!(client.out.starts_with(PREFACE));
    assert_eq!(client.sent()[0].1[..6], [0, 2, 0, 0, 0, 0]);
    // SETTINGS are acknowledged.
    assert_eq!(server.feed(&[&PREFACE[..], &settings(&[])].concat()), Ok(vec![]));
    assert_eq!(server.take(), frame(SETTINGS, ACK, 0, b""));
}

#[test]
fn something_else_than_the_preface_is_refused_at_once() {
    for bad in [&b"G"[..], b"PRI * HTTP/1.1", b"\x16\x03\x01", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx"] {
        assert_eq!(Side::new(Role::Server, Config::default()).fatal(bad), Code::PROTOCOL_ERROR);
    }
    let mut server = Side::new(Role::Server, Config::default());
    assert_eq!(server.feed(&PREFACE[..23]), Ok(vec![]));
    assert_eq!(server.feed(b"\n"), Ok(vec![]));
    assert_eq!(server.fatal(&frame(PING, 0, 0, &[0; 8])), Code::PROTOCOL_ERROR);
    let mut client = Side::new(Role::Client, Config::default());
    assert_eq!(client.fatal(&frame(SETTINGS, ACK, 0, b"")), Code::PROTOCOL_ERROR);
}

#[test]
fn what_ends_the_connection() {
    let cases: &[(Vec<u8>, Code)] = &[
        // Stream 0, or not stream 0.
        (headers(0, true, GET), Code::PROTOCOL_ERROR),
        (data(0, true, b""), Code::PROTOCOL_ERROR),
        (frame(PRIORITY, 0, 0, &[0; 5]), Code::PROTOCOL_ERROR),
        (number(RST_STREAM, 0, 0), Code::PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 1, b""), Code::PROTOCOL_ERROR),
        (frame(PING, 0, 1, &[0; 8]), Code::PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, &[0; 8]), Code::PROTOCOL_ERROR),
        (frame(CONTINUATION, END_HEADERS, 1, b""), Code::PROTOCOL_ERROR),
        (frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), Code::PROTOCOL_ERROR),
        // Idle streams: ones not opened, and all that are even.
        (data(3, true, b""), Code::PROTOCOL_ERROR),
        (data(2, true, b""), Code::PROTOCOL_ERROR),
        (number(RST_STREAM, 3, 0), Code::PROTOCOL_ERROR),
        (number(WINDOW_UPDATE, 3, 1), Code::PROTOCOL_ERROR),
        (headers(2, true, GET), Code::PROTOCOL_ERROR),
        ([headers(5, true, GET), headers(3, true, GET)].concat(), Code::PROTOCOL_ERROR),
        // Sizes.
        (frame(DATA, 0, 1, &[0; (1 << 14) + 1]), Code::FRAME_SIZE_ERROR),
        (frame(0x77, 0, 1, &[0; (1 << 14) + 1]), Code::FRAME_SIZE_ERROR),
        (frame(RST_STREAM, 0, 1, &[0; 5]), Code::FRAME_SIZE_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, &[0; 3]), Code::FRAME_SIZE_ERROR),
        (frame(PING, 0, 0, &[0; 7]), Code::FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 0, &[0; 7]), Code::FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, &[0; 7]), Code::FRAME_SIZE_ERROR),
        (frame(SETTINGS, ACK, 0, &[0; 6]), Code::FRAME_SIZE_ERROR),
        (frame(PRIORITY, 0, 3, &[0; 4]), Code::FRAME_SIZE_ERROR),
        (frame(HEADERS, PRIORITIZED | END_HEADERS, 3, &[0; 4]), Code::FRAME_SIZE_ERROR),
        (frame(DATA, PADDED, 1, b""), Code::FRAME_SIZE_ERROR),
        // Padding.
        (frame(DATA, PADDED, 1, &[1]), Code::PROTOCOL_ERROR),
        (frame(HEADERS, PADDED | END_HEADERS, 3, &[1]), Code::PROTOCOL_ERROR),
        (frame(HEADERS, PADDED | END_HEADERS, 3, b""), Code::PROTOCOL_ERROR),
        // Settings.
        (settings(&[(2, 2)]), Code::PROTOCOL_ERROR),
        (settings(&[(4, 1 << 31)]), Code::FLOW_CONTROL_ERROR),
        (settings(&[(5, 16_383)]), Code::PROTOCOL_ERROR),
        (settings(&[(5, 1 << 24)]), Code::PROTOCOL_ERROR),
        (settings(&[(8, 2)]), Code::PROTOCOL_ERROR),
        // Windows.
        (number(WINDOW_UPDATE, 0, 0), Code::PROTOCOL_ERROR),
        (number(WINDOW_UPDATE, 0, MOST), Code::FLOW_CONTROL_ERROR),
        ([number(WINDOW_UPDATE, 1, MOST - 65_535), settings(&[(4, 65_536)])].concat(), Code::FLOW_CONTROL_ERROR),
        // Sections.
        ([frame(HEADERS, 0, 3, &[0x82]), data(1, true, b"")].concat(), Code::PROTOCOL_ERROR),
        ([frame(HEADERS, 0, 3, &[0x82]), frame(CONTINUATION, END_HEADERS, 1, b"")].concat(), Code::PROTOCOL_ERROR),
        ([frame(HEADERS, 0, 3, &[0x82]), frame(0x77, 0, 3, b"")].concat(), Code::PROTOCOL_ERROR),
        (frame(HEADERS, END_HEADERS, 3, &[0xff]), Code::COMPRESSION_ERROR),
        (frame(HEADERS, END_HEADERS, 1, &[0xbe]), Code::COMPRESSION_ERROR),
    ];
    for (at, (bytes, code)) in cases.iter().enumerate() {
        assert_eq!(open(false).fatal(bytes), *code, "case {at}");
    }
    let mut client = Side::client(Config::default());
    assert_eq!(client.fatal(&settings(&[(2, 1)])), Code::PROTOCOL_ERROR);
    let mut client = Side::client(Config::default());
    client.request("GET", true);
    assert_eq!(client.fatal(&frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82])), Code::PROTOCOL_ERROR);
    let mut client = Side::client(Config::default());
    assert_eq!(client.fatal(&headers(1, true, &[(":status", "200")])), Code::PROTOCOL_ERROR);
    assert_eq!(client.connection.open(), None);
}

#[test]
fn what_ends_a_stream() {
    for (end, bytes, code) in [
        (true, data(1, true, b"x"), Code::STREAM_CLOSED),
        (true, headers(1, true, &[]), Code::STREAM_CLOSED),
        (false, number(WINDOW_UPDATE, 1, 0), Code::PROTOCOL_ERROR),
        (false, number(WINDOW_UPDATE, 1, MOST), Code::FLOW_CONTROL_ERROR),
        (false, frame(PRIORITY, 0, 1, &[0; 4]), Code::FRAME_SIZE_ERROR),
    ] {
        let mut server = open(end);
        server.connection.set_key(1, 9);
        assert_eq!(server.feed(&bytes), Ok(vec![Event::Reset { stream: 1, key: 9, code, own: true }]));
        assert_eq!(server.take(), number(RST_STREAM, 1, code.0));
        // What follows is ignored; new streams are not.
        assert_eq!(server.feed(&[data(1, false, b"x"), headers(1, true, &[])].concat()), Ok(vec![]));
        assert_eq!(server.feed(&number(WINDOW_UPDATE, 1, 5)), Ok(vec![]));
        assert_eq!(server.feed(&headers(3, true, GET)), Ok(vec![head(3, true)]));
        assert!(server.take().is_empty());
    }
    let mut server = open(false);
    server.connection.set_key(1, 9);
    let reset = Event::Reset { stream: 1, key: 9, code: Code(77), own: false };
    assert_eq!(server.feed(&number(RST_STREAM, 1, 77)), Ok(vec![reset]));
    assert_eq!(server.fatal(&headers(1, true, GET)), Code::STREAM_CLOSED);
    let mut server = open(true);
    server.respond(1, true);
    assert_eq!(server.feed(&number(RST_STREAM, 1, 0)), Ok(vec![]));
    server.take();
    server.rejects(&data(1, true, b"x"), 1, Code::STREAM_CLOSED);
    assert_eq!(server.feed(&headers(1, true, GET)), Ok(vec![]));
    let mut server = open(true);
    server.respond(1, true);
    assert_eq!(server.fatal(&headers(1, true, GET)), Code::STREAM_CLOSED);
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let mut server = Side::server(Config { max_streams: 2, ..Config::default() });
    assert_eq!(server.feed(&[headers(1, true, GET), headers(3, true, GET)].concat()).unwrap().len(), 2);
    server.rejects(&headers(5, true, GET), 5, Code::REFUSED_STREAM);
    server.respond(3, true);
    assert_eq!(server.feed(&headers(7, true, GET)), Ok(vec![head(7, true)]));
}

#[test]
fn padding_priority_and_unknown_frames_are_passed_over() {
    let mut server = server();
    let block = literals(GET);
    let padded = [&[3, 0, 0, 0, 0, 9][..], &block, &[0; 3]].concat();
    let flags = PADDED | PRIORITIZED | END_HEADERS;
    let first = frame(HEADERS, flags, 1, &padded);
    let unknown = frame(0xab, 0xff, 77, &[1; 16_000]);
    let events = server.feed(&[first, unknown, frame(PRIORITY, 0, 9, &[0; 5]), frame(0x11, 0, 0, b"")].concat());
    assert_eq!(events, Ok(vec![head(1, false)]));
    let padded = [&[4][..], b"content", &[0; 4]].concat();
    let start = HEAD + 1;
    let payload = start..start + 7;
    assert_eq!(
        server.feed(&frame(DATA, PADDED, 1, &padded)),
        Ok(vec![Event::Data { stream: 1, key: 0, payload, end: false, credit: 12 }])
    );
    // Only padding, with and without the end.
    assert_eq!(server.feed(&frame(DATA, PADDED, 1, &[2, 0, 0])), Ok(vec![]));
    let payload = start..start;
    assert_eq!(
        server.feed(&frame(DATA, PADDED | END_STREAM, 1, &[2, 0, 0])),
        Ok(vec![Event::Data { stream: 1, key: 0, payload, end: true, credit: 3 }])
    );
}

#[test]
fn a_section_may_come_in_several_frames() {
    let block = literals(GET);
    for cut in 0..block.len() {
        let mut server = server();
        let (one, two) = block.split_at(cut);
        let frames = [
            frame(HEADERS, END_STREAM, 1, one),
            frame(CONTINUATION, 0, 1, b""),
            frame(CONTINUATION, END_HEADERS, 1, two),
        ];
        assert_eq!(server.feed(&frames.concat()), Ok(vec![head(1, true)]));
        assert_eq!(server.connection.block().path(), Some(&b"/"[..]));
    }
}

#[test]
fn pings_are_answered() {
    let mut server = server();
    assert_eq!(server.feed(&frame(PING, 0, 0, b"12345678")), Ok(vec![]));
    assert_eq!(server.take(), frame(PING, ACK, 0, b"12345678"));
    server.connection.ping(*b"abcdefgh", &mut server.out);
    assert_eq!(server.take(), frame(PING, 0, 0, b"abcdefgh"));
    let ack = frame(PING, ACK, 0, b"abcdefgh");
    assert_eq!(server.feed(&ack), Ok(vec![Event::Pong { payload: *b"abcdefgh" }]));
    assert_eq!(server.feed(&ack), Ok(vec![]));
}

#[test]
fn a_large_frame_is_told_piece_by_piece() {
    let mut server = Side::server(Config { max_frame: 1 << 20, window: 1 << 22, ..Config::default() });
    server.feed(&headers(1, false, POST)).unwrap();
    let content: Vec<u8> = (0..500_000u32).map(|at| at as u8).collect();
    let bytes = data(1, true, &content);
    let (mut told, mut credits) = (Vec::new(), 0);
    // No more than so much is ever held.
    for chunk in bytes.chunks(16 << 10) {
        let mut at = 0;
        loop {
            let (length, event) = server.connection.receive(&chunk[at..], &mut server.out).unwrap();
            let Some(event) = event else {
                at += length;
                break;
            };
            let Event::Data { payload, end, credit, .. } = event else { panic!("{event:?}") };
            told.extend_from_slice(&chunk[at..][payload]);
            credits += credit as usize;
            assert_eq!(end, told.len() == content.len());
            at += length;
        }
        assert_eq!(at, chunk.len());
    }
    assert_eq!((told, credits), (content, 500_000));
}

#[test]
fn windows_are_given_back_by_halves() {
    let config = Config { window: 1000, connection_window: 100_000, ..Config::default() };
    let mut server = Side::server(config);
    server.feed(&headers(1, false, POST)).unwrap();
    server.feed(&data(1, false, &[0; 499])).unwrap();
    assert!(server.take().is_empty());
    server.feed(&data(1, false, &[0; 1])).unwrap();
    assert_eq!(server.take(), number(WINDOW_UPDATE, 1, 500));
    // What is not released is not announced, and more than allowed is an error.
    let (length, event) = server.connection.receive(&data(1, false, &[0; 1000]), &mut server.out).unwrap();
    assert!(matches!((length, event), (1009, Some(Event::Data { credit: 1000, .. }))));
    let error = own_reset(1, Code::FLOW_CONTROL_ERROR);
    assert_eq!(server.feed(&data(1, false, &[0; 1])), Ok(vec![error]));
    server.take();
    // The connection's window is given back though the stream is gone: by the caller and by the codec.
    server.connection.release(1, 1000, &mut server.out);
    for _ in 0..48 {
        server.feed(&data(1, false, &[0; 1000])).unwrap();
        assert!(server.take().is_empty());
    }
    server.feed(&data(1, false, &[0; 1000])).unwrap();
    let update = server.sent();
    assert_eq!((update.len(), update[0].0.kind, update[0].0.stream), (1, WINDOW_UPDATE, 0));
    assert!(u32::from_be_bytes(update[0].1[..].try_into().unwrap()) >= 50_000);
}

#[test]
fn the_window_of_the_connection_is_kept() {
    let config = Config { window: 1 << 20, connection_window: 65_535, ..Config::default() };
    let mut server = Side::server(config);
    server.feed(&headers(1, false, POST)).unwrap();
    for _ in 0..3 {
        server.connection.receive(&data(1, false, &[0; 1 << 14]), &mut server.out).unwrap();
    }
    server.connection.receive(&data(1, false, &[0; (1 << 14) - 1]), &mut server.out).unwrap();
    assert_eq!(server.fatal(&data(1, false, &[0; 1])), Code::FLOW_CONTROL_ERROR);
}

#[test]
fn a_smaller_window_counts_once_the_peer_knows() {
    let mut server = Side::new(Role::Server, Config { window: 1000, ..Config::default() });
    server.feed(&[&PREFACE[..], &settings(&[]), &headers(1, false, POST)].concat()).unwrap();
    server.take();
    // Released before, announced at the acknowledgement: nothing else would.
    server.feed(&data(1, false, &[0; 10_000])).unwrap();
    assert!(server.take().is_empty());
    server.feed(&frame(SETTINGS, ACK, 0, b"")).unwrap();
    assert_eq!(server.take(), number(WINDOW_UPDATE, 1, 10_000));
    assert_eq!(server.feed(&data(1, false, &[0; 1000])).unwrap().len(), 1);
    let events = server.feed(&data(1, false, &[0; 1001])).unwrap();
    assert_eq!(events, [own_reset(1, Code::FLOW_CONTROL_ERROR)]);
}
