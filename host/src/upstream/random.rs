//! Numbers that spread load and times. None of them is a secret.

use std::cell::Cell;

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Random bits that need not be secret (splitmix64, seeded by the process).
pub(super) fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    RANDOM.with(|r| {
        if r.get() == 0 {
            r.set(std::hash::RandomState::new().build_hasher().finish() | 1);
        }
        let next = r.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        r.set(next);
        let z = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
