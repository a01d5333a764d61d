//! Ends of all kinds: in order, by a reset, by a failure, of one side, of the stream, of the loop.

use super::{
    bounds::{inode, is_open},
    lingering::to_any_end,
    *,
};
use crate::services::rt::yield_now;
use anyproxy_module_api::abi::{error::ErrorKind, stream::ready};
use std::{cell::RefCell, net::Shutdown, rc::Rc};

fn reset(far: TcpStream) {
    socket2::SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
    drop(far);
}

/// Has it read by calls.
async fn by_calls(s: &mut Stream) {
    while s.raw_fd().is_none() {
        turn().await;
    }
}

#[test]
fn closing_sends_what_was_accepted() {
    on_a_ring(|| async {
        for more in [false, true] {
            let (far, mut s) = pair();
            write_all(&mut s, b"abc").await;
            if more {
                assert_eq!(poll_fn(|cx| s.poll_write_more(cx, b"def")).await.unwrap(), 3);
            }
            drop(s);
            let all = over(super::far(move || to_end(&far))).await.unwrap();
            assert_eq!(all, if more { &b"abcdef"[..] } else { b"abc" });
        }
    });
}

#[test]
fn closing_sends_what_a_slow_peer_has_not_taken() {
    on_a_ring(|| async {
        for (half_closed, speaks) in [(false, false), (true, false), (false, true)] {
            let (far, mut s) = small_pair();
            let accepted = fill(&mut s, 0, 1000).await;
            if half_closed {
                far.shutdown(Shutdown::Write).unwrap();
            }
            if speaks {
                say(&far, b"nobody reads this");
                // What comes for a stream that is gone is no reason to lose anything.
                let early = poll_fn(|cx| Poll::Ready(s.poll_read(cx, &mut [0; 8]).is_pending())).await;
                assert!(early);
            }
            drop(s);
            turn().await;
            let all = over(super::far(move || to_end(&far))).await.unwrap();
            assert!(all == pattern(0, accepted), "{} of {accepted}", all.len());
        }
    });
}

#[test]
fn a_reset_is_one_whatever_waits_to_be_sent() {
    on_a_ring(|| async {
        for full in [false, true] {
            let (far, mut s) = small_pair();
            let accepted = if full { fill(&mut s, 0, 1000).await } else { 1000 };
            if !full {
                write_all(&mut s, &pattern(0, 1000)).await;
            }
            s.set_reset();
            drop(s);
            turn().await;
            let reader = super::far(move || {
                let (mut all, mut piece) = (Vec::new(), [0; 4096]);
                loop {
                    match (&far).read(&mut piece) {
                        Ok(0) => panic!("an end in order"),
                        Ok(n) => all.extend_from_slice(&piece[..n]),
                        Err(e) => return (all, e),
                    }
                }
            });
            let (all, error) = over(reader).await;
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
            // A part, perhaps, but none of another place.
            assert!(all == pattern(0, all.len()) && all.len() <= accepted);
        }
    });
}

#[test]
fn the_write_side_ends_behind_what_was_accepted_and_the_other_goes_on() {
    on_a_ring(|| async {
        for full in [false, true] {
            let (far, mut s) = small_pair();
            let accepted = if full { fill(&mut s, 0, 1000).await } else { 1000 };
            if !full {
                write_all(&mut s, &pattern(0, 1000)).await;
            }
            poll_fn(|cx| s.poll_shutdown(cx)).await.unwrap();
            let reader = super::far(move || {
                let all = to_end(&far).unwrap();
                say(&far, b"goodbye");
                all
            });
            assert_eq!(read_exact(&mut s, 7).await, b"goodbye");
            assert!(over(reader).await == pattern(0, accepted));
            assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
            assert_ne!(s.state() & ready::END, 0);
        }
    });
}

#[test]
fn the_other_side_s_end_wakes_who_waits_for_it_and_costs_no_turns() {
    on_a_ring(|| async {
        for (unread, calls) in [(0, false), (5, false), (0, true), (5, true), (30_000, true)] {
            let (far, mut s) = pair();
            if calls {
                by_calls(&mut s).await;
            }
            let woken = Rc::new(Cell::new(0));
            let count = Rc::clone(&woken);
            say(&far, &pattern(0, unread));
            let shared = Rc::new(RefCell::new(s));
            let theirs = Rc::clone(&shared);
            let task = crate::services::rt::spawn(poll_fn(move |cx| {
                count.set(count.get() + 1);
                let _ = theirs.borrow_mut().poll_ready(cx, ready::HUP);
                Poll::<()>::Pending
            }));
            within(QUIET, std::future::pending::<()>()).await;
            let before = woken.get();
            far.shutdown(Shutdown::Write).unwrap();
            while woken.get() == before {
                yield_now().await;
            }
            within(QUIET, std::future::pending::<()>()).await;
            let (turns_before, before) = (turns(), woken.get());
            within(QUIET, std::future::pending::<()>()).await;
            assert!(turns() - turns_before < 10 && woken.get() - before < 5, "{unread} {calls}: turns without an end");
            assert_eq!(shared.borrow().state() & ready::HUP, 0, "it may still be written to");
            task.abort();
            while !task.is_finished() {
                yield_now().await;
            }
            let mut s = Rc::into_inner(shared).unwrap().into_inner();
            assert!(read_exact(&mut s, unread).await == pattern(0, unread));
            assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
            write_all(&mut s, b"still").await;
            drop(s);
            assert_eq!(over(super::far(move || to_end(&far))).await.unwrap(), b"still");
        }
    });
}

