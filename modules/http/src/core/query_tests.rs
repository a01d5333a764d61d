use super::noise_tests::Noise;
use super::query::{MAX_PARAMETERS, value};

#[test]
fn finds() {
    for (query, name, want) in [
        ("a=b", "a", Some("b")),
        ("a=b&c=d", "c", Some("d")),
        ("a=1&a=2", "a", Some("1")),
        ("a=b=c&d", "a", Some("b=c")),
        ("a=b=c&d", "d", Some("")),
        ("a=", "a", Some("")),
        ("a=%20+%26", "a", Some("%20+%26")),
        ("A=1", "a", None),
        ("aa=1&b=a", "a", None),
        ("ab&a=1", "a", Some("1")),
        ("&&a=1", "a", Some("1")),
        ("=1", "", None),
        ("", "a", None),
        ("", "", None),
        ("a;b=1", "b", None),
        ("x?a=1", "a", None),
        ("a[]=1", "a[]", Some("1")),
        ("%61=1", "a", None),
    ] {
        assert_eq!(value(query.as_bytes(), name.as_bytes()), want.map(str::as_bytes), "{query:?}");
    }
}

#[test]
fn is_bounded() {
    let far = |parameters: usize| format!("{}a=1", "b&".repeat(parameters));
    assert!(value(far(MAX_PARAMETERS - 1).as_bytes(), b"a").is_some());
    assert!(value(far(MAX_PARAMETERS).as_bytes(), b"a").is_none());
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(111);
    for _ in 0..40_000 {
        let query = noise.text(&[b"a", b"=", b"&", b"%61", b"+"], 12);
        if let Some(value) = value(&query, b"a") {
            assert!(!value.contains(&b'&'));
        }
    }
}
