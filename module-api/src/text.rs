//! Numbers, addresses and durations as text at the end of a buffer: byte for byte what `Display` writes, without its
//! machinery, which costs some hundred instructions a value. Knows no variable and no log.

use crate::Addr;
use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// Digits of the largest number.
const DIGITS: usize = 20;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
        n += 1;
    }
    pairs
};

/// `0.` to `255.`, with zeros behind.
const OCTETS: [[u8; 4]; 256] = {
    let mut octets = [[0; 4]; 256];
    let mut n = 0;
    while n < 256 {
        let [tens, ones] = PAIRS[n % 100];
        octets[n] = match n {
            0..10 => [ones, b'.', 0, 0],
            10..100 => [tens, ones, b'.', 0],
            _ => [b'0' + (n / 100) as u8, tens, ones, b'.'],
        };
        n += 1;
    }
    octets
};

/// How many bytes of these count.
const LENGTHS: [u8; 256] = {
    let mut lengths = [2; 256];
    let mut n = 10;
    while n < 256 {
        lengths[n] = if n < 100 { 3 } else { 4 };
        n += 1;
    }
    lengths
};

/// Appends a number.
#[inline]
pub fn number(n: impl Into<u64>, out: &mut Vec<u8>) {
    digits(n.into(), out);
}

fn digits(n: u64, out: &mut Vec<u8>) {
    match u16::try_from(n) {
        Ok(n @ 0..10) => out.push(b'0' + n as u8),
        // Statuses.
        Ok(n @ 100..1000) => out.extend_from_slice(&millis(n.into())),
        Ok(n) => {
            let (text, len) = few_digits(n);
            put(&text, len, out);
        }
        Err(_) => many_digits(n, out),
    }
}

/// The digits and how many they are: as if there were five, less the zeros in front.
fn few_digits(n: u16) -> ([u8; 8], usize) {
    let (high, low) = (n / 10_000, usize::from(n % 10_000));
    let ([a, b], [c, d]) = (PAIRS[low / 100], PAIRS[low % 100]);
    let zeros = match n {
        10_000.. => 0,
        1000.. => 1,
        100.. => 2,
        10.. => 3,
        _ => 4,
    };
    let text = u64::from_le_bytes([b'0' + high as u8, a, b, c, d, 0, 0, 0]) >> (8 * zeros);
    (text.to_le_bytes(), 5 - zeros)
}

/// Apart, so that a few digits need none of its frame.
#[inline(never)]
fn many_digits(mut n: u64, out: &mut Vec<u8>) {
    // As many bytes behind, so that there are `DIGITS` wherever the number begins.
    let mut text = [0; 2 * DIGITS];
    let mut at = DIGITS;
    while n >= 100 {
        at -= 2;
        text[at..at + 2].copy_from_slice(&PAIRS[(n % 100) as usize]);
        n /= 100;
    }
    let [tens, ones] = PAIRS[n as usize];
    at -= 1;
    text[at] = ones;
    if n >= 10 {
        at -= 1;
        text[at] = tens;
    }
    if let Some(all) = text[at..].first_chunk::<DIGITS>() {
        put(all, DIGITS - at, out);
    }
}

/// Appends seconds with milliseconds: `1.024`.
pub fn seconds(time: Duration, out: &mut Vec<u8>) {
    let [hundreds, tens, ones] = millis(time.subsec_millis());
    match time.as_secs() {
        // How long most things take.
        n @ 0..10 => out.extend_from_slice(&[b'0' + n as u8, b'.', hundreds, tens, ones]),
        n => {
            digits(n, out);
            out.extend_from_slice(&[b'.', hundreds, tens, ones]);
        }
    }
}

/// Three digits of a number below 1000.
pub fn millis(n: u32) -> [u8; 3] {
    let [tens, ones] = PAIRS[(n % 100) as usize];
    [b'0' + (n / 100 % 10) as u8, tens, ones]
}

/// Appends address and port, or `unix:` and the path.
pub fn address(addr: &Addr, out: &mut Vec<u8>) {
    if let Some(ip) = addr.ipv4() {
        let (mut text, mut len) = v4_digits(ip);
        let (port, digits) = few_digits(addr.port());
        if let Some(to) = text.get_mut(len + 1..).and_then(<[u8]>::first_chunk_mut) {
            *to = port;
            text[len] = b':';
            len += 1 + digits;
        }
        return put(&text, len, out);
    }
    let Some(SocketAddr::V6(v6)) = addr.socket() else {
        out.extend_from_slice(b"unix:");
        return out.extend_from_slice(addr.path().unwrap_or_default().as_bytes());
    };
    let mut text = V6Text::new();
    text.push(b'[');
    v6_digits(*v6.ip(), &mut text);
    text.append_to(out);
    if v6.scope_id() != 0 {
        out.push(b'%');
        number(v6.scope_id(), out);
    }
    out.extend_from_slice(b"]:");
    number(v6.port(), out);
}

/// Appends the address without its port. False: it has none.
pub fn ip(addr: &Addr, out: &mut Vec<u8>) -> bool {
    if let Some(ip) = addr.ipv4() {
        let (text, len) = v4_digits(ip);
        put(&text, len, out);
        return true;
    }
    let Some(IpAddr::V6(v6)) = addr.ip() else { return false };
    let mut text = V6Text::new();
    v6_digits(v6, &mut text);
    text.append_to(out);
    true
}

/// The text and how long it is; a dot and room for a port behind it.
#[inline]
fn v4_digits(ip: [u8; 4]) -> ([u8; 32], usize) {
    let mut text = [0; 32];
    let mut end = 0;
    for n in ip {
        // Three of them are at most twelve bytes: said so that the place is seen to be inside.
        let [a, b, c, d] = OCTETS[usize::from(n)];
        let at = end & 0xf;
        (text[at], text[at + 1], text[at + 2], text[at + 3]) = (a, b, c, d);
        end += usize::from(LENGTHS[usize::from(n)]);
    }
    // Without the last dot.
    (text, end - 1)
}

