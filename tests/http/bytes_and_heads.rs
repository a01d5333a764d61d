//! Variables of heads and bodies: what came and went of each, on both sides, and what the peer got.

use harness::{Builder, Proxy, client};

use crate::h2::Peer;
use crate::support::{OK, Scripted, ask, get, head, once};

const LOG: &str = "cr=${http_header_client_bytes_received}+${http_body_client_bytes_received}=${client_bytes_received} \
cs=${http_header_client_bytes_sent}+${http_body_client_bytes_sent}=${client_bytes_sent} \
ur=${http_header_upstream_bytes_received}+${http_body_upstream_bytes_received}=${upstream_bytes_received} \
us=${http_header_upstream_bytes_sent}+${http_body_upstream_bytes_sent}=${upstream_bytes_sent} \
peer=${http_is_upstream} via=${http_ups_request_via} x=${http_ups_request_x_own} agent=${http_ups_request_user_agent} \
none=${http_ups_request_x_secret}.";

fn logging(locals: &str) -> Builder {
    Proxy::builder().config(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\nnet {{\naccess_log \"access.log\" flush=0 format=\"{LOG}\"\nserver {{\n\
         port_listen_tcp \"127.0.0.1:0\"\nhttp\nhttp_via \"edge\"\nhttp_request_header \"set\" \"X-Own\" \"${{http_request_method}}\"\n\
         http_request_header \"remove\" \"X-Secret\"\n{locals}\n}} }}\n"
    ))
}

/// The two parts and the whole of a field of the line.
#[track_caller]
fn parts(line: &str, name: &str) -> [u64; 2] {
    let value = line.split(' ').find_map(|f| f.strip_prefix(name)?.strip_prefix('=')).expect("the field");
    let (parts, whole) = value.split_once('=').expect("a sum");
    let (head, body) = parts.split_once('+').expect("two parts");
    let [head, body, whole] = [head, body, whole].map(|n| n.parse::<u64>().unwrap_or_else(|_| panic!("{line}")));
    assert_eq!(head + body, whole, "{line}");
    [head, body]
}

#[test]
fn to_a_peer_and_back() {
    let origin = Scripted::new(OK, false);
    let proxy = logging(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    let mut stream = client::connect(proxy.addr(0));
    let request = "POST /x HTTP/1.1\r\nHost: a.test\r\nUser-Agent: t\r\nX-Secret: s\r\nContent-Length: 5\r\n\r\nhello";
    let a = ask(&mut stream, request);
    let line = proxy.await_line("access.log", "x=POST", harness::LIMIT);
    assert_eq!(parts(&line, "cr"), [request.len() as u64 - 5, 5]);
    assert_eq!(parts(&line, "cs"), [a.head.len() as u64, 2]);
    assert_eq!(parts(&line, "ur"), [OK.len() as u64 - 2, 2]);
    assert_eq!(parts(&line, "us"), [origin.seen()[0].0.len() as u64, 5]);
    assert!(line.ends_with("peer=1 via=1.1 edge x=POST agent=t none=-."), "{line}");
    // The next request of the connection is counted from its own beginning.
    let chunked = "PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let a = ask(&mut stream, format!("{chunked}3\r\nabc\r\n0\r\n\r\n"));
    let line = proxy.await_line("access.log", "x=PUT", harness::LIMIT);
    assert_eq!(parts(&line, "cr"), [chunked.len() as u64, 13], "with what delimits it");
    assert_eq!(parts(&line, "cs"), [a.head.len() as u64, 2]);
    assert_eq!(parts(&line, "us")[1], 13);
}

#[test]
fn what_comes_before_an_answer_is_a_head_too() {
    let proxy = logging("local { http_echo; }").start();
    let mut stream = client::connect(proxy.addr(0));
    let request = "PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).expect("write");
    let goes_on = head(&mut stream).expect("a head");
    assert!(goes_on.starts_with("HTTP/1.1 100 "), "{goes_on}");
    let a = ask(&mut stream, "abc");
    let line = proxy.await_line("access.log", "peer=0", harness::LIMIT);
    assert_eq!(parts(&line, "cr"), [request.len() as u64, 3]);
    assert_eq!(parts(&line, "cs"), [(goes_on.len() + a.head.len()) as u64, 3]);
}

#[test]
fn of_an_answer_of_this_proxys_own() {
    let proxy = logging("local { return 200 \"hello\"; }").start();
    let a = once(&proxy, get("/"));
    let line = proxy.await_line("access.log", "peer=0", harness::LIMIT);
    assert_eq!(parts(&line, "cr"), [get("/").len() as u64, 0]);
    assert_eq!(parts(&line, "cs"), [a.head.len() as u64, 5]);
    assert_eq!((parts(&line, "ur"), parts(&line, "us")), ([0; 2], [0; 2]));
    assert!(line.ends_with("peer=0 via=- x=- agent=- none=-."), "{line}");
}

#[test]
fn to_a_peer_of_http2() {
    let peer = Peer::start(|call| call.answer(b"abc"));
    let proxy = logging(&format!("local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}", peer.addr())).start();
    assert_eq!(once(&proxy, get("/")).text(), "abc");
    let line = proxy.await_line("access.log", "x=GET", harness::LIMIT);
    assert!(line.ends_with("peer=1 via=1.1 edge x=GET agent=t none=-."), "{line}");
    let ([head, body], [sent, none]) = (parts(&line, "ur"), parts(&line, "us"));
    assert!(head > 0 && body == 3 && sent > 0 && none == 0, "{line}");
}
