use super::noise_tests::Noise;
use super::redirect::{DomainRule, MAX_VALUE, PathRule, Rule, rewrite_cookie, rewrite_location, rewrite_refresh};

fn location(rules: &[Rule], value: &str) -> Option<String> {
    rewrite_location(value.as_bytes(), rules).map(|out| String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn default_rule() {
    let rules = [Rule::default_of("http://backend:8080/one/", "/two/").expect("rule")];
    for (value, want) in [
        ("http://backend:8080/one/x?y#z", Some("/two/x?y#z")),
        ("HTTP://Backend:8080/one/", Some("/two/")),
        ("//backend:8080/one/x", Some("/two/x")),
        ("/one/x", Some("/two/x")),
        ("/one/", Some("/two/")),
        (" /one/x ", Some("/two/x")),
        ("/one", None),
        ("/ones/x", None),
        ("/two/x", None),
        ("x/y", None),
        ("?x", None),
        ("", None),
        ("https://backend:8080/one/x", None),
        ("http://backend/one/x", None),
        ("http://backend:80801/one/x", None),
        ("http://backend:8080.evil.example/one/x", None),
        ("http://user@backend:8080/one/x", None),
        ("http://other/one/x", None),
        ("mailto:a@example.com", None),
        ("http:/one/x", None),
        ("/one//evil.example", Some("/two/evil.example")),
    ] {
        assert_eq!(location(&rules, value).as_deref(), want, "{value}");
    }
}

#[test]
fn default_rule_of_roots() {
    let rules = [Rule::default_of("http://127.0.0.1", "/app").expect("rule")];
    for (value, want) in [
        ("http://127.0.0.1", Some("/app")),
        ("http://127.0.0.1:80/x", Some("/app/x")),
        ("http://127.0.0.1?x", None),
        ("/", Some("/app")),
        ("/x", Some("/app/x")),
        ("/?x", Some("/app?x")),
    ] {
        assert_eq!(location(&rules, value).as_deref(), want, "{value}");
    }
    let rules = [Rule::default_of("http://a/", "/").expect("rule")];
    for (value, want) in [
        ("http://a/x", Some("/x")),
        ("/x", None),
        ("http://a//evil.example", Some("/evil.example")),
        ("http://a///evil.example", Some("/evil.example")),
        ("http://a/\\evil.example", Some("/evil.example")),
        ("http://a/\\/evil.example", Some("/evil.example")),
        ("http://a\\.evil.example/", None),
    ] {
        assert_eq!(location(&rules, value).as_deref(), want, "{value}");
    }
}

#[test]
fn own_rules() {
    let rules = [
        Rule::new("http://backend", "https://www.example.com").expect("rule"),
        Rule::new("http://other:81/a", "https://www.example.com/b/").expect("rule"),
        Rule::new("/old", "/new").expect("rule"),
        Rule::new("//cdn.internal/", "https://cdn.example.com/").expect("rule"),
    ];
    for (value, want) in [
        ("http://backend", Some("https://www.example.com")),
        ("http://backend/", Some("https://www.example.com/")),
        ("http://backend:80/x", Some("https://www.example.com/x")),
        ("http://backend?x", Some("https://www.example.com?x")),
        ("http://backend#x", Some("https://www.example.com#x")),
        ("http://backend.evil.example/", None),
        ("http://backend\\x", None),
        ("http://other:81/a", Some("https://www.example.com/b/")),
        ("http://other:81/a/x", Some("https://www.example.com/b/x")),
        ("http://other:81/a?x", Some("https://www.example.com/b/?x")),
        ("http://other:81/ab", None),
        ("http://other:81", None),
        ("/old", Some("/new")),
        ("/old/x", Some("/new/x")),
        ("/older", None),
        ("http://third/old", None),
        ("https://cdn.internal/x", Some("https://cdn.example.com/x")),
        ("http://cdn.internal/x", Some("https://cdn.example.com/x")),
    ] {
        assert_eq!(location(&rules, value).as_deref(), want, "{value}");
    }
    assert_eq!(location(&[], "/old"), None);
}

#[test]
fn refuses_rules() {
    for (from, to) in [
        ("", "/"),
        ("old", "/"),
        ("/", "new"),
        ("/", ""),
        ("/", "//evil.example/"),
        ("/a b", "/"),
        ("/", "/\r\n"),
        ("/", "/\\evil"),
        ("ftp://a/", "/"),
        ("http://", "/"),
        ("http:///a", "/"),
        ("http://u@a/", "/"),
        ("/", "\u{e9}"),
    ] {
        assert!(Rule::new(from, to).is_err(), "{from} {to}");
    }
    assert!(Rule::default_of("/a", "/").is_err());
}

#[test]
fn refreshes() {
    let rules = [Rule::default_of("http://backend/one/", "/two/").expect("rule")];
    for (value, want) in [
        ("5; url=/one/x", Some("5; url=/two/x")),
        ("0;URL=http://backend/one/x", Some("0;URL=/two/x")),
        ("5; url='/one/x'", Some("5; url='/two/x'")),
        ("5; url=\"/one/x\"", Some("5; url=\"/two/x\"")),
        ("5; url='", None),
        ("5; url=/three", None),
        ("5", None),
        ("", None),
        ("5; url=/one/\r\nx", None),
    ] {
        let got = rewrite_refresh(value.as_bytes(), &rules);
        assert_eq!(got.as_deref(), want.map(str::as_bytes), "{value}");
    }
}

#[test]
fn cookies() {
    let domain =
        |from: Option<&str>, to: Option<&str>| DomainRule { from: from.map(str::to_owned), to: to.map(str::to_owned) };
    let path = |from: &str, to: &str| PathRule { from: from.to_owned(), to: to.to_owned() };
    let domains = [domain(Some("backend.internal"), Some("example.com")), domain(Some(".gone.internal"), None)];
    let paths = [path("/one/", "/two/"), path("/a", "/"), path("/evil", "/x;Domain=y"), path("/line", "/\r\n")];
    for (value, want) in [
        ("a=b; Domain=backend.internal; Path=/one/x", Some("a=b; Domain=example.com; Path=/two/x")),
        ("a=b;domain = .BACKEND.internal ;Secure", Some("a=b; Domain=example.com;Secure")),
        ("a=b; Domain=gone.internal; HttpOnly", Some("a=b; HttpOnly")),
        ("a=b; Domain=other", None),
        ("a=b; Domain=x.backend.internal", None),
        ("a=b; Path=/one", Some("a=b; Path=/two/")),
        ("a=b; Path=/ones", None),
        ("a=b; Path=/a", Some("a=b; Path=/")),
        ("a=b; Path=/a/b", Some("a=b; Path=/b")),
        ("a=b; Path=/ab", None),
        ("a=b; Path=/evil", None),
        ("a=b; Path=/line", None),
        ("Path=/one/; HttpOnly", None),
        ("Domain=backend.internal", None),
        ("a=b; x=Path=/one/", None),
        // Quotes mean nothing to a browser here (RFC 6265 5.2).
        ("a=\"b; Path=/one/x\"", Some("a=\"b; Path=/two/x\"")),
        ("a=b", None),
        ("", None),
        ("__Host-a=b; Path=/one/", None),
        ("a=b; Path=/one/\r\nx: y", None),
    ] {
        let got = rewrite_cookie(value.as_bytes(), &domains, &paths);
        assert_eq!(got.as_deref(), want.map(str::as_bytes), "{value}");
    }
    let any = [domain(None, None)];
    assert_eq!(rewrite_cookie(b"a=b; Domain=x", &any, &[]).as_deref(), Some(&b"a=b"[..]));
    let root = [path("/", "/app/")];
    assert_eq!(rewrite_cookie(b"a=b; Path=/", &[], &root).as_deref(), Some(&b"a=b; Path=/app/"[..]));
    assert_eq!(rewrite_cookie(b"a=b; Path=/x", &[], &root).as_deref(), Some(&b"a=b; Path=/app/x"[..]));
    assert_eq!(rewrite_cookie(b"a=b; Path=x", &[], &root), None);
}

#[test]
fn long_values_are_left_alone() {
    let rules = [Rule::new("/", "/a/").expect("rule")];
    let of = |length: usize| location(&rules, &format!("/{}", "x".repeat(length - 1)));
    assert!(of(MAX_VALUE).is_some());
    assert!(of(MAX_VALUE + 1).is_none());
}

#[test]
fn noise_makes_no_lines() {
    let mut noise = Noise::new(61);
    let rules = [
        Rule::default_of("http://a/", "/").expect("rule"),
        Rule::new("/b/", "/").expect("rule"),
        Rule::new("//c", "https://d").expect("rule"),
    ];
    let domains = [DomainRule { from: None, to: Some("d".to_owned()) }];
    let paths = [PathRule { from: "/".to_owned(), to: "/a".to_owned() }];
    let pieces: [&[u8]; 14] = [
        b"http://",
        b"//",
        b"/",
        b"a",
        b"b",
        b"c",
        b":80",
        b"\\",
        b"\r\n",
        b"; url=",
        b";Path=",
        b"; Domain=",
        b"'",
        b"\xff",
    ];
    for _ in 0..60_000 {
        let value = noise.text(&pieces, 8);
        let outs = [
            rewrite_location(&value, &rules),
            rewrite_refresh(&value, &rules),
            rewrite_cookie(&value, &domains, &paths),
        ];
        for out in outs.iter().flatten() {
            assert!(!out.iter().any(u8::is_ascii_control), "{}", out.escape_ascii());
        }
        if let [Some(out), ..] = &outs {
            assert!(!out.starts_with(b"//") && !out.starts_with(b"/\\"), "{}", out.escape_ascii());
        }
    }
}
