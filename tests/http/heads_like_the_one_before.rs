//! A head that is like the one before it is not read again, line by line or as a whole. Nothing of that shows: each request and
//! each answer is what it would be for a proxy that has seen no other. All is on one worker, whose memory goes from each request
//! to the next, whoever sends it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use harness::{Origin, client};

use crate::h2::{Client, run};
use crate::support::{Answer, OK, Scripted, answer, ask, head, net, once, proxy_to};

/// A request line, and lines.
fn request(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\n{lines}\r\n")
}

/// Heads that are alike, of different senders.
const ALIKE: &[&str] = &[
    "Host: a.test\r\nUser-Agent: t\r\nAccept: */*\r\n",
    "Host: a.test\r\nUser-Agent: t\r\nAccept: */*\r\nCookie: sid=alice\r\n",
    "Host: a.test\r\nUser-Agent: t\r\nAccept: */*\r\nCookie: sid=carol\r\n",
    "Host: a.test\r\nUser-Agent: t\r\nCookie: sid=alice\r\nAccept: */*\r\n",
    "Host: a.test\r\nCookie: sid=alice\r\nCookie: more=1\r\nAccept: */*\r\n",
    "Host: a.test\r\nUser-Agent: t\r\nAccept: */*\r\nAuthorization: Basic YTpi\r\n",
    "Host: a.test\r\nUser-Agent: t\r\nAuthorization: Basic YTpi\r\nX-Secret: 1\r\n",
    "Host: b.test\r\nUser-Agent: t\r\nAccept: */*\r\n",
    "Host: longer.test:81\r\nUser-Agent: t\r\nAccept: */*\r\nCookie: sid=alice\r\n",
    "host: a.test\r\nuser-agent: t\r\naccept: */*\r\n",
    "Host: a.test\r\nConnection: x-secret, accept\r\nX-Secret: 1\r\nCookie: sid=alice\r\n",
    "Host: a.test\r\nConnection: keep-alive\r\nX-Secret: 1\r\nCookie: sid=alice\r\n",
    "Host: a.test\r\nX-Secret: 1\r\nCookie: sid=alice\r\n",
    "Host: a.test\r\nX-Secret:  1 \r\nCookie:\tsid=alice\r\n",
    "Host: a.test\r\nX-Secret:  1 \r\nCookie:\r\nCookie: \u{e9}\r\n",
    "Host: a.test\r\nX_Secret: 1\r\nCookie: sid=alice\r\n",
    "Host: a.test\r\nX-Forwarded-For: 192.0.2.7\r\nVia: 1.0 x\r\n",
    "Host: a.test\r\nAccept: */*\r\nTE: trailers\r\nUpgrade: x\r\n",
    "Accept: */*\r\nUser-Agent: t\r\nHost: a.test\r\n",
];

/// What a proxy does to heads: it adds lines behind those that came, and leaves some out.
const RULES: &str = "http_via \"p\"\nhttp_forwarded \"both\"\nhttp_request_header \"set\" \"Cookie\" \"own=${http_request_cookie}\"\n\
    http_request_header \"add\" \"X-Secret\" \"${http_request_user_agent}\"\nhttp_request_header \"remove\" \"Accept\"";

#[test]
fn what_one_client_sends_is_not_in_what_another_asks() {
    let origin = Scripted::new(OK, false);
    let sent = |stream: &mut TcpStream, lines: &str| {
        assert_eq!(ask(stream, request(lines)).text(), "ok", "{lines}");
        origin.seen().pop().expect("a request").0
    };
    // Of a proxy that has seen nothing else.
    let alone = |lines: &&str| {
        let proxy = proxy_to(origin.addr(), RULES);
        sent(&mut client::connect(proxy.addr(0)), lines)
    };
    let alone: Vec<_> = ALIKE.iter().map(alone).collect();
    let proxy = proxy_to(origin.addr(), RULES);
    let mut clients = [client::connect(proxy.addr(0)), client::connect(proxy.addr(0))];
    for (n, (before, of_before)) in ALIKE.iter().zip(&alone).enumerate() {
        for (m, (now, expected)) in ALIKE.iter().zip(&alone).enumerate() {
            assert_eq!(&sent(&mut clients[0], before), of_before, "{before}");
            // The same client, or another one.
            assert_eq!(&sent(&mut clients[(n + m) % 2], now), expected, "{now} after {before}");
        }
    }
}

