//! What a client of HTTP/2 may not do, and what a connection is not kept for.

use std::io::Write;
use std::time::{Duration, Instant};

use h2::Reason;
use harness::{Origin, Proxy, client, eventually};

use crate::h2::*;
use crate::support::{FORMAT, head, proxy_to, server};

/// A peer that takes requests and says nothing.
fn silent() -> Origin {
    Origin::start(|mut conn| {
        while head(&mut conn).is_some() {}
        Ok(())
    })
}

fn small(more: &str) -> Proxy {
    server(&format!("{more}\nlocal {{ http_echo body=\"text\"; }}")).start()
}

/// The proxy serves others as ever.
#[track_caller]
fn goes_on(proxy: &Proxy) {
    let answer = run(async { Client::open(proxy.addr(0)).await.get("/").await });
    assert_eq!(answer.expect("an answer").text(), "text");
}

#[test]
fn more_streams_than_allowed_are_refused_and_the_others_go_on() {
    let origin = silent();
    let proxy = proxy_to(origin.addr(), "http2_streams 4\nhttp_first_byte_timeout \"1s\"");
    let mut raw = Raw::open(proxy.addr(0));
    for n in 0..6 {
        raw.get(1 + 2 * n, "/");
    }
    let (mut refused, mut answered) = (Vec::new(), Vec::new());
    while refused.len() + answered.len() < 6 {
        let f = raw.frame().expect("a frame");
        match f.kind {
            RST_STREAM if f.code() == Reason::REFUSED_STREAM => refused.push(f.stream),
            DATA if f.flags & END_STREAM != 0 => answered.push(f.stream),
            RST_STREAM | GOAWAY => panic!("{f:?}"),
            _ => {}
        }
    }
    answered.sort_unstable();
    assert_eq!((refused, answered), (vec![9, 11], vec![1, 3, 5, 7]));
    // There is room again.
    raw.get(13, "/");
    raw.until("an answer", |f| f.kind == HEADERS && f.stream == 13);
}

#[test]
fn resets_without_end_end_the_connection() {
    let origin = silent();
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = Raw::open(proxy.addr(0));
    let mut bytes = Vec::new();
    for n in 0..10_000_u32 {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * n, &section(false, "/")));
        bytes.extend(frame(RST_STREAM, 0, 1 + 2 * n, &8_u32.to_be_bytes()));
    }
    raw.try_write(&bytes);
    raw.ends_with(Reason::ENHANCE_YOUR_CALM);
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    let requests = proxy.read("access.log").lines().count();
    assert!(requests < 400, "{requests} requests were begun");
}

