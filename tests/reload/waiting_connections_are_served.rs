//! Connections that wait in the accept queue of a listener that is given up, by a reload or by quitting, are served
//! before it closes.

use harness::{LIMIT, Origin, Proxy, client, eventually};

use crate::support::{BOTH, echoes, relay, says};

/// A proxy whose only place is taken, and connections that wait behind it.
fn crowded(how: &str) -> (Origin, Proxy, std::net::TcpStream, Vec<std::net::TcpStream>) {
    let origin = Origin::echo();
    let proxy = relay(&origin, &format!("{how}\n max_connections 1")).start();
    let first = client::connect(proxy.addr(0));
    assert!(echoes(&first));
    let waiting: Vec<_> = (0..12).map(|_| client::connect(proxy.addr(0))).collect();
    proxy.await_log("accepting pauses", LIMIT);
    (origin, proxy, first, waiting)
}

#[test]
fn when_the_listener_leaves_the_configuration() {
    for how in BOTH {
        let (origin, proxy, first, waiting) = crowded(how);
        let addr = proxy.addr(0);
        let config = crate::support::RELAY
            .replace("server { port_listen_tcp \"127.0.0.1:0\"; local { proxy_pass_tcp \"@ORIGIN@\"; }; }", "")
            .replace("@MORE@", &says("other").replace("127.0.0.1:0", "127.0.0.2:0"))
            .replace("@COMMON@", how);
        proxy.reload_with(&config).assert(0, &[]);
        // The socket is closed by the loop's next turn.
        eventually("nobody listens there any more", || client::try_connect(addr).is_err().then_some(()));
        for (n, stream) in waiting.iter().enumerate() {
            assert!(echoes(stream), "waiting connection {n}, {how}");
        }
        assert!(echoes(&first));
        drop((first, waiting));
        origin.await_idle();
        eventually("the generation before is gone", || {
            (proxy.status()["retired"] == serde_json::json!([])).then_some(())
        });
    }
}

#[test]
fn when_the_process_quits() {
    for how in BOTH {
        let (_origin, mut proxy, first, waiting) = crowded(how);
        proxy.send("quit").assert(0, &[]);
        for (n, stream) in waiting.iter().enumerate() {
            assert!(echoes(stream), "waiting connection {n}, {how}");
        }
        assert!(proxy.alive() && echoes(&first));
        drop((first, waiting));
        assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    }
}
