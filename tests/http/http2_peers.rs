//! Peers of HTTP/2: connections shared by requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use h2::Reason;
use harness::{Nginx, Proxy, client, eventually, pattern, skip};
use http::{HeaderMap, HeaderValue, Response};

use crate::h2::*;
use crate::support::{ask, chunks, get as get1, head, once, server};

pub(crate) fn before(peer: std::net::SocketAddr, more: &str) -> Proxy {
    server(&format!("{more}\nlocal {{ http_proxy version=\"2\"; proxy_pass_tcp \"{peer}\"; }}")).start()
}

/// Answers with what comes, and its trailers.
pub(crate) async fn echo(mut call: Call) {
    let ok = Response::builder().status(200).header("x-connection", call.connection.to_string());
    let Ok(mut out) = call.respond.send_response(ok.body(()).expect("a head"), false) else { return };
    let body = call.request.body_mut();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        let mut rest = piece;
        while !rest.is_empty() {
            out.reserve_capacity(rest.len());
            let Some(Ok(n)) = std::future::poll_fn(|cx| out.poll_capacity(cx)).await else { return };
            let _ = out.send_data(rest.split_to(n.min(rest.len())), false);
        }
    }
    let _ = match body.trailers().await {
        Ok(Some(trailers)) => out.send_trailers(trailers),
        _ => out.send_data(Bytes::new(), true),
    };
}

#[test]
fn one_connection_carries_requests_of_many_clients_at_once() {
    // All wait for the last of them.
    let barrier = Arc::new(tokio::sync::Barrier::new(20));
    let peer = Peer::start(move |call| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            call.answer(b"together").await;
        }
    });
    let proxy = before(peer.addr(), "");
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(once(&proxy, get1("/")).text(), "together"));
        }
    });
    assert_eq!((peer.accepted(), peer.requests()), (1, 20));
}

#[test]
fn a_request_arrives_as_one_of_http2() {
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let peer = Peer::start(move |call| {
        let head = call.request.headers().clone();
        let uri = call.request.uri().to_string();
        keep.lock().expect("not poisoned").push((uri, call.request.method().to_string(), head));
        async move { call.answer(b"ok").await }
    });
    let proxy = before(peer.addr(), "");
    let request = "GET /a/b?c=d HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                   Keep-Alive: 5\r\nX-One: 1\r\nCookie: a=b\r\n\r\n";
    let a = once(&proxy, request);
    assert_eq!((a.status, a.text().as_str(), a.header("x-connection")), (200, "ok", Some("1")));
    let (uri, method, head) = seen.lock().expect("not poisoned").pop().expect("a request");
    assert_eq!((method.as_str(), head["x-one"].to_str().expect("text")), ("GET", "1"));
    assert!(uri.starts_with("http://") && uri.ends_with("/a/b?c=d"), "{uri}");
    assert_eq!((head["te"].to_str().ok(), head["cookie"].to_str().ok()), (Some("trailers"), Some("a=b")));
    for name in ["connection", "keep-alive", "x-hop", "host"] {
        assert!(!head.contains_key(name), "{head:?}");
    }
    assert!(head.contains_key("x-forwarded-for"), "{head:?}");
}

#[test]
fn bodies_of_a_mebibyte_go_both_ways_with_clients_of_either_version() {
    let peer = Peer::start(echo);
    let proxy = before(peer.addr(), "");
    let body = pattern::bytes(1 << 20);
    for _ in 0..3 {
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(&body);
        assert!(once(&proxy, &request).body == body);
    }
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let asks: Vec<_> = (0..8).map(|_| client.ask(post("/"), &body)).collect();
        for answer in join(asks).await {
            let answer = answer.expect("an answer");
            assert!(answer.status == 200 && answer.headers["x-connection"] == "1");
            assert!(answer.body == body, "{} bytes", answer.body.len());
        }
    });
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn trailers_go_both_ways() {
    let peer = Peer::start(echo);
    let proxy = before(peer.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for body in [&b""[..], b"some"] {
            let mut request = post("/");
            request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
            let (response, up) = client.begin(request, false).await.expect("a stream");
            let mut trailers = HeaderMap::new();
            trailers.insert("x-check", HeaderValue::from_static("sum"));
            send_all(up, body, Some(trailers)).await.expect("sent");
            let answer = receive(response.await.expect("a head")).await.expect("an answer");
            assert_eq!(answer.body, body);
            assert_eq!(answer.trailers.expect("trailers")["x-check"], "sum");
        }
    });
    // To a client of HTTP/1 in chunks. What no trailer may be stays here: the peer would refuse it.
    let mut stream = client::connect(proxy.addr(0));
    let request = "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\
                   Transfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\
                   X-Check: sum\r\nConnection: X-Check\r\nContent-Length: 4\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("write");
    assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 200 "));
    assert_eq!(chunks(&mut stream), b"some");
}

