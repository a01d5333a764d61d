use super::etag::{FILE_TAG_LEN, FileTag, MAX_TAGS, Tag, Tags, parse_list};
use super::noise_tests::Noise;

fn strong(opaque: &[u8]) -> Tag<'_> {
    Tag { weak: false, opaque }
}

fn weak(opaque: &[u8]) -> Tag<'_> {
    Tag { weak: true, opaque }
}

#[test]
fn lists() {
    let table: [(&[u8], Option<Tags<'_>>); 20] = [
        (b"*", Some(Tags::Any)),
        (b" * ", Some(Tags::Any)),
        (b"\"a\"", Some(Tags::List(vec![strong(b"a")]))),
        (b"W/\"a\"", Some(Tags::List(vec![weak(b"a")]))),
        (b"\"\"", Some(Tags::List(vec![strong(b"")]))),
        (b"\"a\", W/\"b\"", Some(Tags::List(vec![strong(b"a"), weak(b"b")]))),
        (b"\"a\",\"b\"", Some(Tags::List(vec![strong(b"a"), strong(b"b")]))),
        (b",, \"a\" ,\t, \"b\",", Some(Tags::List(vec![strong(b"a"), strong(b"b")]))),
        (b"\"a,b\"", Some(Tags::List(vec![strong(b"a,b")]))),
        (b"\"\xe9\"", Some(Tags::List(vec![strong(b"\xe9")]))),
        (b"", None),
        (b" , ,", None),
        (b"a", None),
        (b"\"a", None),
        (b"\"a\" \"b\"", None),
        (b"\"a b\"", None),
        (b"w/\"a\"", None),
        (b"W\"a\"", None),
        (b"*, \"a\"", None),
        (b"\"a\x00\"", None),
    ];
    for (value, want) in table {
        assert_eq!(parse_list(value), want, "{}", value.escape_ascii());
    }
}

#[test]
fn list_is_bounded() {
    let list = |count| vec!["\"a\""; count].join(",");
    assert!(parse_list(list(MAX_TAGS).as_bytes()).is_some());
    assert_eq!(parse_list(list(MAX_TAGS + 1).as_bytes()), None);
}

#[test]
fn single() {
    assert_eq!(Tag::parse(b" \"a\" "), Some(strong(b"a")));
    for value in [&b"\"a\", \"b\""[..], b"*", b"", b"\"", b"W/", b"\"a\"b"] {
        assert_eq!(Tag::parse(value), None);
    }
}

#[test]
fn comparison() {
    // The table of RFC 9110 8.8.3.2.
    let table = [
        (weak(b"1"), weak(b"1"), false, true),
        (weak(b"1"), weak(b"2"), false, false),
        (weak(b"1"), strong(b"1"), false, true),
        (strong(b"1"), strong(b"1"), true, true),
    ];
    for (a, b, by_strong, by_weak) in table {
        assert_eq!((a.strong_eq(&b), a.weak_eq(&b)), (by_strong, by_weak));
        assert_eq!((b.strong_eq(&a), b.weak_eq(&a)), (by_strong, by_weak));
    }
}

#[test]
fn file_tags() {
    let table = [
        (0x0065_a1b2_c3d4_e5f6, 0x1a2b, &b"\"65a1b2c3d4e5f6-1a2b\""[..]),
        (0, 0, b"\"0-0\""),
        (16, 15, b"\"10-f\""),
        (u64::MAX, u64::MAX, b"\"ffffffffffffffff-ffffffffffffffff\""),
    ];
    for (modified, size, want) in table {
        let tag = FileTag::new(modified, size);
        assert_eq!(tag.strong(), want);
        assert_eq!(tag.weak(), [b"W/", want].concat());
        assert!(Tag::parse(tag.strong()).is_some_and(|tag| !tag.weak));
        assert!(Tag::parse(tag.weak()).is_some_and(|tag| tag.weak));
    }
    assert_eq!(FileTag::new(u64::MAX, u64::MAX).weak().len(), FILE_TAG_LEN);
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(3);
    for _ in 0..50_000 {
        let value = noise.text(&[b"\"", b"W/", b"\"a\"", b",", b" ", b"b", b"*"], 14);
        if let Some(Tags::List(tags)) = parse_list(&value) {
            assert!(!tags.is_empty() && tags.len() <= MAX_TAGS);
            assert!(tags.iter().all(|tag| !tag.opaque.contains(&b'"') && !tag.opaque.contains(&b' ')));
        }
        let _ = Tag::parse(&value);
    }
}
