//! Workers wait by io_uring where they may, and by epoll where they may not or are told so: clients see no difference, and
//! no connection leaves anything behind.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use harness::client::{self, End, Load};
use harness::{LIMIT, Origin, Proxy, eventually, pattern, program, skip};
use serde_json::json;

use crate::support::{by_shell, relay};

const WORKERS: usize = 2;
const SAID: &str = "no io_uring: ";

/// Rings that the process has open.
fn rings(proxy: &Proxy) -> usize {
    let fds = fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("it runs");
    fds.filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter(|to| to.to_string_lossy().contains("[io_uring]"))
        .count()
}

/// Whether every worker says so.
fn said(proxy: &Proxy, ringed: bool) -> bool {
    let status = proxy.status();
    let workers = status["workers"].as_array().expect("a list");
    workers.len() == WORKERS && workers.iter().all(|w| w["io_uring"] == ringed)
}

/// Serves small and large messages, kept connections and new ones.
fn serves(proxy: &Proxy) {
    let addr = proxy.addr(0);
    Load::echo(addr, "ping").connections(8).requests(400).run().assert_all(400);
    Load::echo(addr, vec![7; 5000]).connections(8).requests(200).reconnect().run().assert_all(200);
    let data = pattern::bytes(2 << 20);
    assert!(client::exchange(addr, &data) == data);
}

#[test]
fn a_ring_is_used_unless_it_is_not_wanted() {
    let origin = Origin::echo();
    let wanted = relay(&origin, "").start();
    serves(&wanted);
    if wanted.log_contains(SAID) {
        assert_eq!(rings(&wanted), 0);
        skip("this kernel has no io_uring for us");
    } else {
        assert_eq!(rings(&wanted), WORKERS);
        assert!(said(&wanted, true), "{}", wanted.status());
    }
    let not = relay(&origin, "io_uring #false").start();
    serves(&not);
    assert_eq!(rings(&not), 0);
    assert!(said(&not, false), "{}", not.status());
    assert!(!not.log_contains(SAID));
}

/// Refuses io_uring_setup, whose number is the same on all platforms but Alpha, and runs what is given.
const REFUSE: &str = r"import ctypes, os, struct, sys
code = b''.join(struct.pack('HBBI', *i) for i in [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (6, 0, 0, 0x50001), (6, 0, 0, 0x7fff0000)])
buffer = ctypes.create_string_buffer(code)
program = struct.pack('HxxxxxxP', 4, ctypes.addressof(buffer))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.c_char_p(program), 0, 0):
    sys.exit('no filter: errno %d' % ctypes.get_errno())
os.execv(sys.argv[1], sys.argv[1:])
";

#[test]
fn where_it_is_refused_epoll_does_its_work_and_the_log_says_so() {
    let Some(python) = program("python3") else { return skip("python3 is not installed") };
    let origin = Origin::echo();
    let builder = relay(&origin, "");
    let script = builder.dir().write("refuse.py", REFUSE);
    let run = format!("exec {} {} \"$ANYPROXY\" \"$@\"", python.display(), script.display());
    let proxy = by_shell(builder, "/bin/sh", &run).start();
    let log = proxy.await_log(SAID, LIMIT);
    assert!(log.contains("Operation not permitted"), "{log}");
    assert!(log.contains("epoll does its work"), "{log}");
    serves(&proxy);
    assert_eq!(rings(&proxy), 0);
}

/// Does as the first byte says: `r`: resets, `h`: ends its side first, and reads on, else echoes.
fn obedient() -> Origin {
    Origin::start(|mut conn| {
        let mut first = [0];
        conn.read_exact(&mut first)?;
        match first[0] {
            b'r' => client::reset(conn.stream.try_clone()?),
            b'h' => {
                conn.write_all(&first)?;
                conn.stream.shutdown(Shutdown::Write)?;
                std::io::copy(&mut conn, &mut std::io::sink())?;
            }
            _ => {
                conn.write_all(&first)?;
                let mut piece = [0; 4096];
                loop {
                    match conn.read(&mut piece)? {
                        0 => break,
                        n => conn.write_all(&piece[..n])?,
                    }
                }
            }
        }
        Ok(())
    })
}

fn say(mut stream: &TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("write");
}

/// Opens and ends `n` connections, each tenth of them in another way.
fn in_every_way(proxy: &Proxy, n: usize) {
    let mut killed = Vec::new();
    for n in 0..n {
        let stream = client::connect(proxy.addr(0));
        match n % 10 {
            // Before anything was said, in order and not.
            0 => {}
            1 => client::reset(stream),
            // By the client, in order; with bytes under way; with an answer unread; not in order.
            2 => {
                say(&stream, b"abc");
                assert_eq!(client::read_exact(&stream, 3), b"abc");
            }
            3 => say(&stream, &[b'x'; 20_000]),
            4 => {
                say(&stream, b"abc");
                assert_eq!(client::read_exact(&stream, 1), b"a");
                client::reset(stream);
            }
            // By the server, not in order and in order.
            5 => {
                say(&stream, b"r");
                assert_eq!(client::end(&stream), End::Reset);
            }
            6 => {
                say(&stream, b"h");
                assert_eq!(client::end(&stream), End::Closed);
            }
            // One side after the other.
            7 => {
                say(&stream, b"abc");
                stream.shutdown(Shutdown::Write).expect("connected");
                assert_eq!(client::read_to_end(&stream), b"abc");
            }
            8 => {
                say(&stream, b"h");
                assert_eq!(client::read_exact(&stream, 1), b"h");
                say(&stream, &[b'x'; 50_000]);
                stream.shutdown(Shutdown::Write).expect("connected");
                assert_eq!(client::end(&stream), End::Closed);
            }
            _ => {
                say(&stream, b"a");
                assert_eq!(client::read_exact(&stream, 1), b"a");
                killed.push(stream);
            }
        }
    }
    kill_all(proxy);
    for stream in killed {
        assert_eq!(client::end(&stream), End::Reset);
    }
}

/// Ends what is still there by hand.
fn kill_all(proxy: &Proxy) {
    let list = proxy.control(&json!({"cmd": "sessions"})).expect("a list");
    for row in list.as_array().expect("a list") {
        // Some end by themselves meanwhile.
        let _ = proxy.control(&json!({"cmd": "sessions", "action": "kill", "id": row["id"]}));
    }
}

#[test]
fn two_thousand_connections_that_end_in_every_way_leave_no_descriptor() {
    for how in ["", "io_uring #false"] {
        let origin = obedient();
        let proxy = relay(&origin, how).start();
        let quiet = || {
            eventually("no session is open", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
            origin.await_idle();
        };
        // What is made once is there after some.
        in_every_way(&proxy, 100);
        quiet();
        let before = eventually("closed", || {
            let n = proxy.descriptors();
            (n < 100).then_some(n)
        });
        for _ in 0..4 {
            in_every_way(&proxy, 500);
        }
        quiet();
        eventually("as many descriptors as before", || (proxy.descriptors() <= before).then_some(()));
        serves_one(&proxy);
    }
}

fn serves_one(proxy: &Proxy) {
    assert_eq!(client::exchange(proxy.addr(0), b"x"), b"x");
}
