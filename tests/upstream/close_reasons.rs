//! Each way for a session to end has its close reason: the same word in the log and in the counters.

use std::io::Write;
use std::net::SocketAddr;

use harness::{Origin, Proxy, client, eventually};

use crate::support::{await_reason, net, traffic};

struct Case {
    reason: &'static str,
    status: &'static str,
    common: &'static str,
    server: &'static str,
    local: &'static str,
    origin: fn() -> Origin,
    act: fn(&Proxy, SocketAddr),
}

fn exchanged(_: &Proxy, addr: SocketAddr) {
    let _ = client::try_exchange(addr, b"x");
}

/// A session that is open; `then` is done to it.
fn open(addr: SocketAddr, then: impl FnOnce(std::net::TcpStream)) {
    let mut stream = client::connect(addr);
    stream.write_all(b"x").expect("write");
    client::read_exact(&stream, 1);
    then(stream);
}

#[test]
fn of_each_ending() {
    let plain = Case {
        reason: "",
        status: "200",
        common: "",
        server: "",
        local: "proxy_pass_tcp \"@O@\"",
        origin: Origin::echo,
        act: exchanged,
    };
    let cases = [
        Case { reason: "client_transfer_done", ..plain },
        Case {
            reason: "upstream_transfer_done",
            origin: || Origin::start(|_| Ok(())),
            act: |_, addr| {
                client::end(&client::connect(addr));
            },
            ..plain
        },
        Case { reason: "client_transfer_reset", status: "400", act: |_, addr| open(addr, client::reset), ..plain },
        Case { reason: "upstream_transfer_reset", status: "502", origin: || Origin::resetting(1), ..plain },
        Case {
            reason: "proxy_transfer_timeout",
            status: "504",
            local: "idle_timeout \"200ms\"\nproxy_pass_tcp \"@O@\"",
            act: |_, addr| {
                open(addr, |stream| {
                    client::end(&stream);
                });
            },
            ..plain
        },
        Case {
            reason: "proxy_transfer_killed",
            status: "503",
            act: |proxy, addr| {
                open(addr, |stream| {
                    let sessions = proxy.control(&serde_json::json!({"cmd": "sessions"})).expect("sessions");
                    let id = sessions[0]["id"].as_u64().expect("a number").to_string();
                    proxy.ctl(&["sessions", "kill", &id]).assert(0, &[]);
                    client::end(&stream);
                });
            },
            ..plain
        },
        Case { reason: "upstream_connect_refused", status: "502", local: "proxy_pass_tcp \"127.0.0.1:1\"", ..plain },
        Case {
            reason: "proxy_access_denied",
            status: "403",
            local: "ip_deny \"127.0.0.1\"\nproxy_pass_tcp \"@O@\"",
            ..plain
        },
        Case {
            reason: "proxy_route_no_route",
            status: "404",
            local: "rule \"${client_ip}\" text=\"x\"\nproxy_pass_tcp \"@O@\"",
            ..plain
        },
        Case {
            reason: "client_preread_malformed",
            status: "400",
            server: "proxy_protocol_accept \"127.0.0.1\"",
            ..plain
        },
        Case {
            reason: "client_preread_timeout",
            status: "408",
            common: "preread_timeout \"200ms\"",
            server: "proxy_protocol_accept \"127.0.0.1\"",
            act: |_, addr| {
                client::end(&client::connect(addr));
            },
            ..plain
        },
        Case {
            reason: "client_accept_limit",
            status: "503",
            common: "max_connections_per_client 1",
            act: |proxy, addr| {
                open(addr, |_stream| exchanged(proxy, addr));
            },
            ..plain
        },
    ];
    for case in cases {
        let origin = (case.origin)();
        let server =
            format!("server {{\nport_listen_tcp \"127.0.0.1:0\"\n{}\nlocal {{\n{}\n}}\n}}", case.server, case.local);
        let top = format!("common {{\nworker_threads 1\n{}\n}}", case.common);
        let proxy = net(&top, &server).set("O", origin.addr()).start();
        (case.act)(&proxy, proxy.addr(0));
        let line = await_reason(&proxy, case.reason);
        assert!(line.contains(&format!("status={} ", case.status)), "{line}");
        eventually(case.reason, || (traffic(&proxy, 0)["closes"][case.reason] == 1).then_some(()));
    }
}

#[test]
fn of_sessions_that_a_shutdown_cuts() {
    let origin = Origin::echo();
    let server = "server {\nport_listen_tcp \"127.0.0.1:0\"\nlocal { proxy_pass_tcp \"@O@\"; }\n}";
    for (how, timeout) in [("quit", "300ms"), ("stop", "30s")] {
        let top = format!("common {{\nworker_threads 1\nshutdown_timeout \"{timeout}\"\n}}");
        let mut proxy = net(&top, server).set("O", origin.addr()).start();
        let addr = proxy.addr(0);
        open(addr, |stream| {
            proxy.send(how).assert(0, &[]);
            client::end(&stream);
        });
        proxy.wait_exit(harness::LIMIT);
        let log = proxy.read("access.log");
        assert!(log.contains("reason=proxy_transfer_shutdown "), "{how}: {log}");
    }
}
