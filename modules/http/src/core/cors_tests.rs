use super::cors::{Line, MAX_HEADERS, Names, Origin, Policy};
use super::noise_tests::Noise;

fn policy(origins: &[&str]) -> Policy {
    let origins = origins.iter().map(|text| Origin::parse(text).expect("origin")).collect();
    Policy { origins, ..Policy::default() }
}

fn list(names: &[&str]) -> Names {
    Names::List(names.iter().map(|&name| name.to_owned()).collect())
}

fn value<'a>(lines: &'a [Line], name: &str) -> Option<&'a str> {
    lines.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
}

#[test]
fn origins() {
    for (text, origin, want) in [
        ("*", "https://a.example", true),
        ("*", "null", true),
        ("https://a.example", "https://a.example", true),
        ("HTTPS://A.example:443", "https://a.example", true),
        ("http://a.example:80", "http://a.example", true),
        ("http://a.example:443", "http://a.example", false),
        ("https://a.example", "http://a.example", false),
        ("https://a.example", "https://a.example:8443", false),
        ("https://a.example:8443", "https://a.example:8443", true),
        ("https://a.example", "https://a.example.evil.example", false),
        ("https://a.example", "https://b.a.example", false),
        ("https://a.example", "https://a.example/", false),
        ("https://[::1]:81", "https://[::1]:81", true),
        ("http://127.0.0.1:3000", "http://127.0.0.1:3000", true),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", true),
        ("https://*.example.com", "https://a.example.com", true),
        ("https://*.example.com", "https://a.b.example.com", true),
        ("https://*.example.com", "https://example.com", false),
        ("https://*.example.com", "https://.example.com", false),
        ("https://*.example.com", "https://a..example.com", false),
        ("https://*.example.com", "https://evilexample.com", false),
        ("https://*.example.com", "http://a.example.com", false),
        ("https://*.example.com", "https://a.example.com:8443", false),
        ("https://*.example.com", "https://evil.test/.example.com", false),
        ("https://*.example.com", "https://evil.test#.example.com", false),
        ("https://*.example.com", "https://user@a.example.com", false),
        ("https://*.example.com", "https://A.example.com", false),
        ("https://*.example.com", "https://a.example.com.evil.test", false),
        ("https://*.example.com:8443", "https://a.example.com:8443", true),
        ("https://*.example.com:443", "https://a.example.com", true),
    ] {
        let parsed = Origin::parse(text).expect(text);
        assert_eq!(parsed.matches(origin.as_bytes()), want, "{text} {origin}");
    }
    for text in [
        "",
        "null",
        "NULL",
        "example.com",
        "https://",
        "://a.example",
        "https://a.example/",
        "https://a.example/path",
        "https://a.example:",
        "https://a.example:99999",
        "https://a.example:x",
        "https://*",
        "https://*.",
        "https://*example.com",
        "https://a.*.example.com",
        "https://[::1",
        "https://[::g]",
        "https://a b",
        "https://a.example\r\n",
        "https://user@a.example",
        "**",
    ] {
        assert!(Origin::parse(text).is_err(), "{text}");
    }
}

#[test]
fn simple_requests() {
    let mut one = policy(&["https://a.example", "https://*.b.example"]);
    one.exposed = list(&["X-Total", "ETag"]);
    one.credentials = true;
    assert_eq!(
        one.simple(Some(b"https://x.b.example")),
        [
            ("Access-Control-Allow-Origin", "https://x.b.example".to_owned()),
            ("Access-Control-Allow-Credentials", "true".to_owned()),
            ("Access-Control-Expose-Headers", "X-Total, ETag".to_owned()),
            ("Vary", "Origin".to_owned()),
        ]
    );
    let vary = [("Vary", "Origin".to_owned())];
    assert_eq!(one.simple(Some(b"https://c.example")), vary);
    assert_eq!(one.simple(Some(b"https://a.example\r\nx: y")), vary);
    assert_eq!(one.simple(Some(b"null")), vary);
    assert_eq!(one.simple(Some(b"")), vary);
    assert_eq!(one.simple(None), vary);

    let mut public = policy(&["*"]);
    assert_eq!(public.simple(Some(b"null")), [("Access-Control-Allow-Origin", "*".to_owned())]);
    assert_eq!(public.simple(None), []);
    public.exposed = Names::Any;
    assert_eq!(value(&public.simple(Some(b"x")), "Access-Control-Expose-Headers"), Some("*"));

    assert_eq!(Policy::default().simple(Some(b"https://a.example")), []);
}

#[test]
fn never_all_with_credentials() {
    let mut both = policy(&["*", "https://a.example"]);
    both.credentials = true;
    assert!(both.validate().is_err_and(|error| error.contains("credentials with origin *")));
    assert_eq!(both.simple(Some(b"https://evil.example")), [("Vary", "Origin".to_owned())]);
    let answer = both.preflight(b"OPTIONS", Some(b"https://evil.example"), Some(b"PUT"), None).expect("preflight");
    assert!(!answer.allowed && value(&answer.lines, "Access-Control-Allow-Origin").is_none());
    assert_eq!(
        value(&both.simple(Some(b"https://a.example")), "Access-Control-Allow-Origin"),
        Some("https://a.example")
    );
}

