use super::noise_tests::Noise;
use super::rewrite::{Kind, MAX_TARGET, Rewrite};

fn apply(pattern: &str, to: &str, flag: &str, path: &str, query: Option<&str>) -> Option<String> {
    let rule = Rewrite::parse(pattern, to, flag).expect(to);
    rule.apply(path.as_bytes(), query.map(str::as_bytes)).map(|target| target.location)
}

#[test]
fn rewrites() {
    for (pattern, to, path, want) in [
        ("^/old/(.*)$", "/new/$1", "/old/a/b", Some("/new/a/b")),
        ("^/old/(.*)$", "/new/$1", "/older/a", None),
        ("old", "/new", "/very/old/page", Some("/new")),
        ("^/u/(?<user>[a-z]+)/(?<page>[0-9]+)$", "/p/${page}/of/${user}", "/u/ann/7", Some("/p/7/of/ann")),
        ("^/(.)(.)(.)(.)(.)(.)(.)(.)(.)$", "/$9$8$7$6$5$4$3$2$1", "/123456789", Some("/987654321")),
        ("^/(a)$", "/$10", "/a", Some("/a0")),
        ("^/(a)$", "/${1}0", "/a", Some("/a0")),
        ("^/(a)$", "/cost$$1/$1", "/a", Some("/cost$1/a")),
        ("^/(a)?b$", "/x$1y", "/b", Some("/xy")),
        ("^(/.*)\\.php$", "$1", "/a/b.php", Some("/a/b")),
        ("^/(.*)$", "$1", "/a", Some("/a")),
        ("^/(.*)$", "/%7Euser/$1", "/a b\u{e9}%", Some("/%7Euser/a%20b%C3%A9%25")),
        ("(?i)^/A$", "/b", "/a", Some("/b")),
    ] {
        assert_eq!(apply(pattern, to, "internal", path, None).as_deref(), want, "{pattern} {to} {path}");
    }
}

#[test]
fn paths_need_not_be_utf8() {
    let rule = Rewrite::parse("^/(.*)$", "/x/$1", "internal").expect("rule");
    assert_eq!(rule.apply(b"/a\xff\x80b", None).expect("match").location, "/x/a%FF%80b");
    let rule = Rewrite::parse("^/\u{e9}([^/]+)$", "/$1", "internal").expect("rule");
    assert_eq!(rule.apply("/\u{e9}x\u{e9}".as_bytes(), None).expect("match").location, "/x%C3%A9");
}

#[test]
fn kinds() {
    for (flag, kind) in [
        ("internal", Kind::Internal),
        ("break", Kind::Break),
        ("redirect", Kind::Redirect(302)),
        ("permanent", Kind::Redirect(301)),
        ("301", Kind::Redirect(301)),
        ("302", Kind::Redirect(302)),
        ("303", Kind::Redirect(303)),
        ("307", Kind::Redirect(307)),
        ("308", Kind::Redirect(308)),
    ] {
        let rule = Rewrite::parse("^/a$", "/b", flag).expect(flag);
        assert_eq!(rule.kind, kind);
        assert_eq!(rule.apply(b"/a", None).expect("match").kind, kind);
    }
    for flag in ["", "304", "300", "0301", "+301", "last", "200"] {
        assert!(Rewrite::parse("^/a$", "/b", flag).is_err_and(|error| error.contains("flag")), "{flag}");
    }
}

#[test]
fn queries() {
    for (to, query, want) in [
        ("/b", None, "/b"),
        ("/b", Some(""), "/b"),
        ("/b", Some("x=1&y=%20"), "/b?x=1&y=%20"),
        ("/b?", Some("x=1"), "/b"),
        ("/b?z=$1", None, "/b?z=a"),
        ("/b?z=$1", Some("x=1"), "/b?z=a&x=1"),
        ("/b?z=$1&", Some("x=1"), "/b?z=a&x=1"),
        ("/b?z=$1?", Some("x=1"), "/b?z=a"),
        ("/b#top", Some("x=1"), "/b?x=1#top"),
        ("/b?#top", Some("x=1"), "/b#top"),
        ("https://c.example", Some("x=1"), "https://c.example/?x=1"),
        ("https://c.example?q=$1", Some("x=1"), "https://c.example/?q=a&x=1"),
        ("/b", Some("x=a b\r\nc#d\u{e9}\"<>"), "/b?x=a%20b%0D%0Ac%23d%C3%A9%22%3C%3E"),
        ("/b", Some("x?y//z"), "/b?x?y//z"),
    ] {
        assert_eq!(apply("^/(a)$", to, "302", "/a", query).as_deref(), Some(want), "{to} {query:?}");
    }
}

