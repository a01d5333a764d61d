//! Peers that cost more than they are worth.

use super::frame::*;
use super::wire_tests::*;
use super::*;
use std::cell::Cell;

thread_local! {
    /// The clock of connections that have one.
    static NOW_MS: Cell<u64> = const { Cell::new(0) };
}

fn clock() -> u64 {
    NOW_MS.get()
}

/// Feeds `frame` again and again until it is fatal; how often that took.
fn flood(side: &mut Side, most: usize, mut frame: impl FnMut(usize) -> Vec<u8>) -> usize {
    for round in 0..most {
        match side.feed(&frame(round)) {
            Ok(_) => side.out.clear(),
            Err(fatal) => {
                assert_eq!(fatal.code, Code::ENHANCE_YOUR_CALM, "{fatal}");
                return round;
            }
        }
    }
    panic!("never enough");
}

/// PRIORITY_UPDATE.
fn update(stream: u32) -> Vec<u8> {
    frame(PRIORITY_UPDATE, 0, 0, &[&stream.to_be_bytes()[..], b"u=3"].concat())
}

/// A new stream for each round.
fn stream(round: usize) -> u32 {
    round as u32 * 2 + 1
}

#[test]
fn rapid_reset() {
    let config = Config { resets: 50, ..Config::default() };
    let mut server = Side::server(config);
    let attack = |round| [headers(stream(round), true, GET), number(RST_STREAM, stream(round), 8)].concat();
    assert_eq!(flood(&mut server, 1000, attack), 50);
    // Those that were completed make up for it.
    let mut server = Side::server(config);
    for round in 0..1000 {
        server.feed(&headers(stream(round), true, GET)).unwrap();
        if round % 2 == 0 {
            server.respond(stream(round), true);
        } else {
            server.feed(&number(RST_STREAM, stream(round), 8)).unwrap();
        }
    }
}

#[test]
fn resets_that_the_peer_provokes() {
    type Attack = fn(usize) -> Vec<u8>;
    let attacks: [Attack; 6] = [
        |round| [headers(stream(round), true, GET), number(WINDOW_UPDATE, stream(round), 0)].concat(),
        |round| [headers(stream(round), true, GET), number(WINDOW_UPDATE, stream(round), MOST)].concat(),
        |round| [headers(stream(round), true, GET), data(stream(round), true, b"x")].concat(),
        |round| [headers(stream(round), true, GET), headers(stream(round), true, &[])].concat(),
        |round| [headers(stream(round), true, GET), frame(PRIORITY, 0, stream(round), &[0; 4])].concat(),
        |round| headers(stream(round), true, &[]),
    ];
    for attack in attacks {
        let mut server = Side::server(Config { resets: 50, ..Config::default() });
        assert_eq!(flood(&mut server, 1000, attack), 50);
    }
    // More streams than allowed.
    let mut server = Side::server(Config { resets: 50, max_streams: 10, ..Config::default() });
    assert_eq!(flood(&mut server, 1000, |round| headers(stream(round), true, GET)), 60);
}

#[test]
fn frames_that_do_nothing() {
    let config = Config { idle_frames: 100, ..Config::default() };
    let frames = [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, ACK, 0, &[0; 8]),
        settings(&[]),
        settings(&[(4, 1), (4, 65_535)]),
        frame(SETTINGS, ACK, 0, b""),
        frame(PRIORITY, 0, 1, &[0; 5]),
        update(1),
        update(3),
        update(7),
        data(1, false, b""),
        frame(DATA, PADDED, 1, &[3, 0, 0, 0]),
        number(WINDOW_UPDATE, 0, 1),
        number(WINDOW_UPDATE, 1, 1),
        number(WINDOW_UPDATE, 3, 1 << 20),
        number(RST_STREAM, 3, 1),
        frame(GOAWAY, 0, 0, &[0; 8]),
        frame(0x55, 0, 0, b"unknown"),
        data(5, false, b""),
    ];
    for (at, frame) in frames.iter().enumerate() {
        let mut server = Side::server(config);
        // Streams 1, which is open, 3, which was reset by the peer, and 5, which was here.
        let streams = [1, 3, 5].map(|stream| headers(stream, false, POST)).concat();
        server.feed(&[streams, number(RST_STREAM, 3, 8)].concat()).unwrap();
        server.connection.reset(5, Code::CANCEL, &mut server.out);
        let rounds = flood(&mut server, 200, |_| frame.clone());
        assert_eq!(rounds, 100, "frame {at}");
    }
    // With something useful in between there is no end.
    for frame in &frames {
        let mut server = Side::server(config);
        let streams = [1, 3, 5].map(|stream| headers(stream, false, POST)).concat();
        server.feed(&[streams, number(RST_STREAM, 3, 8)].concat()).unwrap();
        server.connection.reset(5, Code::CANCEL, &mut server.out);
        for _ in 0..1000 {
            server.feed(&[frame.clone(), data(1, false, b"x")].concat()).unwrap();
        }
    }
}

