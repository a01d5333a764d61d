//! Who may open a WebSocket, and what the others are told.

use std::net::TcpStream;

use harness::client;

use crate::support::*;

/// A refusal, with its body read: the connection may go on.
fn refused(stream: &mut TcpStream, request: &str) -> String {
    let head = ask(stream, request);
    let len = header(&head, "content-length").and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{head}"));
    client::read_exact(stream, len);
    head
}

#[test]
fn the_key_is_answered() {
    let proxy = server("local { websocket_echo; }");
    // Names and values in other letters, and more in the lists.
    for request in [
        handshake("/", ""),
        handshake("/", "").replace("Connection: Upgrade", "connection: keep-alive, uPGRADE"),
        handshake("/", "").replace("Upgrade: websocket", "Upgrade: h2c, WebSocket"),
        handshake("/a?b=c", "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n"),
        handshake("/", "Content-Length: 0\r\n"),
    ] {
        let head = ask(&mut client::connect(proxy.addr(0)), &request);
        assert!(head.starts_with("HTTP/1.1 101 "), "{request}{head}");
        assert_eq!(header(&head, "sec-websocket-accept"), Some(ACCEPT));
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        assert_eq!(header(&head, "connection").map(str::to_ascii_lowercase).as_deref(), Some("upgrade"));
        for name in ["sec-websocket-protocol", "sec-websocket-extensions", "content-length", "transfer-encoding"] {
            assert_eq!(header(&head, name), None, "{name}");
        }
    }
}

#[test]
fn what_is_no_handshake_is_told_what_is() {
    for answer in ["websocket_echo", "websocket_static \"x\"", "websocket_proxy; proxy_pass_tcp \"127.0.0.1:1\""] {
        let proxy = server(&format!("local {{ {answer}; }}"));
        let mut stream = client::connect(proxy.addr(0));
        let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for request in [
            get.to_owned(),
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi".to_owned(),
            handshake("/", "").replace("Connection: Upgrade\r\n", ""),
            handshake("/", "").replace("Upgrade: websocket", "Upgrade: h2c"),
            handshake("/", "").replace("Version: 13", "Version: 8"),
            handshake("/", "").replace("Sec-WebSocket-Version: 13\r\n", ""),
            handshake("/", "Sec-WebSocket-Version: 13\r\n"),
        ] {
            let head = refused(&mut stream, &request);
            assert!(head.starts_with("HTTP/1.1 426 "), "{request}{head}");
            assert_eq!(header(&head, "upgrade"), Some("websocket"));
            assert_eq!(header(&head, "sec-websocket-version"), Some("13"));
        }
        let old = refused(&mut client::connect(proxy.addr(0)), &handshake("/", "").replace("HTTP/1.1", "HTTP/1.0"));
        assert!(old.contains(" 426 "), "{old}");
        await_count(&proxy, "/refused/426", 8);
    }
}

