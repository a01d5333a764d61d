//! What must hold whatever a peer sends: a target for fuzzing.

use crate::scan::Scan;
use std::io::Cursor;
use tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

/// Follows `bytes` at once and in pieces, beside the parser that reads the frames themselves. Tells whether they are
/// messages and nothing more.
///
/// # Panics
/// Where the two do not see the same ends of messages.
pub fn check(bytes: &[u8]) -> bool {
    let (mut at, mut open, mut message, mut longest, mut wrong) = (0, false, 0_u64, 0, false);
    let between = loop {
        // The parser takes lengths that are not to be written so, and asks for a mask behind them first.
        if is_wrong(&bytes[at..]) {
            wrong = true;
            break false;
        }
        let mut cursor = Cursor::new(&bytes[at..]);
        // What it refuses ends the connection: nobody asks where the next frame would begin.
        let Ok(parsed) = FrameHeader::parse(&mut cursor) else { return false };
        let Some((header, length)) = parsed else { break at == bytes.len() && !open };
        if matches!(header.opcode, OpCode::Data(_)) {
            message = length.saturating_add(if open { message } else { 0 });
            longest = longest.max(message);
            open = !header.is_final;
        }
        at += cursor.position() as usize;
        if length > (bytes.len() - at) as u64 {
            break false;
        }
        at += length as usize;
    };
    for piece in [bytes.len().max(1), 1, 3, 64] {
        let mut scan = Scan::default();
        for part in bytes.chunks(piece) {
            scan.follow(part);
        }
        let seen = (scan.is_between(), scan.longest(), scan.is_wrong());
        assert_eq!(seen, (between, longest, wrong), "pieces of {piece}");
    }
    between && at > 0
}

/// Whether a frame's length is there, in more bytes than it needs or with all of 64 bits.
fn is_wrong(frame: &[u8]) -> bool {
    match *frame {
        [_, 126 | 254, a, b, ..] => u16::from_be_bytes([a, b]) < 126,
        [_, 127 | 255, ref rest @ ..] => rest.first_chunk().is_some_and(|eight| {
            let length = u64::from_be_bytes(*eight);
            length < 1 << 16 || length >> 63 != 0
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    /// A fixed generator (xorshift64), so that a run is the same everywhere.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % n
        }
    }

    fn frame(random: &mut Random, to: &mut Vec<u8>) {
        let opcode = [0, 1, 2, 8, 9, 10][random.below(6) as usize];
        let masked = random.below(2) as u8 * 0x80;
        let length = match random.below(8) {
            0 => random.below(70_000),
            1 => random.below(400),
            _ => random.below(20),
        };
        to.push(opcode | (random.below(2) as u8 * 0x80));
        match length {
            0..126 => to.push(masked | length as u8),
            126..65536 => {
                to.push(masked | 126);
                to.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                to.push(masked | 127);
                to.extend_from_slice(&length.to_be_bytes());
            }
        }
        if masked != 0 {
            to.extend_from_slice(&[1, 2, 3, 4]);
        }
        to.extend((0..length).map(|n| n as u8));
    }

    #[test]
    fn frames_end_where_another_parser_says() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut whole = 0;
        for _ in 0..600 {
            let mut bytes = Vec::new();
            for _ in 0..=random.below(4) {
                frame(&mut random, &mut bytes);
            }
            whole += usize::from(check(&bytes));
            let cut = random.below(bytes.len() as u64 + 1) as usize;
            check(&bytes[..cut]);
            let at = random.below(bytes.len().min(32) as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
            check(&bytes);
        }
        assert!(whole > 150, "only {whole} are messages and nothing more");
    }

    #[test]
    fn noise_breaks_nothing() {
        let mut random = Random(7);
        for _ in 0..3000 {
            let noise: Vec<u8> = (0..random.below(60)).map(|_| random.below(256) as u8).collect();
            check(&noise);
        }
    }

    #[test]
    fn a_wrong_length_is_seen_before_the_mask() {
        for bytes in [&b"\x82\xfe\0\x7d"[..], b"\x82\xff\x80\0\0\0\0\0\0\0", b"\x82\xff\0\0\0\0\0\0\xff\xff\x01"] {
            assert!(!check(bytes));
        }
    }
}
