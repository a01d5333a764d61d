//! Each request chooses its server by its host and its local by its path, whatever the connection asked for before.

use harness::client;

use crate::support::{OK, Scripted, ask, get, net, once, server};

#[test]
fn the_path_chooses_the_local_for_each_request_of_a_connection() {
    let proxy = server(
        r#"
        local { rule "${path}" prefix="/a/"; http_echo body="a ${path}"; }
        local { rule "${path}" text="/b"; http_echo body="b" status=201; }
        local { rule "${path}" regex="^/v(?<v>[0-9]+)/"; http_echo body="version ${re.v}"; }
        "#,
    )
    .start();
    let mut stream = client::connect(proxy.addr(0));
    let mut say = |path: &str| {
        let a = ask(&mut stream, get(path));
        (a.status, a.text())
    };
    assert_eq!(say("/a/x?y=1"), (200, "a /a/x".to_owned()));
    assert_eq!(say("/b"), (201, "b".to_owned()));
    assert_eq!(say("/v12/"), (200, "version 12".to_owned()));
    assert_eq!(say("/none").0, 404);
    assert_eq!(say("/x/../b"), (201, "b".to_owned()), "normalised");
    assert_eq!(say("/%62"), (201, "b".to_owned()), "decoded");
    assert_eq!(say("/a/%2e%2e/b"), (201, "b".to_owned()));
}

#[test]
fn a_path_that_leaves_the_root_or_is_no_path_is_refused() {
    let proxy = server("local { http_echo body=\"ok\"; }").start();
    for path in ["/../x", "/a/../../x", "/%2e%2e/x", "/%", "/%zz", "/a%00b"] {
        assert_eq!(once(&proxy, get(path)).status, 400, "{path}");
    }
}

/// They are names of RFC 3986, which stores of objects have.
#[test]
fn escaped_control_bytes_pass_and_get_round_no_rule() {
    let origin = Scripted::new(OK, false);
    let proxy = server(&format!(
        r#"
        local {{ rule "${{path}}" regex="^/admin/.*$"; return 403; }}
        local {{ rule "${{path}}" prefix="/files/"; http_static "."; }}
        local {{ rule "${{path}}" prefix="/to/"; return 302 "${{path}}"; }}
        local {{ proxy_pass_tcp "{}"; }}
        "#,
        origin.addr()
    ))
    .start();
    for escape in ["%0A", "%0d", "%09", "%7F", "%01"] {
        let status = |path: &str| once(&proxy, get(&format!("{path}{escape}b"))).status;
        assert_eq!(status("/a"), 200, "{escape}");
        let (head, _) = origin.seen().pop().expect("a request");
        assert!(head.starts_with(&format!("GET /a{escape}b HTTP/1.1\r\n")), "{head}");
        assert_eq!((status("/admin/x"), status("/files/x")), (403, 404), "{escape}");
    }
    assert_eq!(once(&proxy, get("/to/x%0d%0aX-Evil:%201")).status, 500, "no second line of a head");
    proxy.await_line("access.log", r"status=403 method=GET path=/admin/x\x0ab ", harness::LIMIT);
}

