//! What is taken is what was put, in order, whatever way it went.

use super::{BATCH, Buffering, MEMORY, Memory, spool::Spool};
use anyproxy_module_api::testing::FakeHost;
use std::{future::poll_fn, path::Path, rc::Rc, task::Poll};

/// The byte at a place: no two runs of it look alike.
fn byte(at: usize) -> u8 {
    (at.wrapping_mul(0x9e37_79b1) >> 13) as u8
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Puts and takes in turns, until `total` went through. `hurry`: of 10 turns so many take something.
fn walk(how: &Buffering, seed: u64, hurry: u64, total: usize) {
    let host = FakeHost::new();
    let memory = Rc::<Memory>::default();
    let mut spool = Spool::new(how, Rc::clone(&memory), 1);
    let mut dice = Dice(seed);
    let (mut put, mut taken) = (0, 0);
    let take = |spool: &mut Spool, taken: &mut usize| {
        let got = host.run(poll_fn(|cx| spool.poll_pop(cx))).expect("readable");
        let bytes = got.unwrap_or_default();
        for (n, b) in bytes.iter().enumerate() {
            assert_eq!(*b, byte(*taken + n), "byte {}", *taken + n);
        }
        *taken += bytes.len();
        bytes.len()
    };
    while put < total {
        if dice.below(10) < hurry || !spool.has_room() {
            let n = take(&mut spool, &mut taken);
            assert!(n > 0 || spool.is_empty(), "something is there and is not given");
        } else {
            let len = [1, 100, 5000, 65_536, 200_000][dice.below(5) as usize];
            let bytes: Vec<_> = (put..put + len).map(byte).collect();
            spool.push(&bytes);
            put += len;
        }
        // Sometimes jobs are done before the next turn, sometimes not.
        host.run(poll_fn(|cx| {
            spool.poll(cx);
            Poll::Ready(())
        }));
        if dice.below(2) == 0 {
            host.run_until_stalled();
        }
        let most = how.memory + 3 * BATCH + 2 * 200_000;
        assert!(memory.bytes.get() <= most, "{} bytes of memory", memory.bytes.get());
    }
    while !spool.is_empty() {
        assert!(take(&mut spool, &mut taken) > 0);
    }
    assert_eq!(taken, put);
    drop(spool);
    assert_eq!(memory.bytes.get(), 0);
}

#[test]
fn all_comes_out_in_order() {
    let dir: &'static Path = Box::leak(std::env::temp_dir().into_boxed_path());
    for (memory, file) in
        [(64 << 10, 1 << 30), (0, 300 << 10), (200 << 10, 256 << 10), (100 << 10, 0), (0, 0), (0, 1000)]
    {
        for (seed, hurry) in [(1, 0), (2, 3), (3, 5), (4, 8)] {
            walk(&Buffering { memory, file, path: dir }, seed, hurry, 3 << 20);
        }
    }
}

#[test]
fn without_a_directory_it_stays_in_memory() {
    let how = Buffering { memory: 64 << 10, file: 1 << 30, path: Path::new("/no/such/directory") };
    for seed in 1..5 {
        walk(&how, seed, 3, 2 << 20);
    }
}

#[test]
fn where_all_together_keep_too_much_one_piece_at_a_time_is_taken() {
    let host = FakeHost::new();
    let memory = Rc::<Memory>::default();
    memory.bytes.set(MEMORY);
    let how = Buffering { memory: 1 << 20, file: 0, path: Path::new("/") };
    let mut spool = Spool::new(&how, Rc::clone(&memory), 1);
    assert!(spool.has_room());
    spool.push(b"one");
    assert!(!spool.has_room());
    let popped = host.run(poll_fn(|cx| spool.poll_pop(cx))).expect("in memory");
    assert_eq!(popped.as_deref(), Some(&b"one"[..]));
    assert!(spool.has_room());
}