#[test]
fn a_head_alone_is_passed_as_such() {
    let peer = Peer::start(|mut call: Call| async move {
        let head = call.request.method() == http::Method::HEAD;
        let ok = Response::builder().status(200).header("x-a", "b").body(()).expect("a head");
        if let Ok(stream) = call.respond.send_response(ok, head)
            && !head
        {
            let _ = send_all(stream, b"streamed", None).await;
        }
    });
    let proxy = before(peer.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        let a = ask(&mut stream, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        // What the length of GET's answer is, nobody said.
        assert_eq!((a.status, a.header("x-a"), a.header("content-length")), (200, Some("b"), None), "{}", a.head);
        assert_eq!(ask(&mut stream, get1("/")).text(), "streamed");
    }
}

#[test]
fn slow_readers_do_not_hold_up_others_on_the_same_connection() {
    // More of them than the connection's window has room for.
    let peer = Peer::start(|call: Call| async move {
        let large = call.request.uri().path() == "/large";
        call.answer(&if large { pattern::bytes(8 << 20) } else { b"ok".to_vec() }).await;
    });
    let proxy = before(peer.addr(), "");
    let slow: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = client::connect(proxy.addr(0));
            std::io::Write::write_all(&mut stream, get1("/large").as_bytes()).expect("write");
            stream
        })
        .collect();
    eventually("all are under way", || (peer.requests() == 40).then_some(()));
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..10 {
        assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
    }
    // Nor a larger one.
    assert_eq!(once(&proxy, get1("/large")).body.len(), 8 << 20);
    drop(slow);
    eventually("they are given up", || (proxy.status()["process"]["sessions"].as_u64() <= Some(1)).then_some(()));
    assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
}

#[test]
fn a_client_that_goes_away_resets_its_stream_at_the_peer() {
    let (told, gone) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (tell, go) = (Arc::clone(&told), Arc::clone(&gone));
    let peer = Peer::start(move |mut call: Call| {
        let (tell, go) = (Arc::clone(&tell), Arc::clone(&go));
        async move {
            if call.request.uri().path() == "/" {
                return call.answer(b"ok").await;
            }
            tell.store(true, Relaxed);
            let reason = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
            go.store(matches!(reason, Ok(Reason::CANCEL)), Relaxed);
        }
    });
    let proxy = before(peer.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let (response, up) = client.begin(get("/slow"), true).await.expect("a stream");
        while !told.load(Relaxed) {
            tokio::task::yield_now().await;
            client.get("/").await.expect("an answer");
        }
        drop((response, up));
        client.get("/").await.expect("an answer");
        eventually("the peer hears of it", || gone.load(Relaxed).then_some(()));
        client.get("/").await.expect("an answer");
    });
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn more_at_once_than_a_connection_takes_go_over_several() {
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(10);
    let peer = Peer::start_with(builder, |call| async move {
        tokio::task::yield_now().await;
        call.answer(&pattern::bytes(10_000)).await;
    });
    let proxy = before(peer.addr(), "http2_streams 1000");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for _ in 0..5 {
            let asks: Vec<_> = (0..400).map(|_| client.get("/")).collect();
            for answer in join(asks).await {
                let answer = answer.expect("an answer");
                assert_eq!((answer.status, answer.body.len()), (200, 10_000));
            }
        }
    });
    assert!(peer.accepted() <= 64, "{}", peer.accepted());
}

#[test]
fn clients_that_give_up_waiting_for_room_take_nobody_elses() {
    // As many as a worker has connections, each with room for one.
    const CONNECTIONS: usize = 16;
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(1);
    let (holding, go) = (Arc::new(tokio::sync::Semaphore::new(0)), Arc::new(tokio::sync::Semaphore::new(0)));
    let (held, released) = (Arc::clone(&holding), Arc::clone(&go));
    let peer = Peer::start_with(builder, move |call: Call| {
        let (held, released) = (Arc::clone(&held), Arc::clone(&released));
        async move {
            if call.request.uri().path() == "/held" {
                held.add_permits(1);
                released.acquire().await.expect("open").forget();
            }
            call.answer(b"ok").await;
        }
    });
    let proxy = before(peer.addr(), "http2_streams 1000");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for _ in 0..5 {
            let (mut kept, mut given_up) = (Vec::new(), Vec::new());
            for _ in 0..CONNECTIONS {
                kept.push(client.begin(get("/held"), true).await.expect("a stream"));
            }
            holding.acquire_many(CONNECTIONS as u32).await.expect("open").forget();
            for n in 0..100 {
                let stream = client.begin(get("/"), true).await.expect("a stream");
                if n % 2 == 0 { given_up.push(stream) } else { kept.push(stream) }
            }
            // Some give up as they wait, and some as they are woken.
            given_up.truncate(25);
            go.add_permits(CONNECTIONS);
            drop(given_up);
            for (response, _) in kept {
                assert_eq!(receive(response.await.expect("a head")).await.expect("an answer").text(), "ok");
            }
        }
    });
    assert_eq!(peer.accepted(), CONNECTIONS as u64);
}