#[test]
fn the_log_says_why_a_request_is_nobodys() {
    let port = client::free_port();
    let proxy = net(&format!(
        "server {{ domain \"a.test\"; domain_listen_tcp \"127.0.0.1:{port}\"; http\n\
         local {{ rule \"${{path}}\" text=\"/closed\"; ip_deny \"all\"; return 200; }}\n\
         local {{ rule \"${{path}}\" text=\"/\"; return 200; }}\n}}"
    ))
    .start();
    let mut stream = client::connect(proxy.addr(0));
    for (host, path, status, reason) in [
        ("a.test", "/", 200, "client_transfer_done"),
        ("a.test", "/closed", 403, "proxy_access_denied"),
        ("a.test", "/none", 404, "proxy_route_no_route"),
        ("b.test", "/", 421, "client_route_no_route"),
    ] {
        assert_eq!(ask(&mut stream, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, status, "{path}");
        let line = proxy.await_line("access.log", &format!("status={status} "), harness::LIMIT);
        assert!(line.contains(&format!("reason={reason} ")), "{line}");
    }
}

#[test]
fn the_host_chooses_the_server_for_each_request() {
    let port = client::free_port();
    let one = |host: &str| {
        format!(
            "server {{ domain \"{host}\"; domain_listen_tcp \"127.0.0.1:{port}\"; http; local {{ http_echo body=\"{host}\"; }}; }}\n"
        )
    };
    let proxy = net(&(one("a.test") + &one("b.test"))).start();
    let mut stream = client::connect(proxy.addr(0));
    let mut say = |host: &str| ask(&mut stream, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(say("a.test").text(), "a.test");
    assert_eq!(say("b.test").text(), "b.test");
    for host in ["B.TEST:80", "b.test.", "b.test:"] {
        assert_eq!(say(host).text(), "b.test", "{host}");
    }
    assert_eq!(say("c.test").status, 421);
}

/// By whoever answers the requests behind it, and not by the few words that the host could say.
#[test]
fn the_first_request_for_a_host_that_nobody_has_is_answered_as_any_other() {
    let port = client::free_port();
    let own = format!(
        "server {{ domain \"a.test\"; domain_listen_tcp \"127.0.0.1:{port}\"; http; local {{ return 200; }}; }}\n"
    );
    let passes = format!(
        "server {{ domain \"l4.test\"; domain_listen_tcp \"127.0.0.1:{port}\"; local {{ proxy_pass_tcp \"127.0.0.1:1\"; }}; }}\n"
    );
    for servers in [own.clone(), format!("{passes}{own}")] {
        let proxy = net(&servers).start();
        let config = proxy.read("main.kdl") + "\n";
        let mut stream = client::connect(proxy.addr(0));
        let mut say =
            |host: &str| ask(&mut stream, format!("POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nok"));
        for again in [false, true] {
            if again {
                // It ends no such connection either.
                proxy.reload_with(&config).assert(0, &[]);
            }
            let a = say("c.test");
            assert_eq!((a.status, a.header("connection")), (421, None), "{}", a.head);
            assert!(a.header("date").is_some() && a.header("content-type").is_some(), "{}", a.head);
            assert!(a.text().contains("421"), "{}", a.text());
        }
        assert_eq!(say("a.test").status, 200);
        proxy.await_line(
            "access.log",
            "status=421 method=POST path=/ uri=/ host=c.test up=- reason=client_route_no_route",
            harness::LIMIT,
        );
        // A name in a ClientHello is not for whoever speaks HTTP to deny.
        let hello = client::tls::ClientHello::new().server_name("b.test").record();
        let answer = client::exchange(proxy.addr(0), &hello);
        assert_eq!((answer[0], &answer[3..]), (21, &[0, 2, 2, 112][..]), "{answer:?}");
    }
}

/// A connection may ask several servers, and each believes whom it trusts itself.
#[test]
fn who_asks_is_told_by_whom_the_requests_own_server_trusts() {
    let port = client::free_port();
    let one = |host: &str, trusts: &str| {
        let closed = "local { rule \"${path}\" text=\"/closed\"; ip_deny \"127.0.0.0/8\"; return 200 \"in\"; }";
        let open = "local { return 200 \"${client_ip} ${request_id} ${http_next_hop}\"; }";
        format!(
            "server {{ domain \"{host}\"; domain_listen_tcp \"127.0.0.1:{port}\"; http; http_request_id \"X-Id\"; multi_hop\n\
             {trusts}\n{closed}\n{open}\n}}\n"
        )
    };
    let proxy = net(&(one("open.test", "http_trusted \"all\"") + &one("strict.test", ""))).start();
    for hosts in [["open.test", "strict.test"], ["strict.test", "open.test"]] {
        let mut stream = client::connect(proxy.addr(0));
        for host in hosts {
            let mut say = |path: &str| {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: 192.0.2.9\r\nX-Id: mine\r\n\
                     anyproxy_domains: a.test:1\r\n\r\n"
                );
                ask(&mut stream, request)
            };
            let (text, closed) = (say("/").text(), say("/closed").status);
            if host == "open.test" {
                assert_eq!((text.as_str(), closed), ("192.0.2.9 mine a.test:1", 200), "{hosts:?}");
            } else {
                assert!(text.starts_with("127.0.0.1 ") && !text.contains("mine") && !text.contains("a.test"), "{text}");
                assert_eq!(closed, 403, "{hosts:?}");
            }
        }
    }
}

#[test]
fn a_local_returns_a_status_a_text_or_another_address() {
    let proxy = server(
        r#"
        local { rule "${path}" text="/gone"; return 410 "it is gone\n"; }
        local { rule "${path}" text="/empty"; return 204; }
        local { return 301 "https://${http_request_host}${http_request_uri}"; }
        "#,
    )
    .start();
    let gone = once(&proxy, get("/gone"));
    assert_eq!((gone.status, gone.text().as_str()), (410, "it is gone\n"));
    let nowhere = server("local { return 302; }");
    nowhere.check().assert(1, &["a redirection has a target", "return 302 \"/where/to\""]);
    server("local { return 205 \"text\"; }").check().assert(1, &["205 has no content", "return 205"]);
    let empty = once(&proxy, get("/empty"));
    assert_eq!((empty.status, empty.header("content-length")), (204, None));
    let moved = once(&proxy, get("/x?y=z"));
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://a.test/x?y=z")));
}

#[test]
fn an_address_that_is_denied_gets_403() {
    let proxy = server(
        r#"
        local { rule "${path}" text="/closed"; ip_deny "127.0.0.0/8"; http_echo body="no"; }
        local { http_echo body="yes"; }
        "#,
    )
    .start();
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/closed")).status, 403);
    assert_eq!(ask(&mut stream, get("/")).text(), "yes", "the connection goes on");
}

#[test]
fn an_answer_in_a_server_that_speaks_no_http_is_a_mistake() {
    for answer in ["http_echo", "return 200", "http_static \"/tmp\"", "http_proxy"] {
        let text = format!(
            "server {{ port_listen_tcp \"127.0.0.1:0\"; local {{ {answer}; proxy_pass_tcp \"127.0.0.1:9\"; }}; }}"
        );
        let output = net(&text).check();
        assert!(output.code == Some(1) && output.stderr.contains("write `http` into the server"), "{}", output.stderr);
    }
}
