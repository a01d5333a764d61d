use super::noise_tests::Noise;
use super::range::{Multipart, Ranges, content_range, content_range_unsatisfied, parse};

#[test]
fn parses() {
    let some = |ranges: &[(u64, u64)]| Ranges::Some(ranges.to_vec());
    let table: Vec<(&str, u64, Ranges)> = vec![
        ("bytes=0-0", 100, some(&[(0, 1)])),
        ("bytes=0-9", 100, some(&[(0, 10)])),
        ("BYTES=0-9", 100, some(&[(0, 10)])),
        ("bytes=10-", 100, some(&[(10, 100)])),
        ("bytes=-10", 100, some(&[(90, 100)])),
        ("bytes=-1000", 100, some(&[(0, 100)])),
        ("bytes=0-99999999999999999999999", 100, some(&[(0, 100)])),
        ("bytes=-99999999999999999999999", 100, some(&[(0, 100)])),
        ("bytes=99-", 100, some(&[(99, 100)])),
        ("bytes=0-18446744073709551615", u64::MAX, some(&[(0, u64::MAX)])),
        ("bytes= 0-9 , 20-29 ", 100, some(&[(0, 10), (20, 30)])),
        ("bytes=,0-9,,20-29,", 100, some(&[(0, 10), (20, 30)])),
        // The order of the request stays where nothing overlaps.
        ("bytes=20-29,0-9", 100, some(&[(20, 30), (0, 10)])),
        ("bytes=20-29,500-,0-9", 100, some(&[(20, 30), (0, 10)])),
        // Overlapping and touching ranges are merged.
        ("bytes=0-9,5-19", 100, some(&[(0, 20)])),
        ("bytes=0-9,10-19", 100, some(&[(0, 20)])),
        ("bytes=50-,0-9,5-5", 100, some(&[(0, 10), (50, 100)])),
        ("bytes=0-,0-,0-,0-", 100, some(&[(0, 100)])),
        ("bytes=0-0,2-2,1-1", 100, some(&[(0, 3)])),
        // Nothing of it is there.
        ("bytes=100-", 100, Ranges::Unsatisfiable),
        ("bytes=100-200,300-", 100, Ranges::Unsatisfiable),
        ("bytes=-0", 100, Ranges::Unsatisfiable),
        ("bytes=99999999999999999999999-", 100, Ranges::Unsatisfiable),
        ("bytes=99999999999999999999999-", u64::MAX, Ranges::Unsatisfiable),
        ("bytes=0-", 0, Ranges::Unsatisfiable),
        ("bytes=-0", 0, Ranges::Unsatisfiable),
        ("bytes=-5", 0, Ranges::Ignore),
        // Malformed.
        ("", 100, Ranges::Ignore),
        ("bytes", 100, Ranges::Ignore),
        ("bytes=", 100, Ranges::Ignore),
        ("bytes=,", 100, Ranges::Ignore),
        ("bytes=-", 100, Ranges::Ignore),
        ("bytes=5", 100, Ranges::Ignore),
        ("bytes=9-5", 100, Ranges::Ignore),
        ("bytes=0-9,9-5", 100, Ranges::Ignore),
        ("bytes=a-b", 100, Ranges::Ignore),
        ("bytes=+0-9", 100, Ranges::Ignore),
        ("bytes=0--9", 100, Ranges::Ignore),
        ("bytes=--9", 100, Ranges::Ignore),
        ("bytes=0 - 9", 100, Ranges::Ignore),
        ("bytes =0-9", 100, Ranges::Ignore),
        ("bytes:0-9", 100, Ranges::Ignore),
        ("items=0-9", 100, Ranges::Ignore),
        ("bytes=0-9;20-29", 100, Ranges::Ignore),
    ];
    for (value, len, want) in table {
        assert_eq!(parse(value.as_bytes(), len, 8), want, "{value} of {len}");
    }
}

