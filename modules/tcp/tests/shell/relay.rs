//! Copying, and splicing where it can only copy: the streams here have no descriptors.

use super::{Pair, local, pattern, say};
use anyproxy_module_api::{ErrorKind, testing::WINDOW};

const BOTH: [&str; 2] = ["copy", "splice"];

#[test]
fn each_half_close_is_passed_on_and_the_other_direction_goes_on() {
    for relay in BOTH {
        let mut p = Pair::new(relay, []);
        p.client().send(b"question");
        p.client().finish();
        p.go();
        assert_eq!(p.upstream.received(), b"question");
        assert!(p.upstream.is_finished());
        assert!(!p.client().is_finished() && !p.upstream.is_closed());
        p.upstream.send(b"a late answer");
        p.go();
        assert_eq!(p.client().received(), b"a late answer");
        p.upstream.finish();
        p.go();
        assert!(p.client().is_finished());
        assert!(p.run.result().expect("it ended").is_ok());
        let s = &p.run.session;
        assert_eq!(s.closed(), "client_transfer_done");
        let counts =
            [&s.client_received, &s.upstream_sent, &s.upstream_received, &s.client_sent].map(std::cell::Cell::get);
        assert_eq!(counts, [8, 8, 13, 13]);
        assert!(!p.client().was_reset() && !p.upstream.was_reset());
        p.stop();
    }
}

#[test]
fn an_end_that_came_with_the_last_bytes_goes_with_them() {
    for relay in BOTH {
        let p = Pair::new(relay, []);
        p.client().send(b"question");
        p.client().finish();
        p.go();
        assert_eq!(p.upstream.received(), b"question");
        assert!(p.upstream.finished_at_once());
        p.upstream.send(b"answer");
        p.go();
        p.upstream.finish();
        p.go();
        assert_eq!(p.client().received(), b"answer");
        assert!(p.client().is_finished() && !p.client().finished_at_once(), "nothing was left to go with it");
        p.stop();
    }
}

#[test]
fn an_upstream_that_ends_first_still_gets_the_clients_bytes() {
    let mut p = Pair::new("copy", []);
    p.upstream.send(b"greeting");
    p.upstream.finish();
    p.go();
    assert_eq!(p.client().received(), b"greeting");
    assert!(p.client().is_finished());
    p.client().send(b"still here");
    p.client().finish();
    p.go();
    assert_eq!(p.upstream.received(), b"still here");
    assert!(p.upstream.is_finished());
    assert!(p.run.result().expect("it ended").is_ok());
    assert_eq!(p.run.session.closed(), "upstream_transfer_done");
    p.stop();
}

#[test]
fn a_reset_is_passed_on_to_the_other_side() {
    for relay in ["copy", "splice"] {
        let mut p = Pair::new(relay, []);
        p.client().send(b"half of");
        p.go();
        p.client().reset();
        p.go();
        assert!(p.upstream.was_reset() && p.upstream.is_closed());
        assert_eq!(p.run.result().expect("it ended").unwrap_err().kind, ErrorKind::Reset);
        assert_eq!(p.run.session.closed(), "client_transfer_reset");
        p.stop();

        let mut p = Pair::new(relay, []);
        p.upstream.reset();
        p.go();
        assert!(p.client().was_reset());
        assert!(p.run.result().expect("it ended").is_err());
        assert_eq!(p.run.session.closed(), "upstream_transfer_reset");
        p.stop();
    }
}

#[test]
fn a_slow_side_slows_the_other_and_nothing_is_stored() {
    for relay in BOTH {
        let p = Pair::new(relay, []);
        let all = pattern(3 << 20);
        p.upstream.send(&all);
        p.go();
        assert_eq!(p.client().waiting(), WINDOW);
        let read = p.run.session.upstream_received.get() as usize;
        assert!(read <= WINDOW + (64 << 10) + 64, "{read} bytes read while the client takes none");
        assert!(p.module.host().memory_used() <= 65 << 10);
        assert!(p.drain() == all);
        p.stop();
    }
}

#[test]
fn directions_that_wait_hold_no_buffer() {
    let p = Pair::new("copy", []);
    assert_eq!(p.module.host().memory_used(), 0);
    for _ in 0..3 {
        p.client().send(&pattern(200_000));
        p.upstream.send(b"small");
        let mut got = 0;
        while got < 200_000 {
            p.go();
            got += p.upstream.received().len();
        }
        p.client().received();
        p.go();
        assert_eq!(p.module.host().memory_used(), 0);
    }
    p.stop();
}

