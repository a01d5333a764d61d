//! quinn inside a module, over a datagram socket of the host.

use std::process::{Command, Stdio};

use harness::{Proxy, eventually, skip};

use crate::support::{build, module, third_party};

#[test]
fn by_its_own_client() {
    let Some(quinn) = module("quinn_echo") else { return };
    let client = third_party().join("target/debug/examples/quic_client");
    if let Err(why) = build(&["-p", "quinn-echo", "--example", "quic_client"], "1") {
        return skip(&format!("quic_client cannot be built: {why}"));
    }
    let proxy = Proxy::builder()
        .config("load_module \"@MODULE@\"\ncommon { worker_threads 2; }\nquinn_echo \"127.0.0.1:0\"\n")
        .set("MODULE", quinn.display())
        .start();
    let own = eventually("it is bound", || {
        let status = proxy.status();
        let modules = status["modules"].as_array()?;
        let own = modules.iter().find(|m| m["id"] == "quinn_echo")?["status"].clone();
        own["address"].is_string().then_some(own)
    });
    let pem = proxy.dir().write("cert.pem", own["certificate"].as_str().expect("PEM"));
    let output = Command::new(client)
        .args([own["address"].as_str().expect("text"), "300000", "8"])
        .stdin(Stdio::from(std::fs::File::open(pem).expect("just written")))
        .output()
        .expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout.trim(), "8 x 300000 echoed", "{stderr}");
    proxy.reload().assert(0, &[]);
    assert_eq!(proxy.status()["generation"]["panics"], 0);
}
