//! What peers are told of clients and of this proxy, and which Host they get.

use crate::support::{OK, Scripted, once, proxy_to, server};

/// The head that the peer gets of this request, which ends with its headers.
fn told(directives: &str, request: &str) -> String {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), directives);
    assert_eq!(once(&proxy, format!("{request}\r\n")).text(), "ok");
    origin.seen().pop().expect("a request").0
}

const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: a.test:81\r\nX-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Host: forged\r\n\
X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.8\r\n";

#[test]
fn by_default_peers_get_the_x_headers_and_none_that_a_client_made_up() {
    let head = told("", CLAIMS);
    for line in ["X-Forwarded-For: 192.0.2.7, 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: a.test:81"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert!(!head.contains("forged") && !head.contains("\r\nForwarded:"), "{head}");
}

#[test]
fn the_standard_header_takes_their_place_or_stands_beside_them() {
    let forwarded = "Forwarded: for=192.0.2.8, for=127.0.0.1;host=\"a.test:81\";proto=http\r\n";
    let head = told("http_forwarded \"rfc7239\"", CLAIMS);
    assert!(head.contains(forwarded) && !head.contains("X-Forwarded"), "{head}");
    let head = told("http_forwarded \"both\"", CLAIMS);
    assert!(head.contains(forwarded) && head.contains("X-Forwarded-Host: a.test:81\r\n"), "{head}");
    assert_eq!(head.matches("X-Forwarded-").count(), 3, "{head}");
}

#[test]
fn off_leaves_them_as_they_came() {
    let head = told("http_forwarded \"off\"", CLAIMS);
    for line in ["X-Forwarded-For: 192.0.2.7", "X-Forwarded-Host: forged", "Forwarded: for=192.0.2.8"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert!(!told("http_forwarded \"off\"", "GET / HTTP/1.1\r\nHost: a\r\n").contains("orwarded"));
}

#[test]
fn what_a_rule_says_stands_in_place_of_what_this_proxy_would() {
    let lines = |directives: &str, name: &str| {
        let head =
            told(&format!("http_forwarded \"both\"\n{directives}"), &format!("{CLAIMS}Via: 1.1 outer\r\nX-Id: a\r\n"));
        let named = |l: &str| Some(l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name))?.1.to_owned());
        head.lines().filter_map(named).collect::<Vec<_>>()
    };
    for (also, name) in [
        ("", "X-Forwarded-For"),
        ("", "X-Forwarded-Proto"),
        ("", "X-Forwarded-Host"),
        ("", "Forwarded"),
        ("http_via \"edge\"", "Via"),
        ("http_request_id \"X-Id\"", "X-Id"),
    ] {
        assert_eq!(lines(also, name).len(), 1, "{name}");
        let rule = |text: &str| format!("{also}\nhttp_request_header {text}");
        assert_eq!(lines(&rule(&format!("\"set\" \"{name}\" \"mine\"")), name), ["mine"]);
        let lower = name.to_ascii_lowercase();
        assert_eq!(lines(&rule(&format!("\"remove\" \"{lower}\"")), name), [""; 0], "{name}");
        // One that is added stands beside it.
        assert_eq!(lines(&rule(&format!("\"add\" \"{name}\" \"mine\"")), name).len(), 2, "{name}");
    }
    let header = "http_request_header \"set\" \"X-Forwarded-For\" \"${http_request_x_forwarded_for} ${client_ip}\"";
    assert_eq!(lines(header, "X-Forwarded-For"), ["192.0.2.7 127.0.0.1"]);
}

#[test]
fn what_a_trusted_sender_says_of_its_own_client_is_passed_on() {
    let head = told("http_trusted \"127.0.0.1\"", CLAIMS);
    for line in ["X-Forwarded-Proto: https", "X-Forwarded-Host: forged", "X-Forwarded-For: 192.0.2.7, 127.0.0.1"] {
        assert!(head.contains(&format!("{line}\r\n")), "{line}: {head}");
    }
    assert_eq!(head.matches("X-Forwarded-").count(), 3, "{head}");
    // Where it says nothing, what is seen of it; and nobody else is believed.
    let nothing = told("http_trusted \"127.0.0.1\"", "GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: \r\n");
    let stranger = told("http_trusted \"192.0.2.1\"", CLAIMS);
    for (head, host) in [(nothing, "a.test"), (stranger, "a.test:81")] {
        let lines = [format!("X-Forwarded-Host: {host}\r\n"), "X-Forwarded-Proto: http\r\n".to_owned()];
        assert!(lines.iter().all(|l| head.contains(l)), "{head}");
    }
}

#[test]
fn a_trusted_sender_names_the_client_in_the_header_of_that_kind() {
    let told = |kind: &str, lines: &str| {
        let proxy =
            server(&format!("http_trusted \"127.0.0.1\"\n{kind}\nlocal {{ return 200 \"${{client_ip}}\"; }}")).start();
        once(&proxy, format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).text()
    };
    let both = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.8;proto=https\r\n";
    for (kind, client) in [("", "192.0.2.7"), ("x", "192.0.2.7"), ("both", "192.0.2.7"), ("rfc7239", "192.0.2.8")] {
        let kind = if kind.is_empty() { String::new() } else { format!("http_forwarded \"{kind}\"") };
        assert_eq!(told(&kind, both), client, "{kind}");
    }
    let standard = "http_forwarded \"rfc7239\"";
    let chain = "Forwarded: for=1.1.1.1\r\nForwarded: for=\"[2001:db8::1]:9\", for=127.0.0.1\r\n";
    assert_eq!(told(standard, chain), "2001:db8::1", "the last that is not trusted");
    for nothing in ["X-Forwarded-For: 192.0.2.7\r\n", "Forwarded: for=unknown\r\n", "Forwarded: \"for=1.1.1.1\r\n"] {
        assert_eq!(told(standard, nothing), "127.0.0.1", "{nothing}");
    }

    // Two of this proxy: the second one's lists of addresses see the client of the first.
    let trusting = format!("http_trusted \"127.0.0.1\"\n{standard}");
    let inner = server(&format!("{trusting}\nip_deny \"192.0.2.2\"\nlocal {{ return 200; }}")).start();
    let outer = proxy_to(inner.addr(0), &trusting);
    let status =
        |client: &str| once(&outer, format!("GET / HTTP/1.1\r\nHost: a\r\nForwarded: for={client}\r\n\r\n")).status;
    assert_eq!((status("192.0.2.2"), status("192.0.2.3")), (403, 200));
}

