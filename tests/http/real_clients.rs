//! curl before the proxy, nginx behind it.

use std::process::Command;

use harness::{Nginx, pattern, program, skip};

use crate::support::proxy_to;

fn curl(args: &[&str]) -> Option<(bool, Vec<u8>)> {
    let out = Command::new(program("curl")?).args(["-sS", "--max-time", "20", "--noproxy", "*"]).args(args).output();
    let out = out.expect("curl runs");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    Some((out.status.success(), out.stdout))
}

#[test]
fn files_of_nginx_come_through_to_curl() {
    let Some(origin) = Nginx::start() else {
        return skip("nginx is not installed");
    };
    origin.write("large", pattern::bytes(5 << 20));
    origin.write("small", "small");
    let proxy = proxy_to(origin.addr(), "");
    let url = |path: &str| format!("http://{}/{path}", proxy.addr(0));
    let Some((_, body)) = curl(&[&url("large")]) else {
        return skip("curl is not installed");
    };
    assert!(body == pattern::bytes(5 << 20));
    let (_, range) = curl(&["-r", "1-3", &url("small")]).expect("curl is there");
    assert_eq!(range, b"mal");
    let (_, head) = curl(&["-I", &url("small")]).expect("curl is there");
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ") && head.contains("content-length: 5"), "{head}");
    let (_, both) = curl(&[&url("small"), &url("small")]).expect("curl is there");
    assert_eq!(both, b"smallsmall");
    let (_, status) = curl(&["-o", "/dev/null", "-w", "%{http_code}", &url("none")]).expect("curl is there");
    assert_eq!(status, b"404");
}

#[test]
fn curl_uploads_with_and_without_a_length() {
    let echo = crate::support::server("local { http_echo; }").start();
    let proxy = proxy_to(echo.addr(0), "");
    let dir = harness::TempDir::new();
    let file = dir.write("up", pattern::bytes(3 << 20));
    let url = format!("http://{}/", proxy.addr(0));
    for more in ["X-Nothing: 1", "Transfer-Encoding: chunked", "Expect: 100-continue"] {
        let data = format!("@{}", file.display());
        let Some((_, body)) = curl(&["-H", more, "--data-binary", &data, &url]) else {
            return skip("curl is not installed");
        };
        assert!(body == pattern::bytes(3 << 20), "{more}: {} bytes", body.len());
    }
}
