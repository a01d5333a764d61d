//! A log's pipe that nobody reads holds nothing up: neither operators nor the end of the process.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use harness::{LIMIT, Proxy, client};

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
        let mut stream = UnixStream::connect(proxy.dir().join("control.sock")).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
        stream.write_all(b"{\"cmd\":\"reopen\"}\n").expect("it reads");
        let reopened = scope.spawn(move || {
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).map(|_| answer)
        });
        // Some of them come while it is under way, which is five seconds.
        let mut heard = 0;
        while !reopened.is_finished() {
            let asked = Instant::now();
            assert_eq!(proxy.status()["quitting"], false);
            assert!(asked.elapsed().as_secs() < 3, "the loop waits for the log");
            heard += 1;
        }
        assert!(heard > 1);
        let answer = reopened.join().expect("no panic").expect("an answer");
        assert!(answer.contains("slow to be written"), "{answer}");
    });
    proxy.signal(rustix::process::Signal::QUIT);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