#[test]
fn via_names_this_proxy_both_ways() {
    let origin = Scripted::new(b"HTTP/1.1 200 OK\r\nVia: 1.0 inner\r\nContent-Length: 2\r\n\r\nok", false);
    let proxy = proxy_to(origin.addr(), "http_via \"edge-1\"");
    let a = once(&proxy, "GET / HTTP/1.0\r\nHost: a\r\nVia: 1.1 outer\r\n\r\n");
    assert_eq!(a.header("via"), Some("1.0 inner, 1.1 edge-1"), "{}", a.head);
    assert_eq!(a.head.matches("Via:").count(), 1, "{}", a.head);
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.contains("Via: 1.1 outer, 1.0 edge-1\r\n") && head.matches("Via:").count() == 1, "{head}");
    assert!(!told("", "GET / HTTP/1.1\r\nHost: a\r\n").contains("Via"), "not unless told");
}

#[test]
fn a_request_that_goes_round_is_ended() {
    // The proxy is its own peer.
    let port = harness::client::free_port();
    let proxy = crate::support::net(&format!(
        "server {{\nport_listen_tcp \"127.0.0.1:{port}\"\nhttp\nhttp_via \"me\" most=3\nlocal {{ proxy_pass_tcp \"127.0.0.1:{port}\"; }}\n}}"
    ))
    .start();
    assert_eq!(once(&proxy, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 508);
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_via \"me\"");
    for (via, status) in [("1.1 me", 200), ("1.1 me, 2 ME", 508), ("1.1 me (x), 1.1 other\r\nVia: 1.0 me", 508)] {
        assert_eq!(once(&proxy, format!("GET / HTTP/1.1\r\nHost: a\r\nVia: {via}\r\n\r\n")).status, status, "{via}");
    }
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn the_host_is_the_clients_the_peers_or_a_text() {
    let origin = Scripted::new(OK, false);
    let addr = origin.addr();
    let proxy = server(&format!(
        r#"
        http_host "inner.test"
        local {{ rule "${{path}}" text="/client"; http_host "client"; proxy_pass_tcp "{addr}"; }}
        local {{ rule "${{path}}" text="/peer"; http_host "peer"; proxy_pass_tcp "{addr}"; }}
        local {{ rule "${{path}}" text="/text"; http_host "${{http_request_x_tenant}}"; proxy_pass_tcp "{addr}"; }}
        local {{ rule "${{path}}" text="/rule"; http_request_header "set" "Host" "rule.test"; proxy_pass_tcp "{addr}"; }}
        local {{ proxy_pass_tcp "{addr}"; }}
        "#
    ))
    .start();
    let peer = addr.to_string();
    for (target, host) in [
        ("/client", "a.test:81"),
        ("/peer", peer.as_str()),
        ("/text", "one.test"),
        ("/rule", "rule.test"),
        ("/", "inner.test"),
    ] {
        for base in ["", "http://a.test:81"] {
            let request =
                format!("GET {base}{target} HTTP/1.1\r\nHost: a.test:81\r\nX-Tenant: one.test\r\nHost-Not: x\r\n\r\n");
            assert_eq!(once(&proxy, request).text(), "ok", "{target}");
            let (head, _) = origin.seen().pop().expect("a request");
            assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{base}{target}: {head}");
            assert_eq!(head.to_ascii_lowercase().matches("\r\nhost: ").count(), 1, "{base}{target}: {head}");
        }
    }
    // A text that comes to nothing: there is a Host all the same.
    assert_eq!(once(&proxy, "GET /text HTTP/1.1\r\nHost: a.test\r\n\r\n").text(), "ok");
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.contains("\r\nHost: a.test\r\n"), "{head}");
}

#[test]
fn mistakes_are_told() {
    for (line, what) in [
        ("http_forwarded \"xx\"", "rfc7239"),
        ("http_via \"two words\"", "cannot stand in a Via"),
        ("http_via \"\"", "cannot stand in a Via"),
        ("http_via \"a\" most=-1", "most"),
        ("http_host \"a\\r\\nX: b\"", "main.kdl:8:11: error: this is no Host"),
        (
            "http_request_header \"set\" \"a\" \"b\\r\\nX: c\"",
            "main.kdl:8:31: error: the value of \"a\" is not one line",
        ),
        (
            "http_response_header \"add\" \"a\" \"${status}\\u{0}\"",
            "main.kdl:8:32: error: the value of \"a\" is not one line",
        ),
        ("http_host \"${no_such_variable}\"", "no_such_variable"),
    ] {
        let output = server(&format!("{line}\nlocal {{ return 200; }}")).check();
        assert!(output.code == Some(1) && output.stderr.contains(what), "{line}: {}", output.stderr);
    }
}
