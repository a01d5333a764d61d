//! A log's pipe that nobody reads holds nothing up: neither operators nor the end of the process.

use harness::{LIMIT, Proxy, client, eventually};
use serde_json::json;

use crate::support::by_shell;

/// More than a pipe holds, in few lines.
const LINES: usize = 40;

#[test]
fn a_full_pipe_holds_nobody_up() {
    let config = format!(
        r#"
        load_module "tcp" "hello"
        common {{ worker_threads 1; error_log "error.log"; }}
        net {{
            access_log "stdout" flush="10ms" format="{}"
            server {{ port_listen_tcp "127.0.0.1:0"; local {{ hello "good day\n"; }}; }}
        }}"#,
        "x".repeat(8000)
    );
    // Open for both, so that it stays there and blocks once it is full.
    let script = "mkfifo pipe\nexec 3<>pipe\nexec \"$ANYPROXY\" \"$@\" >&3";
    let mut proxy = by_shell(Proxy::builder().config(&config), "/bin/sh", script).start();
    for _ in 0..LINES {
        assert_eq!(client::exchange(proxy.addr(0), b""), b"good day\n");
    }
    std::thread::scope(|scope| {
        let reopen = scope.spawn(|| proxy.control(&json!({ "cmd": "reopen" })));
        eventually("it is asked", || (!reopen.is_finished()).then_some(()));
        let asked = std::time::Instant::now();
        assert_eq!(proxy.status()["quitting"], false);
        assert!(asked.elapsed().as_secs() < 3, "the loop waits for the log");
        let error = reopen.join().expect("no panic").expect_err("the log stands still");
        assert!(error.to_string().contains("slow to be written"), "{error}");
    });
    proxy.signal(rustix::process::Signal::QUIT);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