#[test]
fn validates() {
    let valid = Policy {
        methods: list(&["PUT", "DELETE"]),
        headers: list(&["Content-Type"]),
        exposed: list(&["ETag"]),
        credentials: true,
        max_age: Some(600),
        ..policy(&["https://a.example"])
    };
    assert_eq!(valid.validate(), Ok(()));
    for (broken, says) in [
        (Policy { methods: list(&["P UT"]), ..valid.clone() }, "method \"P UT\""),
        (Policy { headers: list(&[""]), ..valid.clone() }, "header \"\""),
        (Policy { headers: list(&["a\r\nb"]), ..valid.clone() }, "header"),
        (Policy { headers: list(&["*"]), ..valid.clone() }, "stands alone"),
        (Policy { exposed: list(&["é"]), ..valid.clone() }, "exposed header"),
        (Policy { exposed: Names::Any, ..valid.clone() }, "credentials with exposed"),
    ] {
        let error = broken.validate().expect_err(says);
        assert!(error.contains(says), "{error}");
    }
    assert_eq!(Policy { methods: Names::Any, headers: Names::Any, ..valid }.validate(), Ok(()));
}

#[test]
fn what_is_a_preflight() {
    let policy = policy(&["*"]);
    let origin = Some(&b"https://a.example"[..]);
    assert!(policy.preflight(b"OPTIONS", origin, Some(b"PUT"), None).is_some());
    assert!(policy.preflight(b"GET", origin, Some(b"PUT"), None).is_none());
    assert!(policy.preflight(b"options", origin, Some(b"PUT"), None).is_none());
    assert!(policy.preflight(b"OPTIONS", None, Some(b"PUT"), None).is_none());
    assert!(policy.preflight(b"OPTIONS", origin, None, None).is_none());
}

#[test]
fn preflights() {
    let listed = Policy {
        methods: list(&["PUT", "PATCH"]),
        headers: list(&["Content-Type", "X-Api-Key"]),
        max_age: Some(600),
        credentials: true,
        ..policy(&["https://a.example"])
    };
    let ask = |origin: &str, method: &str, headers: Option<&str>| {
        let headers = headers.map(str::as_bytes);
        listed.preflight(b"OPTIONS", Some(origin.as_bytes()), Some(method.as_bytes()), headers).expect("preflight")
    };
    let full = ask("https://a.example", "PUT", Some("content-type, X-API-KEY"));
    assert!(full.allowed);
    assert_eq!(
        full.lines,
        [
            ("Access-Control-Allow-Origin", "https://a.example".to_owned()),
            ("Access-Control-Allow-Credentials", "true".to_owned()),
            ("Access-Control-Allow-Methods", "PUT, PATCH".to_owned()),
            ("Access-Control-Allow-Headers", "Content-Type, X-Api-Key".to_owned()),
            ("Access-Control-Max-Age", "600".to_owned()),
            ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned()),
        ]
    );
    for (origin, method, headers, want) in [
        ("https://a.example", "PATCH", None, true),
        ("https://a.example", "GET", None, true),
        ("https://a.example", "POST", Some(""), true),
        ("https://a.example", "PUT", Some(" , x-api-key,,"), true),
        ("https://a.example", "DELETE", None, false),
        ("https://a.example", "put", None, false),
        ("https://a.example", "PUT", Some("x-other"), false),
        ("https://a.example", "PUT", Some("x-api-key, bad name"), false),
        ("https://a.example", "", None, false),
        ("https://b.example", "PUT", None, false),
    ] {
        assert_eq!(ask(origin, method, headers).allowed, want, "{origin} {method} {headers:?}");
    }
    assert_eq!(ask("https://b.example", "PUT", None).lines.len(), 1);
}

#[test]
fn preflights_of_any() {
    let any = Policy { methods: Names::Any, headers: Names::Any, credentials: true, ..policy(&["https://a.example"]) };
    let ask = |method: &[u8], headers: &[u8]| {
        any.preflight(b"OPTIONS", Some(b"https://a.example"), Some(method), Some(headers)).expect("preflight")
    };
    let answer = ask(b"PURGE", b"authorization,x-a");
    assert!(answer.allowed);
    assert_eq!(value(&answer.lines, "Access-Control-Allow-Methods"), Some("PURGE"));
    assert_eq!(value(&answer.lines, "Access-Control-Allow-Headers"), Some("authorization, x-a"));
    let evil = ask(b"PUT\r\nx", b"a\r\nb: c");
    assert!(!evil.allowed);
    assert_eq!(value(&evil.lines, "Access-Control-Allow-Methods"), None);
    assert_eq!(value(&evil.lines, "Access-Control-Allow-Headers"), None);
    let names = |count: usize| vec!["x-a"; count].join(",");
    assert!(ask(b"PUT", names(MAX_HEADERS).as_bytes()).allowed);
    assert!(!ask(b"PUT", names(MAX_HEADERS + 1).as_bytes()).allowed);
    assert!(!ask(b"PUT", "x".repeat(65).as_bytes()).allowed);
}

#[test]
fn noise_makes_no_lines() {
    let mut noise = Noise::new(31);
    let policies = [
        policy(&["*"]),
        Policy { methods: Names::Any, headers: Names::Any, credentials: true, ..policy(&["https://*.example"]) },
    ];
    let pieces: [&[u8]; 8] = [b"https://", b"a", b".example", b"\r\n", b",", b" ", b":", b"*"];
    for _ in 0..20_000 {
        let [origin, method, headers] = [(); 3].map(|()| noise.text(&pieces, 6));
        for policy in &policies {
            let preflight = policy.preflight(b"OPTIONS", Some(&origin), Some(&method), Some(&headers));
            let lines = [policy.simple(Some(&origin)), preflight.expect("preflight").lines].concat();
            for (_, value) in lines {
                assert!(value.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{value:?}");
                assert!(value != "*" || !policy.credentials);
            }
        }
    }
}
