//! `${stream_work_times}` of requests.

use harness::{Builder, Origin, Proxy, client};
use std::net::SocketAddr;

use crate::h2::Peer;
use crate::support::{OK, Scripted, ask, get, head};

fn logging(locals: &str) -> Builder {
    Proxy::builder().config(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\nnet {{\naccess_log \"access.log\" flush=0 format=\"${{http_request_uri}} \
         ${{stream_work_times}}\"\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{locals}\n}} }}\n"
    ))
}

/// The names of a request's stages; their times never go back.
fn stages(proxy: &Proxy, path: &str) -> Vec<String> {
    let line = proxy.await_line("access.log", &format!("{path} "), harness::LIMIT);
    let all: Vec<_> = line.split(' ').skip(1).map(|s| s.split_once('@').unwrap_or_else(|| panic!("{line}"))).collect();
    let times: Vec<f64> = all.iter().map(|(_, at)| at.parse().expect("seconds")).collect();
    assert!(times.is_sorted(), "{line}");
    all.into_iter().map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn on_a_new_connection_and_on_a_kept_one() {
    let origin = Scripted::new(OK, false);
    let own = "local { rule \"${path}\" text=\"/own\"; return 200; }";
    let proxy = logging(&format!("{own}\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    let mut stream = client::connect(proxy.addr(0));
    for path in ["/new", "/kept", "/own"] {
        assert_eq!(ask(&mut stream, get(path)).status, 200);
    }
    assert_eq!(stages(&proxy, "/new"), ["accept", "route", "access", "peer", "connect", "answer", "end"]);
    assert_eq!(stages(&proxy, "/kept"), ["accept", "route", "access", "peer", "answer", "end"]);
    assert_eq!(stages(&proxy, "/own"), ["accept", "route", "access", "end"]);
}

#[test]
fn to_a_peer_of_http2() {
    let peer = Peer::start(|call| call.answer(b"abc"));
    let proxy = logging(&format!("local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}", peer.addr())).start();
    let mut stream = client::connect(proxy.addr(0));
    for path in ["/new", "/kept"] {
        assert_eq!(ask(&mut stream, get(path)).text(), "abc");
    }
    assert_eq!(stages(&proxy, "/new"), ["accept", "route", "access", "peer", "connect", "answer", "end"]);
    assert_eq!(stages(&proxy, "/kept"), ["accept", "route", "access", "peer", "answer", "end"]);
}

#[test]
fn of_a_request_that_is_repeated() {
    let ends = Origin::start(|mut conn| {
        head(&mut conn);
        Ok(())
    });
    let well = Scripted::new(OK, false);
    let local = |a: SocketAddr, b: SocketAddr| {
        format!("local {{ http_retry \"reset\"; proxy_pass_tcp \"{a}\"; proxy_pass_tcp \"{b}\" backup=#true; }}")
    };
    let proxy = logging(&local(ends.addr(), well.addr())).start();
    assert_eq!(ask(&mut client::connect(proxy.addr(0)), get("/again")).status, 200);
    let again = ["accept", "route", "access", "peer", "connect", "peer", "connect", "answer", "end"];
    assert_eq!(stages(&proxy, "/again"), again);
}
