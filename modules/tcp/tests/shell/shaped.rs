//! Rate limits and joining of small writes.

use super::{Pair, pattern, say};

#[test]
fn a_download_keeps_its_rate() {
    let p = Pair::new("shaped", [say("download_limit_rate", "100KiB/s")]);
    p.upstream.send(&pattern(1 << 20));
    let mut got = 0;
    for _ in 0..400 {
        p.pass(10);
        got += p.client().received().len();
    }
    // Four seconds' worth, and what collects in a tenth of a second.
    let rate = 100 << 10;
    assert!((4 * rate..=4 * rate + rate / 5).contains(&got), "{got}");
    // The upload is not limited.
    p.client().send(&pattern(50_000));
    p.go();
    assert_eq!(p.upstream.received().len(), 50_000);
    p.stop();
}

#[test]
fn what_waits_for_the_rate_is_not_read_from_the_source() {
    let p = Pair::new("shaped", [say("upload_limit_rate", "1KiB/s")]);
    p.client().send(&pattern(1 << 20));
    p.pass(1_000);
    let read = p.run.session.client_received.get();
    assert!(read <= 70 << 10, "{read}");
    assert!(p.upstream.received().len() <= 3 << 10);
    p.stop();
}

#[test]
fn the_first_bytes_are_free_of_the_limit() {
    let limits = [say("download_limit_rate", "1KiB/s"), say("download_limit_rate_after", "40KiB")];
    let p = Pair::new("shaped", limits);
    p.upstream.send(&pattern(1 << 20));
    p.go();
    let got = p.client().received().len();
    assert!((40 << 10..=42 << 10).contains(&got), "{got}");
    p.stop();
}

#[test]
fn the_end_waits_for_the_limit_like_the_bytes_before_it() {
    let mut p = Pair::new("shaped", [say("download_limit_rate", "1KiB/s")]);
    let all = pattern(5 << 10);
    p.upstream.send(&all);
    p.upstream.finish();
    p.client().finish();
    p.pass(1_000);
    assert!(!p.client().is_finished());
    p.pass(5_000);
    assert!(p.client().received() == all);
    assert!(p.client().is_finished());
    assert!(p.run.result().expect("it ended").is_ok());
    p.stop();
}

/// Sends a small piece each millisecond; how many writes reached the other side, and how many bytes.
fn writes(p: &Pair, pieces: usize, piece: usize) -> (usize, usize) {
    let (mut writes, mut bytes) = (0, 0);
    let mut look = || {
        let n = p.upstream.received().len();
        writes += usize::from(n > 0);
        bytes += n;
    };
    for _ in 0..pieces {
        p.client().send(&pattern(piece));
        p.go();
        look();
        p.pass(1);
        look();
    }
    (writes, bytes)
}

#[test]
fn small_reads_join_into_one_write_and_the_tail_goes_in_time() {
    let p = Pair::new("shaped", [say("stream_delay", "20ms")]);
    let (n, bytes) = writes(&p, 100, 10);
    assert_eq!(n, 5);
    assert!(bytes <= 1000);
    // The tail: sent within the delay of its first byte.
    p.pass(20);
    assert_eq!(bytes + p.upstream.received().len(), 1000);
    assert_eq!(p.module.host().memory_used(), 0);
    p.stop();

    // What a copy does with the same.
    let p = Pair::new("copy", []);
    assert_eq!(writes(&p, 100, 10), (100, 1000));
    p.stop();
}

#[test]
fn a_full_segment_does_not_wait_and_with_nopush_it_does() {
    let p = Pair::new("shaped", [say("stream_delay", "1s")]);
    p.client().send(&pattern(1000));
    p.go();
    assert_eq!(p.upstream.received().len(), 0);
    p.client().send(&pattern(448));
    p.go();
    assert_eq!(p.upstream.received().len(), 1448);
    p.stop();

    let p = Pair::new("shaped", [say("stream_delay", "1s"), say("stream_nopush", true), say("write_buffer", "16KiB")]);
    p.client().send(&pattern(10_000));
    p.go();
    assert_eq!(p.upstream.received().len(), 0);
    p.client().send(&pattern(20_000));
    p.go();
    assert!(p.upstream.received().len() >= 16 << 10);
    p.stop();
}

#[test]
fn the_first_bytes_and_the_last_do_not_wait() {
    let p = Pair::new("shaped", [say("stream_delay", "1s"), say("stream_nodelay_size", "1KiB")]);
    p.client().send(b"handshake");
    p.go();
    assert_eq!(p.upstream.received(), b"handshake");
    p.client().send(&pattern(1100));
    p.go();
    p.upstream.received();
    p.client().send(b"held");
    p.go();
    assert_eq!(p.upstream.received(), b"");
    p.client().finish();
    p.go();
    assert_eq!(p.upstream.received(), b"held");
    assert!(p.upstream.is_finished());
    p.stop();
}

#[test]
fn half_close_reset_and_pieces_are_as_without() {
    let settings = || [say("stream_delay", "5ms"), say("download_limit_rate", "100MiB/s")];
    let mut p = Pair::new("shaped", settings());
    p.client().fragment(5);
    p.upstream.stutter(true);
    p.client().send(b"question");
    p.client().finish();
    p.go();
    assert_eq!(p.upstream.received(), b"question");
    assert!(p.upstream.is_finished());
    let answer = pattern(20_000);
    p.upstream.send(&answer);
    p.upstream.finish();
    p.pass(50);
    assert!(p.client().received() == answer);
    assert!(p.run.result().expect("it ended").is_ok());
    p.stop();

    let mut p = Pair::new("shaped", settings());
    p.upstream.reset();
    p.go();
    assert!(p.client().was_reset());
    assert!(p.run.result().expect("it ended").is_err());
    p.stop();
}
