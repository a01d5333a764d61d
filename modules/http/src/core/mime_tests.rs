use super::mime::{content_type, extension};
use super::noise_tests::Noise;

/// A name, the overrides, whether to add a charset, and the type.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], bool, &'a str);

const NO: &[(&str, &str)] = &[];
const DEFAULT: &str = "application/octet-stream";

#[test]
fn extensions() {
    let table: [(&[u8], Option<&str>); 11] = [
        (b"a.html", Some("html")),
        (b"a.tar.gz", Some("gz")),
        (b"/x.y/a.css", Some("css")),
        (b"/x.y/a", None),
        (b"README", None),
        (b".profile", None),
        (b"/a/.profile", None),
        (b".a.txt", Some("txt")),
        (b"a.", None),
        (b"", None),
        (b"a.\xff", None),
    ];
    for (name, want) in table {
        assert_eq!(extension(name), want, "{}", name.escape_ascii());
    }
}

#[test]
fn types() {
    let overrides = [("html", "text/plain"), ("Foo", "application/foo; charset=koi8-r"), ("v", "text/x-v;Charset=a")];
    let table: [Row<'_>; 20] = [
        ("a.html", NO, false, "text/html"),
        ("a.html", NO, true, "text/html; charset=utf-8"),
        ("A.HTML", NO, true, "text/html; charset=utf-8"),
        ("a.css", NO, true, "text/css; charset=utf-8"),
        ("a.js", NO, true, "text/javascript; charset=utf-8"),
        ("a.json", NO, true, "application/json; charset=utf-8"),
        ("a.svg", NO, true, "image/svg+xml; charset=utf-8"),
        ("a.xml", NO, true, "text/xml; charset=utf-8"),
        ("a.xhtml", NO, true, "application/xhtml+xml; charset=utf-8"),
        ("a.png", NO, true, "image/png"),
        ("a.wasm", NO, true, "application/wasm"),
        ("a.mjs", NO, true, "text/javascript; charset=utf-8"),
        ("a.js.map", NO, true, "application/json; charset=utf-8"),
        ("a.TS", NO, true, "video/mp2t"),
        ("a.m3u8", NO, true, "application/vnd.apple.mpegurl"),
        ("a.unheard", NO, true, DEFAULT),
        ("README", NO, true, DEFAULT),
        ("a.html", &overrides, true, "text/plain; charset=utf-8"),
        ("a.foo", &overrides, true, "application/foo; charset=koi8-r"),
        ("a.v", &overrides, true, "text/x-v;Charset=a"),
    ];
    for (name, overrides, utf8, want) in table {
        assert_eq!(content_type(name.as_bytes(), overrides, DEFAULT, utf8), want, "{name}");
    }
    assert_eq!(content_type(b"README", NO, "text/plain", true), "text/plain; charset=utf-8");
    let owned = vec![("md".to_owned(), "text/markdown".to_owned())];
    assert_eq!(content_type(b"a.md", &owned, DEFAULT, false), "text/markdown");
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(9);
    for _ in 0..20_000 {
        let name = noise.text(&[b".", b"html", b"/", b"\xc3\xa9", b"js"], 8);
        assert!(!content_type(&name, NO, DEFAULT, true).is_empty());
    }
}
