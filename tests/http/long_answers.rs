//! Long answers of known length, which go past this process from socket to socket: they are the same, and leave both
//! connections as others do. How they are cut is in `long_answers_cut`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, mpsc};

use harness::{LIMIT, Origin, Proxy, client, eventually, pattern};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use rustix::process::Signal;

use crate::h2::{Client, run};
use crate::support::{answer, get, head, net_with};

/// As sockets are waited for.
pub(crate) const WAYS: [&str; 2] = ["", "io_uring #false;"];
const KIB: usize = 1 << 10;
pub(crate) const MIB: usize = 1 << 20;
/// Of a long answer so much may be copied before: what came with its head.
const COPIED: usize = 160 * KIB;

/// Before one peer; `more` is in the server.
pub(crate) fn before(origin: &Origin, common: &str, more: &str) -> Proxy {
    let local = format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr());
    net_with(common, &format!("server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{more}\n{local}\n}}")).start()
}

/// The body of an answer of this length: one that has bytes of another is seen.
pub(crate) fn body(len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    pattern::fill(len as u64, &mut all);
    all
}

pub(crate) fn head_of(len: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes()
}

/// Around every bound that there is.
fn lengths() -> Vec<usize> {
    let around = [16, 32, 48].into_iter().flat_map(|k| [k * KIB - 1, k * KIB, k * KIB + 1]);
    [0, 1].into_iter().chain(around).chain([64 * KIB, 100 * KIB, MIB + 1, 5 * MIB]).collect()
}

/// What `/<length>` asks for.
pub(crate) fn wanted(request: &str) -> usize {
    request.split(['/', ' ']).find_map(|word| word.parse().ok()).expect("a length")
}

/// Answers `/<length>` in one write, `/<length>/pieces` in many.
fn peer() -> Origin {
    Origin::start(|mut conn| {
        while let Some(request) = head(&mut conn) {
            let (head, body) = (head_of(wanted(&request)), body(wanted(&request)));
            if request.starts_with("HEAD") {
                conn.write_all(&head)?;
            } else if request.contains("/pieces") {
                conn.write_all(&head)?;
                for piece in body.chunks(1000) {
                    conn.write_all(piece)?;
                }
            } else {
                conn.write_all(&[head, body].concat())?;
            }
        }
        Ok(())
    })
}

pub(crate) fn spliced(proxy: &Proxy) -> usize {
    let status = proxy.status();
    let modules = status["modules"].as_array().expect("modules");
    let http = modules.iter().find(|m| m["id"] == "http").expect("the module");
    http["status"]["spliced_bytes"].as_u64().expect("a number") as usize
}

/// Lines of the log with this text.
pub(crate) fn lines(proxy: &Proxy, text: &str) -> usize {
    proxy.read("access.log").lines().filter(|line| line.contains(text)).count()
}

/// Bytes that a line of the log says the client got.
pub(crate) fn out(line: &str) -> usize {
    line.split(" out=").nth(1).and_then(|l| l.split(' ').next()?.parse().ok()).expect("a number")
}

/// One that takes little from the system.
pub(crate) fn slow(proxy: &Proxy) -> TcpStream {
    let s = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_recv_buffer_size(&s, 4096).expect("a socket");
    connect(&s, &proxy.addr(0)).expect("connect");
    let stream = TcpStream::from(s);
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    stream
}

/// The answer that comes next.
#[track_caller]
pub(crate) fn expect(stream: &mut TcpStream, len: usize) {
    let a = answer(stream, "GET");
    assert!(a.status == 200 && a.body == body(len), "of {len}: {} of {}", a.body.len(), a.head);
}

#[track_caller]
fn ask(stream: &mut TcpStream, path: &str) {
    stream.write_all(get(path).as_bytes()).expect("write");
}

#[test]
fn are_the_same_whatever_their_length() {
    for common in WAYS {
        let origin = peer();
        let proxy = before(&origin, common, "");
        for how in ["", "/pieces"] {
            let mut stream = client::connect(proxy.addr(0));
            for len in lengths() {
                let before = spliced(&proxy);
                ask(&mut stream, &format!("/{len}{how}"));
                expect(&mut stream, len);
                // The last byte is here before it is counted.
                if len > COPIED {
                    eventually("it went that way", || (spliced(&proxy) - before + COPIED >= len).then_some(()));
                }
                assert!(spliced(&proxy) - before <= if len < 32 * KIB { 0 } else { len }, "{len}");
            }
        }
        assert_eq!(origin.accepted(), 1, "the peer's connection is used again");
        eventually("all are in the log", || (lines(&proxy, "reason=client_transfer_done") == 30).then_some(()));
        for (line, len) in proxy.read("access.log").lines().zip(lengths().iter().cycle()) {
            let heads = out(line) - len;
            assert!((70..110).contains(&heads), "{len} in {line}");
        }
    }
}