#[test]
fn another_one_of_its_kind_is_a_peer() {
    let echo = server("http2_streams 1000\nlocal { http_echo; }").start();
    let proxy = before(echo.addr(0), "http2_streams 1000");
    let body = pattern::bytes(300_000);
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for _ in 0..3 {
            let asks: Vec<_> = (0..150).map(|_| client.ask(post("/"), &body)).collect();
            for answer in join(asks).await {
                assert!(answer.expect("an answer").body == body);
            }
        }
    });
    assert!(echo.read("access.log").lines().count() == 450);
}

#[test]
fn nginx_is_one() {
    let Some(origin) = Nginx::start_http2("location / { }") else {
        return skip("nginx is not installed");
    };
    origin.write("large", pattern::bytes(3 << 20));
    origin.write("small", "small");
    let proxy = before(origin.addr(), "http2_streams 1000");
    assert!(once(&proxy, get1("/large")).body == pattern::bytes(3 << 20));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let asks: Vec<_> = (0..300).map(|n| client.get(["/small", "/large"][usize::from(n % 30 == 0)])).collect();
        for (n, answer) in join(asks).await.into_iter().enumerate() {
            let answer = answer.expect("an answer");
            assert_eq!((answer.status, answer.body.len()), (200, if n % 30 == 0 { 3 << 20 } else { 5 }));
        }
        assert_eq!(client.get("/none").await.expect("an answer").status, 404);
    });
}

#[test]
fn an_upload_that_goes_on_after_an_early_head_is_not_cut() {
    let peer = Peer::start(|mut call: Call| async move {
        let ok = Response::builder().status(200).body(()).expect("a head");
        let Ok(mut out) = call.respond.send_response(ok, false) else { return };
        let Ok((body, _)) = read_all(call.request.body_mut()).await else { return };
        let _ = out.send_data(Bytes::from(body.len().to_string()), true);
    });
    let proxy = before(peer.addr(), "http_body_timeout \"500ms\"");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let (response, mut up) = client.begin(post("/"), false).await.expect("a stream");
        let response = response.await.expect("an early head");
        // Three times as long as a body may stand still, in steps of a tenth of that: it is time that has to pass.
        for n in 0..30 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            up.send_data(Bytes::from_static(b"piece"), n == 29).expect("open");
        }
        assert_eq!(receive(response).await.expect("an answer").text(), "150");
    });
}

#[test]
fn idle_connections_are_kept_as_long_as_the_local_of_their_last_stream_says() {
    const GO: &str = "http_proxy version=\"2\"; proxy_pass_upstream \"u\"";
    let peer = Peer::start(|call| async move { call.answer(b"ok").await });
    let proxy = Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\nupstream \"u\" {{ proxy_pass_tcp \"{}\"; }}\n\
         net {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nhttp_upstream_keepalive_timeout \"1h\"\n\
         local {{ rule \"${{path}}\" text=\"/short\"; http_upstream_keepalive_timeout \"300ms\"; {GO}; }}\n\
         local {{ rule \"${{path}}\" text=\"/none\"; http_upstream_keepalive 0; {GO}; }}\nlocal {{ {GO}; }}\n}} }}\n",
        peer.addr()
    ));
    let kept = before(peer.addr(), "http_upstream_keepalive_timeout \"1h\"");
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(once(&kept, get1("/")).text(), "ok");
    for (path, connection) in [("/", "2"), ("/none", "2"), ("/", "3"), ("/short", "3")] {
        assert_eq!(ask(&mut stream, get1(path)).header("x-connection"), Some(connection), "{path}");
    }
    eventually("those whose time is over are ended", || (peer.open() == 1).then_some(()));
    assert_eq!(ask(&mut stream, get1("/")).header("x-connection"), Some("4"));
    // The other one has been there all the time.
    assert_eq!(once(&kept, get1("/")).header("x-connection"), Some("1"));
    assert_eq!(peer.open(), 2);
}