/// Uploads that are refused at once: what comes of them meets closed streams.
#[test]
fn what_was_on_its_way_on_closed_streams_costs_nothing() {
    let config = Config { idle_frames: 20, resets: 5, window: 100_000, ..Config::default() };
    type Close = fn(&mut Side, u32);
    let closes: [Close; 2] = [
        |server, id| server.connection.reset(id, Code::NO_ERROR, &mut server.out),
        |server, id| {
            server.respond(id, true);
            server.connection.reset(id, Code::NO_ERROR, &mut server.out);
        },
    ];
    for close in closes {
        let mut server = Side::server(config);
        for round in 0..300 {
            server.feed(&headers(stream(round), false, POST)).unwrap();
            server.feed(&data(stream(round), false, &[0; 1000])).unwrap();
            close(&mut server, stream(round));
            // The window has 99 times that left; the connection's has less, and is given back.
            for _ in 0..99 {
                assert_eq!(server.feed(&data(stream(round), false, &[0; 1000])), Ok(vec![]));
            }
        }
    }
    // Beyond it is no good faith.
    let mut server = Side::server(config);
    server.feed(&headers(1, false, POST)).unwrap();
    server.connection.reset(1, Code::NO_ERROR, &mut server.out);
    assert_eq!(flood(&mut server, 1000, |_| data(1, false, &[0; 1000])), 120);
    // Many that were closed together, of which not each one is remembered.
    let mut server = Side::server(Config { max_streams: 1000, ..config });
    for round in 0..1000 {
        server.feed(&headers(stream(round), false, POST)).unwrap();
    }
    for round in 0..1000 {
        server.connection.reset(stream(round), Code::NO_ERROR, &mut server.out);
    }
    for round in 0..1000 {
        let rest = [data(stream(round), false, &[0; 1000]), data(stream(round), true, b"")].concat();
        assert_eq!(server.feed(&rest), Ok(vec![]));
    }
    server.feed(&headers(stream(1000), true, GET)).unwrap();
    assert_eq!(server.feed(&headers(1, true, &[])), Ok(vec![]), "trailers of the first one");
    // Such as were turned away, which is a cost of its own.
    let mut server = Side::server(Config { max_streams: 0, ..config });
    for round in 0..5 {
        server.feed(&headers(stream(round), false, POST)).unwrap();
        for _ in 0..100 {
            assert_eq!(server.feed(&data(stream(round), false, &[0; 1000])), Ok(vec![]));
        }
    }
}

/// A client may open as many streams as it likes until it has heard how many it may.
#[test]
fn streams_that_were_opened_before_settings_came_are_refused_one_by_one() {
    let mut server = Side::new(Role::Server, Config { max_streams: 10, resets: 5, ..Config::default() });
    server.feed(&[&PREFACE[..], &settings(&[])].concat()).unwrap();
    for round in 0..400 {
        server.feed(&headers(stream(round), true, GET)).unwrap();
    }
    let refused = server.sent().iter().filter(|(head, _)| head.kind == RST_STREAM).count();
    assert_eq!((refused, server.connection.streams()), (390, 10));
    server.feed(&frame(SETTINGS, ACK, 0, b"")).unwrap();
    assert_eq!(flood(&mut server, 1000, |round| headers(stream(400 + round), true, GET)), 5);
}

/// A closed stream's window is no reason to let pass what comes of one that was complete.
#[test]
fn data_behind_the_end_is_an_error_whatever_else_is_on_its_way() {
    let mut server = Side::server(Config::default());
    server.feed(&[headers(1, false, POST), headers(3, true, GET)].concat()).unwrap();
    server.connection.reset(1, Code::NO_ERROR, &mut server.out);
    server.respond(3, true);
    server.out.clear();
    server.rejects(&data(3, false, b"x"), 3, Code::STREAM_CLOSED);
}

#[test]
fn interim_responses_without_end() {
    let mut client = Side::client(Config { idle_frames: 100, ..Config::default() });
    client.request("GET", true);
    assert_eq!(flood(&mut client, 1000, |_| headers(1, false, &[(":status", "103")])), 100);
}

#[test]
fn continuation_without_end() {
    let mut server = Side::server(Config::default());
    server.feed(&frame(HEADERS, 0, 1, b"")).unwrap();
    assert!(flood(&mut server, 100, |_| frame(CONTINUATION, 0, 1, b"")) <= 16);
    let mut server = Side::server(Config { header_list: 1 << 10, ..Config::default() });
    server.feed(&frame(HEADERS, 0, 1, b"")).unwrap();
    assert!(flood(&mut server, 100, |_| frame(CONTINUATION, 0, 1, &[0; 1 << 14])) <= 2);
    // In one frame of a size that is allowed.
    let mut server = Side::server(Config { header_list: 1 << 10, max_frame: 1 << 20, ..Config::default() });
    assert_eq!(flood(&mut server, 1, |_| frame(HEADERS, 0, 1, &[0; 1 << 18])), 0);
}

