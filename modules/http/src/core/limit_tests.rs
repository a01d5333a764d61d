use super::limit::{ImportError, Limiter, Rate, Verdict};
use super::noise_tests::Noise;

const SECOND: u64 = 1_000_000;

fn rate(requests: f64, burst: u32, delay: Option<u32>) -> Rate {
    Rate::per_second(requests, burst, delay).expect("rate")
}

fn refuse(retry_after_us: u64) -> Verdict {
    Verdict::Refuse { retry_after_us }
}

#[test]
fn rates() {
    for (requests, want) in [
        (1.0, Some(SECOND)),
        (0.5, Some(2 * SECOND)),
        (3.0, Some(333_333)),
        (1e6, Some(1)),
        (1.0 / 60.0, Some(60 * SECOND)),
        (1e7, None),
        (0.0, None),
        (-1.0, None),
        (1e-9, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
    ] {
        assert_eq!(Rate::per_second(requests, 0, None).map(|rate| rate.interval_us), want, "{requests}");
    }
}

#[test]
fn no_burst() {
    let limiter = Limiter::new(4, 100);
    let rate = rate(0.5, 0, None);
    for (at, want) in [
        (0, Verdict::Allow),
        (0, refuse(2 * SECOND)),
        (SECOND, refuse(SECOND)),
        (2 * SECOND, Verdict::Allow),
        (4 * SECOND - 1, refuse(1)),
        (4 * SECOND, Verdict::Allow),
        (100 * SECOND, Verdict::Allow),
        (100 * SECOND, refuse(2 * SECOND)),
    ] {
        assert_eq!(limiter.check(b"a", rate, at), want, "{at}");
    }
    assert_eq!(limiter.check(b"b", rate, 100 * SECOND), Verdict::Allow);
}

#[test]
fn who_is_behind_with_the_time_is_not_refused_for_that() {
    let limiter = Limiter::new(1, 100);
    let rate = rate(1000.0, 0, None);
    assert_eq!(limiter.check(b"a", rate, 10_000), Verdict::Allow);
    // Of the next request, on a worker that has looked at its clock 5 ms before.
    assert_eq!(limiter.check(b"b", rate, 11_000), Verdict::Allow);
    assert_eq!(limiter.check(b"a", rate, 6_000), Verdict::Allow);
    assert_eq!(limiter.check(b"a", rate, 6_000), refuse(1000));
}

#[test]
fn bursts_and_delays() {
    use Verdict::{Allow, Delay};
    let full = refuse(SECOND);
    for (delay, want) in [
        (None, [Allow, Allow, Allow, Allow, full, full]),
        (Some(0), [Allow, Delay(SECOND), Delay(2 * SECOND), Delay(3 * SECOND), full, full]),
        (Some(2), [Allow, Allow, Allow, Delay(SECOND), full, full]),
        (Some(9), [Allow, Allow, Allow, Allow, full, full]),
    ] {
        let limiter = Limiter::new(1, 10);
        let rate = rate(1.0, 3, delay);
        for verdict in want {
            assert_eq!(limiter.check(b"key", rate, 7), verdict, "{delay:?}");
        }
        // What was refused was not counted: a second later there is room for one.
        assert_ne!(limiter.check(b"key", rate, SECOND + 7), full);
        assert_eq!(limiter.check(b"key", rate, SECOND + 7), full);
    }
}

#[test]
fn long_run_keeps_the_rate() {
    let limiter = Limiter::new(1, 10);
    let rate = rate(50.0, 10, None);
    let passed = (0..100_000_u64).filter(|at| limiter.check(b"k", rate, at * 1000) == Verdict::Allow).count();
    assert!((5000..=5011).contains(&passed), "{passed}");
}

#[test]
fn no_limit_and_no_overflow() {
    let limiter = Limiter::new(0, 0);
    let free = Rate { interval_us: 0, burst: 0, delay: None };
    for _ in 0..10 {
        assert_eq!(limiter.check(b"k", free, 5), Verdict::Allow);
    }
    assert!(limiter.is_empty());
    let endless = Rate { interval_us: u64::MAX, burst: u32::MAX, delay: Some(u32::MAX) };
    for now in [0, 1, u64::MAX - 1, u64::MAX] {
        assert_eq!(limiter.check(b"k", endless, now), Verdict::Allow);
    }
    assert_eq!(limiter.len(), 1);
}

#[test]
fn changed_rate_or_clock_locks_nobody_out() {
    let limiter = Limiter::new(1, 10);
    assert_eq!(limiter.check(b"k", rate(0.001, 0, None), 1_000_000 * SECOND), Verdict::Allow);
    // The new rate owes one of its own intervals at most, and the clock may even have gone back.
    assert_eq!(limiter.check(b"k", rate(1.0, 0, None), 1_000_000 * SECOND), refuse(SECOND));
    assert_eq!(limiter.check(b"k", rate(1.0, 5, None), 5), refuse(SECOND));
}

#[test]
fn keys_are_bounded() {
    for (shards, most) in [(1, 100), (4, 100), (16, 1000), (64, 8)] {
        let limiter = Limiter::new(shards, most);
        for number in 0..20_000_u32 {
            assert_eq!(limiter.check(&number.to_le_bytes(), rate(1.0, 0, None), u64::from(number)), Verdict::Allow);
        }
        assert!(limiter.len() <= most + shards, "{shards} {most}: {}", limiter.len());
        assert!(limiter.len() > most / 2, "{shards} {most}: {}", limiter.len());
    }
}

#[test]
fn over_goes_first() {
    let limiter = Limiter::new(1, 64);
    let (slow, fast) = (rate(0.001, 0, None), rate(1.0, 0, None));
    for number in 0..32_u8 {
        assert_eq!(limiter.check(&[1, number], slow, 0), Verdict::Allow);
        assert_eq!(limiter.check(&[2, number], fast, 0), Verdict::Allow);
    }
    // Those of the fast rate are over by now: all of the slow rate stay while the others make room.
    for number in 0..32_u8 {
        assert_eq!(limiter.check(&[3, number], fast, 5 * SECOND), Verdict::Allow);
    }
    for number in 0..32_u8 {
        assert!(matches!(limiter.check(&[1, number], slow, 5 * SECOND), Verdict::Refuse { .. }), "{number}");
    }
}

#[test]
fn nearest_goes_next() {
    let limiter = Limiter::new(1, 16);
    for number in 0..16_u64 {
        assert_eq!(limiter.check(&number.to_le_bytes(), rate(0.1, 0, None), number * 1000), Verdict::Allow);
    }
    assert_eq!(limiter.check(b"new", rate(0.1, 0, None), 20_000), Verdict::Allow);
    for number in (0..16_u64).rev() {
        let verdict = limiter.check(&number.to_le_bytes(), rate(0.1, 0, None), 20_000);
        assert_eq!(verdict == Verdict::Allow, number == 0, "{number}");
    }
}

#[test]
fn survives_a_reload() {
    let old = Limiter::new(8, 1000);
    let slow = rate(0.1, 1, None);
    for number in 0..500_u32 {
        assert_eq!(old.check(&number.to_le_bytes(), slow, 10), Verdict::Allow);
        assert_eq!(old.check(&number.to_le_bytes(), slow, 10), Verdict::Allow);
    }
    let bytes = old.export(10);
    assert_eq!(bytes.len(), 29 + 500 * 24);
    for (shards, most) in [(1, 1000), (3, 5000), (32, 1000)] {
        let new = Limiter::new(shards, most);
        assert_eq!(new.import(&bytes, 10), Ok(()));
        assert_eq!(new.import(&bytes, 10), Ok(()), "again, by the same secret");
        assert_eq!(new.len(), 500);
        for number in 0..500_u32 {
            assert_eq!(new.check(&number.to_le_bytes(), slow, 10), refuse(10 * SECOND));
        }
    }
    // Another process has a clock of its own; and who has paid meanwhile owes nothing.
    for now in [0, 1 << 40] {
        let new = Limiter::new(4, 1000);
        assert_eq!(new.import(&old.export(5 * SECOND + 10), now), Ok(()));
        assert_eq!(new.check(&7_u32.to_le_bytes(), slow, now), refuse(5 * SECOND));
    }
    assert_eq!(old.export(20 * SECOND + 10).len(), 29);
    let small = Limiter::new(2, 10);
    assert_eq!(small.import(&bytes, 10), Ok(()));
    assert_eq!(small.len(), 10);
    let used = Limiter::new(2, 10);
    assert_eq!(used.check(b"k", slow, 0), Verdict::Allow);
    assert_eq!(used.import(&bytes, 10), Err(ImportError::InUse));
    let empty = Limiter::new(1, 10);
    assert_eq!(empty.import(&Limiter::new(1, 1).export(0), 0), Ok(()));
    assert!(empty.is_empty());
}

#[test]
fn import_is_checked() {
    let old = Limiter::new(1, 10);
    for key in [b"a", b"b"] {
        assert_eq!(old.check(key, rate(1.0, 0, None), 0), Verdict::Allow);
    }
    let bytes = old.export(0);
    for length in 0..bytes.len() {
        let new = Limiter::new(1, 10);
        let want = if length < 5 { ImportError::Version } else { ImportError::Length };
        assert_eq!(new.import(&bytes[..length], 0), Err(want), "{length}");
        assert!(new.is_empty());
        assert_eq!(new.import(&bytes, 10), Ok(()), "what was refused left nothing behind");
    }
    assert_eq!(Limiter::new(1, 10).import(&[&bytes[..], b"x"].concat(), 0), Err(ImportError::Length));
    let mut huge = bytes.clone();
    huge[21..29].copy_from_slice(&u64::MAX.to_le_bytes());
    assert_eq!(Limiter::new(1, 10).import(&huge, 0), Err(ImportError::Length));
    let mut future = bytes;
    future[4] = 9;
    assert_eq!(Limiter::new(1, 10).import(&future, 0), Err(ImportError::Version));
    let mut noise = Noise::new(21);
    for _ in 0..5000 {
        let new = Limiter::new(2, 3);
        if new.import(&noise.mutate(&old.export(0)), 0).is_ok() {
            assert!(new.len() <= 3);
            assert_ne!(new.check(b"a", rate(1.0, 0, None), 5), Verdict::Delay(0));
        }
    }
}

#[test]
fn the_list_and_the_map_agree() {
    let mut noise = Noise::new(22);
    let limiter = Limiter::new(1, 40);
    let mut now = 0;
    for _ in 0..50_000 {
        now += noise.below(3000) as u64;
        let key = [noise.below(120) as u8];
        let verdict = limiter.check(&key, rate(100.0, 0, None), now);
        if verdict == Verdict::Allow {
            assert!(matches!(limiter.check(&key, rate(100.0, 0, None), now), Verdict::Refuse { .. }));
        }
    }
    assert!(limiter.len() <= 40);
}

#[test]
fn threads_share_it() {
    let limiter = Limiter::new(4, 1000);
    let passed = std::thread::scope(|scope| {
        let count = || (0..1000).filter(|_| limiter.check(b"one", rate(0.1, 99, None), 0) == Verdict::Allow).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("thread")).sum::<usize>()
    });
    assert_eq!(passed, 100);
}

#[test]
fn hashes_differ_between_limiters() {
    let exports = [(); 2].map(|()| {
        let limiter = Limiter::new(1, 10);
        assert_eq!(limiter.check(b"k", rate(1.0, 0, None), 0), Verdict::Allow);
        limiter.export(0)
    });
    assert_ne!(exports[0][29..45], exports[1][29..45]);
}
