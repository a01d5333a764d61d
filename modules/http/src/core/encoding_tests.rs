use super::encoding::{Coding, MAX_CODINGS, negotiate, parse_weight, type_matches};
use super::noise_tests::Noise;

use Coding::{Brotli, Gzip, Identity, Zstd};

const ALL: &[Coding] = &[Zstd, Brotli, Gzip, Identity];

#[test]
fn negotiates() {
    let table: [(Option<&str>, &[Coding], Option<Coding>); 38] = [
        (None, ALL, Some(Identity)),
        (None, &[Gzip], Some(Gzip)),
        (None, &[], None),
        (Some(""), ALL, Some(Identity)),
        (Some(" , "), ALL, Some(Identity)),
        (Some(""), &[Gzip], None),
        (Some("gzip"), ALL, Some(Gzip)),
        (Some("x-gzip"), ALL, Some(Gzip)),
        (Some("GZip"), ALL, Some(Gzip)),
        (Some("gzip, deflate, br, zstd"), ALL, Some(Zstd)),
        (Some("gzip, deflate, br, zstd"), &[Gzip, Brotli], Some(Gzip)),
        (Some("gzip, br"), ALL, Some(Brotli)),
        (Some("gzip;q=1.0, br;q=0.9"), ALL, Some(Gzip)),
        (Some("gzip ; q=0.5 , br ;q=0.501"), ALL, Some(Brotli)),
        (Some("gzip;Q=0.5"), ALL, Some(Gzip)),
        (Some("gzip;q=0.001"), ALL, Some(Gzip)),
        (Some("gzip;q=0.001"), &[Identity, Gzip], Some(Gzip)),
        (Some("gzip;q=0"), ALL, Some(Identity)),
        (Some("gzip;q=0.000"), &[Gzip], None),
        (Some("deflate"), ALL, Some(Identity)),
        (Some("deflate"), &[Gzip], None),
        // The star stands for what is not named.
        (Some("*"), ALL, Some(Zstd)),
        (Some("*;q=0.5, gzip"), ALL, Some(Gzip)),
        (Some("*, zstd;q=0"), ALL, Some(Brotli)),
        (Some("*;q=0"), ALL, None),
        (Some("*;q=0, gzip;q=0.1"), ALL, Some(Gzip)),
        (Some("*;q=0, identity"), ALL, Some(Identity)),
        // Identity.
        (Some("identity;q=0"), ALL, None),
        (Some("identity;q=0, gzip;q=0.1"), ALL, Some(Gzip)),
        (Some("identity, gzip;q=0.5"), ALL, Some(Identity)),
        (Some("gzip, identity"), ALL, Some(Gzip)),
        (Some("identity;q=0"), &[Identity], None),
        // Malformed members are passed over; the first of two counts.
        (Some("gzip;q=2"), ALL, Some(Identity)),
        (Some("gzip;q="), ALL, Some(Identity)),
        (Some("gzip;level=3"), ALL, Some(Identity)),
        (Some("g zip, br"), ALL, Some(Brotli)),
        (Some("gzip;q=0, gzip"), ALL, Some(Identity)),
        (Some("gzip, gzip;q=0"), ALL, Some(Gzip)),
    ];
    for (value, available, want) in table {
        assert_eq!(negotiate(value.map(str::as_bytes), available), want, "{value:?} {available:?}");
    }
}

#[test]
fn list_is_bounded() {
    let list = |before: usize| format!("{}gzip", "x,".repeat(before));
    assert_eq!(negotiate(Some(list(MAX_CODINGS - 1).as_bytes()), ALL), Some(Gzip));
    assert_eq!(negotiate(Some(list(MAX_CODINGS).as_bytes()), ALL), Some(Identity));
}

#[test]
fn weights() {
    let table = [
        ("0", Some(0)),
        ("1", Some(1000)),
        ("0.", Some(0)),
        ("1.", Some(1000)),
        ("0.5", Some(500)),
        ("0.05", Some(50)),
        ("0.005", Some(5)),
        ("0.999", Some(999)),
        ("1.000", Some(1000)),
        ("1.001", None),
        ("0.0001", None),
        ("2", None),
        ("", None),
        (".5", None),
        ("-0", None),
        ("0,5", None),
        ("00", None),
        ("0.5x", None),
    ];
    for (value, want) in table {
        assert_eq!(parse_weight(value.as_bytes()), want, "{value}");
    }
}

#[test]
fn names() {
    for coding in ALL {
        assert_eq!(Coding::from_name(coding.name().as_bytes()), Some(*coding));
    }
    assert_eq!(Coding::from_name(b"deflate"), None);
}

#[test]
fn types() {
    let patterns = ["text/*", "application/json", "application/*+xml"];
    let table = [
        ("text/html", true),
        ("text/html; charset=utf-8", true),
        ("TEXT/HTML;a=b", true),
        (" text/html ", true),
        ("application/json", true),
        ("Application/JSON ; x", true),
        ("application/jsonp", false),
        ("application/atom+xml", true),
        ("application/atom+XML", true),
        ("application/xml", false),
        ("image/png", false),
        ("text", false),
        ("text/", false),
        ("/html", false),
        ("textx/html", false),
        ("", false),
        (";text/html", false),
        ("te xt/html", false),
    ];
    for (value, want) in table {
        assert_eq!(type_matches(value.as_bytes(), &patterns), want, "{value}");
    }
    assert!(type_matches(b"image/png", &["*"]));
    assert!(type_matches(b"image/png", &[String::from("*/*")]));
    assert!(!type_matches(b"rubbish", &["*"]));
    assert!(!type_matches::<&str>(b"text/html", &[]));
    assert!(!type_matches(b"text/html", &["", "text", "/", "*/html"]));
}

#[test]
fn noise_keeps_invariants() {
    let mut noise = Noise::new(8);
    let pieces: [&[u8]; 12] =
        [b"gzip", b"br", b"zstd", b"identity", b"*", b";q=", b"0", b"0.5", b"1", b",", b" ", b"x-gzip"];
    for _ in 0..50_000 {
        let value = noise.text(&pieces, 16);
        let available = &ALL[noise.below(4)..];
        if let Some(coding) = negotiate(Some(&value), available) {
            assert!(available.contains(&coding));
            let name: &[u8] = if coding == Identity { b"" } else { coding.name().as_bytes() };
            let star = value.contains(&b'*');
            assert!(star || value.windows(name.len().max(1)).any(|part| part == name) || coding == Identity);
        }
        let _ = (parse_weight(&value), type_matches(&value, &["text/*"]));
    }
}
