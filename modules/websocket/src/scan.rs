//! Where a frame ends, told from its head alone (RFC 6455 section 5.2): whether what was read so far holds anything back.
//! It also sees what the parser behind it lets pass: a length that is written longer than needed, or with
//! 64 bits.

use std::io::{self, Read, Write};

/// Follows the bytes of one direction.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// What is there of a head.
    head: [u8; 14],
    have: usize,
    /// Bytes of the payload that are missing.
    left: u64,
    /// More frames of a message are to come.
    open: bool,
    /// Bytes of the longest message, as far as is known.
    longest: u64,
    message: u64,
    /// A length came in more bytes than it needs, or with 64 bits. Nothing is followed any more.
    wrong: bool,
}

impl Scan {
    /// These come next. How many of them are as they should be: all, or those before the byte that ends a wrong length, so
    /// that nobody who gets them has the head of that frame.
    pub(crate) fn follow(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(first) = bytes.get(at).filter(|_| !self.wrong) {
            if self.left > 0 {
                let n = self.left.min((bytes.len() - at) as u64);
                self.left -= n;
                at += n as usize;
                continue;
            }
            self.head[self.have] = *first;
            self.have += 1;
            if self.have >= 2 {
                self.begin();
            }
            at += usize::from(!self.wrong);
        }
        at
    }

    /// Begins a payload, once the head is whole.
    fn begin(&mut self) {
        let mask = if self.head[1] & 0x80 != 0 { 4 } else { 0 };
        let (more, short, least) = match self.head[1] & 0x7f {
            126 => (2, 0, 126),
            127 => (8, 0, 1 << 16),
            n => (0, u64::from(n), 0),
        };
        if self.have < 2 + more {
            return;
        }
        let long = self.head[2..2 + more].iter().fold(0, |n, b| n << 8 | u64::from(*b));
        // The first bit is none of its length.
        self.wrong = long < least || long > u64::MAX >> 1;
        if self.wrong || self.have < 2 + more + mask {
            return;
        }
        self.left = short + long;
        self.have = 0;
        // Frames of control come in between.
        if self.head[0] & 8 == 0 {
            self.message = self.left.saturating_add(if self.open { self.message } else { 0 });
            self.longest = self.longest.max(self.message);
            self.open = self.head[0] & 0x80 == 0;
        }
    }

    /// A length came that is not to be written so.
    pub(crate) const fn is_wrong(&self) -> bool {
        self.wrong
    }

    /// All messages are complete, and nothing of another is there.
    pub(crate) fn is_between(&self) -> bool {
        self.have == 0 && self.left == 0 && !self.open
    }

    /// Bytes of the longest message so far.
    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }
}

/// A connection whose frames are followed as they are read.
pub(crate) struct Scanned<S> {
    pub(crate) wire: S,
    pub(crate) scan: Scan,
}

impl<S> Scanned<S> {
    pub(crate) fn new(wire: S) -> Self {
        Self { wire, scan: Scan::default() }
    }
}

impl<S: Read> Read for Scanned<S> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.scan.is_wrong() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let n = self.wire.read(to)?;
        match self.scan.follow(&to[..n]) {
            // 0 would be the end of the stream.
            0 if n > 0 => Err(io::ErrorKind::InvalidData.into()),
            n => Ok(n),
        }
    }
}

impl<S: Write> Write for Scanned<S> {
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.wire.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wire.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_knows_where_messages_end() {
        let mut scan = Scan::default();
        assert!(scan.is_between());
        // A masked text, an empty frame, a message in two with a ping among them, 126 and 65536 bytes.
        let mut all: Vec<u8> = b"\x81\x82\x01\x02\x03\x04ab".to_vec();
        let mut ends = vec![all.len()];
        let mut add = |bytes: &[u8], ends: &mut Vec<usize>, end: bool| {
            all.extend_from_slice(bytes);
            if end {
                ends.push(all.len());
            }
        };
        add(b"\x82\x00", &mut ends, true);
        add(b"\x01\x01a", &mut ends, false);
        add(b"\x89\x81\x01\x02\x03\x04p", &mut ends, false);
        add(b"\x80\x01b", &mut ends, true);
        add(&[&b"\x82\x7e\x00\x7e"[..], &[7; 126]].concat(), &mut ends, true);
        add(&[&b"\x82\xff\0\0\0\0\0\x01\0\0\x01\x02\x03\x04"[..], &[7; 65536]].concat(), &mut ends, true);
        for (n, byte) in all.iter().enumerate() {
            scan.follow(&[*byte]);
            assert_eq!(scan.is_between(), ends.contains(&(n + 1)), "after {} bytes", n + 1);
        }
        assert_eq!(scan.longest(), 65536);
        let mut whole = Scan::default();
        whole.follow(&all);
        assert!(whole.is_between());
    }

    #[test]
    fn a_length_that_is_not_to_be_written_so_ends_it() {
        for (bad, least) in [
            (&b"\x82\x7e\0\x7d"[..], &b"\x82\x7e\0\x7e"[..]),
            (b"\x82\xfe\0\0", b"\x82\xfe\x01\0"),
            (b"\x89\x7f\0\0\0\0\0\0\xff\xff", b"\x02\x7f\0\0\0\0\0\x01\0\0"),
            (b"\x02\x7f\x80\0\0\0\0\0\0\0", b"\x02\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"),
        ] {
            let before = b"\x82\x01a";
            let all = [before, bad, b"more of it"].concat();
            for piece in [all.len(), 1, 3] {
                let mut scan = Scan::default();
                let passed: usize = all.chunks(piece).map(|part| scan.follow(part)).sum();
                assert_eq!(passed, before.len() + bad.len() - 1, "pieces of {piece}");
                assert!(scan.is_wrong() && !scan.is_between());
            }
            let mut scan = Scan::default();
            assert_eq!(scan.follow(least), least.len());
            assert!(!scan.is_wrong());
        }
    }

    #[test]
    fn lengths_that_cannot_be_do_no_harm() {
        let mut scan = Scan::default();
        scan.follow(b"\x02\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04");
        scan.follow(&[0; 1000]);
        assert!(!scan.is_between());
        assert_eq!(scan.longest(), u64::MAX >> 1);
    }
}
