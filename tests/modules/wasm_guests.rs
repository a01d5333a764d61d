//! wasmtime inside a module: a guest that runs without end gives way to the others of its worker and is ended.

use std::io::{Read, Write};

use harness::client;

use crate::support::{module, text};

#[test]
fn a_guest_without_end_holds_up_nobody() {
    let Some(wasm) = module("wasm_echo") else { return };
    let one_worker = text(&[&wasm], &["wasm_echo"]).replace("worker_threads 2", "worker_threads 1");
    let proxy = harness::Proxy::builder().config(&one_worker).limit(3 * harness::LIMIT).start();
    let answers = |mut stream: &std::net::TcpStream, word: &str| {
        stream.write_all(word.as_bytes()).expect("write");
        assert_eq!(client::read_exact(stream, word.len()), word.to_uppercase().into_bytes());
    };
    let good = client::connect(proxy.addr(0));
    answers(&good, "good day");
    let mut endless = client::connect(proxy.addr(0));
    endless.write_all(b"\0").expect("write");
    for _ in 0..5 {
        answers(&good, "ping");
        // New ones are accepted meanwhile.
        answers(&client::connect(proxy.addr(0)), "pong");
    }
    let mut rest = Vec::new();
    // Ended, well or with a reset; nothing was answered.
    let _ = endless.read_to_end(&mut rest);
    assert!(rest.is_empty());
    answers(&good, "still here");
}