#[test]
fn a_malformed_one_is_refused() {
    let proxy = server("local { websocket_echo; }");
    let with_key = |key: &str| handshake("/", "").replace(KEY, key);
    for request in [
        with_key(""),
        with_key("dGhlIHNhbXBsZSBub25jZQ"),
        with_key("dGhlIHNhbXBsZSBub25jZQ=="[..20].trim()),
        with_key("dGhlIHNhbXBsZSBub25jZTE="),
        with_key("!GhlIHNhbXBsZSBub25jZQ=="),
        handshake("/", "").replace(&format!("Sec-WebSocket-Key: {KEY}\r\n"), ""),
        handshake("/", &format!("Sec-WebSocket-Key: {KEY}\r\n")),
        handshake("/", "Sec-WebSocket-Protocol: a b\r\n"),
        handshake("/", "").replace("GET", "PUT"),
    ] {
        let head = refused(&mut client::connect(proxy.addr(0)), &request);
        assert!(head.starts_with("HTTP/1.1 400 "), "{request}{head}");
    }
    // Bytes that would be taken for frames.
    for request in [
        handshake("/", "Content-Length: 3\r\n") + "abc",
        handshake("/", "Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
    ] {
        let head = refused(&mut client::connect(proxy.addr(0)), &request);
        assert!(head.starts_with("HTTP/1.1 400 "), "{request}{head}");
    }
    await_count(&proxy, "/refused/400", 11);
    await_count(&proxy, "/opened", 0);
    // It may ask better on the same connection.
    let mut stream = client::connect(proxy.addr(0));
    refused(&mut stream, &with_key("x"));
    let head = ask(&mut stream, &handshake("/", ""));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[test]
fn the_first_protocol_in_common_is_agreed_on() {
    let proxy = server("websocket_protocols \"v2\" \"v1\"; local { websocket_echo; }");
    for (offered, agreed) in [
        ("Sec-WebSocket-Protocol: v1, v2\r\n", Some("v2")),
        ("Sec-WebSocket-Protocol: v1\r\nSec-WebSocket-Protocol: v3\r\n", Some("v1")),
        ("Sec-WebSocket-Protocol: v3,V2\r\n", None),
        ("", None),
    ] {
        let client = Client::open_with(proxy.addr(0), "/", offered);
        assert_eq!(header(&client.head, "sec-websocket-protocol"), agreed, "{offered}");
        client.close(1000);
    }
}

#[test]
fn pages_of_other_origins_are_refused() {
    let proxy = server(
        "websocket_origins \"https://a.test\" \"*.b.test\"\nlocal { rule \"${path}\" text=\"/all\"; websocket_origins \"c.test\"; websocket_echo; }\n\
         local { websocket_echo; }",
    );
    for (path, origin, status) in [
        ("/", "Origin: https://a.test\r\n", 101),
        ("/", "Origin: http://x.b.test:81\r\n", 101),
        ("/", "", 101),
        ("/all", "Origin: http://c.test\r\n", 101),
        ("/", "Origin: http://a.test\r\n", 403),
        ("/", "Origin: https://b.test\r\n", 403),
        ("/", "Origin: null\r\n", 403),
        ("/", "Origin: https://a.test\r\nOrigin: https://a.test\r\n", 403),
        ("/all", "Origin: https://a.test\r\n", 403),
    ] {
        let head = ask(&mut client::connect(proxy.addr(0)), &handshake(path, origin));
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{path} {origin}{head}");
    }
    await_count(&proxy, "/refused/403", 5);
}

#[test]
fn files_beside_them_say_once_that_they_can_be_cut() {
    let dir = harness::TempDir::new();
    dir.write("a.txt", "a file");
    let proxy = server(&format!("local {{ http_static \"{}\"; }}", dir.path().display()));
    // The second time the file is at hand, which is another way.
    for _ in 0..2 {
        let head = ask(&mut client::connect(proxy.addr(0)), "GET /a.txt HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(head.matches("Accept-Ranges: bytes").count(), 1, "{head}");
    }
}

#[test]
fn mistakes_are_explained() {
    for (text, said) in [
        ("local { websocket_echo; websocket_static \"x\"; }", "\"websocket_echo\" is there already"),
        ("local { websocket_origins \"a b\"; websocket_echo; }", "\"a b\" is no origin"),
        ("local { websocket_protocols \"a b\"; websocket_echo; }", "\"a b\" is no name of a subprotocol"),
        ("websocket_echo; local { websocket_echo; }", "websocket_echo"),
    ] {
        builder(text).check().assert(1, &[said]);
    }
    let quiet = builder("websocket_ping \"60s\"; local { websocket_echo; }").check();
    quiet.assert(0, &["websocket_timeout is not longer than websocket_ping"]);
    let without = config("local { websocket_echo; }").replace(" \"http\"", "").replace("\nhttp\n", "\n");
    harness::Proxy::builder().config(&without).check().assert(1, &["http"]);
}

#[test]
fn the_example_is_well() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/examples/websocket.kdl");
    harness::Proxy::builder().config(&std::fs::read_to_string(file).expect("it is there")).check().assert(0, &[]);
}
