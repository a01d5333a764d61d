//! What a session sent last, and its client has not read yet, is the client's: the process and its workers end behind it.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use harness::{LIMIT, Proxy, client, eventually};
use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use rustix::process::Signal;

const BODY: usize = 1400;
/// So many clients, the first of which makes one request, the next two, and so on: of some the answers just fill what the system
/// keeps.
const CLIENTS: usize = 24;

const CONFIG: &str = r#"
load_module "tcp" "http"
common { worker_threads 1; shutdown_timeout "60s"; @COMMON@ }
socket { tcp "small" send_buffer="16KiB"; }
net {
    access_log "access.log" flush=0 format="${client_port}"
    server { tcp_config_name "small"; port_listen_tcp "127.0.0.1:0"; http; local { http_echo body="@BODY@"; }; }
}"#;

fn start(common: &str) -> Proxy {
    Proxy::builder().config(CONFIG).set("COMMON", common).set("BODY", "b".repeat(BODY)).start()
}

/// One that takes little from the system.
fn connected(proxy: &Proxy) -> TcpStream {
    let s = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    sockopt::set_socket_recv_buffer_size(&s, 4096).expect("a socket");
    connect(&s, &proxy.addr(0)).expect("connect");
    let stream = TcpStream::from(s);
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Says all it wants, the end too, and reads nothing.
fn ask(proxy: &Proxy, requests: usize) -> TcpStream {
    let mut stream = connected(proxy);
    let kept = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(requests - 1);
    write!(stream, "{kept}GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is open");
    stream.shutdown(Shutdown::Write).expect("it is open");
    stream
}

/// Answers that are done, as far as the session of this client knows.
fn answered(proxy: &Proxy, stream: &TcpStream) -> usize {
    let port = stream.local_addr().expect("connected").port().to_string();
    proxy.read("access.log").lines().filter(|line| *line == port).count()
}

/// Reads all; nobody gets half an answer, or fewer than are `done`: who is not answered may be told to come again.
fn read_all(streams: Vec<TcpStream>, done: &[usize]) {
    for (stream, done) in streams.into_iter().zip(done) {
        let text = String::from_utf8(client::read_to_end(&stream)).expect("text");
        let answers = text.matches("HTTP/1.1 200 OK").count();
        assert!(answers >= *done, "{answers} of {done}");
        assert_eq!(text.matches(&"b".repeat(BODY)).count(), answers, "the last of {answers} answers is cut");
    }
}

/// Clients of all kinds; what is done of each.
fn clients(proxy: &Proxy) -> (Vec<TcpStream>, Vec<usize>) {
    let streams: Vec<_> = (1..=CLIENTS).map(|requests| ask(proxy, requests)).collect();
    eventually("the first are over, and the last are not", || {
        let open = proxy.status()["process"]["sessions"].as_u64()?;
        (open < CLIENTS as u64 && answered(proxy, &streams[9]) == 10).then_some(())
    });
    let done = streams.iter().map(|s| answered(proxy, s)).collect();
    (streams, done)
}

#[test]
fn of_a_process_that_quits_and_of_a_worker_that_is_replaced() {
    for common in ["", "io_uring #false"] {
        let mut proxy = start(common);
        let before = proxy.descriptors();
        let (streams, done) = clients(&proxy);
        proxy.send("reinit").assert(0, &[]);
        read_all(streams, &done);
        eventually("the worker before is gone", || (proxy.status()["workers"].as_array()?.len() == 1).then_some(()));
        eventually("no descriptor is left", || (proxy.descriptors() <= before).then_some(()));

        let (streams, done) = clients(&proxy);
        proxy.signal(Signal::QUIT);
        proxy.await_log("quitting", LIMIT);
        read_all(streams, &done);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    }
}

/// A client whose connection is over, but for an answer that just finds no room.
fn lingering(proxy: &Proxy) -> TcpStream {
    for requests in 12..100 {
        let mut stream = connected(proxy);
        for n in 1..requests {
            write!(stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").expect("it is open");
            eventually("it is answered", || (answered(proxy, &stream) == n).then_some(()));
        }
        write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it is open");
        eventually("it is answered", || (answered(proxy, &stream) == requests).then_some(()));
        let is = |n: u64| move || (proxy.status()["process"]["lingering"] == n).then_some(());
        let soon = std::time::Duration::from_millis(50);
        // It may be there for a moment only, until the system has made room.
        if harness::within(soon, is(1)).is_some() && harness::within(soon * 10, is(0)).is_none() {
            return stream;
        }
    }
    panic!("there is room for everything");
}

#[test]
fn wait_no_longer_than_sessions_do() {
    let mut proxy = start("");
    if proxy.status()["workers"][0]["io_uring"] != true {
        return harness::skip("no io_uring here: the system keeps last bytes");
    }
    let text = proxy.read("main.kdl").replace("shutdown_timeout \"60s\"", "shutdown_timeout \"1s\"");
    proxy.reload_with(&text).assert(0, &[]);
    let stream = lingering(&proxy);
    proxy.send("reinit").assert(0, &[]);
    eventually("the worker before is gone", || (proxy.status()["workers"].as_array()?.len() == 1).then_some(()));
    eventually("and what it held", || (proxy.status()["process"]["lingering"] == 0).then_some(()));
    assert_eq!(client::end(&stream), client::End::Reset, "a part is not taken for the whole");
    let _stream = lingering(&proxy);
    proxy.signal(Signal::QUIT);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
