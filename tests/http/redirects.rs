//! What peers say of their own place, as clients see it.

use crate::support::{Answer, Scripted, once, proxy_to, server};

/// The answer that the client gets where the peer's has these lines.
fn seen(directives: &str, lines: &str) -> Answer {
    let origin = Scripted::new(format!("HTTP/1.1 302 Found\r\n{lines}\r\nContent-Length: 0\r\n\r\n"), false);
    let addr = origin.addr().to_string();
    let proxy = proxy_to(origin.addr(), &directives.replace("@peer@", &addr));
    once(&proxy, "GET /x HTTP/1.1\r\nHost: www.test:81\r\n\r\n")
}

#[test]
fn an_address_of_the_peers_becomes_one_of_the_clients() {
    let rules = "http_redirect \"http://app.test:8080/shop/\" \"https://www.test/\"\nhttp_redirect \"/old/\" \"/new/\"";
    for (location, expected) in [
        ("http://app.test:8080/shop/a?b", "https://www.test/a?b"),
        ("HTTP://APP.test:8080/shop/", "https://www.test/"),
        ("http://app.test:8080/shopping", "http://app.test:8080/shopping"),
        ("http://other.test/shop/", "http://other.test/shop/"),
        ("/old/a", "/new/a"),
        ("/older/a", "/older/a"),
    ] {
        let a =
            seen(rules, &format!("Location: {location}\r\nContent-Location: {location}\r\nRefresh: 5; url={location}"));
        assert_eq!((a.status, a.header("location")), (302, Some(expected)), "{}", a.head);
        assert_eq!(a.header("content-location"), Some(expected), "{}", a.head);
        assert_eq!(a.header("refresh"), Some(format!("5; url={expected}").as_str()), "{}", a.head);
        assert_eq!(a.head.matches("\r\nLocation:").count(), 1, "{}", a.head);
    }
}

#[test]
fn the_peers_own_address_becomes_what_the_client_asked_for() {
    let listener = harness::Origin::start(|mut conn| {
        let at = conn.stream.local_addr()?;
        while crate::support::head(&mut conn).is_some() {
            let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{at}/login?a\r\nContent-Length: 0\r\n\r\n");
            std::io::Write::write_all(&mut conn, answer.as_bytes())?;
        }
        Ok(())
    });
    let proxy = proxy_to(listener.addr(), "http_redirect \"default\"");
    let a = once(&proxy, "GET /x HTTP/1.1\r\nHost: www.test:81\r\n\r\n");
    assert_eq!(a.header("location"), Some("http://www.test:81/login?a"), "{}", a.head);
    let proxy = proxy_to(listener.addr(), "");
    let a = once(&proxy, "GET /x HTTP/1.1\r\nHost: www.test:81\r\n\r\n");
    assert_eq!(a.header("location"), Some(format!("http://{}/login?a", listener.addr()).as_str()), "not unless told");
    let a = seen("http_redirect \"default\"", "Location: http://elsewhere.test/");
    assert_eq!(a.header("location"), Some("http://elsewhere.test/"));
    let a = seen("http_redirect \"default\"", "Location: /relative");
    assert_eq!(a.header("location"), Some("/relative"), "the client knows where it is");
}

#[test]
fn rules_add_up_and_off_forgets_them() {
    let origin = Scripted::new("HTTP/1.1 302 Found\r\nLocation: /a/x\r\nContent-Length: 0\r\n\r\n", false);
    let addr = origin.addr();
    let proxy = server(&format!(
        r#"
        http_redirect "/a/" "/b/"
        local {{ rule "${{path}}" text="/off"; http_redirect "off"; proxy_pass_tcp "{addr}"; }}
        local {{ rule "${{path}}" text="/anew"; http_redirect "off"; http_redirect "/a/" "/c/"; proxy_pass_tcp "{addr}"; }}
        local {{ rule "${{path}}" text="/own"; return 302 "/a/own"; }}
        local {{ http_redirect "/a/" "/d/"; proxy_pass_tcp "{addr}"; }}
        "#
    ))
    .start();
    for (path, location) in [("/", "/b/x"), ("/off", "/a/x"), ("/anew", "/c/x"), ("/own", "/a/own")] {
        let a = once(&proxy, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(a.header("location"), Some(location), "{path}");
    }
}

#[test]
fn cookies_get_the_domain_and_path_that_clients_know() {
    let rules =
        "http_cookie_domain \"app.test\" \"www.test\"\nhttp_cookie_domain \"*\"\nhttp_cookie_path \"/shop/\" \"/\"";
    let a = seen(
        rules,
        "Set-Cookie: a=1; Domain=.app.test; Path=/shop; Secure\r\nX-Other: 1\r\nSet-Cookie: b=2; domain=else.test; path=/x\r\n\
         Set-Cookie: c=3; HttpOnly\r\nLocation: /",
    );
    for line in ["a=1; Domain=www.test; Path=/; Secure", "b=2; path=/x", "c=3; HttpOnly"] {
        assert!(a.head.contains(&format!("Set-Cookie: {line}\r\n")), "{line}: {}", a.head);
    }
    assert_eq!(a.head.matches("Set-Cookie:").count(), 3, "{}", a.head);
}

#[test]
fn mistakes_are_told() {
    for (line, what) in [
        ("http_redirect \"/a/\"", "is missing"),
        ("http_redirect \"default\" \"/\"", "stands alone"),
        ("http_redirect \"a\" \"/b\"", "must begin with"),
        ("http_redirect \"/a\" \"//b\"", "write the scheme"),
        ("http_cookie_domain \"a b\" \"c\"", "is no domain"),
        ("http_cookie_path \"a\" \"/\"", "is no path"),
        ("http_cookie_path \"/\"", "is missing"),
    ] {
        let output = server(&format!("{line}\nlocal {{ return 200; }}")).check();
        assert!(output.code == Some(1) && output.stderr.contains(what), "{line}: {}", output.stderr);
    }
}
