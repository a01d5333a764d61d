//! Input of any kind, and input in pieces.

use super::check::run;
use super::frame::*;
use super::wire_tests::*;
use super::*;

/// xorshift64*: the same cases on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Frames, most of them good, of a client or a server.
fn frames(random: &mut Random, role: Role) -> Vec<u8> {
    let mut bytes = frame(SETTINGS, ACK, 0, b"");
    let mut next = 1;
    for _ in 0..random.below(12) {
        let stream = 1 + 2 * random.below(5) as u32;
        let status = [(":status", ["100", "200", "204"][random.below(3)])];
        let fields = if role == Role::Server { POST } else { &status[..] };
        let fields = with(fields, [&[][..], &[("x", "y")], &[("content-length", "5")], &[("X", "y")]][random.below(4)]);
        let end = random.below(2) == 0;
        bytes.extend(match random.below(15) {
            0..=3 => {
                next += 2;
                headers(if role == Role::Server { next - 2 } else { stream }, end, &fields)
            }
            4 => {
                let block = literals(&fields);
                let (one, two) = block.split_at(random.below(block.len()));
                next += 2;
                let first = frame(HEADERS, u8::from(end), next - 2, one);
                [first, frame(CONTINUATION, END_HEADERS, next - 2, two)].concat()
            }
            5 => headers(stream, true, &[("x", "y")]),
            6 => data(stream, end, &vec![7; random.below(6)]),
            7 => data(stream, end, &vec![7; random.below(3000)]),
            8 => frame(DATA, PADDED | u8::from(end), stream, &[&[2][..], &[7; 8]].concat()),
            9 => number(RST_STREAM, stream, 8),
            10 => number(WINDOW_UPDATE, [0, stream][random.below(2)], random.below(70_000) as u32),
            11 => settings(&[([1, 2, 3, 4, 5, 8, 9][random.below(7)], random.below(70_000) as u32)]),
            12 => {
                let field: &[u8] = [&b"u=1, i"[..], b"", b"u=\"", b"u=9;x"][random.below(4)];
                let id = random.below(12) as u32;
                frame(PRIORITY_UPDATE, 0, 0, &[&id.to_be_bytes()[..], field].concat())
            }
            13 => frame(PING, u8::from(end), 0, &[0; 8]),
            _ => frame(random.below(32) as u8, random.below(256) as u8, stream, &vec![1; random.below(20)]),
        });
    }
    bytes
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(12)).min(bytes.len());
        match random.below(5) {
            0 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => bytes.truncate(at),
        }
    }
}

#[test]
fn noise_breaks_nothing() {
    let mut random = Random(0x1234_5678_9abc_def1);
    for round in 0..3000 {
        let mut bytes = frames(&mut random, if round % 2 == 0 { Role::Server } else { Role::Client });
        mutate(&mut random, &mut bytes);
        check(&bytes);
        if round % 10 == 0 {
            let noise: Vec<u8> = (0..random.below(300)).map(|_| random.below(256) as u8).collect();
            check(&noise);
        }
    }
}

#[test]
fn any_split_gives_the_same_events() {
    let mut random = Random(77);
    for round in 0..300 {
        let role = if round % 2 == 0 { Role::Server } else { Role::Client };
        let start = if role == Role::Server { &PREFACE[..] } else { b"" };
        let bytes = [start, &settings(&[]), &frames(&mut random, role)].concat();
        let whole = run(role, &bytes, bytes.len());
        for piece in 1..40 {
            assert_eq!(run(role, &bytes, piece), whole);
        }
    }
}

#[test]
fn what_a_connection_holds_is_bounded() {
    // Large sections, streams that stay open, and tables, again and again.
    let mut server = Side::server(Config { max_streams: 50, ..Config::default() });
    let value = "v".repeat(120);
    for round in 0..2000u32 {
        let fields = with(POST, &[("x", value.as_str()); 60]);
        server.feed(&headers(round * 2 + 1, false, &fields)).unwrap();
        if server.connection.streams() == 50 {
            (0..=round * 2 + 1).for_each(|stream| {
                if server.connection.is_open(stream) {
                    server.respond(stream, true);
                    server.connection.reset(stream, Code::NO_ERROR, &mut server.out);
                }
            });
        }
        server.out.clear();
    }
    assert!(server.connection.held() < 200_000, "{}", server.connection.held());
    let idle = Side::server(Config::default());
    assert!(idle.connection.held() < 4096, "{}", idle.connection.held());
}
