//! LISTEN_FDS: a socket that systemd made is taken over, with what waits in its queue.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use harness::{Proxy, client, program, skip};

use crate::support::{HELLO, by_shell};

#[test]
fn a_connection_made_before_the_start_is_served() {
    let Some(bash) = program("bash") else { return skip("bash is not installed") };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty()).expect("a flag of our own socket");
    let mut early = TcpStream::connect(addr).expect("the queue takes it");
    early.write_all(b"x").expect("the queue takes it");
    let config = HELLO.replace("127.0.0.1:0", &addr.to_string());
    let builder = Proxy::builder().config(&config).set("COMMON", "");
    let script = format!("exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$ANYPROXY\" \"$@\"", listener.as_raw_fd());
    let proxy = by_shell(builder, &bash.display().to_string(), &script).start();
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::CLOEXEC).expect("a flag of our own socket");
    drop(listener);
    early.set_read_timeout(Some(harness::LIMIT)).expect("a limit above zero");
    assert_eq!(client::read_to_end(&early), b"good day\n");
    assert_eq!(proxy.addr(0), addr);
    for _ in 0..10 {
        assert_eq!(client::exchange(addr, b""), b"good day\n");
    }
}