#[test]
fn limits() {
    let many = |count: u64| {
        let list: Vec<String> = (0..count).map(|at| format!("{}-{}", at * 10, at * 10)).collect();
        format!("bytes={}", list.join(","))
    };
    assert!(matches!(parse(many(5).as_bytes(), 1000, 5), Ranges::Some(ranges) if ranges.len() == 5));
    assert_eq!(parse(many(6).as_bytes(), 1000, 5), Ranges::Ignore);
    assert_eq!(parse(b"bytes=0-,0-,0-", 1000, 2), Ranges::Ignore);
    assert_eq!(parse(b"bytes=0-1", 1000, 0), Ranges::Ignore);
}

#[test]
fn content_ranges() {
    assert_eq!(content_range(0, 10, 100), "bytes 0-9/100");
    assert_eq!(content_range(u64::MAX - 1, u64::MAX, u64::MAX), format!("bytes {0}-{0}/{1}", u64::MAX - 1, u64::MAX));
    assert_eq!(content_range_unsatisfied(0), "bytes */0");
}

#[test]
fn multipart() {
    let parts = Multipart::new("sep", Some("text/plain"), 100).unwrap();
    assert_eq!(parts.content_type(), "multipart/byteranges; boundary=sep");
    let ranges = [(0, 10), (20, 30)];
    let body = [vec![b'x'; 10], vec![b'y'; 10]];
    let mut sent = Vec::new();
    for (index, range) in ranges.iter().enumerate() {
        sent.extend(parts.part_head(index == 0, *range));
        sent.extend(&body[index]);
    }
    sent.extend(parts.closing());
    assert_eq!(
        String::from_utf8_lossy(&sent),
        "--sep\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-9/100\r\n\r\nxxxxxxxxxx\
         \r\n--sep\r\nContent-Type: text/plain\r\nContent-Range: bytes 20-29/100\r\n\r\nyyyyyyyyyy\r\n--sep--\r\n"
    );
    assert_eq!(parts.content_length(&ranges), Some(sent.len() as u64));
    assert_eq!(parts.content_length(&[(0, u64::MAX)]), None);
    assert_eq!(parts.content_length(&[(5, 4)]), None);
    let bare = Multipart::new("sep", None, 100).unwrap();
    assert_eq!(bare.part_head(true, (0, 1)), b"--sep\r\nContent-Range: bytes 0-0/100\r\n\r\n");
}

#[test]
fn multipart_refuses() {
    let long = "x".repeat(71);
    for boundary in ["", "a b", "a\r\nb", "a\"b", "\u{e9}", &long] {
        assert_eq!(Multipart::new(boundary, None, 1), None, "{boundary}");
    }
    assert!(Multipart::new(&long[1..], None, 1).is_some());
    assert_eq!(Multipart::new("a", Some("text/plain\r\nx: y"), 1), None);
}

#[test]
fn noise_keeps_invariants() {
    let mut noise = Noise::new(5);
    let pieces: [&[u8]; 10] = [b"0", b"-", b",", b" ", b"7", b"12-", b"-3", b"4-9", b"18446744073709551615", b"30-40,"];
    for _ in 0..60_000 {
        let mut value = b"bytes=".to_vec();
        value.extend(noise.text(&pieces, 12));
        let len = match noise.below(4) {
            0 => 0,
            1 => u64::MAX,
            _ => noise.below(50) as u64,
        };
        let most = noise.below(6);
        if let Ranges::Some(ranges) = parse(&value, len, most) {
            assert!(!ranges.is_empty() && ranges.len() <= most);
            assert!(ranges.iter().all(|&(start, end)| start < end && end <= len));
            let mut sorted = ranges.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
            let parts = Multipart::new("b", None, len).unwrap();
            let framing: usize = (0..ranges.len()).map(|at| parts.part_head(at == 0, ranges[at]).len()).sum();
            let bytes: u64 = ranges.iter().map(|range| range.1 - range.0).sum();
            let total = bytes.checked_add((framing + parts.closing().len()) as u64);
            assert_eq!(parts.content_length(&ranges), total);
        }
        let _ = parse(&noise.mutate(b"bytes=0-9, 20-, -5"), len, most);
    }
}
