//! Checks that ask by HTTP: what a peer answers decides, though it accepts connections all the while.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use harness::{LIMIT, Origin, Proxy, eventually};

use crate::support::{await_condition, peer};

/// What an origin answers, and how long that takes; a test changes it while it runs.
#[derive(Clone)]
struct Says(Arc<Mutex<(String, Duration)>>);

impl Says {
    fn new(status: &str, body: &str) -> (Self, Origin) {
        let says = Self(Arc::default());
        says.set(status, body, Duration::ZERO);
        let of = says.clone();
        let origin = Origin::start(move |mut conn| {
            let request = head(&mut conn)?;
            let (answer, wait) = of.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            // What comes through the proxy is answered at once, and shows that the port is open.
            if request.starts_with("GET /health") {
                // The peer's own time, which the check's limit is about.
                std::thread::sleep(wait);
                return conn.write_all(answer.as_bytes());
            }
            conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        });
        (says, origin)
    }

    fn set(&self, status: &str, body: &str, wait: Duration) {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (text, wait);
    }
}

/// The head of a request.
fn head(conn: &mut impl Read) -> std::io::Result<String> {
    let mut all = Vec::new();
    let mut byte = [0];
    while !all.ends_with(b"\r\n\r\n") {
        conn.read_exact(&mut byte)?;
        all.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

/// A pool of this one peer, whose block has these lines.
fn proxy(origin: &Origin, peer: &str) -> Proxy {
    let config = format!(
        "load_module \"tcp\" \"http\"\ncommon {{ worker_threads 1; }}\nupstream \"o\" {{\nproxy_pass_tcp \"{}\" {{\n{peer}\n}}\n}}\n\
         net {{\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nlocal {{ proxy_pass_upstream \"o\"; }}\n}}\n}}\n",
        origin.addr()
    );
    Proxy::builder().config(&config).start()
}

const OFTEN: &str = "heartbeat interval=\"100ms\" timeout=\"300ms\" fail=2 pass=2";

/// Waits for a reason in status.
#[track_caller]
fn await_failure(proxy: &Proxy, origin: &Origin, why: &str) {
    eventually(&format!("a check fails with {why:?}"), || {
        (peer(proxy, origin.addr())["check_failure"] == why).then_some(())
    });
}

#[test]
fn a_peer_is_out_while_it_says_that_it_is_not_well() {
    let (says, origin) = Says::new("200 OK", "fine");
    let proxy = proxy(&origin, &format!("{OFTEN}\nhttp_heartbeat \"/health?deep=1\" status=\"200-299\""));
    eventually("checks pass", || (peer(&proxy, origin.addr())["checks_passed"].as_u64() > Some(1)).then_some(()));
    assert_eq!(peer(&proxy, origin.addr())["check_failure"], serde_json::Value::Null);
    says.set("500 Internal Server Error", "no", Duration::ZERO);
    await_condition(&proxy, origin.addr(), "down");
    assert_eq!(peer(&proxy, origin.addr())["check_failure"], "status 500, not 200-299");
    let line = proxy.await_log("peer is down", LIMIT);
    assert!(line.contains("peer is down: status 500, not 200-299"), "{line}");
    assert!(crate::support::is_cut(proxy.addr(0), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "nobody is sent there");
    assert!(std::net::TcpStream::connect(origin.addr()).is_ok(), "its port is open all the while");
    says.set("204 No Content", "", Duration::ZERO);
    await_condition(&proxy, origin.addr(), "ready");
    proxy.await_log("peer is up", LIMIT);
    assert_eq!(peer(&proxy, origin.addr())["check_failure"], serde_json::Value::Null);
}

#[test]
fn the_body_counts_too() {
    let (says, origin) = Says::new("200 OK", "state=ready");
    let proxy = proxy(&origin, &format!("{OFTEN}\nhttp_heartbeat \"/health\" body=\"~state=(ready|busy)\""));
    eventually("checks pass", || (peer(&proxy, origin.addr())["checks_passed"].as_u64() > Some(1)).then_some(()));
    says.set("200 OK", "state=broken", Duration::ZERO);
    await_condition(&proxy, origin.addr(), "down");
    await_failure(&proxy, &origin, "the body does not match state=(ready|busy)");
    says.set("200 OK", "state=busy", Duration::ZERO);
    await_condition(&proxy, origin.addr(), "ready");
}

#[test]
fn an_answer_that_comes_late_is_none() {
    let (says, origin) = Says::new("200 OK", "");
    let proxy = proxy(&origin, &format!("{OFTEN}\nhttp_heartbeat \"/health\""));
    eventually("checks pass", || (peer(&proxy, origin.addr())["checks_passed"].as_u64() > Some(1)).then_some(()));
    says.set("200 OK", "", Duration::from_millis(900));
    await_condition(&proxy, origin.addr(), "down");
    await_failure(&proxy, &origin, "no answer in time");
    says.set("200 OK", "", Duration::ZERO);
    await_condition(&proxy, origin.addr(), "ready");
}

#[test]
fn a_pools_question_holds_for_each_peer_and_a_reload_changes_it() {
    let (_one, first) = Says::new("200 OK", "one");
    let (_two, second) = Says::new("200 OK", "two");
    let config = |word: &str| {
        format!(
            "load_module \"tcp\" \"http\" \"balancer\"\ncommon {{ worker_threads 1; }}\nupstream \"o\" {{\n{OFTEN}\n\
             http_heartbeat \"/health\" body=\"{word}\"\nproxy_pass_tcp \"{}\"\nproxy_pass_tcp \"{}\"\n}}\n\
             net {{\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nlocal {{ proxy_pass_upstream \"o\"; }}\n}}\n}}\n",
            first.addr(),
            second.addr()
        )
    };
    let proxy = Proxy::builder().config(&config("one")).start();
    await_condition(&proxy, second.addr(), "down");
    assert_eq!(peer(&proxy, first.addr())["condition"], "ready");
    proxy.reload_with(&config("two")).assert(0, &[]);
    await_condition(&proxy, first.addr(), "down");
    await_condition(&proxy, second.addr(), "ready");
}

#[test]
fn what_is_wrong_is_told_when_the_file_is_read() {
    for (lines, text) in [
        ("http_heartbeat \"/health\"", "\"http_heartbeat\" says how a heartbeat asks, and there is none"),
        ("heartbeat\nhttp_heartbeat \"health\"", "\"health\" is no path"),
        ("heartbeat\nhttp_heartbeat status=\"2xx\"", "\"2xx\" is no list of statuses"),
        ("heartbeat\nhttp_heartbeat body=\"~(\"", "is no regular expression"),
        ("heartbeat\nhttp_heartbeat method=\"BREW\"", "BREW"),
    ] {
        let config = format!(
            "load_module \"tcp\" \"http\"\nnet {{\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\n\
             local {{ proxy_pass_tcp \"127.0.0.1:1\" {{\n{lines}\n}}\n}}\n}}\n}}\n"
        );
        harness::check(&config).assert(1, &[text]);
    }
}
