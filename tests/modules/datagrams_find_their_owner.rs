//! A datagram reaches whoever began its flow: another worker, an older generation. What nobody owns is counted.

use std::net::{SocketAddr, UdpSocket};

use harness::{Proxy, client, eventually};

use crate::support::{await_one_generation, line, module, text};

/// Epoch and worker.
pub(crate) type Owner = (u32, u32);

/// A proxy's configuration with a datagram listener first and a stream listener second.
pub(crate) fn config(dgram: &std::path::Path, swap: &std::path::Path, common: &str) -> String {
    let listen = text(&[dgram, swap], &["swap", "swap"]).replacen("port_listen_tcp", "port_listen_dgram", 1);
    listen.replace("worker_threads 2;", &format!("worker_threads 2; {common}"))
}

pub(crate) fn send(socket: &UdpSocket, (epoch, worker): Owner, word: &str) {
    let datagram = [&epoch.to_be_bytes()[..], &worker.to_be_bytes()[..], word.as_bytes()].concat();
    socket.send(&datagram).expect("send");
}

/// Sends and waits for the answer: who gave it.
#[track_caller]
pub(crate) fn ask(socket: &UdpSocket, owner: Owner, word: &str) -> Owner {
    send(socket, owner, word);
    let (from, back) = received(socket);
    assert_eq!(back, word.as_bytes());
    from
}

/// The next datagram: whose it is, and what it carries.
#[track_caller]
fn received(socket: &UdpSocket) -> (Owner, Vec<u8>) {
    let mut buffer = [0; 2048];
    let n = socket.recv(&mut buffer).expect("an answer");
    let number = |at: usize| u32::from_be_bytes(buffer[at..at + 4].try_into().expect("four bytes"));
    ((number(0), number(4)), buffer[8..n].to_vec())
}

/// A new flow of each worker.
#[track_caller]
pub(crate) fn one_of_each(addr: SocketAddr) -> [Owner; 2] {
    let mut found = [None; 2];
    for n in 0..200 {
        let owner = ask(&client::udp(addr), (0, 0), &format!("new {n}"));
        found[owner.1 as usize] = Some(owner);
        if let [Some(a), Some(b)] = found {
            return [a, b];
        }
    }
    panic!("only {found:?} of two workers answer")
}

#[test]
fn on_another_worker() {
    let (Some(dgram), Some(swap)) = (module("datagram_echo"), module("swap")) else { return };
    let proxy = Proxy::start(&config(&dgram, &swap, ""));
    let addr = proxy.addr(0);
    assert_eq!(proxy.status()["listeners"][0]["datagram"], true);
    let owners = one_of_each(addr);
    assert_eq!(owners, [(1, 0), (1, 1)]);
    // From many ports, so that the system gives them to either worker.
    for n in 0..40 {
        let owner = owners[n % 2];
        assert_eq!(ask(&client::udp(addr), owner, &format!("word {n}")), owner);
    }
    let counts = proxy.status()["datagrams"].clone();
    assert!(counts["passed"].as_u64() > Some(0), "{counts}");
    assert_eq!(
        (&counts["no_owner"], &counts["full"], &counts["errors"]),
        (&0.into(), &0.into(), &0.into()),
        "{counts}"
    );
    // Shorter than a head, and of an epoch that never was.
    client::udp(addr).send(b"short").expect("send");
    send(&client::udp(addr), (77, 0), "nobody's");
    eventually("both are counted", || {
        let counts = proxy.status()["datagrams"].clone();
        (counts["refused"] == 1 && counts["no_owner"] == 1).then_some(())
    });
}

#[test]
fn in_an_older_generation() {
    let (Some(dgram), Some(swap)) = (module("datagram_echo"), module("swap")) else { return };
    let proxy = Proxy::start(&config(&dgram, &swap, ""));
    let addr = proxy.addr(0);
    // Sessions hold the generation on both workers: what has no session ends with the reload.
    let held = held_on_both(&proxy);
    let old = one_of_each(addr);
    proxy.reload().assert(0, &[]);
    assert_eq!(proxy.addr(0), addr, "the address keeps its socket");
    let new = one_of_each(addr);
    assert_eq!((old, new), ([(1, 0), (1, 1)], [(2, 0), (2, 1)]));
    for n in 0..40 {
        let owner = [old[0], new[0], old[1], new[1]][n % 4];
        assert_eq!(ask(&client::udp(addr), owner, &format!("word {n}")), owner);
    }
    drop(held);
    await_one_generation(&proxy);
    send(&client::udp(addr), old[0], "too late");
    eventually("it is counted", || (proxy.status()["datagrams"]["no_owner"] == 1).then_some(()));
    assert_eq!(ask(&client::udp(addr), new[1], "on"), new[1]);
}