/// What the comparison above cannot show: that what it compares with is right.
#[test]
fn a_line_that_is_not_sent_again_is_gone() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let [mut alice, mut bob] = [(); 2].map(|()| client::connect(proxy.addr(0)));
    let own = "Cookie: sid=alice\r\nAuthorization: Basic YTpi\r\n";
    for _ in 0..3 {
        ask(&mut alice, request(&format!("Host: a.test\r\nAccept: */*\r\n{own}")));
        let theirs = origin.seen().pop().expect("a request").0;
        assert!(theirs.contains(own) && theirs.contains("Host: a.test\r\n"), "{theirs}");
        for lines in ["Host: b.test\r\nAccept: */*\r\n", "Host: a.test\r\n", "Host: a.test\r\nAccept: */*\r\n"] {
            ask(&mut bob, request(lines));
            let head = origin.seen().pop().expect("a request").0;
            assert!(!head.contains("alice") && !head.contains("Authorization"), "{head}");
            assert!(head.starts_with(&format!("GET / HTTP/1.1\r\n{lines}")), "{head}");
        }
    }
}

#[test]
fn a_field_is_left_out_only_where_connection_lists_it() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let [mut one, mut other] = [(); 2].map(|()| client::connect(proxy.addr(0)));
    // In front of the field, and behind it, where the section begins as the one before.
    for (listing, not) in [
        ("Host: a\r\nConnection: x-secret\r\nX-Secret: 1\r\n", "Host: a\r\nX-Secret: 1\r\n"),
        ("Host: a\r\nX-Secret: 1\r\nConnection: x-secret\r\n", "Host: a\r\nX-Secret: 1\r\n"),
        ("Host: a\r\nConnection: x-secret\r\nX-Secret: 1\r\n", "Host: a\r\nConnection: x-secre_\r\nX-Secret: 1\r\n"),
        ("Host: a\r\nConnection: x-secret\r\nX-Secret: 1\r\n", "Host: a\r\nConnection: close\r\nX-Secret: 1\r\n"),
    ] {
        for passed in [true, false, false, true, true, false, true] {
            let stream = if passed { &mut one } else { &mut other };
            ask(stream, request(if passed { not } else { listing }));
            let head = origin.seen().pop().expect("a request").0;
            assert_eq!(head.contains("X-Secret: 1\r\n"), passed, "{head}");
            if not.contains("close") && passed {
                one = client::connect(proxy.addr(0));
            }
        }
    }
}

/// Good, and what is not: it differs by little.
const WRONG: &[(&str, &[&str])] = &[
    (
        "Host: a.test\r\nContent-Length: 0\r\nAccept: */*\r\n",
        &[
            "Host: a.test\r\nContent-Length: 0\r\nAccept: */*\r\nTransfer-Encoding: chunked\r\n",
            "Host: a.test\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\n",
            "Host: a.test\r\nContent-Length: 0\r\nContent-Length: 0\r\nAccept: */*\r\n",
            "Host: a.test\r\nContent-Length: 0\r\nAccept: */*\r\ncontent-length: 0\r\n",
            "Host: a.test\r\nContent-Length:\r\nAccept: */*\r\n",
            "Host: a.test\r\nContent-Length: -\r\nAccept: */*\r\n",
            "Host: a.test\r\nContent-Length: 0\r\nAccept: */*\r\nHost: a.test\r\n",
            "Content-Length: 0\r\nAccept: */*\r\n",
            "Host: longer.test\r\nContent-Length: 0\r\nAccept: */*\r\n folded\r\n",
            "Host: a.test\r\nContent-Length: 0\r\nAccept: *\0*\r\n",
            "Host: a.test\r\nContent-Length: 0\nAccept: */*\r\n",
            "Host: a.test\r\nContent-Length : 0\r\nAccept: */*\r\n",
            "Host: a,test\r\nContent-Length: 0\r\nAccept: */*\r\n",
            "Host: a.test@\r\nContent-Length: 0\r\nAccept: */*\r\n",
        ],
    ),
    (
        "Transfer-Encoding: chunked\r\nHost: a.test\r\n",
        &[
            "Transfer-Encoding: chunked\r\nHost: a.test\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunkee\r\nHost: a.test\r\n",
            "Transfer-Encoding:\x0bchunked\r\nHost: a.test\r\n",
            "Transfer-Encoding : chunked\r\nHost: a.test\r\n",
        ],
    ),
];

