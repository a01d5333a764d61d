use super::*;

fn addrs() -> [Addr; 3] {
    let v6 = SocketAddr::V6(std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 443, 0, 7));
    [SocketAddr::from(([192, 0, 2, 1], 5000)).into(), v6.into(), Addr::NONE]
}

#[test]
fn a_frame_comes_out_as_it_went_in() {
    for from in addrs() {
        for to in addrs() {
            let meta = Received { from, to, len: 5, segment: 2, ecn: 3 };
            let frame = encode(77, Route::owner(4, 9), &meta, b"hello").unwrap();
            let (listener, owner, back, bytes) = decode(&frame).unwrap();
            assert_eq!((listener, owner, bytes), (77, Route::owner(4, 9), &b"hello"[..]));
            assert_eq!((back.from, back.to, back.len, back.segment, back.ecn), (from, to, 5, 2, 3));
        }
    }
}

#[test]
fn a_frame_that_is_cut_off_or_lies_about_its_segments_does_no_harm() {
    let meta = Received { segment: 1200, ..Received::default() };
    let frame = encode(1, Route::owner(1, 1), &meta, b"x").unwrap();
    for n in 0..HEAD {
        assert!(decode(&frame[..n]).is_none(), "{n}");
    }
    assert_eq!(decode(&frame).unwrap().2.segment, 1);
    assert!(decode(&[0xff; HEAD]).is_some_and(|f| f.3.is_empty()));
}

#[test]
fn what_is_longer_than_a_frame_is_not_sent() {
    let bytes = vec![0; FRAME - HEAD + 1];
    assert!(encode(1, Route::owner(1, 1), &Received::default(), &bytes).is_none());
    assert!(encode(1, Route::owner(1, 1), &Received::default(), &bytes[1..]).is_some());
}

#[test]
fn datagrams_of_older_epochs_go_to_the_process_before_as_long_as_there_is_one() {
    let (new, old) = channel().unwrap();
    assert!(!is_predecessors(3));
    assert_eq!((outer(1), inner(1)), (1, 1));
    set_predecessor(new, 5);
    assert!(is_predecessors(5));
    assert!(!is_predecessors(6));
    // This process's own come after, and those before are none of its own.
    assert_eq!((outer(1), inner(6), inner(5), inner(4)), (6, 1, 0, 0));
    assert!(last_epoch(1) > 6);
    to_owner(1, Route::owner(4, 2), &Received::default(), b"late");
    let mut frame = [std::mem::MaybeUninit::uninit(); 256];
    let n = old.recv(&mut frame).unwrap();
    let frame: Vec<u8> = frame[..n]
        .iter()
        // SAFETY: the system filled the first `n` bytes.
        .map(|b| unsafe { b.assume_init() })
        .collect();
    let (listener, owner, _, bytes) = decode(&frame).unwrap();
    assert_eq!((listener, owner, bytes), (1, Route::owner(4, 2), &b"late"[..]));
    // Full: dropped, not waited for.
    let run = vec![0; 60_000];
    let sent = (0..10_000).take_while(|_| forward_to_predecessor(1, Route::owner(4, 2), &Received::default(), &run));
    assert!(sent.count() < 10_000);
    // Gone: dropped too.
    drop(old);
    assert!(!forward_to_predecessor(1, Route::owner(4, 2), &Received::default(), b"gone"));
}

#[test]
fn a_full_queue_drops_and_counts() {
    let (to, mut from) = mpsc::channel(1);
    let before = COUNTS.full.load(Relaxed);
    pass(&to, 1, Some(1), &Received::default(), b"first");
    pass(&to, 1, Some(1), &Received::default(), b"second");
    assert!(COUNTS.full.load(Relaxed) > before);
    assert_eq!(&from.try_recv().unwrap().bytes[..], b"first");
    assert!(from.try_recv().is_err());
}

#[test]
fn a_datagram_whose_owner_has_ended_is_counted() {
    let before = COUNTS.no_owner.load(Relaxed);
    to_owner(1, Route::owner(4_000_000, 2), &Received::default(), b"late");
    to_newest(0xdead, &Received::default(), b"new");
    assert!(COUNTS.no_owner.load(Relaxed) >= before + 2);
}
