//! Limits: of messages, of silence, and of what is held for a client that does not read.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use harness::{LIMIT, client, pattern};

use crate::support::*;

#[test]
fn a_message_that_is_too_long() {
    let proxy = server("local { websocket_message_size \"1000B\"; websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.send(BINARY, &[7; 1000]);
    client.expect(BINARY, &[7; 1000]);
    client.send(BINARY, &[7; 1001]);
    client.expect_close(1009);
    // In frames that are short enough.
    let mut client = Client::open(proxy.addr(0));
    client.send_part(BINARY, &[7; 600]);
    client.send(CONTINUE, &[7; 401]);
    client.expect_close(1009);
    // One that says so, and one that cannot be.
    for head in [
        &b"\x82\xff\0\0\0\0\x7f\xff\xff\xff\x01\x02\x03\x04"[..],
        b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04",
    ] {
        let mut client = Client::open(proxy.addr(0));
        client.raw(head);
        client.expect_close(1009);
    }
    await_count(&proxy, "/closed/1009", 4);
    proxy.await_line("access.log", "reason=client_transfer_limit", LIMIT);
}

#[test]
fn whoever_sends_too_much_learns_it() {
    let proxy = server("local { websocket_message_size \"1KiB\"; websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    // More than any buffer on the way: the close frame must not be lost to a reset.
    client.send(BINARY, &pattern::bytes(8 << 20));
    client.expect_close(1009);
}

#[test]
fn control_is_not_bound_by_the_size_of_messages() {
    let proxy = server("local { websocket_message_size \"1B\"; websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.send(PING, &[1; 125]);
    client.expect(PONG, &[1; 125]);
    client.close(1000);
}

#[test]
fn a_message_longer_than_a_frame_is_sent_in_several() {
    let proxy = server("local { websocket_message_size \"8MiB\"; websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    let bytes = pattern::bytes((2 << 20) + 5);
    client.send(BINARY, &bytes);
    let mut all = Vec::new();
    for (last, opcode, len) in [(false, BINARY, 1 << 20), (false, CONTINUE, 1 << 20), (true, CONTINUE, 5)] {
        let f = client.frame();
        assert_eq!((f.last, f.opcode, f.payload.len()), (last, opcode, len));
        all.extend(f.payload);
    }
    assert!(all == bytes);
    client.close(1000);
}

#[test]
fn a_quiet_client_is_asked_and_stays_if_it_answers() {
    let proxy = server("websocket_ping \"100ms\"; websocket_timeout \"1s\"; local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    // Longer than the timeout.
    for _ in 0..15 {
        client.expect(PING, b"");
        client.send(PONG, b"");
    }
    client.send(TEXT, b"here");
    client.expect(TEXT, b"here");
    client.close(1000);
}

#[test]
fn one_that_does_not_answer_is_sent_away() {
    let proxy = server("websocket_ping \"150ms\"; websocket_timeout \"400ms\"; local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.expect(PING, b"");
    client.expect(PING, b"");
    client.expect_close(1001);
    await_count(&proxy, "/closed/1001", 1);
    proxy.await_line("access.log", "reason=client_transfer_timeout", LIMIT);
}

#[test]
fn without_pings_and_limit_nothing_is_said() {
    let proxy = server("websocket_ping 0; websocket_timeout 0; local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.stream.set_read_timeout(Some(Duration::from_millis(300))).expect("a limit");
    let mut byte = [0];
    let e = std::io::Read::read(&mut client.stream, &mut byte).expect_err("nothing is said");
    assert!(matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{e}");
    client.stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    client.close(1000);
}

/// Sends until nothing is taken any more; how much was.
fn fill(client: &mut Client, all: &[u8]) -> usize {
    client.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a limit");
    let mut at = 0;
    loop {
        match client.stream.write(&all[at..]) {
            Ok(n) => at += n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return at,
            // It was cut meanwhile.
            Err(e) if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => return at,
            Err(e) => panic!("{e} after {at} bytes"),
        }
        assert!(at < all.len(), "all of it is held somewhere");
    }
}

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    const COUNT: usize = 1024;
    let message = pattern::bytes(64 << 10);
    let all = frame(0x82, &message, Some([1, 2, 3, 4])).repeat(COUNT);
    let before = proxy.resident();
    let at = fill(&mut client, &all);
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 6 << 20, "{grown} bytes are held after {at} were taken");
    // Nothing of it is lost.
    client.stream.set_write_timeout(Some(LIMIT)).expect("a limit");
    let mut sending = client.stream.try_clone().expect("a second handle");
    std::thread::scope(|scope| {
        scope.spawn(move || sending.write_all(&all[at..]).expect("write"));
        for _ in 0..COUNT {
            client.expect(BINARY, &message);
        }
    });
    client.close(1000);
}

#[test]
fn quiet_connections_hold_no_messages() {
    let proxy = server("local { websocket_echo; }");
    let before = proxy.resident();
    let message = pattern::bytes(512 << 10);
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let mut client = Client::open(proxy.addr(0));
            client.send(BINARY, &message);
            client.expect(BINARY, &message);
            client
        })
        .collect();
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{} connections hold {grown} bytes", clients.len());
}

#[test]
fn one_that_never_reads_is_cut() {
    let proxy = server("websocket_ping 0; websocket_timeout \"1s\"; local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    let all = frame(0x82, &pattern::bytes(64 << 10), Some([1, 2, 3, 4])).repeat(1024);
    fill(&mut client, &all);
    await_count(&proxy, "/closed/1006", 1);
    proxy.await_line("access.log", "reason=client_transfer_timeout", LIMIT);
}

#[test]
fn one_that_resets_is_an_error() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.send(TEXT, b"x");
    client.expect(TEXT, b"x");
    client::reset(client.stream);
    await_count(&proxy, "/closed/1006", 1);
    proxy.await_line("access.log", "reason=client_transfer_reset", LIMIT);
}