#[test]
fn what_is_refused_is_refused_each_time_and_leaves_nothing_behind() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let post = |lines: &str| {
        let body = if lines.to_ascii_lowercase().contains("transfer-encoding") { "0\r\n\r\n" } else { "" };
        format!("POST / HTTP/1.1\r\n{lines}\r\n{body}")
    };
    let mut stream = client::connect(proxy.addr(0));
    for (good, wrong) in WRONG {
        assert_eq!(ask(&mut stream, post(good)).text(), "ok");
        let expected = origin.seen();
        for wrong in *wrong {
            for times in [1, 3] {
                for _ in 0..times {
                    let a = once(&proxy, post(wrong) + "GET /smuggled HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    assert_eq!(a.header("connection"), Some("close"), "{wrong} {}", a.head);
                    assert!(matches!(a.status, 400 | 501), "{wrong} {}", a.head);
                }
                let before = origin.seen().len();
                assert_eq!(ask(&mut stream, post(good)).text(), "ok", "after {wrong}");
                assert_eq!(origin.seen()[before..], expected[expected.len() - 1..], "after {wrong}");
            }
        }
    }
    let seen = origin.seen();
    assert!(seen.iter().all(|(head, _)| head.starts_with("POST / ")), "{seen:?}");
}

/// Of a section that is as the one before it is known that its host is a plain one; not of one that only begins so.
#[test]
fn a_host_is_looked_at_whatever_came_before() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let lines = "Accept: */*\r\nUser-Agent: t\r\n";
    for (start, status) in [("GET / HTTP/1.0\r\n", 200), ("GET / HTTP/1.1\r\n", 400)] {
        for host in ["a b", "a,b", "a@b", "a/b", "a:b", "", "\u{e9}", "a\tb"] {
            assert_eq!(once(&proxy, request("Host: plain.test\r\n")).status, 200);
            assert_eq!(once(&proxy, format!("{start}{lines}\r\n")).status, status);
            let before = origin.seen().len();
            let a = once(&proxy, request(&format!("{lines}Host: {host}\r\n")));
            assert_eq!((a.status, origin.seen().len()), (400, before), "{host:?}");
        }
    }
}

#[test]
fn the_limit_of_one_server_is_not_that_of_another() {
    let origin = Scripted::new(OK, false);
    let of = |more: &str| {
        format!(
            "server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{more}\nlocal {{ proxy_pass_tcp \"{}\"; }}\n}}\n",
            origin.addr()
        )
    };
    let proxy =
        net(&format!("{}{}", of("http_header_count 9"), of("http_header_size \"1KiB\"; http_header_count 200")))
            .start();
    let (many, long) = ("X-A: b\r\n".repeat(9), format!("X-A: {}\r\n", "b".repeat(1000)));
    let (many, long) = (request(&format!("Host: a\r\n{many}")), request(&format!("Host: a\r\n{long}")));
    for _ in 0..3 {
        for (server, head, status) in [(1, &many, 200), (0, &many, 431), (0, &long, 200), (1, &long, 431)] {
            assert_eq!(ask(&mut client::connect(proxy.addr(server)), head).status, status, "{head}");
        }
    }
}

