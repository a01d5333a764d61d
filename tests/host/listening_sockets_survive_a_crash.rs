//! FDSTORE: the service manager keeps the listening sockets of a process that is killed, and the next one takes them back,
//! with what waits in their queues.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};

use harness::{Proxy, client, program, skip};

use crate::support::{HELLO, by_shell, hello};

fn name(proxy: &mut Proxy, verb: &str) -> String {
    let at = proxy.await_notify(0, verb);
    proxy.notifications()[at + 1].strip_prefix("FDNAME=").expect("its name follows").to_owned()
}

#[test]
fn and_are_taken_back_with_what_waits_in_them() {
    let Some(bash) = program("bash") else { return skip("bash is not installed") };
    let mut first = hello("").env("FDSTORE", "16").start();
    let (addr, name) = (first.addr(0), name(&mut first, "FDSTORE=1"));
    let stored: Vec<OwnedFd> = first.stored_descriptors();
    assert_eq!(stored.len(), 2, "one a worker");
    first.signal(rustix::process::Signal::KILL);
    assert_eq!(first.wait_exit(harness::LIMIT), None);
    let early: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(addr).expect("the queue takes it");
            stream.write_all(b"x").expect("the queue takes it");
            stream.set_read_timeout(Some(harness::LIMIT)).expect("a limit above zero");
            stream
        })
        .collect();
    for fd in &stored {
        rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).expect("a flag of our own socket");
    }
    let [a, b] = [stored[0].as_raw_fd(), stored[1].as_raw_fd()];
    // By way of numbers that nothing else has: one of ours may be 3 or 4.
    let script = format!(
        "exec 200<&{a} 201<&{b}; exec 3<&200 4<&201; \
         LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES={name}:{name} exec \"$ANYPROXY\" \"$@\""
    );
    let builder = Proxy::builder().config(&HELLO.replace("@COMMON@", ""));
    let mut second = by_shell(builder, &bash.display().to_string(), &script).env("FDSTORE", "16").start();
    drop(stored);
    assert_eq!(second.addr(0), addr, "though the configuration leaves the port to the system");
    for stream in &early {
        assert_eq!(client::read_to_end(stream), b"good day\n");
    }
    let lines = second.notifications();
    assert!(!lines.iter().any(|l| l.starts_with("FDSTORE")), "they are kept already: {lines:?}");
    // Another address: the old one's sockets need be kept no more.
    let moved = HELLO.replace("@COMMON@", "").replace("127.0.0.1:0", "127.0.0.2:0");
    second.dir().write("main.kdl", moved);
    second.control(&serde_json::json!({ "cmd": "reload" })).expect("it reloads");
    assert_eq!(self::name(&mut second, "FDSTOREREMOVE=1"), name);
    assert_ne!(self::name(&mut second, "FDSTORE=1"), name);
    assert_eq!(client::exchange(second.addr(0), b""), b"good day\n");
}

#[test]
fn are_not_sent_to_one_that_keeps_none() {
    let mut proxy = hello("").start();
    assert!(!proxy.notifications().iter().any(|l| l.starts_with("FDSTORE")));
    let mut proxy = hello("").env("FDSTORE", "1").start();
    assert!(!proxy.notifications().iter().any(|l| l.starts_with("FDSTORE")));
    proxy.await_log("keeps fewer sockets than there are", harness::LIMIT);
}
