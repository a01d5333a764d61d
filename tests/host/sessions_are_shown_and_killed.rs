//! `ctl sessions`: each session with who, where to, how much; one can be ended by its number.

use std::io::Write;

use harness::{Origin, client, eventually};
use serde_json::json;

use crate::support::relay;

#[test]
fn listed_shown_and_killed() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    let streams: Vec<_> = (0..3).map(|_| client::connect(proxy.addr(0))).collect();
    for mut stream in &streams {
        stream.write_all(b"hello").expect("write");
        assert_eq!(client::read_exact(stream, 5), b"hello");
    }
    let list = proxy.control(&json!({"cmd": "sessions"})).expect("a list");
    let rows = list.as_array().expect("a list");
    assert_eq!(rows.len(), 3, "{list}");
    let victim = streams[1].local_addr().expect("connected").to_string();
    let row = rows.iter().find(|row| row["client"] == victim.as_str()).unwrap_or_else(|| panic!("{victim} in {list}"));
    assert_eq!(row["client_received"], 5, "{row}");
    assert_eq!(row["client_sent"], 5, "{row}");
    assert_eq!(row["peer"], origin.addr().to_string(), "{row}");
    let id = row["id"].as_u64().expect("a number").to_string();

    proxy.ctl(&["sessions", "show", &id]).assert(0, &[&victim, "stages"]);
    proxy.ctl(&["sessions", "kill", &id]).assert(0, &["\"killed\": 1"]);
    // Only that one ends.
    client::end(&streams[1]);
    (&mut &streams[0]).write_all(b"on").expect("write");
    assert_eq!(client::read_exact(&streams[0], 2), b"on");
    proxy.ctl(&["sessions", "kill", &id]).assert(1, &["there is no session"]);
    proxy.ctl(&["sessions", "show", "4000000000"]).assert(1, &["there is no session 4000000000"]);
    drop(streams);
    eventually("none is left", || {
        let list = proxy.control(&json!({"cmd": "sessions"})).expect("a list");
        list.as_array().is_some_and(Vec::is_empty).then_some(())
    });
}
