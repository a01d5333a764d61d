//! What must hold for any bytes in values that this module reads one at a time: as `checks.rs`, which has what is larger.
#![allow(dead_code, reason = "each fuzz target calls one of the functions")]

use anyproxy_http::core::cors::{Names, Origin, Policy};
use anyproxy_http::core::domains::{self, Host, MAX_HOPS, MAX_LIST};
use anyproxy_http::core::redirect::{DomainRule, PathRule, Rule, rewrite_cookie, rewrite_location, rewrite_refresh};
use anyproxy_http::core::{cookie, query};
use std::net::IpAddr;

fn is_one_line(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

/// Lists of hops: each step takes one off, a hop has one spelling, and what is a name is no address to anybody.
pub(crate) fn hops(input: &[u8]) -> bool {
    let mut list = input.to_vec();
    let mut taken = 0;
    loop {
        assert!(taken <= MAX_HOPS, "a list without end");
        let Ok((hop, rest)) = domains::split(&list) else { break };
        taken += 1;
        assert!(rest.len() < list.len().min(MAX_LIST) && is_one_line(rest));
        if let Host::Name(name) = hop.host {
            assert!(!name.is_empty() && name.parse::<IpAddr>().is_err());
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{name}");
        }
        assert_ne!(hop.port, Some(0));
        let said = hop.to_string();
        let (again, nothing) = domains::split(said.as_bytes()).expect("what is said can be read");
        assert_eq!((again, nothing), (hop, &b""[..]));
        let rest = rest.to_vec();
        if rest.is_empty() {
            break;
        }
        list = rest;
    }
    taken > 0
}

/// Addresses that peers send clients to: never a second line, never another host than the rule's, and the same again where
/// the rule has nothing to say of what it made.
pub(crate) fn redirect(input: &[u8]) -> bool {
    const PUBLIC: &str = "https://example.com/x/";
    let own = [Rule::default_of("http://peer:8080/app/", PUBLIC).expect("a rule")];
    let within = [Rule::new("/app/", "/").expect("a rule")];
    let mut accepted = false;
    for (rules, to) in [(&own, PUBLIC), (&within, "/")] {
        if let Some(out) = rewrite_location(input, rules) {
            accepted = true;
            assert!(is_one_line(&out) && out.starts_with(to.as_bytes()), "{}", out.escape_ascii());
            assert!(!out.starts_with(b"//") && !out.starts_with(b"/\\"), "{}", out.escape_ascii());
        }
        if let Some(out) = rewrite_refresh(input, rules) {
            accepted = true;
            assert!(is_one_line(&out));
            let seconds = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
            assert_eq!(out[..seconds], input[..seconds], "the time stays");
        }
    }
    let domains = [DomainRule { from: Some("peer".to_owned()), to: Some("example.com".to_owned()) }];
    let paths = [PathRule { from: "/app/".to_owned(), to: "/".to_owned() }];
    assert_eq!(rewrite_cookie(input, &[], &[]), None);
    if let Some(out) = rewrite_cookie(input, &domains, &paths) {
        accepted = true;
        assert!(is_one_line(&out));
        let pair = |value: &[u8]| value.split(|&byte| byte == b';').next().map(<[u8]>::to_vec);
        assert_eq!(pair(&out), pair(input), "name and value stay");
        let count = |value: &[u8]| value.iter().filter(|&&byte| byte == b';').count();
        assert_eq!(count(&out), count(input), "no attribute comes or goes");
    }
    accepted
}

/// Cookies and parameters: the first line of the input is the name. What is found stands in the value, and is found again
/// behind others and in front of them.
pub(crate) fn pairs(input: &[u8]) -> bool {
    let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
    let (name, value) = (&input[..end], input.get(end + 1..).unwrap_or_default());
    type Find = for<'a> fn(&'a [u8], &[u8]) -> Option<&'a [u8]>;
    let mut accepted = false;
    for (find, between) in [(cookie::value as Find, b';'), (query::value as Find, b'&')] {
        let Some(found) = find(value, name) else { continue };
        accepted = true;
        assert!(!name.is_empty() && !found.contains(&between));
        assert!(value.as_ptr_range().start <= found.as_ptr_range().start);
        assert!(found.as_ptr_range().end <= value.as_ptr_range().end);
        let more = [value, &[between], name, b"=other"].concat();
        assert_eq!(find(&more, name), Some(found), "the first counts");
        if !name.contains(&between) && !name.contains(&b'=') {
            let first = [name, b"=x", &[between], value].concat();
            assert_eq!(find(&first, name), (trimmed(name) == name || between == b'&').then_some(&b"x"[..]));
        }
    }
    accepted
}

/// Without the white space around it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Origins of pages: who is let in is who asks, in one line, and below the names of the configuration.
pub(crate) fn origin(input: &[u8]) -> bool {
    let policy = Policy {
        origins: ["https://app.example", "http://*.example.com"].map(|o| Origin::parse(o).expect("an origin")).into(),
        methods: Names::List(vec!["PUT".to_owned()]),
        headers: Names::Any,
        credentials: true,
        ..Policy::default()
    };
    let told = |lines: &[(&str, String)]| {
        lines.iter().find(|line| line.0 == "Access-Control-Allow-Origin").map(|line| line.1.clone())
    };
    let simple = policy.simple(Some(input));
    if let Some(allowed) = told(&simple) {
        assert_eq!(allowed.as_bytes(), trimmed(input));
        let below = allowed.strip_prefix("http://").and_then(|rest| rest.strip_suffix(".example.com"));
        assert!(allowed == "https://app.example" || below.is_some_and(|name| !name.is_empty()), "{allowed}");
    }
    // Also where it is the method or the headers that nobody has seen before.
    let app = &b"https://app.example"[..];
    for (origin, method, headers) in [(input, &b"PUT"[..], None), (app, input, None), (app, &b"PUT"[..], Some(input))] {
        let Some(preflight) = policy.preflight(b"OPTIONS", Some(origin), Some(method), headers) else { continue };
        assert!(preflight.lines.iter().all(|line| is_one_line(line.1.as_bytes())), "{:?}", preflight.lines);
        assert!(!preflight.allowed || told(&preflight.lines).is_some());
    }
    told(&simple).is_some()
}
