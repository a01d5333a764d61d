use super::cookie::{MAX_PAIRS, value};
use super::noise_tests::Noise;

#[test]
fn finds() {
    for (header, name, want) in [
        ("a=b", "a", Some("b")),
        ("a=b; c=d", "c", Some("d")),
        ("a=b;c=d", "c", Some("d")),
        (" a = b ;\tc = d e ", "c", Some("d e")),
        ("a=1; a=2", "a", Some("1")),
        ("a=b=c==", "a", Some("b=c==")),
        ("a=\"x y\"", "a", Some("\"x y\"")),
        ("a=", "a", Some("")),
        ("a", "a", None),
        ("a; a=1", "a", Some("1")),
        ("A=1", "a", None),
        ("aa=1; b=a=2", "a", None),
        ("x-a=1", "a", None),
        ("=1", "", None),
        ("", "a", None),
        (";;a=1", "a", Some("1")),
        ("a=b, c=d", "c", None),
    ] {
        assert_eq!(value(header.as_bytes(), name.as_bytes()), want.map(str::as_bytes), "{header:?}");
    }
}

#[test]
fn is_bounded() {
    let far = |pairs: usize| format!("{}a=1", "b=2;".repeat(pairs));
    assert!(value(far(MAX_PAIRS - 1).as_bytes(), b"a").is_some());
    assert!(value(far(MAX_PAIRS).as_bytes(), b"a").is_none());
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(101);
    for _ in 0..40_000 {
        let header = noise.text(&[b"a", b"=", b";", b" ", b"\t", b"\""], 12);
        if let Some(value) = value(&header, b"a") {
            assert!(!value.contains(&b';') && value == super::trim(value));
        }
    }
}
