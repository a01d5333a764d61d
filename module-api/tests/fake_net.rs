//! The fake host's network: streams, listeners, datagrams, names, upstreams, as a module sees them.
#![cfg(feature = "testing")]

use anyproxy_module_api::{
    testing::{Attempt, FakeHost, pair},
    *,
};
use std::{
    cell::Cell,
    future::poll_fn,
    io::{Read, Write},
    net::SocketAddr,
    os::{
        fd::{AsFd, AsRawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

fn addr(text: &str) -> Addr {
    text.parse::<SocketAddr>().expect("an address").into()
}

#[test]
fn a_stream_has_a_window_pieces_halves_and_a_reset() {
    let host = FakeHost::new();
    let (mut s, peer) = host.stream_named("www.example.cn", "h2");
    assert_eq!((s.info().server_name.as_str(), s.info().alpn.as_str()), ("www.example.cn", "h2"));
    peer.window(4);
    assert!(host.try_run(s.write_all(b"abcdef")).is_none(), "the window is full");
    assert_eq!(peer.received(), b"abcd");
    peer.fragment(1);
    peer.stutter(true);
    peer.send(b"xyz");
    let mut got = [0; 3];
    host.run(s.read_exact(&mut got)).expect("three bytes came");
    assert_eq!(&got, b"xyz");
    s.unread(Buf::from(b"yz".to_vec()));
    peer.finish();
    assert_eq!(s.state(), ready::READ | ready::WRITE | ready::HUP);
    let mut got = [0; 8];
    assert_eq!(host.run(s.read(&mut got)).expect("what was put back"), 2);
    assert_eq!(host.run(s.read(&mut got)).expect("the end"), 0);
    host.run(s.write_all(b"last")).expect("the other half is open");
    host.run(s.shutdown()).expect("it ends");
    assert_eq!((peer.received_text().as_str(), peer.is_finished(), peer.is_closed()), ("last", true, false));
    assert_eq!(host.run(s.write_all(b"x")).expect_err("ended").kind, ErrorKind::BrokenPipe);
    s.set_reset();
    assert!(s.set_option("nodelay", 1));
    drop(s);
    assert!(peer.was_reset() && peer.is_closed());
    assert_eq!(peer.options(), [("nodelay".to_owned(), 1)]);
    assert_eq!(host.held(), "");

    let (mut s, peer) = pair();
    peer.reset();
    assert_eq!(host.run(s.read(&mut got)).expect_err("reset").kind, ErrorKind::Reset);
}

#[test]
fn connects_succeed_fail_and_stall_as_the_table_says() {
    let host = FakeHost::new();
    let server = host.server(addr("10.0.0.1:0"));
    host.refuse(addr("10.0.0.2:80"), ErrorKind::Unreachable);
    host.stall(addr("10.0.0.3:80"));
    let mut options = SocketOptions::default();
    let mut s = host.run(connect(server.addr(), &options)).expect("there is a server");
    let peer = server.accept().expect("it was connected to");
    host.run(s.write_all(b"hi")).expect("it is open");
    assert_eq!(peer.received(), b"hi");
    let kind = |r: Result<Stream, Error>| r.expect_err("it fails").kind;
    assert_eq!(kind(host.run(connect(addr("10.0.0.2:80"), &options))), ErrorKind::Unreachable);
    assert_eq!(kind(host.run(connect(addr("10.0.0.9:80"), &options))), ErrorKind::Refused);
    assert!(host.try_run(connect(addr("10.0.0.3:80"), &options)).is_none());
    options.connect_timeout_ms = 100;
    let failed = Rc::new(Cell::new(None));
    let to = Rc::clone(&failed);
    drop(spawn(async move { to.set(connect(addr("10.0.0.3:80"), &options).await.err().map(|e| e.kind)) }));
    host.advance(Duration::from_millis(100));
    assert_eq!(failed.get(), Some(ErrorKind::TimedOut));
}

#[test]
fn a_modules_own_listener_accepts_and_frees_its_address() {
    let host = FakeHost::new();
    let options = SocketOptions::default();
    let l = SocketListener::bind(addr("127.0.0.1:0"), &options).expect("free");
    assert_ne!(l.addr().port(), 0);
    assert_eq!(SocketListener::bind(l.addr(), &options).expect_err("taken").kind, ErrorKind::AddrInUse);
    assert!(host.try_run(l.accept()).is_none());
    let client = host.dial(l.addr()).expect("it listens");
    client.send(b"hi");
    let mut s = host.run(l.accept()).expect("one came");
    let mut b = [0; 2];
    host.run(s.read_exact(&mut b)).expect("two bytes");
    let at = l.addr();
    drop((l, s));
    assert!(host.dial(at).is_none() && client.is_closed());
    assert_eq!(host.held(), "");
}

#[test]
fn datagrams_come_in_batches_and_go_in_runs() {
    let host = FakeHost::new();
    host.segments(4);
    let options = SocketOptions::default();
    let (a, b) = (UdpSocket::bind(addr("127.0.0.1:0"), &options), UdpSocket::bind(addr("127.0.0.1:0"), &options));
    let (a, b) = (a.expect("free"), b.expect("free"));
    assert_eq!((a.max_transmit_segments(), a.max_receive_segments()), (4, 1));
    a.try_send(&Transmit::new(b.addr(), b"aabbc").segment(2)).expect("room");
    let (mut one, mut two) = ([0; 8], [0; 1]);
    let mut meta = [Received::default(); 2];
    let n = host.run(poll_fn(|cx| b.poll_recv(cx, &mut [&mut one[..], &mut two[..]], &mut meta))).expect("they came");
    assert_eq!((n, meta[0].len, meta[1].len, meta[0].from), (2, 2, 1, a.addr()), "the second was cut off");
    assert_eq!((&one[..2], &two[..]), (&b"aa"[..], &b"b"[..]));
    assert!(host.send_datagram(addr("192.0.2.9:9"), b.addr(), b"hello"));
    let n = host.run(poll_fn(|cx| b.poll_recv(cx, &mut [&mut one[..]], &mut meta))).expect("one was left");
    assert_eq!((n, meta[0].len), (1, 1));

    a.try_send(&Transmit::new(addr("192.0.2.1:53"), b"out")).expect("room");
    assert_eq!(host.sent()[0].bytes, b"out");
    host.block_sends(true);
    assert_eq!(a.try_send(&Transmit::new(b.addr(), b"x")).expect_err("blocked").kind, ErrorKind::WouldBlock);
    let woken = spawn(async move { poll_fn(|cx| a.poll_writable(cx)).await });
    host.run_until_stalled();
    host.block_sends(false);
    assert!(host.run(woken));
    drop(b);
    assert_eq!(host.held(), "");
}

#[test]
fn names_readiness_and_adopted_sockets_come_from_the_test() {
    let host = FakeHost::new();
    host.name("www.example.cn", &["192.0.2.1".parse().expect("an address")], 30);
    let all = host.run(resolve("www.example.cn", 80)).expect("it is in the table");
    assert_eq!((all.len(), all[0].addr, all[0].ttl_s), (1, addr("192.0.2.1:80"), 30));
    assert_eq!(host.run(resolve("::1", 1)).expect("a literal")[0].addr, addr("[::1]:1"));
    assert_eq!(host.run(resolve("nowhere", 1)).expect_err("unknown").kind, ErrorKind::NotFound);

    let (ours, other) = UnixStream::pair().expect("sockets");
    let n = ours.as_raw_fd().into();
    let w = SocketWatch::new(&ours, ready::READ).expect("a descriptor");
    assert!(host.try_run(poll_fn(|cx| w.poll_ready(cx, ready::READ))).is_none());
    host.set_ready(n, ready::READ);
    assert_eq!(host.run(poll_fn(|cx| w.poll_ready(cx, ready::READ))), ready::READ);
    w.clear_ready(ready::READ);
    assert!(host.try_run(poll_fn(|cx| w.poll_ready(cx, ready::READ))).is_none());
    drop(w);

    let peer = host.adoptable(n);
    let mut s = adopt(ours).expect("the test offered it");
    assert!(adopt(other).is_err(), "nobody offered it");
    peer.send(b"x");
    assert_eq!(host.run(s.read(&mut [0; 2])).expect("one byte"), 1);
    drop(s);
    assert_eq!(host.held(), "");
}

#[test]
fn an_upstreams_script_is_followed_and_outcomes_are_kept() {
    struct Proxy;
    impl Module for Proxy {
        type Conf = ();
        type Worker = ();
        fn register(r: &mut Registry<Self>) {
            r.handler::<Forward>();
        }
        fn create() -> Self {
            Self
        }
        fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
        fn worker_start(&self, _: u32) {}
    }
    struct Forward;
    impl Handler<Proxy> for Forward {
        const NAME: &'static str = "forward";
        async fn handle(session: Session<Proxy>, stream: Stream) -> Result<(), Error> {
            let (upstream, lease) = match session.connect_upstream().await {
                Ok(c) => c,
                Err(first) => {
                    assert_eq!(first.kind, ErrorKind::Refused);
                    let mut lease = session.pick_peer("key").await?;
                    (lease.connect().await?, lease)
                }
            };
            assert_eq!(lease.info().upstream.as_str(), "pool");
            session.relay(stream, upstream).await?;
            lease.done(&Outcome { connect_ns: 1, first_byte_ns: 2, total_ns: 3, failure: 0 });
            Ok(())
        }
    }
    let host = FakeHost::new();
    host.peer("pool", "a.test", "tcp", addr("10.0.0.1:80"));
    host.upstream_script(&[Attempt::Fail(ErrorKind::Refused), Attempt::Accept, Attempt::Accept]);
    let module = testing::ModuleUnderTest::<Proxy>::start_on(host, &[]);
    let host = module.host();
    let mut run = module.handle("forward");
    host.run_until_stalled();
    let server = host.upstream().expect("the second attempt is accepted");
    assert_eq!(host.pick_keys(), ["key"]);
    run.client.send(b"question");
    run.client.finish();
    host.run_until_stalled();
    assert_eq!((server.received_text().as_str(), server.is_finished()), ("question", true));
    server.send(b"answer");
    server.finish();
    host.run_until_stalled();
    assert_eq!((run.client.received_text().as_str(), run.client.is_finished()), ("answer", true));
    assert!(run.result().expect("it ended").is_ok());
    assert_eq!(host.outcomes()[0].total_ns, 3);

    let cut = module.handle("forward");
    host.run_until_stalled();
    drop(cut);
    assert!(host.outcomes()[0].is_unheard(), "nobody has said how it went");
    let mut none = module.handle("forward");
    host.run_until_stalled();
    let quiet = none.result().expect("it ended");
    assert_eq!(quiet.expect_err("the script is at its end").kind, ErrorKind::Panicked);
    drop((run, none));
    module.stop();
}

#[test]
fn a_stream_that_claims_more_than_fits_is_believed_as_far_as_there_is_room() {
    struct Liar;
    impl StreamImpl for Liar {
        fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<Result<usize, Error>> {
            Poll::Ready(Ok(1000))
        }
        fn poll_write(&mut self, _: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
            Poll::Ready(Ok(from.len()))
        }
        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }
        fn info(&self) -> StreamInfo<'_> {
            StreamInfo::default()
        }
        fn unread(&mut self, _: Buf) {}
    }
    let host = FakeHost::new();
    let mut s = Stream::new(Liar);
    assert_eq!(host.run(s.read(&mut [0; 4])).expect("read"), 4);
    let mut b = Buf::from(Vec::with_capacity(8));
    let room = b.capacity();
    assert_eq!(host.run(s.read_buf(&mut b)).expect("read"), room);
    assert_eq!(b.len(), room);
}

/// A socket of the test's own as a stream.
struct Own(UnixStream);

impl StreamImpl for Own {
    fn poll_read(&mut self, _: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        Poll::Ready((&self.0).read(to).map_err(Into::into))
    }
    fn poll_write(&mut self, _: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        Poll::Ready((&self.0).write(from).map_err(Into::into))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
    fn info(&self) -> StreamInfo<'_> {
        StreamInfo::default()
    }
    fn raw_fd(&self) -> Option<BorrowedSocket<'_>> {
        Some(self.0.as_fd())
    }
    fn take_raw(&mut self) -> Option<RawSocket> {
        self.0.try_clone().ok().map(RawSocket::new)
    }
    fn unread(&mut self, _: Buf) {}
}

#[test]
fn a_raw_socket_is_owned_by_whoever_has_it() {
    let (ours, mut other) = UnixStream::pair().expect("sockets");
    let n = ours.as_raw_fd();
    let stream = Stream::new(Own(ours));
    assert_eq!((stream.raw_fd(), stream.fd().map(|fd| fd.as_raw_fd())), (Some(n.into()), Some(n)));
    let mut raw = stream.take_raw().expect("it gives its socket");
    let socket = raw.take_socket().map(UnixStream::from).expect("once");
    assert!(raw.take_socket().is_none() && raw.can_recv && raw.can_send);
    drop(raw);
    (&socket).write_all(b"x").expect("it is open");
    // One that nobody takes is closed.
    drop(RawSocket::new(socket));
    let mut all = Vec::new();
    assert_eq!(other.read_to_end(&mut all).expect("the other end"), 1);
}
