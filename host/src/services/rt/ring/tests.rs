//! Streams on a loop that has a ring, over loopback: `carrying` of bytes, `ends` of all kinds, `lingering`
//! of what is gone with bytes unsent, and `bounds` of what is kept.

mod bounds;
mod carrying;
mod ends;
mod lingering;

use crate::services::{
    rt::{Wait, run, within},
    stream, timers,
};
use anyproxy_module_api::abi::{error::Error, net::Addr, stream::Stream};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    task::Poll,
    thread::JoinHandle,
    time::Duration,
};

/// Nothing here takes so long unless it is broken.
const LIMIT: Duration = Duration::from_secs(30);
/// So long it is looked whether something happens that must not.
const QUIET: Duration = Duration::from_millis(60);

thread_local! {
    static TURNS: Cell<usize> = const { Cell::new(0) };
}

/// How often this thread's loop has waited.
fn turns() -> usize {
    TURNS.get()
}

/// Runs `f` on a loop with a ring, to its end.
fn on_a_ring<F: Future<Output = ()> + 'static>(f: impl FnOnce() -> F) {
    crate::process::start().unwrap();
    if let Err(e) = super::Uring::new() {
        println!("skipped: no io_uring: {e}");
        return;
    }
    let woke = || {
        timers::tick();
        TURNS.set(TURNS.get() + 1);
    };
    let done = std::rc::Rc::new(Cell::new(false));
    let tell = std::rc::Rc::clone(&done);
    run(
        Wait::Ring,
        |r| r.unwrap(),
        || {
            let f = f();
            async move { tell.set(within(LIMIT, f).await.is_some()) }
        },
        woke,
        |_| {},
    );
    assert!(done.get(), "it did not end in time");
}

/// A connected pair, the far end of blocking calls. `small`: the system keeps little on its way.
fn sockets(small: bool) -> (TcpStream, socket2::Socket) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if small {
        socket2::SockRef::from(&listener).set_recv_buffer_size(8 << 10).unwrap();
    }
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    far.set_read_timeout(Some(LIMIT)).unwrap();
    far.set_write_timeout(Some(LIMIT)).unwrap();
    far.set_nodelay(true).unwrap();
    near.set_nonblocking(true).unwrap();
    let near = socket2::Socket::from(near);
    if small {
        near.set_send_buffer_size(8 << 10).unwrap();
    }
    (far, near)
}

fn stream_of(near: socket2::Socket) -> Stream {
    stream::from_socket(near, Addr::NONE, Addr::NONE).unwrap()
}

fn pair() -> (TcpStream, Stream) {
    let (far, near) = sockets(false);
    (far, stream_of(near))
}

fn small_pair() -> (TcpStream, Stream) {
    let (far, near) = sockets(true);
    (far, stream_of(near))
}

async fn read(s: &mut Stream, to: &mut [u8]) -> Result<usize, Error> {
    poll_fn(|cx| s.poll_read(cx, to)).await
}

/// So many bytes, which come in time.
async fn read_exact(s: &mut Stream, len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    let mut at = 0;
    while at < len {
        let n = read(s, &mut all[at..]).await.unwrap();
        assert!(n > 0, "an end after {at} of {len}");
        at += n;
    }
    all
}

async fn write_all(s: &mut Stream, mut from: &[u8]) {
    while !from.is_empty() {
        let n = poll_fn(|cx| s.poll_write(cx, from)).await.unwrap();
        assert!(n > 0);
        from = &from[n..];
    }
}

/// Waits for any of these bits.
async fn ready(s: &mut Stream, bits: u8) -> u8 {
    poll_fn(|cx| s.poll_ready(cx, bits)).await
}

/// Waits as who waits for a reset does: until `state` says so, or the wait was over `most` times. True: it says so.
async fn hung(s: &mut Stream, bit: u8, most: usize) -> bool {
    let mut looked = 0;
    poll_fn(|cx| {
        looked += 1;
        if s.state() & bit != 0 || looked > most {
            return Poll::Ready(());
        }
        let _ = s.poll_ready(cx, anyproxy_module_api::abi::stream::ready::HUP);
        Poll::Pending
    })
    .await;
    s.state() & bit != 0
}

/// Writes pieces of `len` bytes of the pattern, from `at` on, until the stream takes none for a while. Where it stopped.
async fn fill(s: &mut Stream, mut at: usize, len: usize) -> usize {
    loop {
        let piece = pattern(at, len);
        match within(QUIET, poll_fn(|cx| s.poll_write(cx, &piece))).await {
            Some(n) => at += n.unwrap(),
            None => return at,
        }
        assert!(at < 64 << 20, "it takes bytes without end");
    }
}

/// The bytes from `at` on of what all of these tests send.
fn pattern(at: usize, len: usize) -> Vec<u8> {
    (at..at + len).map(|n| (n.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

/// Numbers below `most`, from 1 on, the same ones in each run.
fn numbers(mut seed: u64) -> impl FnMut(usize) -> usize {
    move |most| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (seed >> 33) as usize % most.max(1)
    }
}

/// Runs `f` on a thread of its own.
fn far<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(f)
}

/// All up to the end.
fn to_end(mut far: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    far.read_to_end(&mut all).map(|_| all)
}

/// Waits for a thread without standing in the loop's way.
async fn over<T>(thread: JoinHandle<T>) -> T {
    while !thread.is_finished() {
        crate::services::rt::sleep(Duration::from_millis(1)).await;
    }
    thread.join().unwrap()
}

/// Has all that was queued told to the kernel, and what it says heard.
async fn turn() {
    for _ in 0..2 {
        crate::services::rt::yield_now().await;
    }
}

fn say(mut far: &TcpStream, bytes: &[u8]) {
    far.write_all(bytes).unwrap();
}
