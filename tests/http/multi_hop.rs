//! `multi_hop`: a request goes from proxy to proxy as its list says, where each of them listens to its sender.

use std::net::SocketAddr;
use std::process::Command;

use harness::{Proxy, client, program, skip};

use crate::support::{Answer, OK, Scripted, ask, once, server};

/// Passes on to the next hop, on this machine; where there is none it answers by itself.
const HOP: &str = r#"
    multi_hop #true
    http_trusted "127.0.0.1"
    local { rule "${http_next_hop}" regex="."; peer_allow "127.0.0.1"; proxy_pass_tcp "${http_next_hop}"; }
    local { http_echo body="end of ${http_request_host}, left: ${http_request_anyproxy_domains} from ${http_request_x_forwarded_for}"; }
"#;

fn request(list: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{list}\r\n")
}

fn through(proxy: &Proxy, hops: &[SocketAddr]) -> Answer {
    let list: Vec<_> = hops.iter().map(ToString::to_string).collect();
    once(proxy, request(&format!("anyproxy_domains: {}\r\n", list.join(", "))))
}

#[test]
fn three_proxies_pass_a_request_on_to_the_last() {
    let [one, two, three] = [(); 3].map(|()| server(HOP).start());
    let a = through(&one, &[two.addr(0), three.addr(0)]);
    assert_eq!((a.status, a.text().as_str()), (200, "end of a.test, left:  from 127.0.0.1, 127.0.0.1"));
    for proxy in [&one, &two, &three] {
        proxy.await_line("access.log", "status=200 method=GET path=/x", harness::LIMIT);
    }
    // The list is as long as it says: each of them may be the last, and be asked again.
    assert_eq!(through(&one, &[two.addr(0)]).text(), "end of a.test, left:  from 127.0.0.1");
    // Nor does it matter how it is written.
    let [second, third] = [&two, &three].map(|p| format!("//tcp//{}//random", p.addr(0)));
    let a = once(&one, request(&format!("anyproxy_domains: {second}|||{third}\r\n")));
    assert_eq!(a.text(), "end of a.test, left:  from 127.0.0.1, 127.0.0.1");
    let many = [two.addr(0), one.addr(0), two.addr(0), three.addr(0)];
    assert!(through(&one, &many).text().matches("127.0.0.1").count() == 4);
    assert_eq!(once(&one, request("")).text(), "end of a.test, left:  from ");
}

#[test]
fn a_peer_gets_the_rest_of_the_list() {
    let origin = Scripted::new(OK, false);
    let proxy = server(HOP).start();
    let mut stream = client::connect(proxy.addr(0));
    for (rest, told) in [("", None), (", b.test:81, c", Some("b.test:81, c")), ("\r\nAnyProxy_Domains: b", Some("b"))] {
        let a = ask(&mut stream, request(&format!("anyproxy_domains: {}{rest}\r\n", origin.addr())));
        assert_eq!(a.text(), "ok");
        let seen = origin.seen().last().expect("a request").0.to_ascii_lowercase();
        let line = seen.lines().find_map(|l| l.strip_prefix("anyproxy_domains: "));
        assert_eq!(line, told, "{seen}");
    }
}

#[test]
fn clients_of_http_2_are_heard_too() {
    let [one, two] = [(); 2].map(|()| server(HOP).start());
    let Some(curl) = program("curl") else { return skip("curl is not installed") };
    let ask = |list: String| {
        let (url, list) = (format!("http://{}/", one.addr(0)), format!("anyproxy_domains: {list}"));
        let out =
            Command::new(&curl).args(["-sS", "--http2-prior-knowledge", "--noproxy", "*", "-H", &list, &url]).output();
        String::from_utf8_lossy(&out.expect("curl runs").stdout).into_owned()
    };
    let end = |from: &str| format!("end of {}, left:  from {from}", one.addr(0));
    assert_eq!(ask(format!("{}, {}", two.addr(0), one.addr(0))), end("127.0.0.1, 127.0.0.1"));
    assert!(ask("127.1".to_owned()).contains("400"));
}

#[test]
fn the_list_of_somebody_else_is_taken_off() {
    let origin = Scripted::new(OK, false);
    let addr = origin.addr();
    for text in [
        // Not listened to; not from this sender; not in this local.
        format!("http_trusted \"all\"\nlocal {{ proxy_pass_tcp \"{addr}\"; }}"),
        format!("multi_hop #true\nlocal {{ proxy_pass_tcp \"{addr}\"; }}"),
        format!("multi_hop #true\nhttp_trusted \"192.0.2.0/24\"\nlocal {{ proxy_pass_tcp \"{addr}\"; }}"),
        format!("multi_hop #true\nhttp_trusted \"all\"\nlocal {{ multi_hop #false; proxy_pass_tcp \"{addr}\"; }}"),
        format!(
            "multi_hop #true\nlocal {{ rule \"${{http_next_hop}}\" regex=\".\"; http_echo body=\"no\"; }}\nlocal {{ \
             http_request_header \"set\" \"X-Next\" \"<${{http_next_hop}}>\"; proxy_pass_tcp \"{addr}\"; }}"
        ),
    ] {
        let proxy = server(&text).start();
        let a = once(&proxy, request("anyproxy_domains: 192.0.2.1:80, [\r\n"));
        // One that is heard is read before a local is chosen, and this one can be read so far.
        assert_eq!(a.text(), "ok", "{text}");
        let seen = origin.seen().last().expect("a request").0.clone();
        assert!(!seen.to_ascii_lowercase().contains("anyproxy_domains") && !seen.contains("192.0.2.1"), "{seen}");
    }
}

#[test]
fn what_leads_nowhere_gets_a_clear_answer() {
    let proxy = server(
        "multi_hop\nhttp_trusted \"all\"\nlocal { peer_allow \"127.0.0.2\"; proxy_pass_tcp \"${http_next_hop}\"; }",
    )
    .start();
    let mut stream = client::connect(proxy.addr(0));
    let mut status = |list: &str| ask(&mut stream, request(list)).status;
    assert_eq!(status(""), 404, "no hop");
    assert_eq!(status("anyproxy_domains: 127.0.0.1:80\r\n"), 403, "a hop that is not allowed");
    assert_eq!(status("anyproxy_domains: [::1]\r\n"), 403);
    for bad in ["", ",", "a,,b", "127.1", "0x7f.1", "a:0", "a:65536", "http://a", "a b", "::1", "unix:/x", "a/b"] {
        assert_eq!(status(&format!("anyproxy_domains: {bad}\r\n")), 400, "{bad:?}");
    }
    assert_eq!(status(&format!("anyproxy_domains: {}\r\n", ["a"; 17].join(","))), 400);
    proxy.await_line("access.log", "status=404 method=GET path=/x", harness::LIMIT);
    proxy.await_line("access.log", "reason=proxy_connect_denied", harness::LIMIT);
    proxy.await_log("request refused: an empty hop", harness::LIMIT);
}

#[test]
fn without_a_list_of_networks_it_is_no_configuration() {
    let text = "multi_hop #true\nlocal { proxy_pass_tcp \"${http_next_hop}\"; }";
    server(text).check().assert(1, &["peer_allow", "needs a list"]);
}
