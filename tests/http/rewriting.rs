//! `http_rewrite`: another target within the server, or the client sent elsewhere.

use crate::support::{OK, Scripted, ask, get, once, proxy_to, server};

/// The request line that a peer got, without method and version.
fn target(origin: &Scripted) -> String {
    let (head, _) = origin.seen().pop().expect("a request");
    head.split(' ').nth(1).expect("a target").to_owned()
}

#[test]
fn an_internal_one_chooses_the_local_anew_and_peers_get_the_new_target() {
    let origin = Scripted::new(OK, false);
    let text = format!(
        r##"
        http_rewrite #"^/user/([0-9]+)/(?<what>[^/]*)$"# "/profile/${{what}}?id=$1"
        local {{ rule "${{path}}" prefix="/profile/"; proxy_pass_tcp "{}"; }}
        local {{ http_echo body="${{path}} ${{http_request_uri}}"; }}
        "##,
        origin.addr()
    );
    let proxy = server(&text).start();
    assert_eq!(once(&proxy, get("/user/12/pictures")).text(), "ok");
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.starts_with("GET /profile/pictures?id=12 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("Host: a.test\r\n") && head.contains("User-Agent: t\r\n"), "{head}");
    let log = proxy.await_line("access.log", "path=/profile/pictures", harness::LIMIT);
    // Which is what a log is for.
    assert!(log.contains("uri=/user/12/pictures ") && log.contains("status=200"), "{log}");
    // What does not match stays as it is.
    assert_eq!(once(&proxy, get("/user/x/pictures")).text(), "/user/x/pictures /user/x/pictures");
}

#[test]
fn a_local_may_take_its_prefix_off_and_answer_itself() {
    let origin = Scripted::new(OK, false);
    let dir = harness::TempDir::new();
    dir.write("a.txt", "a file");
    std::fs::create_dir(dir.join("sub")).expect("a fresh directory");
    let text = format!(
        r##"
        local {{ rule "${{path}}" prefix="/app/"; http_rewrite "^/app(/.*)$" "$1" "break"; proxy_pass_tcp "{}"; }}
        local {{ rule "${{path}}" prefix="/files/"; http_rewrite "^/files/(.*)$" "/$1" "break"; http_static "{}"; }}
        local {{ return 404; }}
        "##,
        origin.addr(),
        dir.path().display()
    );
    let proxy = server(&text).start();
    assert_eq!(once(&proxy, get("/app/x/y?z")).text(), "ok");
    assert_eq!(target(&origin), "/x/y?z");
    proxy.await_line("access.log", "path=/x/y uri=/app/x/y?z ", harness::LIMIT);
    // A path that would choose the local again is not changed twice.
    once(&proxy, get("/app/app/x"));
    assert_eq!(target(&origin), "/app/x");
    assert_eq!(once(&proxy, get("/files/a.txt")).text(), "a file");
    // Where clients are sent is where they came from.
    assert_eq!(once(&proxy, get("/files/sub?q")).header("location"), Some("/files/sub/?q"));
    // Only a directory's own name: anything else is no address of it.
    let moved = server(&format!(
        "local {{ http_rewrite \"^/docs$\" \"/sub\" \"break\"; http_static \"{}\"; }}",
        dir.path().display()
    ));
    assert_eq!(once(&moved.start(), get("/docs")).header("location"), Some("/sub/"));
}

#[test]
fn a_body_and_its_framing_survive_a_rewrite() {
    let origin = Scripted::new(OK, false);
    let text = format!("http_rewrite \"^/old$\" \"/new\"\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr());
    let proxy = server(&text).start();
    let length = "POST /old HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /old HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let absolute = "GET http://a.test/old?x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    for request in [length, chunked, absolute, "GET /old HTTP/1.0\r\n\r\n"] {
        assert_eq!(once(&proxy, request).text(), "ok", "{request}");
    }
    let seen = origin.seen();
    assert!(seen.iter().all(|(head, _)| head.contains(" /new")), "{seen:?}");
    assert!(seen[0].0.contains("X-A: 1\r\nX-A: 2\r\n"), "{}", seen[0].0);
    assert!(seen[0].1 == b"hello" && seen[1].1 == b"hello");
    assert!(
        seen[2].0.starts_with("GET /new?x HTTP/1.1\r\n") && seen[2].0.contains("Host: a.test\r\n"),
        "{}",
        seen[2].0
    );
    let plain = proxy_to(origin.addr(), "");
    assert_eq!(once(&plain, "GET /new HTTP/1.0\r\n\r\n").text(), "ok");
    assert_eq!(origin.seen()[3].0, origin.seen()[4].0, "without Host it is the same as if nothing was rewritten");
    // A client of 1.0 stays one: its connection ends with the answer.
    assert_eq!(once(&proxy, "GET /old HTTP/1.0\r\n\r\n").header("connection"), Some("close"));
}

#[test]
fn the_query_is_kept_or_dropped() {
    let origin = Scripted::new(OK, false);
    let text = format!(
        r##"
        http_rewrite "^/keep$" "/k"
        http_rewrite "^/join$" "/j?own=1"
        http_rewrite "^/drop$" "/d?"
        http_rewrite "^/replace$" "/r?own=1?"
        local {{ proxy_pass_tcp "{}"; }}
        "##,
        origin.addr()
    );
    let proxy = server(&text).start();
    for (asked, got) in [
        ("/keep?a=b%20c", "/k?a=b%20c"),
        ("/keep", "/k"),
        ("/join?a=b", "/j?own=1&a=b"),
        ("/join", "/j?own=1"),
        ("/drop?a=b", "/d"),
        ("/replace?a=b", "/r?own=1"),
    ] {
        assert_eq!(once(&proxy, get(asked)).text(), "ok");
        assert_eq!(target(&origin), got, "{asked}");
    }
}

#[test]
fn redirects_have_the_status_that_is_asked_for() {
    let proxy = server(
        r##"
        http_rewrite "^/r/(.*)$" "/to/$1" "redirect"
        http_rewrite "^/p/(.*)$" "https://b.test/$1?x=y" "permanent"
        http_rewrite "^/8$" "https://b.test/" "308"
        http_rewrite "^/7$" "/seven#part" "307"
        http_rewrite "^/3$" "/three?" "303"
        local { http_echo body="here"; }
        "##,
    )
    .start();
    for (asked, status, location) in [
        ("/r/a?q=1", 302, "/to/a?q=1"),
        ("/p/a%20b?q=1", 301, "https://b.test/a%20b?x=y&q=1"),
        ("/8", 308, "https://b.test/"),
        ("/7", 307, "/seven#part"),
        ("/3?q=1", 303, "/three"),
    ] {
        let a = once(&proxy, get(asked));
        assert_eq!((a.status, a.header("location")), (status, Some(location)), "{asked}");
        assert!(a.body.is_empty(), "{asked}");
    }
    assert_eq!(once(&proxy, get("/")).text(), "here");
}

#[test]
fn rules_of_the_server_hold_in_locals_and_locals_have_their_own() {
    let proxy = server(
        r##"
        http_rewrite "^/server$" "/a/x"
        local {
            rule "${path}" prefix="/a/"
            http_rewrite "^/a/(.*)$" "/b/$1"
            http_echo body="a ${path}"
        }
        local { rule "${path}" prefix="/b/"; http_echo body="b ${path}"; }
        local { rule "${path}" prefix="/c/"; http_rewrite "/leave$" "/elsewhere" "redirect"; http_echo body="c ${path}"; }
        "##,
    )
    .start();
    assert_eq!(once(&proxy, get("/server")).text(), "b /b/x", "one after the other");
    assert_eq!(once(&proxy, get("/a/y")).text(), "b /b/y");
    assert_eq!(once(&proxy, get("/b/leave")).text(), "b /b/leave", "the rule of another local");
    assert_eq!(once(&proxy, get("/c/leave")).status, 302);
    assert_eq!(once(&proxy, get("/c/stay")).text(), "c /c/stay");
    assert_eq!(once(&proxy, get("/none")).status, 404);
}

#[test]
fn who_is_let_in_is_said_by_the_local_that_it_leads_to() {
    let proxy = server(
        r##"
        http_rewrite "^/in/(.*)$" "/staff/$1"
        local { rule "${path}" prefix="/staff/"; http_auth_basic "staff" users="users"; http_echo body="in"; }
        local { rule "${path}" prefix="/denied/"; ip_deny "127.0.0.0/8"; http_echo body="in"; }
        local { rule "${path}" text="/go"; http_rewrite "^/go$" "/denied/x"; http_echo body="here"; }
        "##,
    )
    .file("users", "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    .start();
    assert_eq!(once(&proxy, get("/in/x")).status, 401);
    assert_eq!(once(&proxy, get("/go")).status, 403);
}

#[test]
fn a_rule_of_the_server_finds_what_no_local_takes() {
    let proxy = server(
        r##"
        http_rewrite "^/(.*[.]html)$" "/pages/$1"
        local { rule "${path}" prefix="/pages/"; http_echo body="${path}"; }
        "##,
    )
    .start();
    // The rule matches its own outcome too, and is applied once.
    assert_eq!(once(&proxy, get("/x.html")).text(), "/pages/x.html");
    assert_eq!(once(&proxy, get("/x")).status, 404);
}

#[test]
fn two_rules_that_would_go_round_come_to_an_end() {
    let proxy = server(
        r##"
        http_rewrite "^/a$" "/b"
        http_rewrite "^/b$" "/a"
        local { rule "${path}" text="/a"; http_rewrite "^/a$" "/b"; http_echo body="a"; }
        local { rule "${path}" text="/b"; http_rewrite "^/b$" "/a"; http_echo body="b"; }
        "##,
    )
    .start();
    for path in ["/a", "/b"] {
        let a = once(&proxy, get(path));
        assert_eq!((a.status, a.body.len()), (200, 1), "{path}: {}", a.text());
    }
}

#[test]
fn hostile_paths_add_no_header_and_no_other_host() {
    let origin = Scripted::new(OK, false);
    let text = format!(
        r##"
        http_rewrite "^/go/(.*)$" "$1" "redirect"
        http_rewrite "^/far/(.*)$" "https://b.test/$1" "redirect"
        http_rewrite "^/in/(.*)$" "/under/$1?n=$1"
        local {{ proxy_pass_tcp "{}"; }}
        "##,
        origin.addr()
    );
    let proxy = server(&text).start();
    // NUL is no part of a path at all, and other control bytes stay escaped.
    assert_eq!(once(&proxy, get("/go/a%00b")).status, 400);
    for (path, to) in [("/go/a%0d%0aX-Evil:%201", "/a%0D%0AX-Evil%3A%201"), ("/far/%0a%7f", "https://b.test/%0A%7F")] {
        let a = once(&proxy, get(path));
        assert_eq!((a.status, a.header("x-evil"), a.header("location")), (302, None, Some(to)), "{path}");
    }
    for path in [
        "/go///evil.test/x",
        "/go/%2Fevil.test/x",
        "/go/%2F%2Fevil.test/x",
        "/go/%5Cevil.test/x",
        "/go/%5C%5Cevil.test",
        "/go/https://evil.test/",
        "/go/.%2F%2Fevil.test",
    ] {
        let a = once(&proxy, get(path));
        let location = a.header("location").unwrap_or_default();
        assert_eq!(a.status, 302, "{path}");
        assert!(
            location.starts_with('/') && !location.starts_with("//") && !location.starts_with("/\\"),
            "{path}: {location}"
        );
    }
    let a = once(&proxy, get("/far/@evil.test/%3Fx%23y%20z"));
    assert_eq!(a.header("location"), Some("https://b.test/%40evil.test/%3Fx%23y%20z"));
    assert!(origin.seen().is_empty());
    // A capture stays below what the target says, and adds no parameter.
    for (path, got) in [
        ("/in/a%0D%0Ab:c", "/under/a%0D%0Ab%3Ac?n=a%0D%0Ab%3Ac"),
        ("/in/a%26b%3Dc", "/under/a%26b%3Dc?n=a%26b%3Dc"),
        ("/in/a%3Fb", "/under/a%3Fb?n=a%3Fb"),
        ("/in/a%20HTTP/1.1", "/under/a%20HTTP/1.1?n=a%20HTTP/1.1"),
        ("/in/%252e%252e/x", "/under/%252e%252e/x?n=%252e%252e/x"),
    ] {
        assert_eq!(once(&proxy, get(path)).text(), "ok", "{path}");
        assert_eq!(target(&origin), got, "{path}");
    }
}

#[test]
fn what_a_rule_captures_is_a_variable_of_the_request() {
    let origin = Scripted::new(OK, false);
    let text = format!(
        r##"
        http_rewrite #"^/(?<lang>[a-z]{{2}})/(?<rest>.*)$"# "/${{rest}}"
        http_rewrite #"^/goto/(?<where>.*)$"# "https://b.test/${{where}}" "permanent"
        http_request_header "set" "X-Lang" "${{re.lang}}"
        http_response_header "set" "X-Where" "${{upper(re.where)}} ${{re.lang}}."
        local {{ rule "${{re.lang}}" text="de"; http_echo body="Guten Tag, ${{re.rest}}"; }}
        local {{ rule "${{path}}" prefix="/by/"; http_rewrite #"^/by/(?<port>[0-9]+)$"# "/" "break"
                 peer_allow "127.0.0.1"; proxy_pass_tcp "127.0.0.1:${{re.port}}"; }}
        local {{ proxy_pass_tcp "{}"; }}
        "##,
        origin.addr()
    );
    let proxy = server(&text).start();
    assert_eq!(once(&proxy, get("/fr/x%20y")).header("x-where"), Some("fr."));
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.starts_with("GET /x%20y ") && head.contains("X-Lang: fr\r\n"), "{head}");
    // A local is chosen by it.
    assert_eq!(once(&proxy, get("/de/x%20y")).text(), "Guten Tag, x y");
    let a = once(&proxy, get("/goto/away"));
    assert_eq!((a.status, a.header("x-where")), (301, Some("AWAY .")));
    // It is of one request: the next one of the connection has none.
    let mut stream = harness::client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/fr/")).header("x-where"), Some("fr."));
    assert_eq!(ask(&mut stream, get("/x")).header("x-where"), Some("."));
    assert!(!origin.seen().pop().expect("a request").0.contains("X-Lang"));
    // A peer's address may have it, too.
    let before = origin.seen().len();
    assert_eq!(once(&proxy, get(&format!("/by/{}", origin.addr().port()))).status, 200);
    assert_eq!(origin.seen().len(), before + 1);
    server("http_rewrite #\"^/(?<lang>..)$\"# \"/\"\nlocal { http_echo body=\"${re.lnag}\"; }")
        .check()
        .assert(1, &["; did you mean \"re.lang\"?"]);
}

#[test]
fn a_mistake_is_told_with_file_and_line() {
    for (rule, what) in [
        ("http_rewrite \"(\" \"/x\"", "not a regular expression"),
        ("http_rewrite \"^/(a)$\" \"/$2\"", "no capture $2"),
        ("http_rewrite \"^/(a)$\" \"/${b}\"", "no capture named \"b\""),
        ("http_rewrite \"^/a$\" \"b\"", "must begin with /"),
        ("http_rewrite \"^/a$\" \"https://b.test/\"", "only a redirect leaves this server"),
        ("http_rewrite \"^/(.*)$\" \"https://$1/\" \"301\"", "a capture in the host"),
        ("http_rewrite \"^/a$\" \"//b.test/\" \"301\"", "begins with //"),
        ("http_rewrite \"^/a$\" \"/a b\"", "must be percent-encoded"),
        ("http_rewrite \"^/a$\" \"/b\" \"410\"", "410"),
    ] {
        let output = server(&format!("{rule}\nlocal {{ http_echo; }}")).check();
        // Two lines of `support::net`, `net`, its log, `server`, the listener, `http`.
        output.assert(1, &["main.kdl:8:", what]);
    }
    let many = "http_rewrite \"^/a$\" \"/b\"\n".repeat(65);
    server(&format!("{many}local {{ http_echo; }}")).check().assert(1, &["main.kdl:72:", "more than 64 rules"]);
}
