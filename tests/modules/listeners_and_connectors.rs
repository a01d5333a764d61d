//! A listener and a connector of a module's own, one behind the other: client → connector → listener → echo.

use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::path::Path;

use harness::{LIMIT, Origin, Proxy, client, eventually, pattern};

use crate::support::{module, text};

#[test]
fn a_chain_of_both() {
    let Some(xor) = module("listener_connector") else { return };
    let Some(swap) = module("faulty") else { return };
    let inner = text(&[&xor, &swap], &["faulty \"echo\""]).replace("port_listen_tcp", "port_listen_xor");
    let inner = Proxy::start(&inner);
    // On the wire each byte is XORed.
    let mut wire = client::connect(inner.addr(0));
    wire.write_all(&[b'x' ^ 0x5a]).expect("write");
    assert_eq!(client::read_exact(&wire, 1), [b'x' ^ 0x5a]);
    drop(wire);
    for pass in [
        format!("proxy_pass_xor \"{}\"", inner.addr(0)),
        // Plain to plain: both ends of the wire see XORed bytes.
        format!("proxy_pass_tcp \"{}\"", inner.addr(0)),
    ] {
        let listen = if pass.contains("xor") { "port_listen_tcp" } else { "port_listen_xor" };
        let outer = text(&[&xor], &[&pass]).replace("port_listen_tcp", listen);
        let outer = Proxy::start(&outer);
        let sent = pattern::bytes(1 << 20);
        let back = client::exchange(outer.addr(0), &sent);
        if pass.contains("xor") {
            assert!(back == sent, "{} bytes came back", back.len());
        } else {
            // Undone at the outer listener, done again towards nobody: the inner one undoes plain bytes.
            assert_eq!(back.len(), sent.len());
        }
    }
}

/// A proxy that takes a line, answers, and then is the peer that was asked for, which says that line.
fn proxy_that_answers(answer: &'static [u8]) -> Origin {
    Origin::start(move |mut conn| {
        let mut line = String::new();
        BufReader::new(&conn.stream).read_line(&mut line)?;
        conn.write_all(answer)?;
        conn.write_all(format!("{} asks for {line}", conn.stream.peer_addr()?.ip()).as_bytes())?;
        conn.stream.shutdown(Shutdown::Write)
    })
}

/// One local with a peer behind this proxy.
fn by(module: &Path, via: &Origin, local: &str) -> Proxy {
    let line = format!("via \"{}\"\nproxy_pass_via \"inside.invalid:8080\"\n{local}", via.addr());
    let text = text(&[module], &[&line]);
    let profile = "socket { tcp \"from\" source=\"127.0.0.9\"; }\nnet {\n\
                   access_log \"access.log\" flush=0 format=\"${upstream_addr} ${close_reason}\"\n";
    Proxy::start(&text.replacen("net {", profile, 1))
}

#[track_caller]
fn await_line(proxy: &Proxy, line: &str) {
    let path = proxy.dir().join("access.log");
    eventually(line, || std::fs::read_to_string(&path).ok().filter(|log| log.lines().any(|l| l.starts_with(line))));
}

#[test]
fn a_connector_takes_the_peers_name_as_it_is() {
    let Some(module) = module("listener_connector") else { return };
    let via = proxy_that_answers(b"+");
    let proxy = by(&module, &via, "tcp_config_name \"from\"");
    // A name that nobody here could resolve; from the address that the profile of sockets says.
    assert_eq!(client::exchange(proxy.addr(0), b""), b"127.0.0.9 asks for inside.invalid:8080\n");
    await_line(&proxy, "inside.invalid:8080");
    let status = proxy.status();
    let peers = &status["upstreams"][0]["peers"];
    assert_eq!(peers.as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!((&peers[0]["address"], &peers[0]["condition"]), (&"inside.invalid:8080".into(), &"ready".into()));
    proxy.ctl(&["peer", "drain", "inside.invalid:8080"]).assert(0, &[]);
}

#[test]
fn a_connector_that_is_cut_off_or_refused_says_at_what() {
    let Some(module) = module("listener_connector") else { return };
    let waits = Origin::start(|conn| {
        let mut line = String::new();
        let mut reader = BufReader::new(&conn.stream);
        // Until the other end goes.
        while reader.read_line(&mut line)? > 0 {}
        Ok(())
    });
    let silent = by(&module, &waits, "connect_timeout \"200ms\"");
    let _ = client::try_exchange(silent.addr(0), b"");
    await_line(&silent, "inside.invalid:8080 upstream_connect_timeout");
    silent.await_log("last stage via_asked", LIMIT);
    let via = proxy_that_answers(b"-");
    let refuses = by(&module, &via, "connect_timeout \"5s\"");
    let _ = client::try_exchange(refuses.addr(0), b"");
    await_line(&refuses, "inside.invalid:8080 upstream_connect_refused");
    refuses.await_log("the proxy does not let it through", LIMIT);
}