#[test]
fn with_another_image_and_new_workers() {
    let (Some(dgram), Some(swap)) = (module("datagram_echo"), module("swap")) else { return };
    let builder = Proxy::builder();
    let file = builder.dir().join("libanyproxy_datagram_echo.so");
    crate::support::replace(&file, &dgram);
    let proxy = builder.config(&config(&file, &swap, "")).start();
    let addr = proxy.addr(0);
    let held = held_on_both(&proxy);
    let old = one_of_each(addr);
    let mut bytes = std::fs::read(&dgram).expect("built");
    bytes.push(0);
    crate::support::write(proxy.dir(), "libanyproxy_datagram_echo.so", &bytes);
    proxy.send("reinit").assert(0, &[]);
    let new = one_of_each(addr);
    assert_eq!(new, [(2, 0), (2, 1)]);
    for n in 0..40 {
        let owner = [old[0], new[0], old[1], new[1]][n % 4];
        assert_eq!(ask(&client::udp(addr), owner, &format!("word {n}")), owner);
    }
    drop(held);
    await_one_generation(&proxy);
    assert_eq!(ask(&client::udp(addr), new[0], "on"), new[0]);
}

#[test]
fn a_session_over_datagrams_holds_its_generation() {
    let (Some(dgram), Some(swap)) = (module("datagram_echo"), module("swap")) else { return };
    let proxy = Proxy::start(&config(&dgram, &swap, ""));
    let addr = proxy.addr(0);
    let socket = client::udp(addr);
    // `swap` says its version first, then echoes.
    let owner = ask_flow(&socket, (0, 0), b"", Some("1\n"), "");
    let status = proxy.status();
    assert_eq!(
        (&status["process"]["sessions"], &status["listeners"][0]["traffic"]["sessions"]),
        (&1.into(), &1.into())
    );
    proxy.reload().assert(0, &[]);
    assert_eq!(proxy.status()["retired"][0]["epoch"], 1, "the session goes on, and its endpoint with it");
    assert_eq!(ask_flow(&socket, owner, b"good day", None, "good day"), owner);
    // From another port: whose it is says the datagram, and the answer goes where the session began.
    send(&client::udp(addr), owner, "\u{1}\u{7}moved");
    assert_eq!(received(&socket), (owner, b"\x01\x07moved".to_vec()));
    // A piece without bytes ends it.
    send(&socket, owner, "\u{1}\u{7}");
    assert_eq!(received(&socket), (owner, b"\x01\x07".to_vec()));
    await_one_generation(&proxy);
    let traffic = proxy.status()["listeners"][0]["traffic"].clone();
    assert_eq!((&traffic["sessions"], &traffic["connections"]), (&0.into(), &1.into()), "{traffic}");
}

/// Sends bytes of flow 7 and reads what its session answers; its owner.
#[track_caller]
fn ask_flow(socket: &UdpSocket, owner: Owner, bytes: &[u8], greeting: Option<&str>, answer: &str) -> Owner {
    let first = if greeting.is_some() { "x" } else { "" };
    let word = format!("\u{1}\u{7}{first}{}", std::str::from_utf8(bytes).expect("text"));
    send(socket, owner, &word);
    let mut from = owner;
    let mut text = Vec::new();
    let wanted = format!("{}{first}{answer}", greeting.unwrap_or(""));
    while text.len() < wanted.len() {
        let (owner, piece) = received(socket);
        from = owner;
        text.extend_from_slice(piece.strip_prefix(b"\x01\x07").expect("of flow 7"));
    }
    assert_eq!(String::from_utf8_lossy(&text), wanted);
    from
}

/// Connections that both workers have a session of.
pub(crate) fn held_on_both(proxy: &Proxy) -> Vec<std::net::TcpStream> {
    let mut held = Vec::new();
    eventually("both workers have sessions", || {
        let stream = client::connect(proxy.addr(1));
        line(&stream);
        held.push(stream);
        let status = proxy.status();
        let workers = status["workers"].as_array().expect("a list");
        workers.iter().all(|w| w["sessions"].as_u64() > Some(0)).then_some(())
    });
    held
}