#[test]
fn a_list_far_too_large_costs_no_memory() {
    let mut server = Side::server(Config { header_list: 4096, ..Config::default() });
    // An entry of 3 KiB, and 16 KiB of references to it.
    let large = [&[0x40, 1, b'a', 0x7f, 0x81, 0x17][..], &[b'x'; 3072]].concat();
    let bomb = [literals(GET), large, vec![0xbe; 12_000]].concat();
    let refused = Event::Refused { stream: 1, end: true, status: 431 };
    assert_eq!(server.feed(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb)), Ok(vec![refused]));
    assert!(server.connection.block().bytes().len() <= 4096);
}

#[test]
fn answers_that_are_not_read() {
    let config = Config { idle_frames: 1_000_000, resets: 1_000_000, unsent: 10_000, ..Config::default() };
    type Attack = fn(usize) -> Vec<u8>;
    let attacks: [Attack; 3] =
        [|_| frame(PING, 0, 0, &[0; 8]), |_| settings(&[]), |round| headers(stream(round), true, &[])];
    for attack in attacks {
        let mut server = Side::server(config);
        let mut rounds = 0..100_000;
        let fatal = rounds.find_map(|round| server.feed(&attack(round)).err());
        assert_eq!(fatal.map(|fatal| fatal.code), Some(Code::ENHANCE_YOUR_CALM));
        assert!(server.out.len() < 13_000);
        // One that is read has no bound.
        let mut server = Side::server(config);
        for round in 0..10_000 {
            server.feed(&attack(round)).unwrap();
            server.out.clear();
        }
    }
}

#[test]
fn what_is_used_up_comes_back_with_time_and_no_sooner() {
    let config = Config { idle_frames: 100, resets: 50, clock, ..Config::default() };
    let ping = |_| frame(PING, 0, 0, &[0; 8]);
    let reset = |round| [headers(stream(round), true, GET), number(RST_STREAM, stream(round), 8)].concat();
    // A ping each second, and a reset, for a day.
    let mut server = Side::server(config);
    for round in 0..86_400 {
        NOW_MS.set(NOW_MS.get() + 1000);
        server.feed(&[ping(round), reset(round)].concat()).unwrap();
        server.out.clear();
    }
    // Floods are as bounded as ever, also where time passes meanwhile: each a tenth of what is there at once, a second.
    for (attack, most) in [(&ping as &dyn Fn(usize) -> Vec<u8>, 100), (&reset, 50)] {
        let mut server = Side::server(config);
        let slowly = |round: usize| {
            NOW_MS.set(NOW_MS.get() + u64::from(round.is_multiple_of(10)));
            attack(round)
        };
        let rounds = flood(&mut server, 1000, slowly);
        assert!((most..=most + 2).contains(&rounds), "{rounds}");
        // What was not used does not add up.
        let mut server = Side::server(config);
        NOW_MS.set(NOW_MS.get() + 1_000_000);
        assert_eq!(flood(&mut server, 1000, attack), 2 * most);
    }
}

#[test]
fn answers_that_have_begun_are_given_up_as_often_as_one_likes() {
    let config = Config { resets: 5, ..Config::default() };
    let mut server = Side::server(config);
    for round in 0..1000 {
        server.feed(&headers(stream(round), true, GET)).unwrap();
        server.respond(stream(round), false);
        server.connection.data(stream(round), b"x", false, &mut server.out);
        server.feed(&number(RST_STREAM, stream(round), 8)).unwrap();
    }
    // A peer that needs no more of a request says so after its answer (RFC 9113 section 8.1), and one that takes none refuses.
    let mut client = Side::client(config);
    for _ in 0..1000 {
        let id = client.request("POST", false);
        client.feed(&[headers(id, true, &[(":status", "200")]), number(RST_STREAM, id, 0)].concat()).unwrap();
        let id = client.request("POST", false);
        client.feed(&number(RST_STREAM, id, Code::REFUSED_STREAM.0)).unwrap();
    }
}

#[test]
fn a_usual_client_is_not_taken_for_an_attacker() {
    let mut server = Side::server(Config { idle_frames: 20, resets: 5, ..Config::default() });
    for round in 0..1000 {
        let id = stream(round);
        let mut bytes = [headers(id, true, GET), update(id), frame(PRIORITY, 0, id, &[0; 5])].concat();
        if round % 10 == 0 {
            bytes.extend(frame(PING, 0, 0, &[0; 8]));
        }
        server.feed(&bytes).unwrap();
        server.respond(id, false);
        // It gives each piece back by itself, for both windows.
        for _ in 0..4 {
            assert_eq!(server.connection.data(id, &[0; 1000], false, &mut server.out), 1000);
            server.feed(&[number(WINDOW_UPDATE, 0, 500), number(WINDOW_UPDATE, 0, 500)].concat()).unwrap();
            server.feed(&number(WINDOW_UPDATE, id, 1000)).unwrap();
        }
        server.connection.data(id, b"", true, &mut server.out);
        server.out.clear();
    }
    assert_eq!(server.connection.streams(), 0);
}
