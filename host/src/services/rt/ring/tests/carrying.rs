//! Bytes arrive, each once and in order, whatever way they take.

use super::*;
use crate::services::rt::ring::{Ringed, flag};
use anyproxy_module_api::abi::{bytes::IoVec, stream::ready};
use std::{os::fd::OwnedFd, rc::Rc};

/// Sends back what comes.
fn echo(far: TcpStream) -> JoinHandle<()> {
    super::far(move || {
        let mut piece = vec![0; 50_000];
        loop {
            match (&far).read(&mut piece).unwrap() {
                0 => return,
                n => say(&far, &piece[..n]),
            }
        }
    })
}

/// Sends `len` bytes through an echo and reads them back, in random pieces, both at once.
async fn there_and_back(s: &mut Stream, len: usize, most: usize) {
    let all = pattern(0, len);
    let mut number = numbers((len + most) as u64);
    let (mut sent, mut got) = (0, 0);
    let mut to = vec![0; most];
    let (mut write_len, mut read_len) = (number(most), number(most));
    poll_fn(|cx| {
        loop {
            let mut moved = false;
            if sent < len {
                let piece = &all[sent..len.min(sent + write_len)];
                let r =
                    if write_len.is_multiple_of(3) { s.poll_write_more(cx, piece) } else { s.poll_write(cx, piece) };
                if let Poll::Ready(n) = r {
                    sent += n.unwrap();
                    write_len = number(most);
                    moved = true;
                }
            }
            if let Poll::Ready(n) = s.poll_read(cx, &mut to[..read_len]) {
                let n = n.unwrap();
                assert!(n > 0, "an end after {got} of {len}");
                assert!(to[..n] == all[got..got + n], "other bytes from {got} on");
                got += n;
                read_len = number(most);
                moved = true;
            }
            if got == len {
                return Poll::Ready(());
            }
            if !moved {
                return Poll::Pending;
            }
        }
    })
    .await;
}

#[test]
fn all_sizes_go_there_and_back_in_pieces_of_all_sizes() {
    on_a_ring(|| async {
        for len in [1, 2, 4095, 4096, 4097, 8192, 8193, 50_000, 1 << 20] {
            for most in [1, 100, 5000, 9000, 100_000] {
                if len / most > 20_000 {
                    continue;
                }
                let (far, mut s) = pair();
                let echo = echo(far);
                there_and_back(&mut s, len, most).await;
                drop(s);
                over(echo).await;
            }
        }
    });
}

#[test]
fn small_messages_between_large_ones_keep_their_order() {
    on_a_ring(|| async {
        let (far, mut s) = small_pair();
        let echo = echo(far);
        for (len, most) in [(3, 3), (200_000, 60_000), (5, 1), (5000, 700), (300_000, 100_000), (1, 1)] {
            there_and_back(&mut s, len, most).await;
        }
        drop(s);
        over(echo).await;
    });
}

#[test]
fn small_writes_gathered_ones_and_large_ones_are_sent_in_the_order_they_were_accepted() {
    on_a_ring(|| async {
        let (far, mut s) = small_pair();
        let reader = super::far(move || to_end(&far));
        let mut at = 0;
        for round in 0..40 {
            for len in [10, 4096, 1, 3000, 2000, 70_000, 5, 4097] {
                let piece = pattern(at, len);
                if (round + len) % 3 == 0 {
                    let cut = len / 3;
                    let mut sent = 0;
                    while sent < len {
                        let (a, b) = (&piece[sent..sent.max(cut)], &piece[sent.max(cut)..]);
                        sent += poll_fn(|cx| s.poll_writev(cx, &[IoVec::new(a), IoVec::new(b)])).await.unwrap();
                    }
                } else {
                    write_all(&mut s, &piece).await;
                }
                at += len;
            }
            if round % 5 == 0 {
                poll_fn(|cx| s.poll_flush(cx)).await.unwrap();
            }
        }
        drop(s);
        assert!(over(reader).await.unwrap() == pattern(0, at));
    });
}

#[test]
fn much_is_read_by_calls_and_little_by_the_ring_again() {
    on_a_ring(|| async {
        let (far, near) = sockets(false);
        let s = Ringed::new(OwnedFd::from(near), false, false).unwrap();
        let (mut to, mut got) = (vec![0; 64 << 10], 0);
        let much = 4 << 20;
        let writer = super::far(move || {
            say(&far, &pattern(0, much));
            far
        });
        let mut by_calls = false;
        while got < much {
            let n = poll_fn(|cx| s.poll_read(cx, &mut to)).await.unwrap();
            assert!(to[..n] == pattern(got, n));
            got += n;
            by_calls |= s.0.is(flag::BY_CALLS);
        }
        assert!(by_calls);
        let far = over(writer).await;
        for round in 0..10 {
            say(&far, b"abc");
            assert_eq!(poll_fn(|cx| s.poll_read(cx, &mut to)).await.unwrap(), 3, "round {round}");
        }
        let early = within(QUIET, poll_fn(|cx| s.poll_read(cx, &mut to))).await;
        assert!(early.is_none() && !s.0.is(flag::BY_CALLS) && s.0.is(flag::ARMED));
    });
}

