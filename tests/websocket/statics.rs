//! `websocket_static`: a text once, or again and again.

use harness::{LIMIT, client, eventually};

use crate::support::*;

#[test]
fn a_text_once_and_the_end() {
    let proxy = server("local { websocket_static \"good day, ${client_ip} at ${path}\"; }");
    let mut client = Client::open_with(proxy.addr(0), "/there", "");
    client.expect(TEXT, b"good day, 127.0.0.1 at /there");
    client.expect_close(1000);
    await_count(&proxy, "/closed/1000", 1);
    assert_eq!(status(&proxy)["messages_out"], 1);
    proxy.await_line("access.log", "reason=proxy_transfer_done", LIMIT);
}

#[test]
fn whoever_sends_meanwhile_gets_it_too() {
    let proxy = server("local { websocket_static \"x\"; }");
    let mut client = Client::open(proxy.addr(0));
    for _ in 0..100 {
        // It may be over already.
        let _ = std::io::Write::write_all(&mut client.stream, &frame(0x81, b"not looked at", Some([3; 4])));
    }
    client.expect(TEXT, b"x");
    client.expect_close(1000);
}

#[test]
fn again_and_again_until_the_client_closes() {
    let proxy = server("local { websocket_static \"tick ${client_ip}\" interval=\"20ms\"; }");
    let mut client = Client::open(proxy.addr(0));
    for _ in 0..5 {
        client.expect(TEXT, b"tick 127.0.0.1");
    }
    client.send(TEXT, b"not looked at");
    client.send(PING, b"p");
    let pong = eventually("the pong", || Some(client.frame()).filter(|f| f.opcode == PONG));
    assert_eq!(pong.payload, b"p");
    client.send(CLOSE, &1000_u16.to_be_bytes());
    let close = eventually("the close", || Some(client.frame()).filter(|f| f.opcode == CLOSE));
    assert_eq!(close.payload, 1000_u16.to_be_bytes());
    assert_eq!(client::end(&client.stream), client::End::Closed);
}

#[test]
fn what_is_wrong_is_wrong_here_too() {
    let proxy = server("local { websocket_static \"x\" interval=\"1h\"; }");
    let mut client = Client::open(proxy.addr(0));
    client.expect(TEXT, b"x");
    client.raw(&frame(0x81, b"unmasked", None));
    client.expect_close(1002);
}
