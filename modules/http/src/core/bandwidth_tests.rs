use super::bandwidth::{Bandwidth, Share, Turn};
use super::limit::Limiter;

const SECOND: u64 = 1_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// Sends as much as is allowed until `end`, and returns how much that is and how often it woke up.
fn send(bandwidth: &mut Bandwidth, end: u64) -> (u64, u64) {
    let (mut now, mut sent, mut wakes) = (0, 0, 0);
    while now < end {
        let bytes = bandwidth.allow(now);
        bandwidth.spent(bytes);
        sent += bytes as u64;
        wakes += 1;
        let wait = bandwidth.wait_us(now);
        assert!(bytes > 0 && wait > 0);
        now += wait;
    }
    (sent, wakes)
}

#[test]
fn bandwidth_keeps_the_rate() {
    for rate in [1, 7, 64, 1000, 100_000, 10_000_000, 1 << 40] {
        for after in [0, 5000] {
            let (sent, wakes) = send(&mut Bandwidth::new(rate, after), 10 * SECOND);
            let most = rate * 10 + rate / 8 + 4097 + after;
            assert!((rate * 9 + after..=most).contains(&sent), "{rate} {after}: {sent}");
            assert!(rate > 1 << 20 || wakes <= 700, "{rate}: woke up {wakes} times");
        }
    }
}

#[test]
fn bandwidth_of_an_idle_stream() {
    let mut bandwidth = Bandwidth::new(8000, 0);
    assert_eq!(bandwidth.allow(0), 1000);
    bandwidth.spent(1000);
    assert_eq!(bandwidth.allow(0), 0);
    assert_eq!(bandwidth.wait_us(0), 15_625);
    assert_eq!(bandwidth.allow(15_624), 0);
    assert_eq!(bandwidth.allow(15_625), 125);
    assert_eq!(bandwidth.allow(1000 * SECOND), 1000);
    assert_eq!(bandwidth.allow(5), 1000, "a clock that goes back gives nothing and takes nothing");
    bandwidth.spent(9000);
    assert_eq!(bandwidth.wait_us(1000 * SECOND), SECOND + 15_625, "a debt is waited for");
}

#[test]
fn bandwidth_free_and_extreme() {
    let mut bandwidth = Bandwidth::new(800, 5000);
    assert_eq!(bandwidth.allow(0), 5100);
    bandwidth.spent(4999);
    assert_eq!((bandwidth.allow(0), bandwidth.wait_us(0)), (101, 0));
    bandwidth.spent(101);
    assert_eq!(bandwidth.allow(0), 0);
    let mut endless = Bandwidth::new(0, 0);
    endless.spent(usize::MAX);
    assert_eq!((endless.allow(0), endless.wait_us(u64::MAX)), (usize::MAX, 0));
    let mut fast = Bandwidth::new(u64::MAX, u64::MAX);
    assert_eq!(fast.allow(u64::MAX), usize::MAX);
    fast.spent(usize::MAX);
    fast.spent(usize::MAX);
    assert!(fast.wait_us(u64::MAX) > 0);
    let mut slow = Bandwidth::new(1, 0);
    for _ in 0..100 {
        slow.spent(usize::MAX);
    }
    assert!(slow.wait_us(0) > 1 << 60);
    assert_eq!(slow.allow(u64::MAX), 0);
}

/// Lets streams of these keys, who send pieces of so many bytes, take turns for `seconds`: what each of them sent.
fn together(rate: u64, streams: &[(&[u8], usize)], seconds: u64) -> Vec<u64> {
    let keys = Limiter::new(2, 100);
    let shares: Vec<_> = streams.iter().map(|(key, _)| Share::new(&keys, key, rate)).collect();
    let mut sent = vec![0; streams.len()];
    // When each of them asks again; the first of those that ask at one time always comes first.
    let mut at = vec![0; streams.len()];
    loop {
        let n = (0..at.len()).min_by_key(|n| at[*n]).expect("a stream");
        if at[n] > seconds * SECOND_NS {
            return sent;
        }
        let turn = shares[n].take(&keys, streams[n].1, at[n]);
        assert!(turn.bytes > 0 && turn.bytes <= streams[n].1);
        at[n] += turn.wait_ns;
        if at[n] <= seconds * SECOND_NS {
            sent[n] += turn.bytes as u64;
        }
    }
}

#[test]
fn streams_of_one_key_share_its_rate_evenly() {
    for rate in [1000, 100_000, 10_000_000, 1 << 32] {
        for streams in [1, 2, 7] {
            let sent = together(rate, &vec![(b"a".as_slice(), 64 << 10); streams], 10);
            let all: u64 = sent.iter().sum();
            // But for the turns that are waited for.
            assert!(all <= rate * 10 + rate / 8 && all + rate / 64 * streams as u64 >= rate * 10, "{rate}: {sent:?}");
            // The first has what was there at once.
            let fair = rate * 10 / streams as u64;
            assert!(sent.iter().all(|n| *n >= fair * 9 / 10 && *n <= fair + rate / 4), "{rate}: {sent:?}");
        }
    }
}

#[test]
fn small_pieces_are_not_held_back_by_large_ones_and_other_keys_by_none() {
    let sent = together(100_000, &[(b"a", 64 << 10), (b"a", 100), (b"b", 64 << 10)], 10);
    assert!(sent[1] >= 40_000, "a turn each: {sent:?}");
    assert!(sent[2] >= 990_000, "{sent:?}");
}

#[test]
fn the_slowest_rate_has_a_byte_at_once_and_one_a_second() {
    let keys = Limiter::new(1, 10);
    let share = Share::new(&keys, b"a", 1);
    let take = |now| share.take(&keys, 100, now);
    assert_eq!(take(0), Turn { bytes: 1, wait_ns: 0 });
    assert_eq!(take(0), Turn { bytes: 1, wait_ns: SECOND_NS });
    assert_eq!(take(SECOND_NS), Turn { bytes: 1, wait_ns: SECOND_NS });
    assert_eq!(take(10 * SECOND_NS), Turn { bytes: 1, wait_ns: 0 });
}

#[test]
fn what_is_given_back_is_there_for_others() {
    let keys = Limiter::new(1, 10);
    let share = Share::new(&keys, b"a", 8000);
    assert_eq!(share.take(&keys, usize::MAX, 0), Turn { bytes: 1000, wait_ns: 0 });
    let late = Turn { bytes: 125, wait_ns: SECOND_NS / 64 };
    assert_eq!(share.take(&keys, 4000, 0), late);
    share.give_back(&keys, 125, 0);
    assert_eq!(share.take(&keys, 4000, 0), late);
    // More than was ever taken is no more than nothing owed.
    share.give_back(&keys, usize::MAX, SECOND_NS);
    assert_eq!(share.take(&keys, usize::MAX, SECOND_NS), Turn { bytes: 1000, wait_ns: 0 });
}

#[test]
fn nothing_overflows() {
    let keys = Limiter::new(1, 10);
    for rate in [0, 1, u64::MAX] {
        let share = Share::new(&keys, &rate.to_le_bytes(), rate);
        for now in [0, u64::MAX] {
            for wanted in [0, 1, usize::MAX] {
                assert_eq!(share.take(&keys, wanted, now).bytes > 0, wanted > 0);
            }
        }
    }
}
