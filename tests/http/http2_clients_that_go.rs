//! Clients of HTTP/2 whose connections end while requests are under way: what they still hear, and what is said of them.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex};

use harness::{LIMIT, Origin, Proxy, client, eventually, pattern};

use crate::h2::*;
use crate::support::{OK, head, proxy_to};

/// Something that a peer waits for before it answers.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().expect("not poisoned") = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let shut = self.0.0.lock().expect("not poisoned");
        drop(self.0.1.wait_timeout_while(shut, LIMIT, |open| !*open).expect("not poisoned"));
    }
}

/// Answers requests once the gate is open.
pub(crate) fn behind(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |mut conn| {
        while head(&mut conn).is_some() {
            gate.wait();
            conn.write_all(OK)?;
        }
        Ok(())
    })
}

/// Reads a head, and then whatever comes until the proxy lets go.
pub(crate) fn silent() -> Origin {
    Origin::start(|mut conn| {
        head(&mut conn);
        let mut some = [0; 1024];
        while conn.read(&mut some)? > 0 {}
        Ok(())
    })
}

pub(crate) fn lines(proxy: &Proxy, what: &str) -> usize {
    proxy.read("access.log").lines().filter(|line| line.contains(what)).count()
}

fn answers(proxy: &Proxy) -> String {
    proxy
        .ctl(&["metrics"])
        .stdout
        .lines()
        .filter(|line| line.contains("http_answers_total{"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn one_that_has_only_ended_its_side_hears_all_answers() {
    let gate = Gate::default();
    let origin = behind(&gate);
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = Raw::open(proxy.addr(0));
    raw.get(1, "/one");
    raw.get(3, "/two");
    // It will not be whole.
    raw.send(HEADERS, END_HEADERS, 5, &section(true, "/part"));
    origin.await_accepted(3);
    raw.stream.shutdown(Shutdown::Write).expect("a socket");
    eventually("what is not whole has ended", || (lines(&proxy, "path=/part") == 1).then_some(()));
    gate.open();
    let mut ended = Vec::new();
    while let Some(frame) = raw.frame() {
        if frame.kind == DATA && frame.flags & END_STREAM != 0 {
            assert_eq!(frame.payload, b"ok");
            ended.push(frame.stream);
        }
    }
    ended.sort_unstable();
    assert_eq!(ended, [1, 3]);
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    for (what, n) in [("status=200", 2), ("reason=client_transfer_done", 2), ("reason=client_transfer_closed", 1)] {
        assert_eq!(lines(&proxy, what), n, "{what}: {}", proxy.read("access.log"));
    }
}

#[test]
fn one_that_cannot_open_its_window_any_more_is_not_waited_for() {
    let large = pattern::bytes(1 << 20);
    let origin = Origin::start(move |mut conn| {
        head(&mut conn);
        conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", large.len()).as_bytes())?;
        conn.write_all(&large)
    });
    let proxy = proxy_to(origin.addr(), "");
    // Before and after the window is full.
    for before in [true, false] {
        let mut raw = Raw::open(proxy.addr(0));
        raw.get(1, "/large");
        if before {
            raw.stream.shutdown(Shutdown::Write).expect("a socket");
        }
        let mut left = 65_535;
        while left > 0 {
            left -= raw.until("a piece", |f| f.kind == DATA).payload.len();
        }
        if !before {
            raw.stream.shutdown(Shutdown::Write).expect("a socket");
        }
        assert!(raw.until("RST_STREAM", |f| f.kind == RST_STREAM).stream == 1);
        while raw.frame().is_some() {}
    }
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    eventually("their lines in the log", || (lines(&proxy, "reason=client_transfer_closed") == 2).then_some(()));
    origin.await_idle();
}

#[test]
fn those_whose_connection_is_reset_have_no_answer_and_count_as_none() {
    let origin = silent();
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = Raw::open(proxy.addr(0));
    for (n, path) in ["/one", "/two", "/three"].iter().enumerate() {
        raw.get(1 + 2 * n as u32, path);
    }
    origin.await_accepted(3);
    client::reset(raw.stream);
    origin.await_idle();
    eventually("their lines in the log", || (lines(&proxy, "path=/") == 3).then_some(()));
    assert_eq!(lines(&proxy, "reason=client_transfer_reset"), 3, "{}", proxy.read("access.log"));
    assert_eq!(lines(&proxy, "status=200"), 0);
    // So has one that has ended both sides, which looks as if it had ended one.
    let mut raw = Raw::open(proxy.addr(0));
    raw.until("SETTINGS", |f| f.kind == SETTINGS && f.flags == ACK);
    raw.get(1, "/gone");
    origin.await_accepted(4);
    drop(raw);
    origin.await_idle();
    eventually("its line in the log", || (lines(&proxy, "path=/gone") == 1).then_some(()));
    assert_eq!(lines(&proxy, "reason=client_transfer_reset"), 4, "{}", proxy.read("access.log"));
    // What breaks the rules costs all its streams.
    let mut raw = Raw::open(proxy.addr(0));
    raw.get(1, "/four");
    origin.await_accepted(5);
    raw.send(DATA, 0, 0, b"");
    while raw.frame().is_some() {}
    eventually("its line in the log", || (lines(&proxy, "path=/four") == 1).then_some(()));
    assert_eq!(lines(&proxy, "reason=client_transfer_malformed"), 1, "{}", proxy.read("access.log"));
    let answers = answers(&proxy);
    assert!(answers.contains("{class=\"2xx\"} 0"), "{answers}");
}