#[test]
fn a_reset_is_seen_by_who_waits_for_it_with_bytes_unread_or_none() {
    on_a_ring(|| async {
        for (unread, calls, half_closed) in [
            (0, false, false),
            (5, false, false),
            (0, true, false),
            (5, true, false),
            (0, false, true),
            (5, true, true),
        ] {
            let (far, mut s) = pair();
            if calls {
                by_calls(&mut s).await;
            }
            say(&far, &pattern(0, unread));
            if half_closed {
                far.shutdown(Shutdown::Write).unwrap();
            }
            if unread > 0 {
                ready(&mut s, ready::READ).await;
            }
            let quiet = within(QUIET, hung(&mut s, ready::HUP, 10)).await;
            assert!(quiet.is_none(), "{unread} {calls} {half_closed}: {quiet:?}");
            // A byte that it will not read makes it one.
            write_all(&mut s, b"x").await;
            turn().await;
            reset(far);
            assert!(hung(&mut s, ready::HUP, 10).await, "{unread} {calls} {half_closed}");
        }
    });
}

#[test]
fn who_watched_for_the_end_is_woken_by_new_bytes_once_it_read_those_before() {
    on_a_ring(|| async {
        let (far, mut s) = pair();
        by_calls(&mut s).await;
        for _ in 0..3 {
            say(&far, &pattern(0, 100));
            ready(&mut s, ready::READ).await;
            // An exact read does not tell that there is no more.
            let _ = within(QUIET, hung(&mut s, ready::HUP, 10)).await;
            assert!(read_exact(&mut s, 100).await == pattern(0, 100));
            assert!(within(QUIET, read(&mut s, &mut [0; 8])).await.is_none());
            say(&far, b"new");
            assert_eq!(read_exact(&mut s, 3).await, b"new");
        }
    });
}

#[test]
fn bytes_before_an_end_are_read_though_it_is_a_wait_for_room_that_tells_of_it() {
    on_a_ring(|| async {
        for len in [5, 100_000] {
            let (far, mut s) = small_pair();
            by_calls(&mut s).await;
            // A short read: nothing is there any more, and nothing is asked.
            say(&far, b"abc");
            assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 3);
            let accepted = fill(&mut s, 0, 64 << 10).await;
            assert!(within(QUIET, ready(&mut s, ready::WRITE)).await.is_none());
            let writer = super::far(move || {
                say(&far, &pattern(0, len));
                far.shutdown(Shutdown::Write).unwrap();
                far
            });
            if len == 5 {
                // Nobody asked for these.
                within(QUIET, std::future::pending::<()>()).await;
            }
            assert!(read_exact(&mut s, len).await == pattern(0, len));
            assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
            let far = over(writer).await;
            let reader = super::far(move || to_end(&far).unwrap().len());
            drop(s);
            assert_eq!(over(reader).await, accepted);
        }
    });
}

#[test]
fn what_came_before_a_failed_write_is_read_and_then_the_failure() {
    on_a_ring(|| async {
        let (far, mut s) = pair();
        by_calls(&mut s).await;
        write_all(&mut s, b"unread").await;
        turn().await;
        say(&far, b"answer");
        drop(far);
        let failed = poll_fn(|cx| match s.poll_write(cx, b"more") {
            Poll::Ready(Ok(_)) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Err(e)) => Poll::Ready(e.kind),
            Poll::Pending => Poll::Pending,
        })
        .await;
        assert!(matches!(failed, ErrorKind::Reset | ErrorKind::BrokenPipe), "{failed:?}");
        assert_eq!(read_exact(&mut s, 6).await, b"answer");
        assert!(read(&mut s, &mut [0; 8]).await.is_err());
    });
}

#[test]
fn a_refused_connect_says_so() {
    on_a_ring(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        let e = stream::connect(to.into(), &Default::default()).await.unwrap_err();
        assert_eq!(e.kind, ErrorKind::Refused);
    });
}

#[test]
fn a_listener_that_is_dropped_refuses_at_once() {
    on_a_ring(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let listener = stream::ListenSocket::new(listener.into()).unwrap();
        assert!(within(QUIET, listener.accept()).await.is_none());
        drop(listener);
        assert_eq!(TcpStream::connect(to).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn a_loop_that_ends_sends_what_was_accepted() {
    let outlives = Rc::new(RefCell::new(Vec::new()));
    let mut fars = Vec::new();
    let mut near_ends = Vec::new();
    for _ in 0..8 {
        let (far, near) = sockets(true);
        fars.push(far);
        near_ends.push(near);
    }
    // Nobody reads of this one, which is no reason to wait for ever.
    let (slow_far, slow_near) = sockets(true);
    let (held_far, held_near) = sockets(true);
    let inodes = [inode(&slow_near), inode(&held_near)].into();
    let streams = Rc::clone(&outlives);
    let began = std::time::Instant::now();
    on_a_ring(|| async move {
        for (near, outlives) in [(slow_near, false), (held_near, true)] {
            let mut slow = stream_of(near);
            fill(&mut slow, 0, 1000).await;
            if outlives {
                streams.borrow_mut().push(slow);
            }
        }
        for (n, near) in near_ends.into_iter().enumerate() {
            let mut s = stream_of(near);
            write_all(&mut s, &pattern(0, 3000)).await;
            if n % 2 == 0 {
                streams.borrow_mut().push(s);
            }
        }
    });
    assert!(began.elapsed() < LIMIT);
    // Their loop is over, and what they were told to send is on its way.
    drop(outlives);
    for far in fars {
        assert!(to_end(&far).unwrap() == pattern(0, 3000));
    }
    for far in [slow_far, held_far] {
        let (all, in_order) = to_any_end(&far);
        assert!(!in_order && all == pattern(0, all.len()), "a part is taken for the whole");
    }
    assert!(!is_open(&inodes));
}
