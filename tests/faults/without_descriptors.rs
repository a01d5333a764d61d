//! Out of descriptors (EMFILE) a module's connector fails and its session ends; a reload that cannot read its files changes
//! nothing; all is well again once there is room.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use harness::{LIMIT, Proxy, client, eventually, program, skip};

use crate::support::{echo, module, text};

#[test]
fn a_connector_fails_and_recovers() {
    let (Some(xor), Some(faulty)) = (module("listener_connector"), module("faulty")) else { return };
    let Some(prlimit) = program("prlimit") else { return skip("prlimit is not installed") };
    let behind =
        Proxy::start(&text(&[&xor, &faulty], &["faulty \"echo\""]).replace("port_listen_tcp", "port_listen_xor"));
    let config = text(&[&xor], &[&format!("proxy_pass_xor \"{}\"", behind.addr(0))]);
    let builder = Proxy::builder().config(&config);
    let script = builder.dir().write("start", format!("#!/bin/sh\nexec {} \"$@\"\n", harness::binary().display()));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("own file");
    let mut proxy = builder.binary(script).start();
    let safe = client::connect(proxy.addr(0));
    echo(&safe, b"x");
    let limit = |n: usize| {
        let set = std::process::Command::new(&prlimit)
            .args(["--pid", &proxy.pid().to_string(), &format!("--nofile={n}:")])
            .status()
            .expect("prlimit");
        assert!(set.success());
    };
    // Room for one descriptor more: a connection is accepted, its peer cannot be connected to.
    limit(proxy.descriptors() + 1);
    let addr = proxy.addr(0);
    let starved: Vec<_> = (0..10).map(|_| client::connect(addr)).collect();
    proxy.await_log("Too many open files", LIMIT);
    echo(&safe, b"still here");
    limit(1024);
    // Those that waited are served or were ended; none hangs.
    for stream in starved {
        drop(stream);
    }
    eventually("it serves again", || {
        let stream = client::try_connect(addr).ok()?;
        (&stream).write_all(b"x").ok()?;
        let mut back = [0];
        (&stream).read_exact(&mut back).ok()?;
        Some(())
    });
    assert!(proxy.alive());
    proxy.reload().assert(0, &[]);
    echo(&safe, b"on");
}
