//! `http_limit_requests`: who asks too often waits or is refused.

use std::io::Write;
use std::time::{Duration, Instant};

use harness::{Proxy, client};

use crate::support::{ask, get, once, server};

/// One a day, so that no test depends on how fast it runs.
const RARE: &str = "http_limit_requests \"1/s\" per=\"86400s\"";

fn statuses(proxy: &Proxy, request: &str, times: usize) -> Vec<u16> {
    (0..times).map(|_| once(proxy, request).status).collect()
}

fn keyed(path: &str, key: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nX-Key: {key}\r\n\r\n")
}

#[test]
fn a_burst_passes_and_then_429_says_when_to_come_again() {
    let proxy = server(&format!("{RARE} burst=3\nlocal {{ http_echo body=\"ok\"; }}")).start();
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..4 {
        assert_eq!(ask(&mut stream, get("/")).text(), "ok");
    }
    for _ in 0..2 {
        let a = ask(&mut stream, get("/"));
        let wait: u64 = a.header("retry-after").and_then(|v| v.parse().ok()).expect("Retry-After");
        assert_eq!(a.status, 429);
        assert!((86_000..=86_400).contains(&wait), "{wait}");
        assert!(a.text().contains("429"), "{}", a.text());
    }
    // Another connection of the same client is the same client.
    assert_eq!(once(&proxy, get("/")).status, 429);
    proxy.await_line("access.log", "status=429", harness::LIMIT);
}

#[test]
fn a_rate_of_a_minute_or_a_day_is_none_of_a_second() {
    for (rate, wait) in [("2/m", 30), ("3/h", 1200), ("1/d", 86_400)] {
        let proxy = server(&format!("http_limit_requests \"{rate}\"\nlocal {{ return 200; }}")).start();
        assert_eq!(once(&proxy, get("/")).status, 200);
        let a = once(&proxy, get("/"));
        let said: u64 = a.header("retry-after").and_then(|v| v.parse().ok()).expect("Retry-After");
        assert!(a.status == 429 && (wait - wait / 4..=wait).contains(&said), "{rate}: {}", a.head);
    }
    let both = server("http_limit_requests \"2/m\" per=\"60s\"\nlocal { return 200; }");
    both.check().assert(1, &["main.kdl:8:1", "two times for one rate"]);
}

#[test]
fn a_refused_request_keeps_its_connection_and_its_body_is_passed_over() {
    let proxy = server(&format!("{RARE}\nlocal {{ http_echo; }}")).start();
    let mut stream = client::connect(proxy.addr(0));
    let post = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(ask(&mut stream, post).text(), "hello");
    for _ in 0..2 {
        let a = ask(&mut stream, post);
        assert_eq!((a.status, a.header("connection")), (429, None));
    }
}

#[test]
fn each_value_of_the_key_counts_for_itself_and_none_is_not_counted() {
    let proxy =
        server(&format!("{RARE} burst=1 key=\"${{http_request_x_key}}\"\nlocal {{ http_echo body=\"ok\"; }}")).start();
    assert_eq!(statuses(&proxy, &keyed("/", "a"), 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, &keyed("/", "b"), 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, &keyed("/", "a"), 1), [429]);
    assert_eq!(statuses(&proxy, &get("/"), 6), [200; 6]);
}

#[test]
fn the_status_is_the_one_that_is_asked_for() {
    let proxy = server(&format!("{RARE} status=503\nlocal {{ http_echo body=\"ok\"; }}")).start();
    assert_eq!(once(&proxy, get("/")).status, 200);
    let a = once(&proxy, get("/"));
    assert_eq!((a.status, a.header("retry-after").is_some()), (503, true));
}

#[test]
fn the_rest_of_a_burst_waits_for_its_turn() {
    let proxy = server("http_limit_requests \"10/s\" burst=4 delay=0\nlocal { http_echo body=\"ok\"; }").start();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..5).map(|_| scope.spawn(|| once(&proxy, get("/")).status)).collect();
        for one in all {
            assert_eq!(one.join().expect("an answer"), 200);
        }
    });
    // The first at once, the others 100, 200, 300 and 400 ms after it: less is never right, more may be.
    assert!(began.elapsed() >= Duration::from_millis(390), "{:?}", began.elapsed());
    // `delay=3`: three more pass at once. What is refused does not wait.
    let proxy = server(&format!("{RARE} burst=4 delay=3\nlocal {{ http_echo body=\"ok\"; }}")).start();
    assert_eq!(statuses(&proxy, &get("/"), 4), [200; 4]);
}