#[test]
fn and_short_ones_follow_each_other_over_one_connection() {
    let lens = [5 * MIB, 1, 100 * KIB, 0, 32 * KIB + 1, MIB + 1, 48 * KIB, 2, 300 * KIB];
    for common in WAYS {
        let origin = peer();
        let proxy = before(&origin, common, "");
        // All at once, and of both kinds in turn.
        let requests: String =
            lens.iter().flat_map(|len| [get(&format!("/{len}")), get(&format!("/{len}/pieces"))]).collect();
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(requests.as_bytes()).expect("write");
        for len in lens.iter().flat_map(|len| [*len; 2]) {
            expect(&mut stream, len);
        }
        assert_eq!(origin.accepted(), 1);
        assert!(spliced(&proxy) > 10 * MIB);
    }
}

#[test]
fn go_on_when_the_peer_does() {
    for common in WAYS {
        let (go, wait) = mpsc::channel::<usize>();
        let wait = Mutex::new(wait);
        let origin = Origin::start(move |mut conn| {
            let _ = head(&mut conn);
            let all = [head_of(MIB), body(MIB)].concat();
            let mut at = 0;
            while let Ok(n) = wait.lock().expect("not poisoned").recv_timeout(LIMIT) {
                conn.write_all(&all[at..at + n])?;
                at += n;
            }
            Ok(())
        });
        let proxy = before(&origin, common, "");
        let mut stream = client::connect(proxy.addr(0));
        ask(&mut stream, "/");
        let head_len = head_of(MIB).len();
        go.send(head_len).expect("it waits");
        assert!(head(&mut stream).is_some());
        // Each part is here before the next is sent: nothing waits for more.
        let parts = [1, 100 * KIB, 1, 1, 17, 64 * KIB, 500 * KIB, 3];
        let mut all = Vec::new();
        for n in parts.into_iter().chain([MIB - parts.iter().sum::<usize>()]) {
            go.send(n).expect("it waits");
            all.extend(client::read_exact(&stream, n));
        }
        drop(go);
        assert!(all == body(MIB));
        eventually("it went that way", || (spliced(&proxy) + 16 >= MIB).then_some(()));
    }
}

