//! Modules of other people's making on the contract `http`: a filter of heads and bodies, and a store that answers from
//! memory and from files before a peer is chosen. Both in `tests/third-party`.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use harness::client;
use harness::{Builder, Origin, Proxy, eventually, pattern};

use crate::h2::Peer;
use crate::others::{await_one_generation, faults, module, replace, shipped, versions};
use crate::support::{FORMAT, Scripted, ask, get, head, once};

fn loading(modules: &[&Path], text: &str) -> String {
    let load: String = modules.iter().map(|m| format!(" {:?}", m.display().to_string())).collect();
    format!(
        "load_module \"tcp\" \"balancer\"{load}\ncommon {{ worker_threads 2; }}\nnet {{\naccess_log \"access.log\" flush=0 \
         format=\"{FORMAT}\"\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{text}\n}} }}\n"
    )
}

pub(crate) fn with(modules: &[&Path], text: &str) -> Builder {
    let http = shipped("http");
    let mut all = vec![http.as_path()];
    all.extend(modules);
    Proxy::builder().config(&loading(&all, text))
}

fn post(length: usize, more: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{more}\r\n")
}

#[test]
fn a_filter_changes_head_and_body_both_ways() {
    let Some(stamp) = module("http_stamp") else { return };
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello", false);
    let text = format!("local {{ http_stamp \"seen\"; proxy_pass_tcp \"{}\"; }}", origin.addr());
    let proxy = with(&[&stamp], &text).start();
    let body = pattern::bytes(300_000);
    let mut stream = client::connect(proxy.addr(0));
    let mut request = post(body.len(), "X-Secret: s\r\n").into_bytes();
    request.extend_from_slice(&body);
    let a = std::thread::scope(|s| {
        let other = stream.try_clone().expect("a second handle");
        s.spawn(move || (&other).write_all(&request).expect("write"));
        crate::support::answer(&mut stream, "POST")
    });
    assert_eq!((a.status, a.text().as_str()), (200, "HELLO"));
    assert_eq!(
        (a.header("x-stamp"), a.header("x-carried"), a.header("x-a")),
        (Some("seen 1"), Some("300000"), Some("b"))
    );
    let (head, sent) = &origin.seen()[0];
    assert!(head.contains("X-Stamped: 1\r\n") && !head.contains("Secret"), "{head}");
    assert!(*sent == body);
    // The connection goes on, and an answer without body keeps none.
    let a = ask(&mut stream, get("/"));
    assert_eq!((a.text().as_str(), a.header("x-carried")), ("HELLO", Some("0")));
    let a = ask(&mut stream, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((a.status, a.header("content-length"), a.text().as_str()), (200, Some("5"), ""));
}

#[test]
fn a_hook_of_access_answers_by_itself() {
    let Some(stamp) = module("http_stamp") else { return };
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
    let text = format!(
        "local {{ rule \"${{path}}\" prefix=\"/a\"; http_stamp \"x\"; proxy_pass_tcp \"{0}\"; }}\nlocal {{ proxy_pass_tcp \"{0}\"; }}",
        origin.addr()
    );
    let proxy = with(&[&stamp], &text).start();
    let refused = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Refuse: 1\r\n\r\n");
    let a = once(&proxy, refused("/a"));
    assert_eq!((a.status, a.text().as_str(), a.header("x-stamp")), (403, "NOT TODAY\n", Some("x 1")));
    assert!(origin.seen().is_empty());
    // A block that says nothing has no part in it.
    let a = once(&proxy, refused("/b"));
    assert_eq!((a.status, a.text().as_str(), a.header("x-stamp")), (200, "ok", None));
    // Files and texts of this proxy's own pass through too.
    proxy
        .reload_with(&loading(&[&shipped("http"), &stamp], "local { http_stamp \"y\"; http_echo body=\"hi\"; }"))
        .assert(0, &[]);
    let a = once(&proxy, get("/"));
    assert_eq!((a.text().as_str(), a.header("x-stamp")), ("HI", Some("y 1")));
}

#[test]
fn a_store_answers_from_memory_and_from_files() {
    let Some(store) = module("http_store") else { return };
    let long = pattern::bytes(100_000);
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: {}\r\n\r\n", long.len()).into_bytes();
    answer.extend_from_slice(&long);
    let (short, big) = (
        Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nok", false),
        Scripted::new(answer, false),
    );
    let dir = harness::TempDir::new();
    let local = |rule: &str, to: std::net::SocketAddr| {
        format!("local {{ {rule} http_store {:?}; proxy_pass_tcp \"{to}\"; }}\n", dir.path().display().to_string())
    };
    let text = local("rule \"${path}\" prefix=\"/short\";", short.addr()) + &local("", big.addr());
    let proxy = with(&[&store], &text).start();
    let mut stream = client::connect(proxy.addr(0));
    for hit in [None, Some("hit"), Some("hit")] {
        let a = ask(&mut stream, get("/short"));
        assert_eq!((a.text().as_str(), a.header("x-a"), a.header("x-store")), ("ok", Some("b"), hit));
    }
    assert!(ask(&mut stream, get("/long")).body == long);
    eventually("it is written", || {
        let status = proxy.status();
        let store = status["modules"].as_array()?.iter().find(|m| m["id"] == "http_store")?;
        (store["status"]["kept"] == 2).then_some(())
    });
    for _ in 0..2 {
        let a = ask(&mut stream, get("/long"));
        assert!(a.body == long);
        assert_eq!((a.header("x-store"), a.header("content-type")), (Some("hit"), Some("a/b")));
    }
    assert_eq!((short.seen().len(), big.seen().len()), (1, 1));
    // What is another request is not answered by it.
    assert_eq!(
        once(&proxy, "POST /short HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n").header("x-store"),
        None
    );
}

#[test]
fn what_is_kept_is_forgotten_on_request() {
    let Some(store) = module("http_store") else { return };
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
    let dir = harness::TempDir::new();
    let local = |rule: &str, methods: &str| {
        let purge = format!("rule \"${{http_request_method}}\" {rule}; http_purge {methods};");
        let keep = format!("http_store {:?}; proxy_pass_tcp \"{}\";", dir.path().display().to_string(), origin.addr());
        format!("local {{ {purge} }}\nlocal {{ {keep} }}")
    };
    let proxy = with(&[&store], &local("text=\"PURGE\"", "")).start();
    let mut stream = client::connect(proxy.addr(0));
    let mut status = |method: &str, path: &str| {
        let a = ask(&mut stream, format!("{method} {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        (a.status, a.header("x-store").is_some(), a.header("allow").unwrap_or_default().to_owned())
    };
    let plain = |status| (status, false, String::new());
    assert_eq!(status("PURGE", "/a"), plain(404), "it was not there");
    for path in ["/a", "/b"] {
        assert_eq!(status("GET", path), plain(200));
        assert_eq!(status("GET", path), (200, true, String::new()));
    }
    assert_eq!(status("PURGE", "/a"), plain(200));
    assert_eq!((status("GET", "/a"), status("GET", "/b")), (plain(200), (200, true, String::new())));
    // The method is not its name in another case, and a local may be for purging only.
    assert_eq!(status("purge", "/b"), plain(200));
    let only = "http_purge methods=\"PURGE DELETE\"";
    proxy.reload_with(&loading(&[&shipped("http"), &store], &format!("local {{ {only}; }}"))).assert(0, &[]);
    let mut stream = client::connect(proxy.addr(0));
    let mut status = |method: &str| {
        let a = ask(&mut stream, format!("{method} /b HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        (a.status, a.header("allow").unwrap_or_default().to_owned())
    };
    assert_eq!(status("GET"), (405, "PURGE, DELETE".to_owned()));
    assert_eq!(status("POST").0, 405);
    let gone = status("DELETE");
    assert!(gone.0 == 200 || gone.0 == 404, "{gone:?}");
    assert_eq!(status("PURGE").0, 404);
    // Nobody to call, and no method.
    let text = loading(&[&shipped("http")], "local { http_purge; }");
    proxy
        .reload_with(&text)
        .assert(1, &["no module brings a handler \"purge\"", "no module that is loaded brings any"]);
    for (methods, wrong) in [("A/B", "\"A/B\" is no method"), (" ", "no method is named")] {
        let text = loading(&[&shipped("http"), &store], &format!("local {{ http_purge methods={methods:?}; }}"));
        proxy.reload_with(&text).assert(1, &[wrong]);
    }
}

#[test]
fn a_handler_is_named_by_its_module() {
    let Some(store) = module("http_store") else { return };
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false);
    let text = format!("local {{ http_router \"twice\"; proxy_pass_tcp \"{}\"; }}", origin.addr());
    let proxy = with(&[&store], &text).start();
    for _ in 0..2 {
        let a = once(&proxy, get("/x?y=1"));
        assert_eq!((a.status, a.text().as_str()), (200, "abcabc"));
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen[1].0.starts_with("GET /x?y=1 HTTP/1.1\r\n") && seen[1].0.contains("X-Turn: 2\r\n"), "{}", seen[1].0);
    // One that nobody brings is told when the configuration is read.
    let wrong = loading(&[&shipped("http"), &store], "local { http_router \"thrice\"; }");
    proxy.reload_with(&wrong).assert(1, &["no module brings a handler \"thrice\"", "there is: purge, twice"]);
    assert_eq!(once(&proxy, get("/")).text(), "abcabc");
}

#[test]
fn requests_of_a_modules_own_go_by_http2_where_the_local_says_so() {
    let Some(store) = module("http_store") else { return };
    let peer = Peer::start(|call| call.answer(b"abc"));
    let proxied = "http_proxy version=\"2\"";
    for text in [format!("http_router \"twice\"; {proxied}"), format!("{proxied}; http_router \"twice\"")] {
        let text = format!("local {{ {text}; proxy_pass_tcp \"{}\"; }}", peer.addr());
        let proxy = with(&[&store], &text).start();
        let a = once(&proxy, get("/x"));
        assert_eq!((a.status, a.text().as_str()), (200, "abcabc"));
    }
    // A connection of each proxy.
    assert_eq!((peer.accepted(), peer.requests()), (2, 4));
}

#[test]
fn requests_of_a_modules_own_are_repeated_as_http_retry_says() {
    let Some(store) = module("http_store") else { return };
    let ends = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        Ok(())
    });
    let silent = Origin::start(|mut conn| {
        while head(&mut conn).is_some() {}
        Ok(())
    });
    let good = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", false);
    for (bad, retry) in [(ends.addr(), "http_retry \"reset\""), (silent.addr(), "http_retry \"timeout\"")] {
        let text = format!(
            "http_first_byte_timeout \"300ms\"; {retry}; local {{ http_router \"twice\"; proxy_pass_tcp \"{bad}\"; \
             proxy_pass_tcp \"{}\" backup=#true; }}",
            good.addr()
        );
        let a = once(&with(&[&store], &text).start(), get("/x"));
        assert_eq!((a.status, a.text().as_str()), (200, "abcabc"), "{retry}");
    }
    // Without it the module is told, and here it has no other answer.
    let text = format!("local {{ http_router \"twice\"; proxy_pass_tcp \"{}\"; }}", ends.addr());
    assert_eq!(once(&with(&[&store], &text).start(), get("/x")).status, 500);
}

#[test]
fn a_filter_and_http_itself_are_exchanged_under_load() {
    let Some([one, two]) = versions("http_stamp") else { return };
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
    let text = format!("local {{ http_stamp \"v\"; proxy_pass_tcp \"{}\"; }}", origin.addr());
    let builder = Proxy::builder();
    let (stamp, http) = (builder.dir().join("libanyproxy_http_stamp.so"), builder.dir().join("libanyproxy_http.so"));
    replace(&stamp, &one);
    replace(&http, &shipped("http"));
    let proxy = builder.config(&loading(&[&http, &stamp], &text)).start();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen = [const { AtomicU64::new(0) }; 2];
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (proxy, stop, done, seen) = (&proxy, &stop, &done, &seen);
            scope.spawn(move || {
                let mut stream = client::connect(proxy.addr(0));
                let mut ended = false;
                while !stop.load(Relaxed) {
                    // Another image of http cannot go on with a connection: it says so with its last answer.
                    if std::mem::take(&mut ended) {
                        stream = client::connect(proxy.addr(0));
                    }
                    let a = ask(&mut stream, get("/"));
                    assert_eq!((a.status, a.text().as_str()), (200, "OK"));
                    match a.header("x-stamp") {
                        Some("v 1") => seen[0].fetch_add(1, Relaxed),
                        Some("v 2") => seen[1].fetch_add(1, Relaxed),
                        other => panic!("{other:?}"),
                    };
                    ended = a.header("connection") == Some("close");
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        let more = || {
            let before = done.load(Relaxed);
            eventually("requests go on", || (done.load(Relaxed) > before + 100).then_some(()));
        };
        for turn in 0..4 {
            more();
            replace(&stamp, if turn % 2 == 0 { &two } else { &one });
            proxy.reload().assert(0, &[]);
        }
        // The same code in another file is another image of http.
        more();
        let mut other = std::fs::read(shipped("http")).expect("built");
        other.extend_from_slice(b"another");
        let beside = http.with_extension("other");
        std::fs::write(&beside, other).and_then(|()| std::fs::rename(&beside, &http)).expect("own directory");
        proxy.reload().assert(0, &[]);
        more();
        stop.store(true, Relaxed);
    });
    assert!(seen.iter().all(|n| n.load(Relaxed) > 0), "{seen:?}");
    await_one_generation(&proxy);
    assert_eq!((faults(&proxy, "http", "panics"), faults(&proxy, "http_stamp", "panics")), (0, 0));
}
