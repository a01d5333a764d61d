//! Heads of peers' answers that are large.

use std::fmt::Write;

use http::Response;

use crate::h2::*;
use crate::support::{Scripted, get, once, server};

/// So many lines with values of this length.
fn lines(count: usize, length: usize) -> String {
    (0..count).fold(String::new(), |mut all, n| {
        let _ = write!(all, "X-{n}: {}\r\n", "v".repeat(length));
        all
    })
}

fn peer(count: usize, length: usize) -> Scripted {
    Scripted::new(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok", lines(count, length)), false)
}

#[test]
fn are_refused_where_they_are_larger_than_is_said() {
    for (said, count, length, status) in [
        ("", 190, 10, 200),
        ("", 201, 10, 502),
        ("http_response_header_count 300", 201, 10, 200),
        ("http_response_header_count 20", 30, 10, 502),
        ("", 4, 15_000, 200),
        ("", 5, 15_000, 502),
        ("http_response_header_size \"256KiB\"", 7, 15_000, 200),
        ("http_response_header_size \"256KiB\"", 1, 65_535, 200),
        ("http_response_header_size \"256KiB\"", 1, 65_536, 502),
        ("http_response_header_size \"1KiB\"", 1, 1000, 502),
    ] {
        let peer = peer(count, length);
        let proxy = server(&format!("{said}\nlocal {{ proxy_pass_tcp \"{}\"; }}", peer.addr())).start();
        let a = once(&proxy, get("/"));
        assert_eq!(a.status, status, "{said}: {count} of {length}");
        assert_eq!(a.head.matches("X-").count(), if status == 200 { count } else { 0 });
    }
}

#[test]
fn of_peers_of_http2_each_local_has_its_own_limit() {
    let peer = Peer::start(|call| async move {
        let mut respond = call.respond;
        let large = (0..250).fold(Response::builder(), |r, n| r.header(format!("x-{n}"), "v".repeat(400)));
        let _ = respond.send_response(large.body(()).expect("a head"), true);
    });
    let proxy = server(&format!(
        r#"
        local {{
            rule "${{path}}" text="/large"
            http_response_header_size "256KiB"
            http_response_header_count 300
            http_proxy version="2"
            proxy_pass_tcp "{0}"
        }}
        local {{ http_proxy version="2"; proxy_pass_tcp "{0}"; }}
        "#,
        peer.addr()
    ))
    .start();
    for (path, status) in [("/", 502), ("/large", 200), ("/", 502)] {
        let a = once(&proxy, get(path));
        assert_eq!((a.status, a.head.contains("x-249: ")), (status, status == 200), "{path}");
    }
}