#[test]
fn bytes_stay_whole_when_reads_and_writes_come_in_pieces() {
    for relay in BOTH {
        let p = Pair::new(relay, []);
        p.client().fragment(7);
        p.upstream.fragment(3);
        p.client().stutter(true);
        p.upstream.stutter(true);
        let (up, down) = (pattern(5_000), pattern(9_000));
        p.client().send(&up);
        p.upstream.send(&down);
        p.client().finish();
        p.upstream.finish();
        p.go();
        assert!(p.upstream.received() == up && p.client().received() == down);
        assert!(p.upstream.is_finished() && p.client().is_finished());
        assert!(p.run.session.closed().ends_with("_transfer_done"));
        p.stop();
    }
}

#[test]
fn a_buffer_grows_once_reads_fill_it_twice() {
    let p = Pair::new("copy", [say("read_buffer", "4KiB"), say("write_buffer", "32KiB")]);
    p.client().window(0);
    let held = |bytes: usize| {
        p.upstream.send(&pattern(bytes));
        p.go();
        let used = p.module.host().memory_used();
        p.client().window(1 << 20);
        p.go();
        p.client().window(0);
        p.client().received();
        p.go();
        used
    };
    assert!((4 << 10..8 << 10).contains(&held(3000)));
    p.client().window(8 << 10);
    // Two full reads are written; the third is the larger one, and waits.
    let used = held(100 << 10);
    assert!((32 << 10..40 << 10).contains(&used), "{used}");
    p.stop();
}

#[test]
fn a_session_without_bytes_ends_at_its_idle_timeout() {
    let mut p = Pair::new("copy", [say("idle_timeout", "5s")]);
    p.pass(4_000);
    p.client().send(b"x");
    p.go();
    p.pass(4_900);
    assert!(p.run.result().is_none());
    p.pass(200);
    assert_eq!(p.run.result().expect("it ended").unwrap_err().kind, ErrorKind::TimedOut);
    assert_eq!(p.run.session.closed(), "proxy_transfer_timeout");
    assert!(!p.client().was_reset());
    p.stop();
}

#[test]
fn without_a_word_ten_minutes_are_the_limit() {
    let mut p = Pair::new("copy", []);
    p.pass(599_000);
    assert!(p.run.result().is_none());
    p.pass(1_000);
    assert!(p.run.result().expect("it ended").is_err());
    p.stop();
    let mut p = Pair::new("copy", [say("idle_timeout", "0")]);
    p.pass(86_400_000);
    assert!(p.run.result().is_none());
    assert_eq!(p.run.session.deadline_ms.get(), 0);
    p.stop();
}

#[test]
fn a_side_that_takes_nothing_ends_the_session_and_both_are_reset() {
    let mut p = Pair::new("copy", [say("send_timeout", "3s")]);
    p.client().window(10);
    p.upstream.send(&pattern(1000));
    p.go();
    p.pass(2_000);
    // Some is taken: the time starts anew.
    p.client().received();
    p.go();
    p.pass(2_900);
    assert!(p.run.result().is_none());
    p.pass(200);
    assert!(p.run.result().expect("it ended").is_err());
    assert_eq!(p.run.session.closed(), "client_transfer_timeout");
    assert!(p.client().was_reset() && p.upstream.was_reset());
    assert_eq!(p.module.variable("write_max_block_time", &p.run.session).as_deref(), Some("2.000"));
    assert_eq!(p.module.variable("buffer_cache", &p.run.session).as_deref(), Some("memory"));
    p.stop();
}

#[test]
fn a_silent_side_ends_the_session_at_its_recv_timeout_unless_it_ended_before() {
    let mut p = Pair::new("copy", [say("recv_timeout", "2s")]);
    p.client().send(b"ask");
    p.client().finish();
    p.go();
    for _ in 0..5 {
        p.pass(1_500);
        p.upstream.send(b"part");
        p.go();
    }
    assert!(p.run.result().is_none());
    p.pass(2_100);
    assert!(p.run.result().expect("it ended").is_err());
    assert_eq!(p.run.session.closed(), "upstream_transfer_timeout");
    p.stop();
}

/// Silence begins when a side is waited for, not with its last bytes: those may have waited here for the other one.
#[test]
fn a_side_is_silent_only_while_it_is_waited_for() {
    for (relay, more) in [("copy", None), ("splice", None), ("shaped", Some(say("stream_delay", "1ms")))] {
        let limited = || [say("recv_timeout", "2s")].into_iter().chain(more.clone());
        // The client takes nothing when the first deadline passes; then it has all, and the upstream is silent.
        let mut p = Pair::new(relay, limited());
        p.client().send(b"ask");
        p.client().finish();
        p.client().window(10);
        p.upstream.send(&pattern(200_000));
        p.pass(3_000);
        assert!(p.run.result().is_none(), "{relay}");
        p.client().window(1 << 20);
        p.pass(1_900);
        assert!(p.run.result().is_none(), "{relay}");
        p.pass(300);
        assert!(p.run.result().expect("it ended").is_err());
        assert_eq!(p.run.session.closed(), "upstream_transfer_timeout");
        p.stop();

        // What the upstream sent waits here for longer than the limit, while the client speaks.
        let mut p = Pair::new(relay, limited());
        p.client().window(10);
        p.upstream.send(&pattern(200_000));
        for _ in 0..10 {
            p.client().send(b"p");
            p.pass(300);
        }
        p.client().window(1 << 20);
        for _ in 0..6 {
            p.client().send(b"p");
            p.pass(300);
        }
        assert!(p.run.result().is_none(), "{relay}: it was asked 1.8 s ago");
        p.client().send(b"p");
        p.pass(300);
        assert!(p.run.result().expect("it ended").is_err());
        assert_eq!(p.run.session.closed(), "upstream_transfer_timeout");
        p.stop();
    }
}