#[test]
fn a_head_that_comes_in_pieces_is_the_same() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let (with, without) = (ALIKE[1], ALIKE[0]);
    let whole = request(with);
    // Within the request line, at the end of the section that came before, within the line behind it, before the empty one.
    let section = whole.find("Cookie").expect("a line");
    for at in [5, 16, 30, section - 1, section, section + 1, section + 12, whole.len() - 3, whole.len() - 2] {
        for before in [without, with] {
            assert_eq!(once(&proxy, request(before)).status, 200);
            let mut stream = client::connect(proxy.addr(0));
            stream.set_nodelay(true).expect("an option");
            stream.write_all(&whole.as_bytes()[..at]).expect("write");
            proxy.await_sleep();
            // What waits has its own memory.
            assert_eq!(once(&proxy, request(without)).status, 200);
            let other = origin.seen().pop().expect("a request").0;
            assert!(!other.contains("alice"), "{other}");
            assert_eq!(ask(&mut stream, &whole[at..]).status, 200, "{at}");
            let head = origin.seen().pop().expect("a request").0;
            assert!(head.starts_with(&whole[..whole.len() - 2]), "{at}: {head}");
            assert_eq!(head.matches("Cookie").count(), 1, "{head}");
        }
    }
}

#[test]
fn requests_sent_together_are_each_their_own() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    // Empty lines in front of some move all that follows.
    let all: String = ALIKE.iter().enumerate().map(|(n, lines)| "\r\n".repeat(n % 3) + &request(lines)).collect();
    stream.write_all(all.as_bytes()).expect("write");
    for lines in ALIKE {
        assert_eq!(answer(&mut stream, "GET").text(), "ok", "{lines}");
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), ALIKE.len());
    for (lines, (head, _)) in ALIKE.iter().zip(&seen) {
        assert_eq!(head.contains("sid=alice"), lines.contains("sid=alice"), "{head}");
        assert_eq!(head.contains("sid=carol"), lines.contains("sid=carol"), "{head}");
        assert_eq!(head.contains("Authorization"), lines.contains("Authorization"), "{head}");
    }
}

#[test]
fn a_request_of_http2_has_nothing_of_one_before_it() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    for _ in 0..3 {
        assert_eq!(once(&proxy, request(ALIKE[1])).status, 200);
        let a = run(async { Client::open(proxy.addr(0)).await.get("/").await }).expect("an answer");
        assert_eq!(a.status, 200);
        let head = origin.seen().pop().expect("a request").0;
        assert!(!head.contains("alice") && !head.contains("User-Agent"), "{head}");
        // Nor has one of HTTP/1 anything of it, or of the lines that were there before that.
        assert_eq!(once(&proxy, request(ALIKE[0])).status, 200);
        let head = origin.seen().pop().expect("a request").0;
        assert!(
            head.starts_with(&request(ALIKE[0])[..request(ALIKE[0]).len() - 2]) && !head.contains("alice"),
            "{head}"
        );
    }
}

/// Answers a request with that of `answers` which its target names: `/0`. Counts the connections that they come on.
fn answering(answers: Vec<String>) -> (Origin, Arc<Mutex<Vec<u64>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (kept, connections) = (Arc::clone(&asked), Mutex::new(0));
    let origin = Origin::start(move |mut conn| {
        let own = {
            let mut connections = connections.lock().expect("not poisoned");
            *connections += 1;
            *connections
        };
        while let Some(head) = head(&mut conn) {
            kept.lock().expect("not poisoned").push(own);
            let which = head.split(['/', ' ']).nth(2).and_then(|n| n.parse::<usize>().ok()).expect("a number");
            conn.write_all(answers[which].as_bytes())?;
        }
        Ok(())
    });
    (origin, asked)
}