#[test]
fn continuation_without_end_ends_the_connection() {
    let proxy = small("");
    let mut raw = Raw::open(proxy.addr(0));
    raw.send(HEADERS, 0, 1, &section(false, "/"));
    let mut bytes = Vec::new();
    for _ in 0..10_000 {
        // A literal field that is not kept.
        bytes.extend(frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b"));
    }
    raw.try_write(&bytes);
    raw.until("GOAWAY", |f| f.kind == GOAWAY && f.code() != Reason::NO_ERROR);
    while raw.frame().is_some() {}
    goes_on(&proxy);
}

#[test]
fn empty_continuation_without_end_ends_the_connection() {
    let proxy = small("");
    let mut raw = Raw::open(proxy.addr(0));
    raw.send(HEADERS, 0, 1, &section(false, "/"));
    raw.try_write(&frame(CONTINUATION, 0, 1, b"").repeat(10_000));
    raw.until("GOAWAY", |f| f.kind == GOAWAY && f.code() != Reason::NO_ERROR);
    goes_on(&proxy);
}

#[test]
fn floods_of_frames_that_do_nothing_end_the_connection() {
    let proxy = small("");
    for (kind, payload) in [(PING, &[0; 8][..]), (SETTINGS, &[][..]), (WINDOW_UPDATE, &[0, 0, 0, 1][..])] {
        let mut raw = Raw::open(proxy.addr(0));
        raw.try_write(&frame(kind, 0, 0, payload).repeat(10_000));
        raw.ends_with(Reason::ENHANCE_YOUR_CALM);
    }
    goes_on(&proxy);
}

/// A `content-length` of 9,000,000, more than is taken of what nobody wants.
const LENGTH: &[u8] = b"\x0f\x0d\x079000000";

/// What of an upload was on its way when it was refused costs nothing: it was allowed when it was sent.
#[test]
fn uploads_that_are_refused_at_once_do_not_end_the_connection() {
    let proxy = server("http2_window \"256KiB\"\nlocal { return 403; }").start();
    let mut raw = Raw::open(proxy.addr(0));
    for stream in (1..).step_by(2).take(40) {
        raw.send(HEADERS, END_HEADERS, stream, &[&section(false, "/")[..], LENGTH].concat());
        let end =
            raw.until("the end of the stream", |f| f.kind == GOAWAY || (f.kind == RST_STREAM && f.stream == stream));
        assert_eq!((end.kind, end.code()), (RST_STREAM, Reason::NO_ERROR), "{stream}");
        assert!(raw.try_write(&frame(DATA, 0, stream, &[0; 16 << 10]).repeat(16)), "{stream}");
    }
    raw.get(201, "/");
    raw.until("an answer", |f| f.kind == HEADERS && f.stream == 201);
}

/// A client may do for ever what it may do now and then: 1000 frames that do nothing at once, a tenth of that each second.
#[test]
fn pings_now_and_then_do_not_end_a_connection() {
    let proxy = small("");
    let mut raw = Raw::open(proxy.addr(0));
    raw.write(&frame(PING, 0, 0, &[0; 8]).repeat(980));
    for n in 1..=100_u64 {
        let payload = n.to_be_bytes();
        raw.send(PING, 0, 0, &payload);
        raw.until("an answer to PING", |f| f.kind == PING && f.flags == ACK && f.payload == payload);
        // It is the rate that counts.
        std::thread::sleep(Duration::from_millis(15));
    }
}

/// As gRPC's watches and event sources are: no work for nothing.
#[test]
fn answers_that_have_begun_may_be_given_up_without_end() {
    let origin = Origin::start(|mut conn| {
        while head(&mut conn).is_some() {
            conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = Raw::open(proxy.addr(0));
    for stream in (1..).step_by(2).take(250) {
        raw.get(stream, "/");
        raw.until("some of the answer", |f| f.kind == DATA && f.stream == stream);
        raw.send(RST_STREAM, 0, stream, &8_u32.to_be_bytes());
    }
    raw.get(501, "/");
    raw.until("some of the answer", |f| f.kind == DATA && f.stream == 501);
}

#[test]
fn a_client_that_reads_no_answers_to_its_pings_does_not_fill_memory() {
    let proxy = small("");
    let before = proxy.resident();
    let mut raw = Raw::open(proxy.addr(0));
    // A request every few pings, so that they are paid for; nothing is read.
    raw.stream.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
    for n in 0..20_000 {
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1 + 2 * n, &section(false, "/"));
        bytes.extend(frame(PING, 0, 0, &[7; 8]).repeat(3));
        if !raw.try_write(&bytes) {
            break;
        }
    }
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 24 << 20, "{} KiB more", grown >> 10);
    goes_on(&proxy);
}

#[test]
fn a_wrong_preface_is_no_http2() {
    let proxy = small("");
    for text in
        [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"[..], b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\n"]
    {
        let mut stream = client::connect(proxy.addr(0));
        let a = crate::support::ask(&mut stream, text);
        assert!((400..=505).contains(&a.status), "{a:?}");
    }
    // What follows a good one must be SETTINGS.
    let mut raw = Raw { stream: client::connect(proxy.addr(0)) };
    raw.write(PREFACE);
    raw.get(1, "/");
    raw.ends_with(Reason::PROTOCOL_ERROR);
    goes_on(&proxy);
}

#[test]
fn a_preface_in_single_bytes_is_one() {
    let proxy = small("");
    let mut raw = Raw { stream: client::connect(proxy.addr(0)) };
    for byte in PREFACE {
        raw.write(&[*byte]);
    }
    for byte in
        frame(SETTINGS, 0, 0, b"").into_iter().chain(frame(HEADERS, END_HEADERS | END_STREAM, 1, &section(false, "/")))
    {
        raw.write(&[byte]);
    }
    assert_eq!(raw.until("a body", |f| f.kind == DATA).payload, b"text");
}

#[test]
fn a_preface_that_does_not_come_to_its_end_ends_the_connection() {
    let proxy = small("http_header_timeout \"300ms\"");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(&PREFACE[..16]).expect("write");
    let text = String::from_utf8_lossy(&client::read_to_end(&stream)).into_owned();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408 "), "{text}");
    // Nor does one wait for a request after it.
    let mut raw = Raw { stream: client::connect(proxy.addr(0)) };
    raw.write(PREFACE);
    raw.ends_with(Reason::NO_ERROR);
    // Nor for the rest of a head.
    let mut raw = Raw::open(proxy.addr(0));
    raw.send(HEADERS, 0, 1, &section(false, "/"));
    raw.until("GOAWAY", |f| f.kind == GOAWAY);
    while raw.frame().is_some() {}
}

#[test]
fn an_idle_connection_hears_goaway_and_ends() {
    let proxy = small("http_keepalive_timeout \"300ms\"");
    let began = Instant::now();
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        assert_eq!(client.get("/").await.expect("an answer").text(), "text");
        client.ended().await.expect("a good end");
    });
    assert!(began.elapsed() >= Duration::from_millis(300));
    // A client that answers no ping hears the last word too.
    let mut raw = Raw::open(proxy.addr(0));
    raw.get(1, "/");
    raw.until("the answer", |f| f.kind == DATA && f.flags & END_STREAM != 0);
    let first = raw.until("GOAWAY", |f| f.kind == GOAWAY);
    assert_eq!(first.payload[..4], 0x7fff_ffff_u32.to_be_bytes());
    let last = raw.until("GOAWAY", |f| f.kind == GOAWAY);
    assert_eq!((&last.payload[..4], last.code()), (&1_u32.to_be_bytes()[..], Reason::NO_ERROR));
    assert_eq!(raw.frame(), None);
}

