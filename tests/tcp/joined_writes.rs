//! `stream_delay` joins small writes into few segments; what is held is sent in time, and at the end at once.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use harness::{Origin, client};

use crate::support::local;

/// Tells the size of each read.
fn recorder() -> (Origin, mpsc::Receiver<Vec<u8>>) {
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let origin = Origin::start(move |mut conn| {
        let mut buf = [0; 65536];
        loop {
            let n = conn.read(&mut buf)?;
            let _ = tell.lock().expect("no other thread panicked").send(buf[..n].to_vec());
            if n == 0 {
                return Ok(());
            }
        }
    });
    (origin, told)
}

#[test]
fn small_writes_arrive_together() {
    let (origin, told) = recorder();
    let text = "stream_delay \"400ms\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    // Spread out, so that without the delay each is a read of its own at the proxy.
    for n in 0..40_u8 {
        stream.write_all(&[n; 10]).expect("write");
        std::thread::sleep(Duration::from_millis(3));
    }
    // The connection stays open and silent: what is held comes by itself.
    let (mut all, mut reads) = (Vec::new(), 0);
    while all.len() < 400 {
        all.extend(told.recv_timeout(harness::LIMIT).expect("the tail is sent"));
        reads += 1;
    }
    let sent: Vec<u8> = (0..40_u8).flat_map(|n| [n; 10]).collect();
    assert_eq!(all, sent);
    // One or two; a machine under load may take longer to write them than the delay.
    assert!(reads <= 10, "{reads} segments");
}

#[test]
fn the_end_is_not_held_back() {
    let (origin, told) = recorder();
    let text = "stream_delay \"10s\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let began = Instant::now();
    assert_eq!(client::exchange(proxy.addr(0), b"tail"), b"");
    let first = told.recv_timeout(harness::LIMIT).expect("bytes");
    assert_eq!(first, b"tail");
    assert_eq!(told.recv_timeout(harness::LIMIT).expect("end"), b"");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[test]
fn the_first_bytes_may_be_free() {
    let (origin, told) = recorder();
    let text = "stream_delay \"10s\"\nstream_nodelay_size \"4\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(&text.replace("\"4\"", "\"4B\"")).set("ORIGIN", origin.addr()).start();
    let began = Instant::now();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"head").expect("write");
    assert_eq!(told.recv_timeout(harness::LIMIT).expect("bytes"), b"head");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