#[test]
fn captures_cannot_break_out() {
    for (to, path, want) in [
        // Another host.
        ("/$1", "/x//evil.example/", "/evil.example/"),
        ("/$1", "/x////evil.example", "/evil.example"),
        ("$1", "/x//evil.example", "/evil.example"),
        ("$1$1", "/x/", "/"),
        ("/$1", "/x/\\evil.example", "/%5Cevil.example"),
        ("$1", "/x/https://evil.example", "/https%3A//evil.example"),
        ("$1", "/x/javascript:alert(1)", "/javascript%3Aalert%281%29"),
        ("https://a.example/$1", "/x//evil.example", "https://a.example/evil.example"),
        ("https://a.example/$1", "/x/@evil.example", "https://a.example/%40evil.example"),
        // Another line, a query, a fragment, another argument.
        ("/$1", "/x/a\r\nSet-Cookie: b", "/a%0D%0ASet-Cookie%3A%20b"),
        ("/$1", "/x/a?b#c", "/a%3Fb%23c"),
        ("/b?c=$1", "/x/d&e=f+#g", "/b?c=d%26e%3Df%2B%23g"),
        ("/$1", "/x/%0d%2e%2e", "/%250d%252e%252e"),
        // Up.
        ("/files/$1", "/x/../etc", "/files/etc"),
        ("/files/$1", "/x/..", "/files"),
        ("/files/.$1", "/x/./etc", "/files/etc"),
        ("/$1", "/x/..", "/"),
        ("/$1", "/x/..//evil.example", "/evil.example"),
        ("/$1", "/x/.//.//evil.example", "/evil.example"),
        ("/a/$1", "/x/...", "/a/..."),
        ("/a/$1", "/x/b//c/", "/a/b//c/"),
    ] {
        assert_eq!(apply("^/x/(?s-u:(.*))$", to, "302", path, None).as_deref(), Some(want), "{to} {path}");
    }
}

#[test]
fn says_what_is_wrong() {
    for (pattern, to, says) in [
        ("(", "/", "pattern \"(\": unclosed group"),
        ("[a", "/", "unclosed character class"),
        ("a{2,1}", "/", "invalid repetition"),
        ("(a{1000}){1000}", "/", "size limit"),
        ("(?=a)", "/", "look-around"),
        ("^/(a)$", "/$2", "no capture $2: the pattern has 1"),
        ("^/a$", "/$1", "no capture $1: the pattern has 0"),
        ("^/(a)$", "/${7}", "no capture $7"),
        ("^/(a)$", "/$0", "begin with $1"),
        ("^/(a)$", "/${name}", "no capture named \"name\""),
        ("^/(a)$", "/${name", "a ${ without }"),
        ("^/(a)$", "/a$", "a $ must be followed"),
        ("^/(a)$", "/$a", "a $ must be followed"),
        ("^/(a)$", "/{a}", "brace"),
        ("^/(a)$", "/a b", "' ' must be percent-encoded"),
        ("^/(a)$", "/a\r\nb", "must be percent-encoded"),
        ("^/(a)$", "/\u{e9}", "must be percent-encoded"),
        ("^/(a)$", "/\\evil", "must be percent-encoded"),
        ("^/(a)$", "/a%2", "a % without"),
        ("^/(a)$", "/a%zz", "a % without"),
        ("^/(a)$", "//evil.example/$1", "begins with //"),
        ("^/(a)$", "", "must begin with"),
        ("^/(a)$", "new/$1", "must begin with"),
        ("^/(a)$", "javascript:$1", "must begin with"),
        ("^/(a)$", "1x://h/", "not a scheme"),
        ("^/(a)$", "https:///a", "no host"),
        ("^/(a)$", "https://$1.example.com/", "capture in the host"),
        ("^/(a)$", "https://example.com$1", "capture in the host"),
        ("^/(a)$", "https://a@b/", "not a host"),
        ("^/(a)$", "/b#$1", "a capture after #"),
        ("^/(a)$", "/b/../c", "write where it leads"),
        ("^/(a)$", "/b/.", "write where it leads"),
        ("^/(a)$", "/%2E./c", "write where it leads"),
        ("^/(a)$", "/$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1$1", "more than 16 captures"),
        (&"a".repeat(2049), "/", "more than 2048"),
    ] {
        let error = Rewrite::parse(pattern, to, "302").expect_err(to);
        assert!(error.contains(says) && !error.contains('\n'), "{to}: {error}");
    }
    for (to, says) in [("https://a.example/", "only a redirect"), ("/b#c", "means nothing")] {
        assert!(Rewrite::parse("a", to, "internal").is_err_and(|error| error.contains(says)), "{to}");
    }
}

#[test]
fn targets_are_bounded() {
    let rule = Rewrite::parse("^/(.*)$", "/$1$1$1$1", "302").expect("rule");
    let of = |length: usize| rule.apply(format!("/{}", "a".repeat(length)).as_bytes(), None);
    assert_eq!(of(MAX_TARGET / 4 - 1).expect("fits").location.len(), MAX_TARGET - 3);
    assert_eq!(of(MAX_TARGET / 4), None);
    let short = Rewrite::parse("^/", "/", "302").expect("rule");
    assert_eq!(short.apply(b"/", Some(&[b'a'; MAX_TARGET])), None);
}

#[test]
fn noise_stays_here() {
    let mut noise = Noise::new(51);
    let rules = ["/$1", "$1", "/files/$1", "/a.$1$2", "$2$1?q=$1"]
        .map(|to| Rewrite::parse("^/(.*?)(/.*)?$", to, "302").expect(to));
    let pieces: [&[u8]; 12] = [b"/", b"/", b".", b"..", b"\\", b"%2e", b"?", b"#", b":", b"@", b"\r\n", b"evil"];
    for _ in 0..40_000 {
        let path = [b"/", &noise.text(&pieces, 8)[..]].concat();
        let query = noise.text(&pieces, 4);
        for rule in &rules {
            let Some(target) = rule.apply(&path, Some(&query)) else { continue };
            let location = target.location;
            assert!(location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'), "{location}");
            assert!(location.starts_with('/') && !location.starts_with("//"), "{location}");
            let path = location.split('?').next().unwrap_or_default();
            assert!(path.split('/').all(|segment| !matches!(segment, "." | "..")), "{location}");
        }
    }
}