#[test]
fn a_connection_ends_after_so_many_requests_and_none_is_lost() {
    let proxy = small("http_keepalive_requests 10");
    let mut raw = Raw::open(proxy.addr(0));
    // Those that are on their way when GOAWAY comes are answered too.
    for n in 0..20 {
        raw.get(1 + 2 * n, "/");
    }
    let mut answered = 0;
    let mut last = None;
    while let Some(f) = raw.frame() {
        match f.kind {
            DATA if f.flags & END_STREAM != 0 => answered += 1,
            PING if f.flags & ACK == 0 => raw.send(PING, ACK, 0, &f.payload),
            GOAWAY => last = Some(u32::from_be_bytes(f.payload[..4].try_into().expect("four bytes"))),
            _ => {}
        }
    }
    assert_eq!((answered, last), (20, Some(39)));
}

#[test]
fn a_body_that_stands_still_costs_its_stream_only() {
    let echo = server("local { http_echo; }").start();
    let proxy = proxy_to(echo.addr(0), "http_body_timeout \"500ms\"");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let (stalled, mut up) = client.begin(post("/stalled"), false).await.expect("a stream");
        up.send_data(bytes::Bytes::from_static(b"half"), false).expect("data");
        let stalled = tokio::task::spawn_local(async move {
            let answer = receive(stalled.await?).await;
            drop(up);
            answer
        });
        // Others go on meanwhile.
        let body = vec![b'x'; 200_000];
        while !stalled.is_finished() {
            assert_eq!(client.ask(post("/other"), &body).await.expect("an answer").body, body);
        }
        match stalled.await.expect("no panic") {
            Ok(answer) => assert!(answer.status == 408, "{answer:?}"),
            Err(e) => assert!(e.is_reset(), "{e}"),
        }
        assert_eq!(client.ask(post("/after"), b"x").await.expect("an answer").text(), "x");
    });
    let log = eventually("its line in the log", || {
        proxy.read("access.log").lines().find(|l| l.contains("path=/stalled")).map(str::to_owned)
    });
    assert!(log.contains("timeout"), "{FORMAT}: {log}");
}

