//! A session keeps the configuration that it began with; new ones get the new; status says what holds the old one.

use harness::client::{self, read_exact};
use harness::{LIMIT, Origin, eventually};

use crate::support::{BOTH, echoes, relay, text};

#[test]
fn until_they_end() {
    for how in BOTH {
        let (first, second) = (Origin::echo(), Origin::named("second"));
        let log = |name: &str| format!("access_log \"{name}.log\" flush=\"10ms\"");
        let proxy = relay(&first, how).config(&text(&first, how, &log("old"))).start();
        let addr = proxy.addr(0);
        let old = client::connect(addr);
        assert!(echoes(&old));

        proxy.reload_with(&text(&second, how, &log("new"))).assert(0, &[]);
        assert_eq!(read_exact(&client::connect(addr), 7), b"second\n");
        assert!(echoes(&old), "still by the first");

        let status = proxy.status();
        let epoch = status["generation"]["epoch"].as_u64().expect("a number");
        assert_eq!(status["reloads"], 1);
        let retired = status["retired"].as_array().expect("a list");
        assert_eq!(retired.len(), 1, "{status}");
        let before = retired[0]["epoch"].as_u64().expect("a number");
        assert!(before < epoch);
        let holding: Vec<_> = status["workers"]
            .as_array()
            .expect("workers")
            .iter()
            .flat_map(|w| w["generations"].as_array().expect("generations"))
            .filter(|g| g["epoch"] == before && g["retired"] == true && g["sessions"] == 1)
            .collect();
        assert_eq!(holding.len(), 1, "{status}");
        let rows = proxy.control(&serde_json::json!({"cmd": "sessions"})).expect("a list");
        let row = rows.as_array().expect("a list").iter().find(|r| r["epoch"] == before).cloned().expect("its session");
        assert_eq!((&row["draining"], &row["peer"]), (&true.into(), &first.addr().to_string().into()), "{row}");

        drop(old);
        eventually("the old generation is gone", || (proxy.status()["retired"] == serde_json::json!([])).then_some(()));
        // Each wrote to the log of its own configuration.
        proxy.await_line("old.log", "127.0.0.1", LIMIT);
        proxy.await_line("new.log", "127.0.0.1", LIMIT);
        eventually("one line each", || {
            let lines = ["old.log", "new.log"].map(|name| proxy.read(name).lines().count());
            (lines == [1, 1]).then_some(())
        });
    }
}
