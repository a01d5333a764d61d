//! What is kept has bounds, nobody starves others, and nothing turns in vain.

use super::*;
use crate::services::rt::ring::{Ring, Ringed, flag, socket::Socket, sys};
use anyproxy_module_api::abi::stream::ready;
use std::{collections::HashSet, net::Shutdown, os::fd::OwnedFd};
use sys::PIECE;

/// Threads that the kernel made for rings of this process.
fn kernel_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let name = |t: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(t.unwrap().path().join("comm"));
    tasks.filter_map(|t| name(t).ok()).filter(|n| n.starts_with("iou-wrk")).count()
}

#[test]
fn a_writer_waits_for_a_peer_that_does_not_read_and_goes_on_when_it_does() {
    on_a_ring(|| async {
        for (len, half_closed) in [(10, false), (1000, false), (64 << 10, false), (1000, true), (64 << 10, true)] {
            let (far, mut s) = small_pair();
            if half_closed {
                far.shutdown(Shutdown::Write).unwrap();
                assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
            }
            let at = fill(&mut s, 0, len).await;
            let before = turns();
            let piece = pattern(at, len);
            assert!(within(QUIET, poll_fn(|cx| s.poll_write(cx, &piece))).await.is_none());
            assert!(turns() - before < 10, "{len} {half_closed}: {} turns in vain", turns() - before);
            assert_eq!(kernel_threads(), 0, "{len} {half_closed}");
            let all = at + 300_000;
            let reader = super::far(move || to_end(&far).unwrap());
            let rest = pattern(at, all - at);
            write_all(&mut s, &rest).await;
            poll_fn(|cx| s.poll_flush(cx)).await.unwrap();
            drop(s);
            assert!(over(reader).await == pattern(0, all), "{len} {half_closed}");
        }
    });
}

#[test]
fn a_peer_that_ends_while_a_writer_waits_costs_no_turns() {
    on_a_ring(|| async {
        for len in [1000, 64 << 10] {
            let (far, mut s) = small_pair();
            let at = fill(&mut s, 0, len).await;
            let piece = pattern(at, len);
            far.shutdown(Shutdown::Write).unwrap();
            assert!(within(QUIET, poll_fn(|cx| s.poll_write(cx, &piece))).await.is_none());
            let before = turns();
            assert!(within(QUIET, poll_fn(|cx| s.poll_write(cx, &piece))).await.is_none());
            assert!(turns() - before < 10, "{len}: {} turns in vain", turns() - before);
            assert_eq!(kernel_threads(), 0, "{len}");
            let reader = super::far(move || to_end(&far).unwrap());
            write_all(&mut s, &piece).await;
            drop(s);
            assert!(over(reader).await == pattern(0, at + len));
        }
    });
}

#[test]
fn a_flush_waits_for_what_was_accepted_and_for_no_more() {
    on_a_ring(|| async {
        let (far, mut s) = small_pair();
        let at = fill(&mut s, 0, 64 << 10).await;
        // All that was accepted is with the system, though it takes no more.
        within(QUIET, poll_fn(|cx| s.poll_flush(cx))).await.expect("nothing is left to be sent").unwrap();
        let at = fill(&mut s, at, 1000).await;
        assert!(within(QUIET, poll_fn(|cx| s.poll_flush(cx))).await.is_none());
        let reader = super::far(move || to_end(&far).unwrap().len());
        poll_fn(|cx| s.poll_flush(cx)).await.unwrap();
        drop(s);
        assert_eq!(over(reader).await, at);
    });
}

#[test]
fn a_stream_that_nobody_reads_keeps_few_pieces() {
    on_a_ring(|| async {
        let (far, near) = sockets(false);
        let s = Ringed::new(OwnedFd::from(near), false, false).unwrap();
        // It asked once, and does not come back.
        assert!(within(QUIET, poll_fn(|cx| s.poll_ready(cx, crate::services::rt::READ))).await.is_none());
        far.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(n) = (&far).write(&pattern(sent, 8 << 10)) {
            sent += n;
            turn().await;
            assert!(sent < 64 << 20, "it receives without end");
        }
        assert!(s.0.is(flag::BY_CALLS) && !s.0.is(flag::ARMED));
        assert!(s.0.unread.get().count <= 64, "{} pieces", s.0.unread.get().count);
        let mut to = vec![0; 100_000];
        let mut got = 0;
        while got < sent {
            let n = poll_fn(|cx| s.poll_read(cx, &mut to)).await.unwrap();
            assert!(to[..n] == pattern(got, n));
            got += n;
        }
        assert_eq!(got, sent);
    });
}

/// More streams with bytes unread than there are pieces.
async fn hold_all() -> Vec<(TcpStream, Stream)> {
    let mut held = Vec::new();
    for _ in 0..600 {
        let (far, mut s) = pair();
        assert!(poll_fn(|cx| Poll::Ready(s.poll_ready(cx, ready::READ))).await.is_pending());
        say(&far, b"unread");
        held.push((far, s));
    }
    turn().await;
    turn().await;
    held
}

#[test]
fn streams_with_bytes_unread_do_not_starve_another() {
    on_a_ring(|| async {
        let held = hold_all().await;
        let (far, mut s) = pair();
        for _ in 0..20 {
            assert!(within(Duration::from_millis(1), read(&mut s, &mut [0; 8])).await.is_none());
            say(&far, b"ping");
            assert_eq!(read_exact(&mut s, 4).await, b"ping");
        }
        let before = turns();
        assert!(within(QUIET, read(&mut s, &mut [0; 8])).await.is_none());
        assert!(turns() - before < 10, "{} turns in vain", turns() - before);
        for (far, mut s) in held {
            say(&far, b", and more");
            assert_eq!(read_exact(&mut s, 16).await, b"unread, and more");
            drop(far);
            assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
        }
    });
}

