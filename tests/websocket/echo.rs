//! Messages come back as they went, whatever frames they came in.

use std::io::Write;

use harness::{LIMIT, client, pattern};

use crate::support::*;

#[test]
fn messages_of_every_length_come_back() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    for len in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20] {
        let text: Vec<u8> = (0..len).map(|n| b'a' + (n % 26) as u8).collect();
        client.send(TEXT, &text);
        client.expect(TEXT, &text);
        let bytes = pattern::bytes(len);
        client.send(BINARY, &bytes);
        client.expect(BINARY, &bytes);
    }
    client.close(1000);
    await_count(&proxy, "/closed/1000", 1);
    let status = status(&proxy);
    assert_eq!((&status["opened"], &status["open"]), (&1.into(), &0.into()), "{status}");
    assert_eq!((&status["messages_in"], &status["messages_out"]), (&16.into(), &16.into()), "{status}");
    assert_eq!(proxy.await_line("access.log", "status=101", LIMIT).matches("client_transfer_done").count(), 1);
}

#[test]
fn a_message_in_frames_comes_back_whole() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    // Cut in the middle of a letter, with frames that are empty.
    let text = "größer";
    client.send_part(TEXT, &text.as_bytes()[..3]);
    client.send_part(CONTINUE, b"");
    client.send_part(CONTINUE, &text.as_bytes()[3..]);
    client.send(CONTINUE, b"");
    client.expect(TEXT, text.as_bytes());
    client.close(1000);
}

#[test]
fn a_ping_among_fragments_is_answered_at_once() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.send_part(BINARY, b"one ");
    client.send(PING, b"are you there");
    client.expect(PONG, b"are you there");
    client.send(CONTINUE, b"two");
    client.expect(BINARY, b"one two");
    // Nobody asked for this one.
    client.send(PONG, b"");
    client.send(TEXT, b"on");
    client.expect(TEXT, b"on");
    client.close(4321);
    await_count(&proxy, "/closed/other", 1);
}

#[test]
fn bytes_one_by_one_and_many_at_once() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    for byte in frame(0x81, b"slow", Some([5; 4])) {
        client.raw(&[byte]);
    }
    client.expect(TEXT, b"slow");
    let many: Vec<u8> = (0..5000).flat_map(|n: u32| frame(0x82, &n.to_be_bytes(), Some([6; 4]))).collect();
    client.raw(&many);
    for n in 0..5000_u32 {
        client.expect(BINARY, &n.to_be_bytes());
    }
}

#[test]
fn frames_come_with_the_handshake() {
    let proxy = server("local { websocket_echo; }");
    let mut stream = client::connect(proxy.addr(0));
    let mut all = handshake("/", "").into_bytes();
    all.extend(frame(0x81, b"early", Some([1; 4])));
    stream.write_all(&all).expect("write");
    let head = head(&mut stream);
    let mut client = Client { stream, head };
    client.expect(TEXT, b"early");
    client.close(1000);
}

#[test]
fn a_close_is_answered_with_its_code_or_without() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.send(CLOSE, b"");
    client.expect(CLOSE, b"");
    assert_eq!(client::end(&client.stream), client::End::Closed);
    await_count(&proxy, "/closed/1005", 1);
    Client::open(proxy.addr(0)).close(1001);
    await_count(&proxy, "/closed/1001", 1);
    // One that just goes away.
    drop(Client::open(proxy.addr(0)));
    await_count(&proxy, "/closed/1006", 1);
    proxy.await_line("access.log", "reason=client_transfer_closed", LIMIT);
}

#[test]
fn the_books_hold_what_was_carried() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    let head = client.head.len();
    client.send(BINARY, &pattern::bytes(100_000));
    client.expect(BINARY, &pattern::bytes(100_000));
    client.close(1000);
    let line = proxy.await_line("access.log", "status=101", LIMIT);
    let (received, sent) = (handshake("/", "").len() + 14 + 100_000 + 8, head + 10 + 100_000 + 4);
    assert!(line.ends_with(&format!("in={received} out={sent}")), "{line}: not {received} and {sent}");
}

#[test]
fn one_that_is_open_is_shown_with_what_it_moved() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.send(BINARY, &[7; 1000]);
    client.expect(BINARY, &[7; 1000]);
    let rows = proxy.control(&serde_json::json!({"cmd": "sessions"})).expect("a list");
    let is_open = |row: &&serde_json::Value| !row["connection"].is_null() && row["client_sent"].as_u64() > Some(1000);
    assert_eq!(rows.as_array().expect("a list").iter().filter(is_open).count(), 1, "{rows}");
    client.close(1000);
}
