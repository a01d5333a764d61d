//! PRIORITY_UPDATE, and the setting that goes with it (RFC 9218 sections 2.1 and 7.1).

use super::frame::*;
use super::wire_tests::*;
use super::*;
use crate::core::priority::Priority;

/// PRIORITY_UPDATE.
fn update(stream: u32, field: &str) -> Vec<u8> {
    frame(PRIORITY_UPDATE, 0, 0, &[&stream.to_be_bytes()[..], field.as_bytes()].concat())
}

fn said(urgency: u8, incremental: bool) -> Option<Priority> {
    Some(Priority { urgency, incremental })
}

#[test]
fn of_an_open_stream_it_is_told_and_the_last_one_counts() {
    let mut server = Side::server(Config::default());
    server.feed(&headers(1, true, GET)).unwrap();
    server.connection.set_key(1, 9);
    assert_eq!(server.connection.priority(1), None);
    let told = Event::Priority { stream: 1, key: 9 };
    // The bit in front of the id is reserved, and flags there are none.
    let odd = frame(PRIORITY_UPDATE, 0xff, 0, b"\x80\0\0\x01u=5, i, x=y");
    assert_eq!(server.feed(&odd), Ok(vec![told.clone()]));
    assert_eq!(server.connection.priority(1), said(5, true));
    // What is left out is as usual, not as before; what is no field says nothing.
    assert_eq!(server.feed(&update(1, "u=1")), Ok(vec![told.clone()]));
    assert_eq!(server.connection.priority(1), said(1, false));
    assert_eq!(server.feed(&update(1, "u=2,")), Ok(vec![]));
    assert_eq!(server.connection.priority(1), said(1, false));
    assert_eq!(server.feed(&update(1, "")), Ok(vec![told]));
    assert_eq!(server.connection.priority(1), said(3, false));
    // Of one that is gone nothing is.
    server.respond(1, true);
    assert_eq!(server.feed(&update(1, "u=0")), Ok(vec![]));
    assert_eq!(server.connection.priority(1), None);
    server.feed(&headers(3, true, GET)).unwrap();
    assert_eq!(server.connection.priority(3), None);
}

#[test]
fn of_a_stream_that_is_yet_to_come_it_is_kept() {
    let mut server = Side::server(Config::default());
    let early = [update(7, "u=7"), update(3, "u=1"), update(5, "i"), update(3, "u=2"), update(3, "\"")];
    assert_eq!(server.feed(&early.concat()), Ok(vec![]));
    assert_eq!(server.feed(&headers(3, true, GET)), Ok(vec![head(3, true)]));
    assert_eq!(server.connection.priority(3), said(2, false));
    // 5 is passed over; of 1 there is nothing to come.
    assert_eq!(server.feed(&[update(1, "u=0"), headers(7, true, GET)].concat()), Ok(vec![head(7, true)]));
    assert_eq!((server.connection.priority(5), server.connection.priority(7)), (None, said(7, false)));
    let before = Side::server(Config::default());
    assert_eq!(server.connection.early.held(), before.connection.early.held());
    // After the last word no stream is begun with.
    server.connection.finish_drain(&mut server.out);
    assert_eq!(server.feed(&update(9, "u=0")), Ok(vec![]));
    assert_eq!(server.connection.early.held(), 0);
}