fn asking(stream: &mut TcpStream, which: usize) -> Answer {
    ask(stream, format!("GET /{which} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

#[test]
fn an_answer_has_nothing_of_another() {
    let answers: Vec<_> = [
        "Content-Length: 2\r\nContent-Type: a/b\r\n\r\nok",
        "Content-Length: 2\r\nContent-Type: a/b\r\nSet-Cookie: sid=alice\r\n\r\nok",
        "Content-Length: 2\r\nSet-Cookie: sid=alice\r\nContent-Type: a/b\r\n\r\nok",
        "Content-Length: 2\r\nSet-Cookie: sid=carol\r\nSet-Cookie: more=1\r\n\r\nok",
        "Content-Length: 2\r\nContent-Type: a/b\r\nX-Hop: 1\r\n\r\nok",
        "Content-Length: 2\r\nContent-Type: a/b\r\nX-Hop: 1\r\nConnection: x-hop\r\n\r\nok",
        "Content-Length: 2\r\nContent-Length: 2\r\nX-Hop: 1\r\n\r\nok",
        "Content-Length: 3\r\nContent-Type: a/b\r\n\r\nok!",
        "Transfer-Encoding: chunked\r\nContent-Type: a/b\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ]
    .iter()
    .map(|lines| format!("HTTP/1.1 200 OK\r\n{lines}"))
    .collect();
    let count = answers.len();
    let (origin, _) = answering(answers);
    let rules =
        "http_via \"p\"\nhttp_response_header \"add\" \"Set-Cookie\" \"own=1\"\nhttp_error_page 502 body=\"sorry\"";
    let own = |a: &Answer| {
        // The time of a day is not of a peer's answer.
        let lines: Vec<_> = a.head.lines().filter(|line| !line.starts_with("Date: ")).collect();
        (lines.join("\n"), a.text())
    };
    let alone = |which| {
        let proxy = proxy_to(origin.addr(), rules);
        own(&asking(&mut client::connect(proxy.addr(0)), which))
    };
    let expected: Vec<_> = (0..count).map(alone).collect();
    for (which, (head, _)) in expected.iter().enumerate() {
        assert_eq!(head.contains("sid="), (1..4).contains(&which), "{head}");
        assert_eq!(head.contains("X-Hop"), which == 4 || which == 6, "{head}");
        assert_eq!(head.contains(" 502 "), which == 9, "{head}");
    }
    let proxy = proxy_to(origin.addr(), rules);
    let mut stream = client::connect(proxy.addr(0));
    for before in 0..count {
        for now in 0..count {
            for which in [before, now] {
                assert_eq!(own(&asking(&mut stream, which)), expected[which], "{now} after {before}");
            }
        }
    }
}

/// The answer in full, whose connection stays open at the peer whatever it says.
#[test]
fn a_peer_that_says_close_is_not_asked_again_on_that_connection() {
    let keep = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: y\r\n\r\nok".to_owned();
    let close = keep.replace("X: y", "X: y\r\nConnection: close");
    let alive = close.replace(": close", ": keep-alive");
    let (origin, asked) = answering(vec![keep, close, alive]);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    let (mut expected, mut connection) = (Vec::new(), 1);
    for which in [0, 0, 1, 1, 0, 2, 1, 2, 2, 0, 1, 0] {
        let a = asking(&mut stream, which);
        assert_eq!((a.text().as_str(), a.header("connection")), ("ok", None), "{}", a.head);
        expected.push(connection);
        connection += u64::from(which == 1);
    }
    assert_eq!(*asked.lock().expect("not poisoned"), expected);
}

#[test]
fn hints_and_the_answer_behind_them_have_the_same_lines() {
    let lines = "Link: </a>; rel=preload\r\nX-A: b\r\n";
    let answers = vec![
        format!("HTTP/1.1 103 Early Hints\r\n{lines}\r\nHTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok"),
        format!("HTTP/1.1 103 Early Hints\r\n{lines}Set-Cookie: a\r\n\r\nHTTP/1.1 204 No\r\n{lines}\r\n"),
        format!("HTTP/1.1 103 Early Hints\r\n{lines}Connection: x-a\r\n\r\nHTTP/1.1 204 No\r\n{lines}\r\n"),
    ];
    let (origin, _) = answering(answers);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for (which, hints, has) in
        [(0, true, true), (0, true, true), (1, true, true), (2, false, true), (2, false, true), (0, true, true)]
    {
        stream.write_all(format!("GET /{which} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("write");
        let first = answer(&mut stream, "GET");
        let last = answer(&mut stream, "GET");
        assert_eq!(
            (first.status, last.status),
            (103, if which == 0 { 200 } else { 204 }),
            "{} {}",
            first.head,
            last.head
        );
        assert_eq!((first.header("x-a").is_some(), last.header("x-a").is_some()), (hints, has), "{which}");
        assert_eq!((first.header("set-cookie").is_some(), last.header("set-cookie")), (which == 1, None), "{which}");
        assert_eq!(last.head.matches("Link").count(), 1, "{}", last.head);
    }
}
