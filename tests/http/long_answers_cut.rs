//! Long answers that do not come to their end, and those that nobody takes.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use harness::{LIMIT, Origin, Proxy, TempDir, client, eventually};
use rustix::net::{SendFlags, send};

use crate::long_answers::{MIB, WAYS, before, body, expect, head_of, lines, out, slow, spliced, wanted};
use crate::support::{at_rest, get, head, net_with};

/// Asks and reads what comes until the connection ends: the head, and what is there of the body.
fn all_there_is(proxy: &Proxy) -> (String, Vec<u8>) {
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    let (head, mut all) = (head(&mut stream).expect("a head"), Vec::new());
    // Closed or reset.
    let _ = stream.read_to_end(&mut all);
    (head, all)
}

#[test]
fn of_a_peer_that_goes_are_no_whole_ones() {
    const LEN: usize = 5 * MIB;
    for common in WAYS {
        for after in [0, 10, 100_000, 3 * MIB, LEN - 1] {
            for resets in [false, true] {
                let origin = Origin::start(move |mut conn| {
                    let _ = head(&mut conn);
                    conn.write_all(&head_of(LEN))?;
                    conn.write_all(&body(LEN)[..after])?;
                    if resets {
                        client::reset(conn.stream.try_clone()?);
                    }
                    Ok(())
                });
                let proxy = before(&origin, common, "");
                let (head, got) = all_there_is(&proxy);
                let what = format!("{common} {after} {resets}");
                // What came before the end in order is the client's.
                assert!(got.len() == after || (resets && got.len() < after), "{} of {what}", got.len());
                assert!(got == body(LEN)[..got.len()], "{what}");
                let line = proxy.await_line("access.log", "reason=upstream_transfer_", LIMIT);
                assert!(line.contains(if resets { "reset" } else { "closed" }) || after == LEN - 1, "{what}: {line}");
                assert!(out(&line) == head.len() + got.len() || (resets && out(&line) <= head.len() + after), "{line}");
                assert_eq!(proxy.read("access.log").lines().count(), 1);
            }
        }
    }
}

/// Answers as long as nobody goes.
fn endless() -> Origin {
    Origin::start(|mut conn| {
        while head(&mut conn).is_some() {
            conn.write_all(&head_of(1 << 40))?;
            let piece = body(MIB);
            while conn.write_all(&piece).is_ok() {}
        }
        Ok(())
    })
}

#[test]
fn of_a_client_that_goes_let_the_peer_go() {
    for common in WAYS {
        let origin = endless();
        let proxy = before(&origin, common, "");
        let (few, none) = (proxy.descriptors(), proxy.pipes());
        for n in 1..=4 {
            // More than there are pipes that are kept, and in the end more than there may be.
            let clients: Vec<_> = (0..20)
                .map(|_| {
                    let mut stream = slow(&proxy);
                    stream.write_all(get("/").as_bytes()).expect("write");
                    assert!(head(&mut stream).is_some());
                    client::read_exact(&stream, 300_000);
                    stream
                })
                .collect();
            at_rest(|| spliced(&proxy) as u64);
            assert_eq!(proxy.pipes() - none, 20);
            for (i, stream) in clients.into_iter().enumerate() {
                if i % 2 == 0 {
                    client::reset(stream);
                }
            }
            origin.await_idle();
            eventually("they are in the log", || {
                (lines(&proxy, "reason=client_transfer_reset") == 20 * n).then_some(())
            });
        }
        eventually("nothing is left", || (proxy.pipes() == none && proxy.descriptors() <= few).then_some(()));
    }
}

#[test]
fn that_nobody_reads_end_in_time_and_cost_none() {
    for common in WAYS {
        let origin = endless();
        let proxy = before(&origin, common, "http_body_timeout \"1500ms\"");
        let (few, none) = (proxy.descriptors(), proxy.pipes());
        let mut clients: Vec<_> = (0..3).map(|_| slow(&proxy)).collect();
        for stream in &mut clients {
            stream.write_all(get("/").as_bytes()).expect("write");
        }
        // What has ended its side may yet read.
        clients[1].shutdown(Shutdown::Write).expect("it is open");
        eventually("they have begun", || (proxy.pipes() == none + 3).then_some(()));
        at_rest(|| spliced(&proxy) as u64);
        proxy.await_sleep();
        eventually("they are over", || (lines(&proxy, "reason=client_transfer_timeout") == 3).then_some(()));
        origin.await_idle();
        eventually("nothing is left", || (proxy.pipes() == none && proxy.descriptors() <= few + 3).then_some(()));
        for stream in clients {
            assert_eq!(client::end(&stream), client::End::Reset);
        }
        eventually("nor of them", || (proxy.descriptors() <= few).then_some(()));
    }
}

/// The peer stands still, not the client.
#[test]
fn of_a_peer_that_stands_still_end_in_time() {
    for common in WAYS {
        let origin = Origin::start(|mut conn| {
            let _ = head(&mut conn);
            conn.write_all(&[head_of(MIB), body(MIB)[..500_000].to_vec()].concat())?;
            // To the end of the connection.
            let _ = head(&mut conn);
            Ok(())
        });
        let proxy = before(&origin, common, "http_body_timeout \"1s\"");
        let none = proxy.pipes();
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/").as_bytes()).expect("write");
        assert!(head(&mut stream).is_some());
        assert!(client::read_exact(&stream, 500_000) == body(MIB)[..500_000]);
        proxy.await_sleep();
        proxy.await_line("access.log", "reason=upstream_transfer_timeout", LIMIT);
        assert_eq!(client::read_to_end(&stream), b"");
        origin.await_idle();
        assert_eq!(proxy.pipes() - none, 1, "kept");
    }
}