#[test]
fn it_ends_a_connection_that_it_makes_no_sense_on() {
    let cases: &[(Vec<u8>, Code)] = &[
        (frame(PRIORITY_UPDATE, 0, 1, b"\0\0\0\x01u=1"), Code::PROTOCOL_ERROR),
        (update(0, "u=1"), Code::PROTOCOL_ERROR),
        (update(2, "u=1"), Code::PROTOCOL_ERROR),
        (frame(PRIORITY_UPDATE, 0, 0, b""), Code::FRAME_SIZE_ERROR),
        (frame(PRIORITY_UPDATE, 0, 0, b"\0\0\x01"), Code::FRAME_SIZE_ERROR),
        (frame(PRIORITY_UPDATE, 0, 0, &[b' '; (1 << 14) + 1]), Code::FRAME_SIZE_ERROR),
        ([frame(HEADERS, 0, 1, &[0x82]), update(1, "u=1")].concat(), Code::PROTOCOL_ERROR),
    ];
    for (at, (bytes, code)) in cases.iter().enumerate() {
        assert_eq!(Side::server(Config::default()).fatal(bytes), *code, "case {at}");
    }
    // Servers have nothing to say with it.
    let mut client = Side::client(Config::default());
    client.request("GET", true);
    assert_eq!(client.fatal(&update(1, "u=1")), Code::PROTOCOL_ERROR);
    // It may hold nothing but the stream, and come in pieces.
    let mut server = Side::server(Config::default());
    for byte in update(1, "") {
        assert_eq!(server.feed(&[byte]), Ok(vec![]));
    }
    server.feed(&headers(1, true, GET)).unwrap();
    assert_eq!(server.connection.priority(1), said(3, false));
}

#[test]
fn no_more_streams_are_spoken_of_than_may_be_open() {
    let config = Config { max_streams: 3, ..Config::default() };
    let mut server = Side::server(config);
    let two = [headers(1, true, GET), update(3, "u=1"), update(5, "u=1")].concat();
    assert_eq!(server.feed(&two), Ok(vec![head(1, true)]));
    // Those that were spoken of may be again, and open streams always.
    let again = [update(5, "u=2"), update(3, "u=2"), update(1, "u=2")].concat();
    assert_eq!(server.feed(&again), Ok(vec![Event::Priority { stream: 1, key: 0 }]));
    // An end makes room.
    server.respond(1, true);
    assert_eq!(server.feed(&update(9, "u=2")), Ok(vec![]));
    assert_eq!(server.fatal(&update(7, "u=2")), Code::PROTOCOL_ERROR);
    // Before the acknowledgement the client does not know: what is too much is forgotten.
    let mut server = Side::new(Role::Server, config);
    let streams: Vec<u8> = (0..100).flat_map(|n| update(1 + 2 * n, "u=2")).collect();
    assert_eq!(server.feed(&[&PREFACE[..], &settings(&[]), &streams].concat()), Ok(vec![]));
    assert_eq!(server.feed(&headers(5, true, GET)), Ok(vec![head(5, true)]));
    assert_eq!(server.connection.priority(5), said(2, false));
    assert_eq!(server.feed(&headers(7, true, GET)), Ok(vec![head(7, true)]));
    assert_eq!(server.connection.priority(7), None);
}

#[test]
fn the_setting_is_announced_and_must_stay_what_it_was() {
    for role in [Role::Server, Role::Client] {
        let mut side = Side::new(role, Config::default());
        assert!(side.sent()[0].1.as_chunks::<6>().0.contains(&[0, 9, 0, 0, 0, 1]));
        let first = |value| [if role == Role::Server { &PREFACE[..] } else { b"" }, &settings(value)].concat();
        assert_eq!(Side::new(role, Config::default()).fatal(&first(&[(9, 2)])), Code::PROTOCOL_ERROR);
        // What is not said is 0.
        for (said, other, same) in [(&[][..], 1, 0), (&[(9, 0)], 1, 0), (&[(9, 1)], 0, 1), (&[(9, 0), (9, 1)], 0, 1)] {
            let mut side = Side::new(role, Config::default());
            assert_eq!(side.feed(&first(said)), Ok(vec![]));
            assert_eq!(side.feed(&settings(&[(9, same)])), Ok(vec![]));
            assert_eq!(side.feed(&settings(&[])), Ok(vec![]));
            side.take();
            assert_eq!(side.fatal(&settings(&[(9, other)])), Code::PROTOCOL_ERROR);
        }
    }
}
