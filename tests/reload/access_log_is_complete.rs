//! At its end a process has written a line for every session, however it ended.

use harness::client::Load;
use harness::{LIMIT, Origin, client};

use crate::support::{BOTH, echoes, relay, text};

#[test]
fn a_line_for_every_session() {
    for how in BOTH {
        for end in ["quit", "stop"] {
            let origin = Origin::echo();
            let log = "access_log \"access.log\" buffer=\"64KiB\" flush=\"1m\" format=\"${close_reason} ${client_bytes_received}\"";
            let mut proxy = relay(&origin, how).config(&text(&origin, how, log)).start();
            Load::echo(proxy.addr(0), "ping").connections(6).requests(300).reconnect().run().assert_all(300);
            let open: Vec<_> = (0..3).map(|_| client::connect(proxy.addr(0))).collect();
            assert!(open.iter().all(echoes));
            proxy.reload().assert(0, &[]);
            assert!(echoes(&client::connect(proxy.addr(0))));
            proxy.send(end).assert(0, &[]);
            if end == "quit" {
                drop(open);
            }
            assert_eq!(proxy.wait_exit(LIMIT), Some(0));
            let log = proxy.read("access.log");
            assert_eq!(log.lines().count(), 304, "{how}, {end}");
            assert_eq!(log.lines().filter(|line| line.ends_with(" 4")).count(), 300, "{how}, {end}");
        }
    }
}