/// RFC 5952: hexadecimal without leading zeros, the first of the longest runs of zeros as `::`, and an address of IPv4
/// within one of IPv6 as such.
fn v6_digits(ip: Ipv6Addr, text: &mut V6Text) {
    if let Some(v4) = ip.to_ipv4_mapped() {
        let (v4, len) = v4_digits(v4.octets());
        return b"::ffff:".iter().chain(&v4[..len]).for_each(|&byte| text.push(byte));
    }
    let groups = ip.segments();
    let (mut longest, mut run) = (0..0, 0..0);
    for (n, &group) in groups.iter().enumerate() {
        run = if group == 0 { run.start..n + 1 } else { n + 1..n + 1 };
        if run.len() > longest.len() {
            longest = run.clone();
        }
    }
    let zeros = if longest.len() > 1 { longest } else { groups.len()..groups.len() };
    for (n, &group) in groups.iter().enumerate() {
        if zeros.contains(&n) {
            if n == zeros.start {
                text.push(b':');
                text.push(b':');
            }
            continue;
        }
        if n > 0 && n != zeros.end {
            text.push(b':');
        }
        hex(group, text);
    }
}

fn hex(group: u16, text: &mut V6Text) {
    let digits = (16 - (group | 1).leading_zeros()).div_ceil(4);
    for n in (0..digits).rev() {
        text.push(b"0123456789abcdef"[usize::from(group >> (4 * n) & 15)]);
    }
}

/// An address of IPv6 that is being written: 45 bytes at most, and a bracket.
struct V6Text {
    bytes: [u8; 48],
    len: usize,
}

impl V6Text {
    const fn new() -> Self {
        Self { bytes: [0; 48], len: 0 }
    }

    fn push(&mut self, byte: u8) {
        if let Some(to) = self.bytes.get_mut(self.len) {
            *to = byte;
            self.len += 1;
        }
    }

    fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..self.len]);
    }
}

/// Appends the first `len` of these bytes: a copy of a fixed length needs no call.
#[inline]
fn put<const N: usize>(bytes: &[u8; N], len: usize, out: &mut Vec<u8>) {
    let end = out.len() + len;
    out.extend_from_slice(bytes);
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Str;

    /// Numbers that look random and are the same in every run.
    struct Mixed(u64);

    impl Mixed {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    fn made(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        let text = String::from_utf8(out).expect("ASCII");
        text.strip_prefix("before ").expect("what was there stays").to_owned()
    }

    #[test]
    fn numbers_are_written_as_display_does() {
        let mut mixed = Mixed(1);
        let powers = (0..20).flat_map(|n| [10u64.pow(n) - 1, 10u64.pow(n), 10u64.pow(n) + 1]);
        let any = (0..10_000).map(|n| mixed.next() >> (n % 64)).collect::<Vec<_>>();
        for n in powers.chain(any).chain(0..2000).chain([u64::MAX]) {
            assert_eq!(made(|out| number(n, out)), format!("{n}"));
        }
        for n in [0, 7, 99, 100, u16::MAX] {
            assert_eq!(made(|out| number(n, out)), n.to_string());
        }
    }

    #[test]
    fn durations_are_seconds_with_milliseconds() {
        let mut mixed = Mixed(2);
        let edges = [Duration::ZERO, Duration::MAX, Duration::from_nanos(999_999), Duration::from_millis(60_070)];
        let any = (0..2000).map(|_| Duration::from_nanos(mixed.next())).collect::<Vec<_>>();
        for time in any.into_iter().chain(edges).chain((0..1001).map(Duration::from_millis)) {
            let expected = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
            assert_eq!(made(|out| seconds(time, out)), expected);
        }
    }

    fn check(socket: SocketAddr) {
        let addr = Addr::from(socket);
        assert_eq!(made(|out| address(&addr, out)), socket.to_string());
        assert_eq!(made(|out| assert!(ip(&addr, out))), socket.ip().to_string());
    }

    #[test]
    fn addresses_are_written_as_display_does() {
        let mut mixed = Mixed(3);
        for n in 0..=255 {
            check(SocketAddr::from(([n, 255 - n, n / 3, n / 30], u16::from(n) * 257)));
        }
        for _ in 0..20_000 {
            // Groups of zero, of few digits and of any: runs of every length and place.
            let kinds = mixed.next();
            let groups: [u16; 8] = std::array::from_fn(|n| match kinds >> (4 * n) & 3 {
                0 | 1 => 0,
                2 => (mixed.next() & 255) as u16,
                _ => mixed.next() as u16,
            });
            let (ip, port) = (Ipv6Addr::from(groups), mixed.next() as u16);
            let scope = if kinds >> 40 & 3 == 0 { mixed.next() as u32 } else { 0 };
            check(std::net::SocketAddrV6::new(ip, port, 0, scope).into());
        }
        for text in ["[::]:0", "[::1]:80", "[::ffff:192.0.2.1]:9", "[::192.0.2.1]:9", "[1::]:1", "[fe80::1%3]:65535"] {
            check(text.parse().expect("an address"));
        }
    }

    #[test]
    fn other_addresses_are_written_as_display_does() {
        for addr in
            [Addr::NONE, Addr::unix(Str::new("/run/a b\"ü")), Addr::unix(Str::EMPTY), Addr::unix(Str::new("/run"))]
        {
            assert_eq!(made(|out| address(&addr, out)), addr.to_string());
            assert_eq!(made(|out| assert!(!ip(&addr, out))), "");
        }
    }
}
