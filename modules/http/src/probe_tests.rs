use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest, Problem, Running};
use std::net::SocketAddr;

fn heartbeat() -> Directive {
    Directive::new("http_heartbeat")
}

fn config(directive: Directive) -> [Block; 1] {
    [Block::peer().with(directive)]
}

/// What is asked of the peer `a.test:8080` with this directive.
fn asked(directive: Directive) -> (ModuleUnderTest<Http>, Running<()>) {
    let m = ModuleUnderTest::<Http>::start(&config(directive));
    let run = m.probe("http", "10.0.0.1:8080".parse::<SocketAddr>().expect("an address"), "a.test");
    m.host().run_until_stalled();
    (m, run)
}

/// What is said of a peer that answers so and closes.
fn verdict(directive: Directive, answer: &[u8]) -> Result<(), String> {
    // In one piece, and byte by byte.
    let mut said = Vec::new();
    for fragment in [usize::MAX, 1] {
        let (m, mut run) = asked(directive.clone());
        run.client.fragment(fragment);
        run.client.send(answer);
        run.client.finish();
        m.host().run_until_stalled();
        said.push(run.result().expect("it has ended").map_err(|e| e.to_string()));
        drop(run);
        m.stop();
    }
    assert_eq!(said[0], said[1]);
    said.remove(0)
}

fn problems(directive: Directive) -> Vec<String> {
    let all: Vec<Problem> = ModuleUnderTest::<Http>::try_start(&config(directive)).expect_err("it is wrong");
    all.into_iter().map(|p| p.message).collect()
}

#[test]
fn the_request_names_the_peer_and_closes() {
    let (m, run) = asked(heartbeat());
    let head =
        "GET / HTTP/1.1\r\nHost: a.test:8080\r\nUser-Agent: anyproxy\r\nAccept: */*\r\nConnection: close\r\n\r\n";
    assert_eq!(run.client.received_text(), head);
    drop(run);
    m.stop();
    let own = heartbeat().arg("/live?deep=1").prop("host", "example.com").prop("method", "HEAD");
    let (m, run) = asked(own);
    let sent = run.client.received_text();
    assert!(sent.starts_with("HEAD /live?deep=1 HTTP/1.1\r\nHost: example.com\r\n"), "{sent}");
    drop(run);
    m.stop();
}

#[test]
fn a_peers_host_is_written_as_in_a_url() {
    let of = |addr: &str, host: &'static str| {
        let addr = addr.parse::<SocketAddr>().map_or(Addr::NONE, Addr::from);
        host_of(&Connect::new(addr, host, addr.port(), std::ptr::null(), &SocketOptions::default(), 0))
    };
    assert_eq!(of("10.0.0.1:80", "10.0.0.1"), "10.0.0.1");
    assert_eq!(of("10.0.0.1:81", "a.test"), "a.test:81");
    assert_eq!(of("[fd00::1]:81", "fd00::1"), "[fd00::1]:81");
    assert_eq!(of("none", "unix:/run/a"), "localhost");
}

#[test]
fn the_status_decides() {
    let answer = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes();
    for well in ["200 OK", "204 No Content", "399", "301 Moved"] {
        assert_eq!(verdict(heartbeat(), &answer(well)), Ok(()), "{well}");
    }
    assert_eq!(verdict(heartbeat(), &answer("500 No")), Err("status 500, not 200-399".to_owned()));
    let some = || heartbeat().prop("status", "200-204, 401");
    assert_eq!(verdict(some(), &answer("401 Who")), Ok(()));
    assert_eq!(verdict(some(), &answer("302 Moved")), Err("status 302, not 200-204,401".to_owned()));
    assert_eq!(
        verdict(heartbeat(), b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
        Ok(()),
        "the final one counts"
    );
}

#[test]
fn the_body_is_looked_at_whatever_its_framing() {
    let ok = || heartbeat().prop("body", "all well");
    for (head, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "it: all well"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nit: a\r\n7\r\nll well\r\n0\r\n\r\n"),
        ("HTTP/1.0 200 OK\r\n\r\n", "it: all well"),
    ] {
        assert_eq!(verdict(ok(), format!("{head}{body}").as_bytes()), Ok(()), "{head}");
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    assert_eq!(verdict(ok(), answer), Err("\"all well\" is not in the body".to_owned()));
    assert_eq!(verdict(heartbeat().prop("body", "~^b[ao]d$"), answer), Ok(()));
    let strict = heartbeat().prop("body", "~^good$");
    assert_eq!(verdict(strict, answer), Err("the body does not match ^good$".to_owned()));
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    for (answer, why) in [
        (&b""[..], "nothing instead of an answer"),
        (b"HTTP/1.1 200", "half a head instead of an answer"),
        (b"SSH-2.0-x\r\n", "no HTTP: malformed protocol version"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal", "no HTTP: the stream ended inside a message"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
            "no HTTP: the stream ended inside a message",
        ),
    ] {
        assert_eq!(verdict(heartbeat(), answer), Err(why.to_owned()));
    }
}

#[test]
fn of_a_long_body_64_kib_are_read() {
    let long = |at: usize| {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + at, b'.');
        answer.extend_from_slice(b"here");
        answer.resize(answer.len() + (1 << 20), b'.');
        answer
    };
    for (at, found) in [(BODY - 4, true), (BODY - 3, false)] {
        let (m, mut run) = asked(heartbeat().prop("body", "here"));
        run.client.send(&long(at));
        // It does not wait for the end.
        m.host().run_until_stalled();
        assert_eq!(run.result().expect("it has ended").is_ok(), found, "{at}");
        drop(run);
        m.stop();
    }
}

#[test]
fn interim_answers_end() {
    let (m, mut run) = asked(heartbeat());
    run.client.send(&b"HTTP/1.1 100 Continue\r\n\r\n".repeat(2000));
    m.host().run_until_stalled();
    assert_eq!(run.result().expect("it has ended").expect_err("not well").to_string(), "interim answers without end");
    drop(run);
    m.stop();
}

#[test]
fn what_is_no_question_is_told_when_it_is_read() {
    for (directive, message) in [
        (heartbeat().arg("health"), "\"health\" is no path"),
        (heartbeat().arg("/a b"), "\"/a b\" is no path"),
        (heartbeat().prop("status", "20x"), "\"20x\" is no list of statuses"),
        (heartbeat().prop("status", "300-200"), "\"300-200\" is no list of statuses"),
        (heartbeat().prop("status", "200,"), "\"200,\" is no list of statuses"),
        (heartbeat().prop("status", "99"), "\"99\" is no list of statuses"),
        (heartbeat().prop("host", "a b"), "\"a b\" is no host"),
        (heartbeat().prop("body", "~(x"), "\"~(x\" is no regular expression: unclosed group"),
        (heartbeat().prop("body", "x").prop("method", "HEAD"), "the answer to HEAD has no body"),
    ] {
        assert_eq!(problems(directive), [message]);
    }
}