#[test]
fn all_pieces_may_be_one_socket_s() {
    let poll = mio::Poll::new().unwrap();
    let ring = match Ring::new(&poll) {
        Ok(ring) => ring,
        Err(e) => return println!("skipped: no io_uring: {e}"),
    };
    let socket = Socket::new(0, -1, 0);
    for piece in 0..sys::PIECES {
        socket.append(&ring, piece, 10);
    }
    let mut to = vec![0; 100];
    let mut got = 0;
    loop {
        match socket.read(&ring, &mut to) {
            0 => break,
            n => got += n,
        }
    }
    assert_eq!(got, usize::from(sys::PIECES) * 10);
}

#[test]
fn a_stream_at_rest_says_nothing_of_what_it_has_read() {
    on_a_ring(|| async {
        // Three full pieces in a row are much; the rest of them comes by calls, or nothing does.
        for len in [5, PIECE, 3 * PIECE, 3 * PIECE + 100, 8 * PIECE, 20 * PIECE] {
            let (far, mut s) = pair();
            let writer = super::far(move || {
                say(&far, &pattern(0, len));
                far
            });
            assert!(read_exact(&mut s, len).await == pattern(0, len));
            let far = over(writer).await;
            s.unbind();
            turn().await;
            assert_eq!(s.state() & (ready::READ | ready::END | ready::HUP), 0, "{len}");
            say(&far, b"unasked");
            while s.state() & ready::READ == 0 {
                turn().await;
            }
            assert_eq!(read_exact(&mut s, 7).await, b"unasked");
        }
    });
}

#[test]
fn a_stream_at_rest_tells_that_its_peer_has_ended_though_others_hold_all_pieces() {
    on_a_ring(|| async {
        let (far, mut s) = pair();
        say(&far, b"answer");
        assert_eq!(read_exact(&mut s, 6).await, b"answer");
        s.unbind();
        turn().await;
        let _held = hold_all().await;
        assert_eq!(s.state() & (ready::READ | ready::END | ready::HUP), 0);
        drop(far);
        while s.state() & (ready::READ | ready::END) == 0 {
            turn().await;
        }
    });
}

#[test]
fn a_stream_at_rest_tells_that_its_peer_has_ended() {
    on_a_ring(|| async {
        for calls in [false, true] {
            let (far, mut s) = pair();
            while calls && s.raw_fd().is_none() {
                turn().await;
            }
            say(&far, b"answer");
            assert_eq!(read_exact(&mut s, 6).await, b"answer");
            // No end and no bytes, as far as is known.
            let _ = poll_fn(|cx| Poll::Ready(s.poll_read(cx, &mut [0; 8]).is_pending())).await;
            s.unbind();
            turn().await;
            assert_eq!(s.state() & (ready::READ | ready::END | ready::HUP), 0);
            drop(far);
            while s.state() & (ready::READ | ready::END) == 0 {
                turn().await;
            }
        }
    });
}

/// Whether this process still has a descriptor of one of these sockets.
pub(super) fn is_open(inodes: &HashSet<u64>) -> bool {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let sockets = fds.filter_map(|fd| {
        let to = std::fs::read_link(fd.path()).ok()?;
        to.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    });
    sockets.into_iter().any(|inode: u64| inodes.contains(&inode))
}

pub(super) fn inode(s: &impl std::os::fd::AsRawFd) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(format!("/proc/self/fd/{}", s.as_raw_fd())).unwrap().ino()
}

#[test]
fn descriptors_are_closed_whatever_was_under_way() {
    on_a_ring(|| async {
        let (mut fars, mut inodes) = (Vec::new(), HashSet::new());
        for n in 0..200 {
            let (far, near) = sockets(n % 4 == 0);
            inodes.insert(inode(&near));
            let mut s = stream_of(near);
            match n % 10 {
                0 => say(&far, &pattern(0, 100_000)),
                1 => assert!(within(Duration::from_millis(1), ready(&mut s, ready::READ)).await.is_none()),
                2 => write_all(&mut s, b"abc").await,
                3 => far.shutdown(Shutdown::Write).unwrap(),
                4 => s.set_reset(),
                5 => assert!(s.raw_fd().is_some()),
                6 => far.shutdown(Shutdown::Both).unwrap(),
                7 => assert_ne!(ready(&mut s, ready::WRITE).await, 0),
                _ => {}
            }
            // With a receive that is just begun, and its end beside it.
            let _ = poll_fn(|cx| Poll::Ready(s.poll_ready(cx, ready::READ))).await;
            drop(s);
            fars.push(far);
        }
        turn().await;
        // Peers see an end of each: nothing of the kernel's holds a socket either.
        let ends = far(|| {
            for far in fars {
                let mut piece = [0; 1000];
                let end = loop {
                    match (&far).read(&mut piece) {
                        Ok(0) => break None,
                        Ok(_) => {}
                        Err(e) => break Some(e.kind()),
                    }
                };
                assert!(matches!(end, None | Some(std::io::ErrorKind::ConnectionReset)), "{end:?}");
            }
        });
        over(ends).await;
        while is_open(&inodes) {
            turn().await;
        }
    });
}
