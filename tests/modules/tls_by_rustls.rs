//! rustls inside a module, over plain I/O traits: a session by openssl, checked against the certificate that an action shows.

use std::io::Write;
use std::process::{Command, Stdio};

use harness::{program, skip};
use serde_json::json;

use crate::support::{module, serving};

#[test]
fn by_openssl() {
    let Some(rustls) = module("rustls_echo") else { return };
    let Some(openssl) = program("openssl") else { return skip("openssl is not installed") };
    let proxy = serving(&rustls, "rustls_echo").start();
    let shown = proxy
        .control(&json!({"cmd": "module", "module": "rustls_echo", "action": "certificate"}))
        .expect("the action answers");
    let pem = shown["certificate"].as_str().expect("PEM");
    let file = proxy.dir().write("cert.pem", pem);
    let address = proxy.addr(0).to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut client = Command::new(&openssl)
            .args(["s_client", "-quiet", "-no_ign_eof", "-verify_return_error", "-servername", "localhost", version])
            .args(["-connect", &address, "-CAfile"])
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl");
        let mut to = client.stdin.take().expect("piped");
        to.write_all(b"good day\n").expect("write");
        // The line comes back before the input ends: with its end openssl leaves at once.
        let mut from = client.stdout.take().expect("piped");
        let mut line = [0; 9];
        std::io::Read::read_exact(&mut from, &mut line).expect("an echo");
        assert_eq!(&line, b"good day\n", "{version}");
        drop(to);
        let output = client.wait_with_output().expect("openssl");
        assert!(output.status.success(), "{version}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
