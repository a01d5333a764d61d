//! Shape of a histogram: the same fixed log-linear buckets for all, two to each power of two. A quantile is off by at most a
//! third of its value, and counting is a few instructions.

/// Buckets: up to 16, then two to each power of two up to 2³⁴ (17,180 s in microseconds, 16 GiB in bytes), then the rest.
pub const BUCKETS: usize = 62;
/// The cell behind the buckets: sum of all values.
pub(super) const SUM: u32 = BUCKETS as u32;
/// Cells of a histogram, whole cache lines.
pub(super) const CELLS: u32 = 64;

/// The bucket that counts `value`.
pub const fn bucket_of(value: u64) -> usize {
    if value <= 16 {
        return 0;
    }
    // Bounds are inclusive.
    let below = value - 1;
    let power = 63 - below.leading_zeros() as usize;
    let half = (below >> (power - 1)) as usize & 1;
    let index = 1 + (power - 4) * 2 + half;
    if index < BUCKETS { index } else { BUCKETS - 1 }
}

/// The largest value that bucket `index` counts. None: it has no upper bound.
pub const fn upper_bound(index: usize) -> Option<u64> {
    if index + 1 >= BUCKETS {
        return None;
    }
    if index == 0 {
        return Some(16);
    }
    let power = 4 + (index - 1) / 2;
    let half = (index - 1) % 2;
    Some((1 << power) + ((half as u64 + 1) << (power - 1)))
}

/// The counts of one histogram at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By bucket.
    pub counts: [u64; BUCKETS],
    /// Of all values, wrapping.
    pub sum: u64,
}

impl Snapshot {
    /// How many values.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The value below which the share `q` (0 to 1) of all values lies, interpolated within its bucket. None: no values.
    /// What lies above the last bound counts as that bound.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * count as f64;
        let mut below = 0u64;
        let mut lower = 0;
        for (index, &here) in self.counts.iter().enumerate() {
            let Some(upper) = upper_bound(index) else {
                break;
            };
            if here > 0 && (below + here) as f64 >= rank {
                let part = (rank - below as f64).max(0.0) / here as f64;
                return Some(lower as f64 + part * (upper - lower) as f64);
            }
            below += here;
            lower = upper;
        }
        Some(lower as f64)
    }
}
