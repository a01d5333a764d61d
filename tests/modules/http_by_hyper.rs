//! hyper inside a module, on the host's streams, tasks and timers: HTTP/1 and HTTP/2 by curl.

use std::process::Command;

use harness::{program, skip};

use crate::support::{module, serving};

#[test]
fn http_1_and_2_by_curl() {
    let Some(hyper) = module("hyper_echo") else { return };
    let Some(curl) = program("curl") else { return skip("curl is not installed") };
    let has = Command::new(&curl).arg("--version").output().expect("curl");
    let has_h2 = String::from_utf8_lossy(&has.stdout).contains("HTTP2");
    let proxy = serving(&hyper, "hyper_echo max_body=\"1MiB\"").start();
    let url = format!("http://{}/path", proxy.addr(0));
    let body = "a".repeat(100_000);
    let file = proxy.dir().write("body", &body);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        if version.contains("http2") && !has_h2 {
            skip("curl has no HTTP/2");
            continue;
        }
        let times = if version.contains("http2") { 1 } else { 2 };
        let output = Command::new(&curl)
            .args(["-sS", "-i", version, "--max-time", "20", "-H", "x-word: good day", "--data-binary"])
            .arg(format!("@{}", file.display()))
            // Twice on one connection; curl 7.88 fails at its own second HTTP/2 request with prior knowledge.
            .args(std::iter::repeat_n(&url, times))
            .output()
            .expect("curl");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(
            text.matches("x-echo-x-word: good day").count(),
            times,
            "{version}: {}",
            &text[..text.len().min(2000)]
        );
        assert_eq!(text.matches(&body).count(), times, "{version}");
    }
    let status = proxy.status();
    assert_eq!(status["listeners"][0]["traffic"]["connections"], if has_h2 { 2 } else { 1 }, "{}", status["listeners"]);
}

#[test]
fn many_http_2_requests_by_h2load() {
    let Some(hyper) = module("hyper_echo") else { return };
    let Some(h2load) = program("h2load") else { return skip("h2load is not installed") };
    let proxy = serving(&hyper, "hyper_echo max_body=\"1MiB\"").start();
    let output = Command::new(h2load)
        .args(["-n", "2000", "-c", "8", "-m", "10"])
        .arg(format!("http://{}/path", proxy.addr(0)))
        .output()
        .expect("h2load");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("2000 succeeded, 0 failed"), "{text}");
}