#[test]
fn one_that_waits_can_be_told_to_end() {
    let proxy = server(&format!("{RARE} burst=4 delay=0\nlocal {{ http_echo body=\"ok\"; }}")).start();
    assert_eq!(once(&proxy, get("/")).status, 200);
    let mut waits = client::connect(proxy.addr(0));
    waits.write_all(get("/").as_bytes()).expect("write");
    let id = harness::eventually("it waits", || {
        let list = proxy.control(&serde_json::json!({ "cmd": "sessions" })).ok()?;
        let waiting = list.as_array()?.iter().find(|row| !row["connection"].is_null())?;
        Some(waiting["id"].to_string())
    });
    proxy.ctl(&["sessions", "kill", &id]).assert(0, &["\"killed\": 1"]);
    // A day early.
    client::end(&waits);
}

#[test]
fn counters_survive_a_reload() {
    let config = |more: &str| {
        format!(
            "load_module \"tcp\" \"balancer\" \"http\"\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{RARE} burst=2\n{more}\nlocal {{ http_echo body=\"ok\"; }}\n}} }}\n"
        )
    };
    let proxy = Proxy::start(&config(""));
    assert_eq!(statuses(&proxy, &get("/"), 2), [200; 2]);
    proxy.reload_with(&config("http_header_count 200")).assert(0, &[]);
    assert_eq!(statuses(&proxy, &get("/"), 2), [200, 429]);
    proxy.reload_with(&config("http_header_count 201")).assert(0, &[]);
    assert_eq!(statuses(&proxy, &get("/"), 1), [429]);
}

#[test]
fn who_has_paid_owes_nothing_to_the_process_that_takes_over_and_who_has_not_owes_the_same() {
    let config = format!(
        r#"load_module "tcp" "balancer" "http"
        common {{ pid "run.pid"; }}
        net {{ server {{
            port_listen_tcp "127.0.0.1:0"
            http
            local {{ rule "${{path}}" text="/rare"; {RARE} burst=1; http_echo body="ok"; }}
            local {{ http_limit_requests "50/s" burst=50; http_echo body="ok"; }}
        }} }}"#
    );
    let old = Proxy::start(&config);
    assert_eq!(statuses(&old, &get("/rare"), 3), [200, 200, 429]);
    // The clock of the first process is ahead of the other's by what it is older.
    let began = Instant::now();
    harness::eventually("a second and a half", || (began.elapsed() > Duration::from_millis(1500)).then_some(()));
    assert_eq!(statuses(&old, &get("/"), 1), [200]);
    let new = Proxy::builder()
        .config(&config)
        .arg("--control")
        .arg(old.dir().join("control.sock"))
        .arg("--hot")
        .arg(old.dir().join("run.pid"))
        .start();
    // Socket and control channel are the new one's.
    assert_eq!(old.status()["process"]["pid"], new.pid());
    assert_eq!(statuses(&old, &get("/rare"), 1), [429]);
    assert_eq!(statuses(&old, &get("/"), 40), [200; 40]);
}

#[test]
fn an_inner_block_adds_to_what_outer_ones_say() {
    let proxy = server(&format!(
        r#"
        {RARE} burst=3
        local {{ rule "${{path}}" text="/twice"; {RARE} burst=1; http_echo body="twice"; }}
        local {{ rule "${{path}}" text="/same"; {RARE} burst=3; http_echo body="same"; }}
        local {{ rule "${{path}}" text="/own"; {RARE} burst=1 inherit=#false; http_echo body="own"; }}
        local {{ http_echo body="ok"; }}
        "#
    ))
    .start();
    // Two counters, of which the smaller one ends first; what it refuses the other one may have counted.
    assert_eq!(statuses(&proxy, &get("/twice"), 3), [200, 200, 429]);
    assert_eq!(statuses(&proxy, &get("/own"), 1), [429], "the same line counts together");
    let fresh = server(&format!("{RARE} burst=3\nlocal {{ {RARE} burst=3; http_echo body=\"same\"; }}")).start();
    assert_eq!(statuses(&fresh, &get("/"), 5), [200, 200, 200, 200, 429], "said twice, counted once");
}

#[test]
fn wrong_passwords_are_counted_too() {
    let proxy = server(&format!(
        "{RARE} burst=1\nhttp_auth_basic \"staff\" users=\"users\"\nlocal {{ http_echo body=\"ok\"; }}"
    ))
    .file("users", "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    .start();
    let wrong = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YTp3cm9uZw==\r\n\r\n";
    assert_eq!(statuses(&proxy, wrong, 3), [401, 401, 429], "guesses are held back");
}

#[test]
fn a_rate_that_is_none_is_a_mistake() {
    for (line, what) in [
        ("http_limit_requests \"10/s\" status=200", "status"),
        ("http_limit_requests \"10/s\" burst=-1", "burst"),
        ("http_limit_requests \"0/s\"", "main.kdl:8:"),
        ("http_limit_requests \"x\"", "main.kdl:8:"),
    ] {
        server(&format!("{line}\nlocal {{ http_echo; }}")).check().assert(1, &["main.kdl:8:", what]);
    }
}
