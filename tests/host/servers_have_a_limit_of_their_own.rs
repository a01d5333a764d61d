//! `max_connections` of a server holds its own listeners back, and nobody else's.

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::{Origin, Proxy, client};

fn echoes(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

#[test]
fn another_server_serves_on() {
    for reuseport in [true, false] {
        let origin = Origin::echo();
        let config = r#"
            load_module "tcp" "balancer"
            common { worker_threads 1; reuseport #@REUSEPORT@; }
            net {
                server { port_listen_tcp "127.0.0.1:0"; max_connections 2; local { proxy_pass_tcp "@ORIGIN@"; }; }
                server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_tcp "@ORIGIN@"; }; }
            }"#;
        let proxy = Proxy::builder().config(config).set("ORIGIN", origin.addr()).set("REUSEPORT", reuseport).start();
        let first: Vec<_> = (0..2).map(|_| client::connect(proxy.addr(0))).collect();
        assert!(first.iter().all(echoes));
        let third = client::connect(proxy.addr(0));
        proxy.await_log("max_connections of the server", harness::LIMIT);
        assert!((0..5).all(|_| echoes(&client::connect(proxy.addr(1)))));
        let status = proxy.status();
        assert_eq!(status["listeners"][0]["traffic"]["sessions"], 2);
        assert_eq!(status["listeners"][0]["max_connections"], 2);
        drop(first);
        assert!(echoes(&third));
    }
}

#[test]
fn its_addresses_have_one_limit_together() {
    let origin = Origin::echo();
    let config = r#"
        load_module "tcp" "balancer"
        common { worker_threads 1; }
        net {
            server { port_listen_tcp "127.0.0.1:0" "127.0.0.1:0"; max_connections 2; local { proxy_pass_tcp "@ORIGIN@"; }; }
        }"#;
    let proxy = Proxy::builder().config(config).set("ORIGIN", origin.addr()).start();
    let first: Vec<_> = (0..2).map(|n| client::connect(proxy.addr(n))).collect();
    assert!(first.iter().all(echoes));
    let third = client::connect(proxy.addr(1));
    proxy.await_log("max_connections of the server", harness::LIMIT);
    let traffic = |n: usize| proxy.status()["listeners"][n]["traffic"]["sessions"].clone();
    assert_eq!((traffic(0), traffic(1)), (1.into(), 1.into()));
    drop(first);
    assert!(echoes(&third));
}
