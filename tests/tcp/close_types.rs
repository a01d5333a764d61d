//! `close_type`: by default each direction ends by itself; `fast` ends both with the first one.

use std::io::{Read, Write};

use harness::client::End;
use harness::{Origin, client, eventually};

use crate::support::{field, local, logged};

/// A client that stays after its server has ended; how it sees the end, and whether the session is over.
fn server_ends(directives: &str) -> (harness::Proxy, std::net::TcpStream) {
    let origin = Origin::start(|mut conn| {
        // Once the client is there: its connect would tell of the end, else.
        conn.read_exact(&mut [0])?;
        conn.write_all(b"bye")?;
        conn.stream.shutdown(std::net::Shutdown::Write)?;
        // Reads on: whether the proxy ends the other direction is what is looked at.
        std::io::copy(&mut conn, &mut std::io::sink()).map(|_| ())
    });
    let text = format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"");
    let proxy = local(&text).set("ORIGIN", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"?").expect("it is open");
    assert_eq!(client::read_exact(&stream, 3), b"bye");
    if directives.is_empty() {
        assert_eq!(client::end(&stream), End::Closed);
        assert_eq!(origin.open(), 1, "the other direction goes on");
    } else {
        origin.await_idle();
    }
    (proxy, stream)
}

#[test]
fn shutdown_lets_the_other_direction_go_on() {
    let (proxy, stream) = server_ends("");
    drop(stream);
    assert_eq!(field(&logged(&proxy, 0), "reason"), "upstream_transfer_done");
}

#[test]
fn fast_ends_both() {
    let (proxy, stream) = server_ends("close_type \"fast\"");
    assert_eq!(field(&logged(&proxy, 0), "reason"), "upstream_transfer_done");
    client::end(&stream);
}

#[test]
fn fast_without_linger_resets_at_once() {
    let (proxy, stream) = server_ends("close_type \"fast\"\nstream_so_linger_time 0");
    assert_eq!(field(&logged(&proxy, 0), "reason"), "upstream_transfer_done");
    // The server's end had been passed on before; behind it there is nobody any more.
    assert_eq!(client::end(&stream), End::Closed);
    eventually("sending fails", || (&stream).write_all(b"x").is_err().then_some(()));
}

#[test]
fn fast_with_linger_waits_for_the_other_side() {
    let origin = Origin::start(|mut conn| {
        conn.write_all(b"bye")?;
        conn.stream.shutdown(std::net::Shutdown::Write)?;
        std::io::copy(&mut conn, &mut std::io::sink()).map(|_| ())
    });
    let text = "close_type \"fast\"\nstream_so_linger_time \"15s\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let stream = client::connect(proxy.addr(0));
    assert_eq!(client::read_to_end(&stream), b"bye");
    assert_eq!(crate::support::lines(&proxy).len(), 0, "it lingers");
    drop(stream);
    assert_eq!(field(&logged(&proxy, 0), "reason"), "upstream_transfer_done");
}