#[test]
fn a_killed_session_resets_both_sides() {
    let mut p = Pair::new("copy", []);
    p.run.session.kill_now();
    p.go();
    assert_eq!(p.run.result().expect("it ended").unwrap_err().kind, ErrorKind::Cancelled);
    assert!(p.client().was_reset() && p.upstream.was_reset());
    assert_eq!(p.run.session.closed(), "proxy_transfer_killed");
    p.stop();
}

#[test]
fn a_relay_that_is_dropped_on_its_way_resets_both_sides_and_leaves_nothing() {
    let p = Pair::new("splice", []);
    p.client().send(b"x");
    p.go();
    p.run.abort();
    p.go();
    assert!(p.client().was_reset() && p.upstream.was_reset());
    p.stop();
}

#[test]
fn a_fast_close_ends_both_at_the_first_end() {
    let mut p = Pair::new("copy", [say("close_type", "fast")]);
    p.upstream.send(b"last words");
    p.upstream.finish();
    p.go();
    assert_eq!(p.client().received(), b"last words");
    assert!(p.client().is_finished() && p.client().is_closed());
    assert!(p.run.result().expect("it ended").is_ok());
    assert!(!p.client().was_reset());
    p.stop();

    let mut p = Pair::new("copy", [say("close_type", "fast"), say("stream_so_linger_time", "0")]);
    p.upstream.finish();
    p.go();
    assert!(p.run.result().expect("it ended").is_ok());
    assert!(p.client().was_reset() && p.upstream.was_reset());
    p.stop();
}

#[test]
fn a_lingering_close_hears_the_other_side_out_for_a_while() {
    let linger = || [say("close_type", "fast"), say("stream_so_linger_time", "2s")];
    let mut p = Pair::new("copy", linger());
    p.upstream.finish();
    p.go();
    assert!(p.client().is_finished() && !p.client().is_closed());
    p.client().send(&pattern(100_000));
    p.go();
    assert_eq!(p.upstream.received(), b"");
    assert!(p.run.result().is_none());
    p.client().finish();
    p.go();
    assert!(p.run.result().expect("it ended").is_ok());
    assert!(!p.client().was_reset());
    p.stop();

    let mut p = Pair::new("copy", linger());
    p.upstream.finish();
    p.pass(1_900);
    assert!(p.run.result().is_none());
    p.pass(200);
    assert!(p.run.result().expect("it ended").is_ok());
    p.stop();
}

#[test]
fn a_relay_waits_for_memory_and_goes_on_when_there_is_some() {
    let module = local([]);
    module.host().memory_limit(1);
    let (run, upstream) = module.relay("copy").expect("the relay takes it");
    run.client.send(b"patience");
    module.host().run_until_stalled();
    assert_eq!(upstream.received(), b"");
    module.host().memory_limit(1 << 20);
    module.host().run_until_stalled();
    assert_eq!(upstream.received(), b"patience");
    drop((run, upstream));
    module.stop();
}

#[test]
fn bytes_are_counted_by_relay_and_sessions_stand_in_status() {
    let p = Pair::new("copy", []);
    let status = p.module.action("", "").expect("status");
    assert!(status.contains("\"copy\":1"), "{status}");
    p.client().send(b"12345");
    p.client().finish();
    p.upstream.send(b"678");
    p.upstream.finish();
    p.go();
    assert_eq!(p.module.host().metric("relayed_bytes", "relay=copy").expect("it is there").value, 8);
    let info = p.module.variable("stream_stream_info", &p.run.session);
    assert_eq!(info.as_deref(), Some("copy up=5 down=3 spliced=0/0 spilled=0/0"));
    assert!(p.module.action("", "").expect("status").contains("\"copy\":0"));
    p.stop();
}

#[test]
fn splice_false_leaves_the_session_to_copy() {
    let m = local([say("splice", false)]);
    assert!(m.relay("splice").is_none());
    assert!(m.relay("shaped").is_none());
    assert!(m.relay("copy").is_some());
    m.host().abort_tasks();
    m.stop();
}