#[test]
fn single_bytes_of_a_body_that_nobody_reads_do_not_fill_memory() {
    let proxy = server("local { http_echo; }").start();
    let mut raw = Raw { stream: client::connect(proxy.addr(0)) };
    raw.write(PREFACE);
    // No window: nothing of the echo can be sent, and nothing of the body is read.
    raw.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    raw.send(HEADERS, END_HEADERS, 1, &section(true, "/"));
    let before = proxy.resident();
    for n in 0..4000_u64 {
        // The byte is the last in what the proxy reads: it must not keep all of that alive.
        let mut bytes = frame(PING, 0, 0, &n.to_be_bytes());
        bytes.extend(frame(DATA, 0, 1, b"x"));
        raw.write(&bytes);
        raw.until("the answer", |f| f.kind == PING && f.payload == n.to_be_bytes());
    }
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 8 << 20, "{} KiB more", grown >> 10);
    // It is all there.
    raw.send(WINDOW_UPDATE, 0, 1, &100_000_u32.to_be_bytes());
    raw.send(DATA, END_STREAM, 1, b"");
    let mut all = 0;
    loop {
        let f = raw.until("data", |f| f.kind == DATA);
        all += f.payload.len();
        if f.flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(all, 4000);
}

/// Whatever came before it, and whatever is under way beside it: until it is complete nothing else is heard.
#[test]
fn a_head_that_does_not_come_to_its_end_ends_the_connection() {
    let limits = "http_header_timeout \"300ms\"\nhttp_body_timeout 0\nhttp_keepalive_timeout \"1h\"";
    let proxy = server(&format!("{limits}\nlocal {{ http_echo; }}")).start();
    let whole = frame(HEADERS, END_HEADERS | END_STREAM, 5, &section(false, "/"));
    let begun = [frame(HEADERS, END_STREAM, 5, &section(false, "/")), whole[..20].to_vec(), whole[..9].to_vec()];
    for begun in begun {
        for upload in [false, true] {
            let mut raw = Raw::open(proxy.addr(0));
            raw.get(1, "/");
            raw.until("an answer", |f| f.kind == HEADERS && f.stream == 1);
            if upload {
                raw.send(HEADERS, END_HEADERS, 3, &section(true, "/"));
                raw.until("the head of the echo", |f| f.kind == HEADERS && f.stream == 3);
            }
            raw.write(&begun);
            raw.ends_with(Reason::NO_ERROR);
        }
    }
    let logged = || proxy.read("access.log").matches("status=200 method=POST").count();
    eventually("three uploads are over", || (logged() == 3).then_some(()));
    assert_eq!(proxy.read("access.log").matches("reason=client_transfer_timeout").count(), 3);
    // One that comes to its end in time is as good as any other; so is a frame of a body that does not.
    let mut raw = Raw::open(proxy.addr(0));
    for stream in [1, 3, 5, 7] {
        raw.send(HEADERS, 0, stream, &section(true, "/"));
        std::thread::sleep(Duration::from_millis(100));
        raw.send(CONTINUATION, END_HEADERS, stream, b"");
        raw.until("the head of the echo", |f| f.kind == HEADERS && f.stream == stream);
        raw.send(DATA, END_STREAM, stream, b"");
    }
    raw.send(HEADERS, END_HEADERS, 9, &section(true, "/"));
    let data = frame(DATA, END_STREAM, 9, b"slowly");
    raw.write(&data[..10]);
    std::thread::sleep(Duration::from_millis(600));
    raw.write(&data[10..]);
    raw.until("the end of the echo", |f| f.kind == DATA && f.stream == 9 && f.flags & END_STREAM != 0);
}
