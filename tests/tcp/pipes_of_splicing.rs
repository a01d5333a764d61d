//! A session that is spliced has a pipe only while there are bytes in it, and goes on being spliced after a pause.

use std::io::Write;

use harness::{Origin, Proxy, client, eventually, pattern};

use crate::support::{config, metric};

const SESSIONS: usize = 60;
const LEN: usize = 1 << 20;

#[test]
fn are_a_workers_while_sessions_are_silent() {
    for common in ["", "io_uring #false;"] {
        let origin = Origin::sink();
        let top = format!("common {{ worker_threads 1; {common} }}");
        let server =
            format!("server {{ port_listen_tcp \"127.0.0.1:0\"; local {{ proxy_pass_tcp \"{}\"; }} }}", origin.addr());
        let proxy = Proxy::builder().config(&config(&top, &server)).start();
        let before = proxy.pipes();
        let mut streams: Vec<_> = (0..SESSIONS).map(|_| client::connect(proxy.addr(0))).collect();
        let piece = pattern::bytes(LEN);
        for round in 1..=2 {
            for (n, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&piece).expect("it is open");
                let came = ((round - 1) * SESSIONS + n + 1) * LEN;
                eventually("it has come", || (origin.received() == came as u64).then_some(()));
            }
            // As many as a worker keeps.
            assert!(proxy.pipes() <= before + 16, "{} pipes, {before} before {common}", proxy.pipes());
        }
        assert_eq!(metric(&proxy, "anyproxy_tcp_splices"), SESSIONS as u64, "each was spliced on: {common}");
    }
}