#[test]
fn that_are_looked_at_are_copied() {
    let cases = [
        ("", "", "/chunked"),
        ("http_compress \"gzip\"", "Accept-Encoding: gzip\r\n", ""),
        ("http_limit_rate \"100MiB/s\"", "", ""),
        ("http_response_buffering #true", "", ""),
    ];
    for common in WAYS {
        let origin = Origin::start(|mut conn| {
            while let Some(request) = head(&mut conn) {
                let len = wanted(&request);
                if request.contains("/chunked") {
                    write!(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n")?;
                    conn.write_all(&[&body(len)[..], b"\r\n0\r\n\r\n"].concat())?;
                } else {
                    write!(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len}\r\n\r\n")?;
                    conn.write_all(&body(len))?;
                }
            }
            Ok(())
        });
        for (more, line, how) in cases {
            let proxy = before(&origin, common, more);
            let mut stream = client::connect(proxy.addr(0));
            write!(stream, "GET /{MIB}{how} HTTP/1.1\r\nHost: a\r\n{line}\r\n").expect("write");
            let a = answer(&mut stream, "GET");
            let compressed = a.header("content-encoding").is_some();
            assert!(a.status == 200 && compressed != line.is_empty() && (compressed || a.body == body(MIB)), "{more}");
            eventually("it is in the log", || (lines(&proxy, "_done") == 1).then_some(()));
            assert_eq!(spliced(&proxy), 0, "{more}{how}");
        }
        let origin = peer();
        let proxy = before(&origin, common, "");
        let mut stream = client::connect(proxy.addr(0));
        write!(stream, "HEAD /{MIB} HTTP/1.1\r\nHost: a\r\n\r\n").expect("write");
        assert_eq!(answer(&mut stream, "HEAD").header("content-length"), Some("1048576"));
        ask(&mut stream, "/1000");
        expect(&mut stream, 1000);
        let a = run(async { Client::open(proxy.addr(0)).await.get(&format!("/{MIB}")).await }).expect("an answer");
        assert!(a.body == body(MIB));
        eventually("they are in the log", || (lines(&proxy, "_done") == 3).then_some(()));
        assert_eq!(spliced(&proxy), 0);
    }
}

/// What comes behind is not of the request that has the connection next.
#[test]
fn bytes_behind_the_end_are_nobodys() {
    const WRONG: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong";
    for common in WAYS {
        // The end of the body and what is behind are one segment.
        let origin = Origin::start(|mut conn| {
            while let Some(request) = head(&mut conn) {
                let len = wanted(&request);
                let (first, last) = (body(len)[..len - 9000].to_vec(), body(len)[len - 9000..].to_vec());
                conn.write_all(&[head_of(len), first].concat())?;
                conn.write_all(&[&last, WRONG].concat())?;
            }
            Ok(())
        });
        let proxy = before(&origin, common, "");
        for len in [50 * KIB, MIB] {
            let before = origin.accepted();
            let mut stream = client::connect(proxy.addr(0));
            stream.write_all(get(&format!("/{len}")).repeat(10).as_bytes()).expect("write");
            (0..10).for_each(|_| expect(&mut stream, len));
            (0..10).for_each(|_| {
                let mut stream = client::connect(proxy.addr(0));
                ask(&mut stream, &format!("/{len}"));
                expect(&mut stream, len);
            });
            assert_eq!(origin.accepted() - before, 20, "{common} {len}");
        }
        // Once the client has all of it.
        let ((arrived, more), (sent, wait)) = (mpsc::channel::<()>(), mpsc::channel());
        let (more, sent) = (Mutex::new(more), Mutex::new(sent));
        let origin = Origin::start(move |mut conn| {
            while let Some(request) = head(&mut conn) {
                conn.write_all(&[head_of(wanted(&request)), body(wanted(&request))].concat())?;
                if more.lock().expect("not poisoned").recv().is_err() {
                    break;
                }
                conn.write_all(WRONG)?;
                let _ = sent.lock().expect("not poisoned").send(());
            }
            Ok(())
        });
        let proxy = before(&origin, common, "");
        let mut stream = client::connect(proxy.addr(0));
        for n in 1..=10 {
            ask(&mut stream, "/1000000");
            expect(&mut stream, 1_000_000);
            arrived.send(()).expect("the peer waits");
            wait.recv_timeout(LIMIT).expect("it is sent");
            assert_eq!(origin.accepted(), n);
        }
    }
}

#[test]
fn end_with_the_connection_where_that_is_said() {
    for common in WAYS {
        let origin = peer();
        let proxy = before(&origin, common, "");
        for request in [
            "GET /5000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /5000000 HTTP/1.0\r\nHost: a\r\n\r\n",
            "GET /5000000 HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let mut stream = client::connect(proxy.addr(0));
            stream.write_all(request.as_bytes()).expect("write");
            if !request.contains("close") && !request.contains("1.0") {
                stream.shutdown(Shutdown::Write).expect("a socket");
            }
            expect(&mut stream, 5_000_000);
            assert_eq!(client::end(&stream), client::End::Closed, "{request}");
        }
        assert_eq!(origin.accepted(), 1);
        let mut stream = client::connect(proxy.addr(0));
        let request = "GET /5000000 HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
        stream.write_all(request.repeat(2).as_bytes()).expect("write");
        (0..2).for_each(|_| expect(&mut stream, 5_000_000));
        assert!(spliced(&proxy) > 24_000_000);
    }
}

#[test]
fn come_while_the_request_does() {
    const LEN: usize = 12 * MIB;
    let both = |common| [(common, ""), (common, "http_limit_rate \"1GiB/s\" after=\"1GiB\"")];
    for (common, more) in WAYS.into_iter().flat_map(both) {
        // What it has said goes back, or it says something of its own meanwhile.
        let origin = Origin::start(|mut conn| {
            let request = head(&mut conn).unwrap_or_default();
            conn.write_all(&head_of(LEN))?;
            if request.contains("/echo") {
                let mut piece = vec![0; 64 * KIB];
                let mut left = LEN;
                while left > 0 {
                    let n = conn.read(&mut piece)?;
                    conn.write_all(&piece[..n])?;
                    left -= n;
                }
                return Ok(());
            }
            let mut other = conn.stream.try_clone()?;
            std::thread::scope(|s| {
                s.spawn(move || other.write_all(&body(LEN)));
                let mut all = vec![0; LEN];
                conn.read_exact(&mut all)?;
                assert!(all == body(LEN));
                // The end comes once all is written.
                Ok(())
            })
        });
        let proxy = before(&origin, common, more);
        for path in ["/echo", "/own"] {
            let mut stream = client::connect(proxy.addr(0));
            let mut up = stream.try_clone().expect("a second handle");
            let mut send = move || {
                write!(up, "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {LEN}\r\n\r\n").expect("write");
                up.write_all(&body(LEN)).expect("write");
            };
            if path == "/own" {
                // Nothing is read before all is sent.
                send();
            } else {
                std::thread::spawn(send);
            }
            expect(&mut stream, LEN);
        }
        eventually("they went that way", || ((spliced(&proxy) > LEN) == more.is_empty()).then_some(()));
    }
}

#[test]
fn outlive_a_reload_and_a_quit() {
    for common in WAYS {
        let origin = peer();
        let mut proxy = before(&origin, common, "");
        let len = 20 * MIB;
        let begun = || {
            let mut stream = client::connect(proxy.addr(0));
            ask(&mut stream, &format!("/{len}"));
            assert!(head(&mut stream).is_some());
            let some = client::read_exact(&stream, MIB);
            (stream, some)
        };
        let all = |(stream, mut some): (TcpStream, Vec<u8>)| {
            some.extend(client::read_exact(&stream, len - MIB));
            assert!(some == body(len));
        };
        let (first, second) = (begun(), begun());
        let text = proxy.read("main.kdl").replace("http\n", "http\nhttp_header_count 200\n");
        proxy.reload_with(&text).assert(0, &[]);
        all(first);
        proxy.signal(Signal::QUIT);
        proxy.await_log("quitting", LIMIT);
        all(second);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    }
}
