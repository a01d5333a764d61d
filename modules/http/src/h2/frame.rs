//! The nine bytes in front of each frame (RFC 9113 section 4.1). Knows nothing of what a frame does.

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PUSH_PROMISE: u8 = 0x5;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;
/// RFC 9218 section 7.1.
pub(super) const PRIORITY_UPDATE: u8 = 0x10;

pub(super) const END_STREAM: u8 = 0x1;
/// Of SETTINGS and PING.
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
/// Of HEADERS: five bytes about priority come first.
pub(super) const PRIORITIZED: u8 = 0x20;

/// What a client sends first (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes in front of a payload.
pub(super) const HEAD: usize = 9;

/// The highest id of a stream, and the largest window.
pub(super) const MOST: u32 = (1 << 31) - 1;

/// What the nine bytes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) length: u32,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
}

impl Head {
    /// `None` where they are not all there.
    #[inline]
    pub(super) fn parse(input: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, s0, s1, s2, s3] = input.first_chunk::<HEAD>()?;
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & MOST;
        Some(Self { length: u32::from_be_bytes([0, a, b, c]), kind, flags, stream })
    }

    #[inline]
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// The nine bytes.
#[inline]
pub(super) fn encode_head(length: usize, kind: u8, flags: u8, stream: u32) -> [u8; HEAD] {
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [s0, s1, s2, s3] = stream.to_be_bytes();
    [a, b, c, kind, flags, s0, s1, s2, s3]
}

/// Appends a frame whose payload is one number.
pub(super) fn put_number(kind: u8, stream: u32, number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&encode_head(4, kind, 0, stream));
    out.extend_from_slice(&number.to_be_bytes());
}

/// Appends GOAWAY (RFC 9113 section 6.8).
pub(super) fn put_go_away(last: u32, code: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&encode_head(8, GOAWAY, 0, 0));
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.to_be_bytes());
}

/// What is left of `payload` without its padding; `None` where the padding does not fit (RFC 9113 section 6.1).
pub(super) fn unpadded(head: Head, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(PADDED) {
        return Some(payload);
    }
    let (&padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(padding))?)
}