#[test]
fn the_descriptor_is_there_for_others_while_little_comes_back() {
    on_a_ring(|| async {
        let (far, mut s) = pair();
        while s.raw_fd().is_none() {
            ready(&mut s, ready::WRITE).await;
            turn().await;
        }
        for _ in 0..10 {
            say(&far, b"abc");
            assert_eq!(read_exact(&mut s, 3).await, b"abc");
            assert!(within(Duration::from_millis(2), read(&mut s, &mut [0; 8])).await.is_none());
            assert!(s.raw_fd().is_some());
        }
        // Who has it once does not ask again after each.
        for _ in 0..10 {
            say(&far, b"abc");
            assert_eq!(read_exact(&mut s, 3).await, b"abc");
            assert!(within(Duration::from_millis(2), read(&mut s, &mut [0; 8])).await.is_none());
        }
        // Nor is what was accepted, and is not sent yet, in its way.
        write_all(&mut s, b"small").await;
        assert!(s.raw_fd().is_some());
    });
}

#[test]
fn a_raw_socket_comes_from_a_stream_at_rest() {
    on_a_ring(|| async {
        for calls in [false, true] {
            let (far, mut s) = pair();
            while calls && s.raw_fd().is_none() {
                turn().await;
            }
            say(&far, b"answer");
            assert_eq!(read_exact(&mut s, 6).await, b"answer");
            s.unbind();
            turn().await;
            let mut raw = s.take_raw().unwrap();
            let mut s = stream_of(socket2::Socket::from(raw.take_socket().unwrap()));
            write_all(&mut s, b"more").await;
            drop(s);
            assert_eq!(over(super::far(move || to_end(&far))).await.unwrap(), b"more");
        }
    });
}

#[test]
fn little_leads_back_though_others_had_the_descriptor() {
    on_a_ring(|| async {
        let (far, near) = sockets(false);
        let s = Ringed::new(OwnedFd::from(near), false, false).unwrap();
        while s.direct().is_none() {
            turn().await;
        }
        let mut to = [0; 100];
        for _ in 0..200 {
            say(&far, b"abc");
            assert_eq!(poll_fn(|cx| s.poll_read(cx, &mut to)).await.unwrap(), 3);
        }
        assert!(!s.0.is(flag::BY_CALLS));
    });
}

#[test]
fn a_raw_socket_comes_with_what_was_received_and_what_was_accepted() {
    on_a_ring(|| async {
        let (far, mut s) = pair();
        say(&far, b"received");
        ready(&mut s, ready::READ).await;
        assert_eq!(read_exact(&mut s, 2).await, b"re");
        s.unread(b"RE".to_vec().into());
        write_all(&mut s, b"accepted").await;
        let mut raw = s.take_raw().unwrap();
        assert_eq!(&raw.read_ahead[..], b"REceived");
        let behind = raw.write_behind.to_vec();
        // It is as good as before.
        let mut s = stream_of(socket2::Socket::from(raw.take_socket().unwrap()));
        say(&far, b"more");
        assert_eq!(read_exact(&mut s, 4).await, b"more");
        write_all(&mut s, &behind).await;
        write_all(&mut s, b" and sent").await;
        // Nothing is under way that could have taken these along.
        let mut s = stream_of(socket2::Socket::from(s.take_raw().unwrap().take_socket().unwrap()));
        write_all(&mut s, b", all").await;
        let mut raw = s.take_raw().unwrap();
        assert_eq!((&raw.read_ahead[..], &raw.write_behind[..]), (&b""[..], &b", all"[..]));
        drop(raw.take_socket());
        assert_eq!(over(super::far(move || to_end(&far))).await.unwrap(), b"accepted and sent");
    });
}

#[test]
fn a_raw_socket_whose_peer_does_not_read_comes_with_all_that_waits_for_it() {
    on_a_ring(|| async {
        let (far, mut s) = small_pair();
        let accepted = fill(&mut s, 0, 1000).await;
        let mut raw = s.take_raw().unwrap();
        assert!(raw.write_behind.len() > 1000);
        let behind = raw.write_behind.to_vec();
        drop(raw.take_socket());
        let mut all = over(super::far(move || to_end(&far))).await.unwrap();
        all.extend(behind);
        assert!(all == pattern(0, accepted));
    });
}

#[test]
fn other_streams_go_on_while_a_raw_socket_is_taken() {
    on_a_ring(|| async {
        let got = Rc::new(Cell::new(0));
        let mut fars = Vec::new();
        for _ in 0..20 {
            let (far, mut s) = pair();
            fars.push(far);
            let got = Rc::clone(&got);
            crate::services::rt::spawn(async move {
                assert_eq!(read_exact(&mut s, 6).await, b"onetwo");
                got.set(got.get() + 1);
            });
        }
        turn().await;
        for far in &fars {
            say(far, b"one");
            let (_far, mut s) = pair();
            write_all(&mut s, b"accepted").await;
            assert!(within(Duration::from_millis(1), ready(&mut s, ready::READ)).await.is_none());
            assert!(s.take_raw().is_ok());
            say(far, b"two");
        }
        while got.get() < 20 {
            turn().await;
        }
    });
}

#[test]
fn both_sides_of_a_connection_may_be_the_ring_s() {
    on_a_ring(|| async {
        let listener = stream::ListenSocket::new(TcpListener::bind("127.0.0.1:0").unwrap().into()).unwrap();
        drop(listener);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let listener = stream::ListenSocket::new(listener.into()).unwrap();
        let server = async {
            let (socket, peer) = listener.accept().await.unwrap();
            let mut s = stream::from_socket(socket, peer, Addr::NONE).unwrap();
            assert_eq!(read_exact(&mut s, 4).await, b"ping");
            write_all(&mut s, b"pong").await;
            assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
        };
        let client = crate::services::rt::spawn(async move {
            let mut s = stream::connect(to.into(), &Default::default()).await.unwrap();
            write_all(&mut s, b"ping").await;
            assert_eq!(read_exact(&mut s, 4).await, b"pong");
        });
        server.await;
        while !client.is_finished() {
            turn().await;
        }
    });
}
