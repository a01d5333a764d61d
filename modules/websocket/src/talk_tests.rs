use super::*;
use std::collections::VecDeque;

const LIMITS: Limits = Limits { message: 100, ping_ms: 30, silence_ms: 60 };

/// A connection in memory: what the client sent, and what it has got.
#[derive(Default)]
struct Pipe {
    input: VecDeque<u8>,
    ended: bool,
    output: Vec<u8>,
    /// Bytes that may still be written.
    room: usize,
    received: u64,
    /// Bytes of one read, at most.
    piece: usize,
}

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = to.len().min(self.input.len()).min(self.piece);
        if n == 0 && !self.ended {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for (to, from) in to.iter_mut().zip(self.input.drain(..n)) {
            *to = from;
        }
        self.received += n as u64;
        Ok(n)
    }
}

impl Write for Pipe {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        let n = from.len().min(self.room);
        if n == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.output.extend_from_slice(&from[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Pipe {
    fn moved(&self) -> (u64, u64) {
        (self.received, self.output.len() as u64)
    }

    fn is_spent(&self) -> bool {
        false
    }
}

struct Test {
    talk: Talk<Pipe>,
    now: u64,
    said: u32,
}

impl Test {
    fn new(says: Says, limits: Limits) -> Self {
        let pipe = Pipe { room: usize::MAX, piece: usize::MAX, ..Pipe::default() };
        Self { talk: Talk::new(pipe, says, limits, 1000), now: 1000, said: 0 }
    }

    fn pipe(&mut self) -> &mut Pipe {
        self.talk.wire()
    }

    /// A frame as a client sends it.
    fn send(&mut self, first: u8, payload: &[u8]) {
        let masked = payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m);
        let mut frame = vec![first, 0x80 | payload.len() as u8, 1, 2, 3, 4];
        frame.extend(masked);
        self.pipe().input.extend(frame);
    }

    fn turn(&mut self) -> Turn {
        let Self { talk, now, said } = self;
        talk.turn(*now, false, &mut || {
            *said += 1;
            format!("text {said}")
        })
    }

    #[track_caller]
    fn waits(&mut self) -> u64 {
        match self.turn() {
            Turn::Wait(at) => at,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn ends(&mut self) -> (u16, Option<(Who, Cause)>, bool) {
        match self.turn() {
            Turn::Over(end) => (end.code, end.why, end.linger),
            other => panic!("{other:?}"),
        }
    }

    fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pipe().output)
    }
}

#[test]
fn messages_come_back_and_life_is_noted() {
    let mut t = Test::new(Says::Echo, LIMITS);
    assert_eq!(t.waits(), 1030);
    t.now = 1010;
    t.send(0x81, b"hi");
    t.send(0x02, b"a");
    t.send(0x89, b"p");
    t.send(0x80, b"b");
    assert_eq!(t.waits(), 1040);
    assert_eq!(t.output(), b"\x81\x02hi\x8a\x01p\x82\x02ab");
    assert_eq!(t.talk.take_messages(), (2, 2));
}

#[test]
fn one_byte_at_a_time_makes_no_difference() {
    let mut t = Test::new(Says::Echo, LIMITS);
    t.pipe().piece = 1;
    t.send(0x81, b"hello");
    t.send(0x88, b"\x03\xe8");
    assert_eq!(t.ends(), (1000, None, false));
    assert_eq!(t.output(), b"\x81\x05hello\x88\x02\x03\xe8");
}

#[test]
fn while_it_is_held_up_nothing_is_read() {
    let mut t = Test::new(Says::Echo, LIMITS);
    t.pipe().room = 3;
    t.pipe().piece = 8;
    t.send(0x81, b"hi");
    for _ in 0..1000 {
        t.send(0x82, &[7; 100]);
    }
    // Joined up to a bound, then it is written and does not pass.
    t.waits();
    let left = t.pipe().input.len();
    assert!(left > 80_000, "{left}");
    t.waits();
    assert_eq!(t.pipe().input.len(), left);
    // A client that takes it is alive.
    t.now += 59;
    t.pipe().room = 10;
    t.waits();
    t.now += 59;
    t.pipe().room = usize::MAX;
    t.waits();
    assert_eq!(t.pipe().input.len(), 0);
    assert_eq!(t.output().len(), 4 + 1000 * 102);
    // And one that does not is cut.
    t.pipe().room = 0;
    t.send(0x81, b"hi");
    t.waits();
    t.now += 60;
    assert_eq!(t.ends(), (1006, Some((Who::Client, Cause::Timeout)), false));
}

#[test]
fn a_quiet_client_is_asked_then_left() {
    let mut t = Test::new(Says::Echo, LIMITS);
    t.now = 1029;
    assert_eq!((t.waits(), t.output()), (1030, vec![]));
    t.now = 1030;
    assert_eq!((t.waits(), t.output()), (1060, vec![0x89, 0]));
    t.now = 1060;
    assert_eq!((t.waits(), t.output()), (1060 + CLOSE_MS, vec![0x88, 2, 3, 0xe9]));
    // What it says meanwhile is not answered any more.
    t.send(0x81, b"late");
    t.send(0x89, b"late");
    assert_eq!((t.waits(), t.output()), (1060 + CLOSE_MS, vec![]));
    t.now += CLOSE_MS;
    assert_eq!(t.ends(), (1001, Some((Who::Client, Cause::Timeout)), true));
}

#[test]
fn an_answer_to_the_close_ends_it_at_once() {
    let mut t = Test::new(Says::Text { every_ms: 0 }, LIMITS);
    assert_eq!(t.waits(), 1000 + CLOSE_MS);
    assert_eq!(t.output(), b"\x81\x06text 1\x88\x02\x03\xe8");
    t.send(0x81, b"crossed it");
    t.send(0x88, b"\x03\xe8");
    assert_eq!(t.ends(), (1000, Some((Who::Proxy, Cause::Done)), false));
    assert_eq!(t.talk.take_messages(), (1, 1));
}

#[test]
fn texts_keep_to_their_interval() {
    let mut t = Test::new(Says::Text { every_ms: 10 }, Limits { ping_ms: 0, silence_ms: 0, ..LIMITS });
    assert_eq!((t.waits(), t.output()), (1010, b"\x81\x06text 1".to_vec()));
    t.now = 1010;
    assert_eq!((t.waits(), t.output()), (1020, b"\x81\x06text 2".to_vec()));
    // Held up, then late: one for all that were missed.
    t.pipe().room = 0;
    t.now = 1020;
    assert_eq!(t.waits(), 0);
    t.now = 1075;
    t.pipe().room = usize::MAX;
    assert_eq!((t.waits(), t.output()), (1085, b"\x81\x06text 3\x81\x06text 4".to_vec()));
}

#[test]
fn the_end_of_the_server_is_told_in_between() {
    let mut t = Test::new(Says::Echo, LIMITS);
    t.send(0x01, b"half");
    t.waits();
    let turn = t.talk.turn(1001, true, &mut String::new);
    assert!(matches!(turn, Turn::Wait(at) if at == 1001 + CLOSE_MS), "{turn:?}");
    assert_eq!(t.output(), b"\x88\x02\x03\xe9");
    t.pipe().ended = true;
    assert_eq!(t.ends(), (1001, Some((Who::Proxy, Cause::Shutdown)), true));

    // Where nobody waits any more.
    let mut t = Test::new(Says::Echo, LIMITS);
    t.talk.leave();
    assert_eq!(t.output(), b"\x88\x02\x03\xe9");
    t.talk.leave();
    assert_eq!(t.output(), b"");
}

#[test]
fn mistakes_have_their_codes() {
    for (first, payload, code, cause) in [
        (0x83, &b"x"[..], 1002, Cause::Malformed),
        (0xc1, b"x", 1002, Cause::Malformed),
        (0x81, b"\xff", 1007, Cause::Malformed),
        (0x82, &[0; 101], 1009, Cause::Limit),
    ] {
        let mut t = Test::new(Says::Echo, LIMITS);
        t.send(first, payload);
        t.send(0x81, b"not heard any more");
        assert_eq!(t.ends(), (code, Some((Who::Client, cause)), true));
        assert_eq!(t.output(), [&[0x88, 2], &code.to_be_bytes()[..]].concat());
    }
    // Told late where the client does not read, and not for ever.
    let mut t = Test::new(Says::Echo, LIMITS);
    t.pipe().room = 1;
    t.send(0x83, b"x");
    assert_eq!(t.waits(), 1000 + CLOSE_MS);
    t.now += CLOSE_MS;
    assert_eq!(t.ends(), (1002, Some((Who::Client, Cause::Malformed)), true));
}

#[test]
fn an_end_without_a_close() {
    let mut t = Test::new(Says::Echo, LIMITS);
    t.pipe().ended = true;
    assert_eq!(t.ends(), (1006, Some((Who::Client, Cause::Closed)), false));
}

#[test]
fn the_memory_of_long_messages_is_given_back() {
    let mut t = Test::new(Says::Echo, Limits { message: 1 << 20, ..LIMITS });
    let long = vec![7; 100_000];
    let send = |t: &mut Test, part: std::ops::Range<usize>| {
        let mut frame = vec![0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x86, 0xa0, 0, 0, 0, 0];
        frame.extend(&long);
        t.pipe().input.extend(&frame[part]);
    };
    for _ in 0..3 {
        // Not before all of it is there, nor while another has begun.
        send(&mut t, 0..50_000);
        t.waits();
        assert!(t.talk.wire.scan.longest() > 0);
        send(&mut t, 50_000..100_014);
        t.pipe().input.push_back(0x81);
        t.waits();
        assert!(t.talk.wire.scan.longest() > 0);
        t.pipe().input.extend(*b"\x82\0\0\0\0ab");
        t.waits();
        assert_eq!(t.talk.wire.scan.longest(), 0);
        let out = t.output();
        assert!(out[10..100_010] == long && out.ends_with(b"\x81\x02ab"), "{}", out.len());
    }
    assert_eq!(t.talk.take_messages(), (6, 6));
}

#[test]
fn noise_ends_in_order() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for _ in 0..5000 {
        let mut t = Test::new(Says::Echo, LIMITS);
        let bytes: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
        t.pipe().piece = 1 + (next() % 300) as usize;
        // Half of them begin as a frame does.
        if next() & 1 == 0 {
            t.send(0x80 | (next() % 16) as u8, &bytes[..bytes.len().min(125)]);
        }
        t.pipe().input.extend(bytes);
        t.pipe().ended = true;
        let mut turns = 0;
        while !matches!(t.turn(), Turn::Over(_)) {
            t.now += 1000;
            turns += 1;
            assert!(turns < 20, "it does not end");
        }
        let out = t.output().len();
        assert!(out < 1000, "{out} bytes were answered");
    }
}
