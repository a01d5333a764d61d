//! A listener that stays follows what a reload says of its sockets; what it cannot is said.

use harness::{Origin, client, skip};

use crate::support::{BOTH, backlog, echoes, relay, text};

#[test]
fn of_a_listener_that_stays() {
    for how in BOTH {
        let origin = Origin::echo();
        let config = |profile: &str| {
            let config = text(&origin, how, "").replace("net {", "net { tcp_config_name \"edge\"");
            format!("{config}\nsocket {{ tcp \"edge\" {profile}; }}\n")
        };
        let proxy = relay(&origin, how).start();
        let addr = proxy.addr(0);
        let backlog = || backlog(addr);
        if backlog().is_none_or(|all| all.is_empty()) {
            return skip("there is no ss");
        }
        proxy.reload_with(&config("backlog=77 send_buffer=\"64KiB\" keepalive=\"33s\"")).assert(0, &[]);
        let all = backlog().expect("ss was there");
        assert!(all.iter().all(|n| n == "77"), "{how}: {all:?}");
        let stream = client::connect(addr);
        assert!(echoes(&stream));
        let output = proxy.reload_with(&config("backlog=78"));
        output.assert(0, &["not applied: 127.0.0.1:0: send_buffer", "restart"]);
        proxy.reload_with(&config("backlog=79")).assert(0, &[]);
        proxy.send("reinit").assert(0, &[]);
        assert!(backlog().expect("ss was there").iter().all(|n| n == "79"));
        assert!(echoes(&client::connect(addr)) && echoes(&stream));
    }
}