#[test]
fn to_more_clients_than_there_are_pipes_come_all_the_same() {
    const LEN: usize = 4 * MIB;
    for common in WAYS {
        let origin = Origin::start(|mut conn| {
            while let Some(request) = head(&mut conn) {
                let len = wanted(&request);
                conn.write_all(&[head_of(len), body(len)].concat())?;
            }
            Ok(())
        });
        let proxy = before(&origin, common, "");
        let none = proxy.pipes();
        let mut clients: Vec<TcpStream> = (0..80).map(|_| slow(&proxy)).collect();
        for stream in &mut clients {
            write!(stream, "{}", get(&format!("/{LEN}"))).expect("write");
        }
        eventually("all pipes are in use", || (proxy.pipes() == none + 64).then_some(()));
        at_rest(|| spliced(&proxy) as u64);
        // Others are served meanwhile, long ones, too.
        let mut other = client::connect(proxy.addr(0));
        for len in [5, LEN, 5] {
            write!(other, "{}", get(&format!("/{len}"))).expect("write");
            expect(&mut other, len);
        }
        proxy.await_sleep();
        for (n, stream) in clients.iter_mut().enumerate() {
            expect(stream, LEN);
            // And again over the same.
            if n % 8 == 0 {
                write!(stream, "{}", get(&format!("/{MIB}"))).expect("write");
                expect(stream, MIB);
            }
        }
        eventually("all are given back", || (proxy.pipes() <= none + 16).then_some(()));
        eventually("all are done", || (lines(&proxy, "reason=client_transfer_done") == 93).then_some(()));
    }
}

/// An urgent byte is none of the stream, and nothing is taken past it from socket to socket.
#[test]
fn with_an_urgent_byte_between_come_past_it() {
    for common in WAYS {
        let origin = Origin::start(|mut conn| {
            while head(&mut conn).is_some() {
                conn.write_all(&[head_of(MIB), body(MIB)[..300_000].to_vec()].concat())?;
                send(&conn.stream, b"!", SendFlags::OOB)?;
                conn.write_all(&body(MIB)[300_000..700_000])?;
                // To be sure that it waits.
                let mut word = [0; 4];
                conn.read_exact(&mut word)?;
                conn.write_all(&body(MIB)[700_000..])?;
            }
            Ok(())
        });
        let proxy = before(&origin, common, "");
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            stream.write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n").expect("write");
            assert!(head(&mut stream).is_some());
            let mut all = client::read_exact(&stream, 700_000);
            at_rest(|| spliced(&proxy) as u64);
            proxy.await_sleep();
            stream.write_all(b"word").expect("write");
            all.extend(client::read_exact(&stream, MIB - 700_000));
            assert!(all == body(MIB));
        }
    }
}

#[test]
fn go_by_unix_sockets_as_well() {
    for common in WAYS {
        let dir = TempDir::new();
        let (peer, listener) = (dir.join("peer"), dir.join("proxy"));
        let origin = UnixListener::bind(&peer).expect("own directory");
        let serve = std::thread::spawn(move || {
            let (mut conn, _) = origin.accept().expect("a connection");
            while let Some(request) = head(&mut conn) {
                let len = wanted(&request);
                // The proxy may be gone.
                let _ = conn.write_all(&[head_of(len), body(len)].concat());
            }
        });
        let text = format!(
            "server {{\nport_listen_tcp \"unix:{}\"\nhttp\nlocal {{ proxy_pass_tcp \"unix:{}\"; }}\n}}",
            listener.display(),
            peer.display()
        );
        let proxy = net_with(common, &text).start();
        let mut stream = UnixStream::connect(&listener).expect("it listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        for len in [MIB, 5, 3 * MIB, 40_000] {
            stream.write_all(get(&format!("/{len}")).as_bytes()).expect("write");
            assert!(head(&mut stream).is_some());
            let mut got = vec![0; len];
            stream.read_exact(&mut got).expect("all of it");
            assert!(got == body(len), "{common} {len}");
        }
        assert!(spliced(&proxy) > 3 * MIB, "{}", spliced(&proxy));
        drop((proxy, stream));
        serve.join().expect("no panic");
    }
}

/// It ends its connection with the answer, which is the client's all the same, however late that reads.
#[test]
fn of_a_peer_that_ends_behind_them_are_whole() {
    const LEN: usize = 6 * MIB;
    for common in WAYS {
        let origin = Origin::start(|mut conn| {
            let _ = head(&mut conn);
            write!(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {LEN}\r\n\r\n")?;
            conn.write_all(&body(LEN))
        });
        let proxy = before(&origin, common, "");
        let mut stream = slow(&proxy);
        for n in 1..=2 {
            stream.write_all(get("/").as_bytes()).expect("write");
            at_rest(|| spliced(&proxy) as u64);
            expect(&mut stream, LEN);
            assert_eq!(origin.accepted(), n);
        }
        stream.write_all(get("/").as_bytes()).expect("write");
        stream.shutdown(Shutdown::Write).expect("it is open");
        at_rest(|| spliced(&proxy) as u64);
        proxy.await_sleep();
        expect(&mut stream, LEN);
        assert_eq!(client::end(&stream), client::End::Closed);
    }
}
