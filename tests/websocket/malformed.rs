//! What breaks the protocol ends the connection with the code that says how (RFC 6455 section 7.4.1).

use harness::{LIMIT, client};

use crate::support::*;

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// `bytes` are answered with a close of this code, and the connection ends in order.
#[track_caller]
fn ends(proxy: &harness::Proxy, what: &str, bytes: &[u8], code: u16) {
    println!("{what}");
    let mut client = Client::open(proxy.addr(0));
    client.raw(bytes);
    client.expect_close(code);
}

#[test]
fn frames_that_are_none() {
    let proxy = server("local { websocket_echo; }");
    let two = |a: Vec<u8>, b: Vec<u8>| [a, b].concat();
    for (what, bytes) in [
        ("unmasked", frame(0x81, b"hi", None)),
        ("unmasked and empty", frame(0x82, b"", None)),
        ("the first reserved bit", frame(0xc1, b"hi", MASK)),
        ("the last reserved bit", frame(0x91, b"hi", MASK)),
        ("an unknown kind of message", frame(0x83, b"hi", MASK)),
        ("an unknown kind of control", frame(0x8b, b"hi", MASK)),
        ("control in fragments", frame(PING, b"hi", MASK)),
        ("control of 126 bytes", frame(0x89, &[0; 126], MASK)),
        ("a continuation of nothing", frame(0x80, b"hi", MASK)),
        ("a message in a message", two(frame(1, b"a", MASK), frame(0x81, b"b", MASK))),
        ("close with half a code", frame(0x88, &[3], MASK)),
        ("a length of 125 in two bytes", b"\x82\xfe\0\x7d".to_vec()),
        ("a length of 65535 in eight bytes", b"\x82\xff\0\0\0\0\0\0\xff\xff".to_vec()),
        ("a length with the first of 64 bits", b"\x82\xff\x80\0\0\0\0\0\0\0".to_vec()),
        ("a length of none in two bytes", b"\x89\xfe\0\0\x01\x02\x03\x04".to_vec()),
    ] {
        ends(&proxy, what, &bytes, 1002);
    }
    await_count(&proxy, "/closed/1002", 15);
    proxy.await_line("access.log", "reason=client_transfer_malformed", LIMIT);
    // Codes that are not to be sent.
    for code in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
        println!("{code}");
        ends(&proxy, "close", &frame(0x88, &code.to_be_bytes(), MASK), 1002);
    }
    await_count(&proxy, "/open", 0);
}

#[test]
fn what_came_before_is_answered() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    client.raw(&[frame(0x81, b"hi", MASK), b"\x81\xfe\0\x02\x01\x02\x03\x04hi".to_vec()].concat());
    client.expect(TEXT, b"hi");
    client.expect_close(1002);
}

#[test]
fn text_that_is_none() {
    let proxy = server("local { websocket_echo; }");
    let parts = |a: &[u8], b: &[u8]| [frame(1, a, MASK), frame(0x80, b, MASK)].concat();
    for (what, bytes) in [
        ("a byte that is in no text", frame(0x81, b"a\xffb", MASK)),
        ("a surrogate", frame(0x81, b"\xed\xa0\x80", MASK)),
        ("longer than needed", frame(0x81, b"\xc0\xaf", MASK)),
        ("cut off", frame(0x81, b"abc\xc3", MASK)),
        ("cut off in two frames", parts(b"abc\xe2", b"\x82")),
        ("wrong in the second frame", parts(b"abc\xc3", b"abc")),
        // Told before the message is complete.
        ("wrong in the first frame", frame(1, b"\xff", MASK)),
        ("in the reason of a close", frame(0x88, b"\x03\xe8\xff", MASK)),
    ] {
        ends(&proxy, what, &bytes, 1007);
    }
    // In binary anything is right.
    let mut client = Client::open(proxy.addr(0));
    client.send(BINARY, b"a\xffb");
    client.expect(BINARY, b"a\xffb");
    client.close(1000);
    await_count(&proxy, "/closed/1007", 8);
}

#[test]
fn an_end_in_the_middle_of_a_frame() {
    let proxy = server("local { websocket_echo; }");
    for bytes in [&b"\x81"[..], b"\x81\x85\x01\x02", b"\x81\x85\x01\x02\x03\x04ab"] {
        let mut client = Client::open(proxy.addr(0));
        client.raw(bytes);
        client.stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        assert_eq!(client::read_to_end(&client.stream), b"");
    }
    await_count(&proxy, "/closed/1006", 3);
    proxy.await_line("access.log", "reason=client_transfer_closed", LIMIT);
}
