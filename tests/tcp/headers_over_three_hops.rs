//! The hello header over three proxies: the last one knows the client, its domain and the request id of the first.

use harness::client::tls::ClientHello;
use harness::{SniRecorder, client, eventually};

use crate::support::{field, lines, net};

#[test]
fn client_domain_and_request_id_arrive_at_the_last() {
    let origin = SniRecorder::start("o");
    let last = net(
        "",
        "server {\ndomain \"www.example.cn\"\ndomain_listen_tcp \"127.0.0.1:0\"\nproxy_protocol_hello_accept \"127.0.0.1\"\n\
         local { proxy_pass_tcp \"@ORIGIN@\"; }\n}",
    )
    .set("ORIGIN", origin.addr())
    .start();
    let middle = net(
        "",
        "server {\nport_listen_tcp \"127.0.0.1:0\"\nproxy_protocol_hello_accept \"127.0.0.1\"\n\
         local { proxy_pass_tcp \"@NEXT@\" { proxy_protocol_hello #true; }; }\n}",
    )
    .set("NEXT", last.addr(0))
    .start();
    let first = net(
        "",
        "server {\ndomain \"www.example.cn\"\ndomain_listen_tcp \"127.0.0.1:0\"\nproxy_protocol_accept \"127.0.0.1\"\n\
         local { proxy_pass_tcp \"@NEXT@\" { proxy_protocol_hello #true; }; }\n}",
    )
    .set("NEXT", middle.addr(0))
    .start();
    let hello = ClientHello::new().server_name("www.example.cn").record();
    let sent = [b"PROXY TCP4 203.0.113.9 127.0.0.1 4660 443\r\n".as_slice(), &hello].concat();
    let answer = client::exchange(first.addr(0), &sent);
    assert_eq!(String::from_utf8_lossy(&answer), "o www.example.cn\n");
    assert_eq!(origin.hellos(), [hello], "nothing but the client's bytes");
    let line = |proxy: &harness::Proxy| eventually("a line", || lines(proxy).pop());
    let all = [line(&first), line(&middle), line(&last)];
    for line in &all {
        assert_eq!(field(line, "client"), "203.0.113.9:4660", "{line}");
        assert_eq!(field(line, "id"), field(&all[0], "id"), "{line}");
        assert_eq!(field(line, "domain"), "www.example.cn", "{line}");
        assert_eq!(field(line, "hello"), "true", "{line}");
    }
    assert!(field(&all[0], "id").len() > 8);
}

#[test]
fn a_circle_of_proxies_ends() {
    let port = client::free_port();
    let text = format!(
        "server {{\nport_listen_tcp \"127.0.0.1:{port}\"\nproxy_protocol_hello_accept \"127.0.0.1\"\n\
         local {{\nproxy_protocol_hello #true\nproxy_pass_tcp \"127.0.0.1:{port}\"\n}}\n}}"
    );
    let proxy = net("", &text).start();
    assert!(crate::support::is_cut(proxy.addr(0), b"round"));
    eventually("every hop ends", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    // The log's thread writes what the last session handed over in its own time.
    eventually("every hop is logged", || (lines(&proxy).len() >= 16).then_some(()));
    assert!((16..=17).contains(&lines(&proxy).len()), "{:?}", lines(&proxy));
    // The last one asked nobody: that is no peer's doing.
    let ended = |reason: &str| lines(&proxy).iter().filter(|line| field(line, "reason") == reason).count();
    assert_eq!((ended("proxy_connect_limit"), ended("upstream_connect_protocol")), (1, 0), "{:?}", lines(&proxy));
    let peer = proxy.status()["upstreams"][0]["peers"][0].clone();
    assert_eq!((&peer["connect_failures"], &peer["failures"]), (&0.into(), &0.into()), "{peer}");
}
