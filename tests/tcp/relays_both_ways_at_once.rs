//! 64 MiB each way at the same time arrive whole and in order, copied and by splice.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use harness::{Origin, client, pattern};

use crate::support::{field, local, logged, metric};

const SIZE: u64 = 64 << 20;

fn send_pattern(mut stream: &TcpStream) {
    let mut buf = vec![0; 256 << 10];
    let mut at = 0;
    while at < SIZE {
        pattern::fill(at, &mut buf);
        stream.write_all(&buf).unwrap_or_else(|error| panic!("after {at} bytes: {error}"));
        at += buf.len() as u64;
    }
    stream.shutdown(Shutdown::Write).expect("half-close");
}

/// Sends the pattern while it reads and compares it; answers nothing else.
fn both_ways() -> (Origin, std::sync::mpsc::Receiver<u64>) {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let origin = Origin::start(move |mut conn| {
        let other = conn.stream.try_clone()?;
        let sender = std::thread::spawn(move || send_pattern(&other));
        let mut buf = vec![0; 256 << 10];
        let mut at = 0;
        loop {
            let n = conn.read(&mut buf)?;
            if n == 0 || pattern::verify(at, &buf[..n]).is_err() {
                break;
            }
            at += n as u64;
        }
        let _ = sender.join();
        let _ = tell.lock().expect("no other thread panicked").send(at);
        Ok(())
    });
    (origin, told)
}

fn run(directives: &str) -> harness::Proxy {
    let (origin, received) = both_ways();
    let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
    let stream = client::connect(proxy.addr(0));
    let other = stream.try_clone().expect("clone");
    let sender = std::thread::spawn(move || send_pattern(&other));
    assert_eq!(client::receive_pattern(stream), SIZE);
    sender.join().expect("sent");
    assert_eq!(received.recv().expect("the origin read to the end"), SIZE);
    proxy
}

#[test]
fn copied() {
    let proxy = run("splice #false");
    let line = logged(&proxy, 0);
    assert_eq!((field(&line, "in"), field(&line, "out")), ("67108864", "67108864"), "{line}");
    assert_eq!(field(&line, "splice"), "none", "{line}");
    assert!(field(&line, "reason").ends_with("_transfer_done"), "{line}");
    assert_eq!(metric(&proxy, "anyproxy_tcp_splices"), 0);
}

#[test]
fn with_splice_from_the_first_byte() {
    let proxy = run("splice_after 0");
    let line = logged(&proxy, 0);
    assert_eq!((field(&line, "in"), field(&line, "out")), ("67108864", "67108864"), "{line}");
}

#[test]
fn a_long_download_is_spliced() {
    let origin = Origin::source(SIZE);
    let proxy = local("proxy_pass_tcp \"@ORIGIN@\"").set("ORIGIN", origin.addr()).start();
    let stream = client::connect(proxy.addr(0));
    assert_eq!(client::receive_pattern(stream.try_clone().expect("clone")), SIZE);
    drop(stream);
    let line = logged(&proxy, 0);
    assert_eq!((field(&line, "splice"), field(&line, "out")), ("download", "67108864"), "{line}");
    assert_eq!(metric(&proxy, "anyproxy_tcp_splices"), 1);
}

#[test]
fn a_long_download_is_spliced_on_beside_small_messages_of_the_client() {
    let origin = Origin::source(SIZE);
    let config = crate::support::config(
        "",
        "server { port_listen_tcp \"127.0.0.1:0\"; local { proxy_pass_tcp \"@ORIGIN@\"; }; }",
    );
    let (from, to) = (
        "access_log \"access.log\"",
        "access_log \"info.log\" format=\"${stream_stream_info}\"; access_log \"access.log\"",
    );
    let proxy = harness::Proxy::builder().config(&config.replace(from, to)).set("ORIGIN", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    let (mut at, mut buf) = (0, vec![0; 1 << 20]);
    while at < SIZE {
        // Each is read by itself: there is much to be done before the next.
        stream.write_all(b"ping").expect("it is open");
        stream.read_exact(&mut buf).unwrap_or_else(|error| panic!("after {at} bytes: {error}"));
        assert_eq!(pattern::verify(at, &buf), Ok(()));
        at += buf.len() as u64;
    }
    drop(stream);
    let info = proxy.await_line("info.log", "spliced=", harness::LIMIT);
    let spliced: u64 = field(&info, "spliced").rsplit('/').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(spliced > SIZE / 2, "{info}");
}
