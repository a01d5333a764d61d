//! The control socket is its owner's alone, answers nonsense with an error, and takes any number of clients.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use harness::{LIMIT, Proxy};
use serde_json::{Value, json};

use crate::support::{hello, mode};

fn open(proxy: &Proxy) -> UnixStream {
    let stream = UnixStream::connect(proxy.dir().join("control.sock")).expect("it listens");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
    stream
}

fn ask(stream: &UnixStream, line: &[u8]) -> Value {
    (&*stream).write_all(line).expect("it reads");
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).expect("an answer");
    serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error} in {answer:?}"))
}

#[test]
fn only_its_owner_may_speak() {
    let proxy = hello("").start();
    assert_eq!(mode(&proxy.dir().join("control.sock")), 0o600);
}

#[test]
fn nonsense_is_answered_on_a_connection_that_goes_on() {
    let proxy = hello("").start();
    let stream = open(&proxy);
    for (line, error) in [
        ("\n", "not a JSON object"),
        ("{\n", "not a JSON object"),
        ("[1]\n", "\"cmd\" is missing"),
        ("\"status\"\n", "\"cmd\" is missing"),
        ("{\"cmd\":7}\n", "\"cmd\" is missing"),
        ("{\"cmd\":\"dance\"}\n", "there is no command dance"),
        ("{\"cmd\":\"sessions\",\"action\":\"kill\"}\n", "\"id\" is missing"),
        ("{\"cmd\":\"sessions\",\"action\":\"kill\",\"id\":-1}\n", "\"id\" is missing"),
        ("{\"cmd\":\"sessions\",\"action\":\"show\",\"id\":99999}\n", "there is no session 99999"),
        ("{\"cmd\":\"peer\",\"action\":\"drain\",\"peer\":\"192.0.2.1:1\"}\n", "there is no peer"),
        ("{\"cmd\":\"peer\",\"action\":\"weight\",\"peer\":\"x\",\"weight\":-4}\n", "\"weight\" is missing"),
        ("{\"cmd\":\"log-level\",\"level\":\"loud\"}\n", "level loud"),
        ("{\"cmd\":\"log-level\",\"client\":\"nobody\"}\n", "not an address"),
        ("{\"cmd\":\"module\",\"module\":\"nix\",\"action\":\"x\"}\n", "module nix is not loaded"),
        ("{\"cmd\":\"module\",\"module\":\"tcp\",\"action\":\"\"}\n", "has no action ; it has none"),
    ] {
        let answer = ask(&stream, line.as_bytes());
        assert_eq!(answer["ok"], false, "{line}");
        assert!(answer["error"].as_str().is_some_and(|text| text.contains(error)), "{line}: {answer}");
    }
    // Longer than any that is taken: it is read to its end.
    let answer = ask(&stream, &[vec![b' '; (1 << 20) + 1], b"{}\n".to_vec()].concat());
    assert!(answer["error"].as_str().is_some_and(|text| text.contains("longer than 1 MiB")), "{answer}");
    let answer = ask(&stream, b"\xff\xfe\xfd\n");
    assert!(answer["error"].as_str().is_some_and(|text| text.contains("not a JSON object")), "{answer}");
    // JSON that nests deeper than any stack.
    let answer = ask(&stream, format!("{}\n", "[".repeat(200_000)).as_bytes());
    assert_eq!(answer["ok"], false);
    assert_eq!(ask(&stream, b"{\"cmd\":\"status\"}\n")["ok"], true, "the same connection");
}

#[test]
fn an_endless_line_ends_its_connection_alone() {
    let proxy = hello("").start();
    let mut stream = open(&proxy);
    // It stops reading when it has seen too much.
    let _ = stream.write_all(&vec![b'x'; 20 << 20]);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.is_empty());
    proxy.status();
}

#[test]
fn many_clients_at_once() {
    let proxy = hello("").start();
    let held: Vec<_> = (0..60).map(|_| open(&proxy)).collect();
    std::thread::scope(|scope| {
        for stream in &held {
            scope.spawn(|| {
                for _ in 0..5 {
                    let answer = ask(stream, format!("{}\n", json!({"cmd": "status"})).as_bytes());
                    assert_eq!(answer["ok"], true);
                }
            });
        }
    });
    drop(held);
    let before = proxy.descriptors();
    harness::eventually("their descriptors are gone", || (proxy.descriptors() <= before.min(60)).then_some(()));
}

#[test]
fn a_client_that_does_not_read_holds_nobody_up() {
    let proxy = hello("").start();
    let mut deaf = open(&proxy);
    deaf.set_nonblocking(true).expect("flag");
    let line = b"{\"cmd\":\"status\"}\n".repeat(200);
    for _ in 0..50 {
        let _ = deaf.write(&line);
    }
    for _ in 0..3 {
        proxy.status();
    }
}
