//! How often a key may ask ([`Limiter`]). Knows nothing of requests: a key, a rate and the time come in, a verdict goes out.
//!
//! The rate is kept by the generic cell rate algorithm (ITU-T I.371, annex A): of each key only the time is stored when
//! its requests so far are paid for. Times are microseconds of one clock that never goes back, any that is the same
//! after a reload. What streams send under one key (`bandwidth`) is counted in the same way, in a limiter of its own.

use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// Most shards of a [`Limiter`].
pub const MAX_SHARDS: usize = 1024;
/// Most keys of a [`Limiter`], about 80 bytes each.
pub const MAX_KEYS: usize = 1 << 26;
/// How many keys are looked at to make room for one.
const SAMPLE: usize = 16;

/// How often one key may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The time that one request pays for, in µs; 0 sets no limit.
    pub interval_us: u64,
    /// How many requests may come ahead of their time.
    pub burst: u32,
    /// What those that come ahead have to wait. `None`: nothing (nginx's `nodelay`). `Some(n)`: nothing for the first
    /// `n` of them, and for the others until no more than `n` are ahead (nginx's `delay=n`; 0 is its default).
    pub delay: Option<u32>,
}

impl Rate {
    /// A rate in requests a second, such as 100 or 0.5. `None` if it is no number, above a million, or so small that
    /// one request takes longer than a year.
    #[must_use]
    pub fn per_second(requests: f64, burst: u32, delay: Option<u32>) -> Option<Self> {
        let interval = (1e6 / requests).round();
        // The bounds leave out what is not a number, too.
        (1.0..=366.0 * 86_400e6).contains(&interval).then_some(Self { interval_us: interval as u64, burst, delay })
    }

    fn times(&self, requests: u32) -> u64 {
        self.interval_us.saturating_mul(requests.into())
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It passes after this many µs. It is counted, whether it waits or not.
    Delay(u64),
    /// It is refused and not counted.
    Refuse {
        /// The time until it would have passed, in µs: rounded up to seconds, the `Retry-After` (RFC 9110 10.2.3).
        retry_after_us: u64,
    },
}

/// Why an export was not taken over. Nothing of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportError {
    /// It is not an export, or one of a version that is not known here.
    Version,
    /// Its length is not what it says.
    Length,
    /// There are keys already, whose hashes are secret to this limiter: import first.
    InUse,
}

impl std::fmt::Display for ImportError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "counters of an unknown version",
            Self::Length => "counters cut off",
            Self::InUse => "counters for a limiter that is in use",
        })
    }
}

impl std::error::Error for ImportError {}

/// Limits how often each of many keys may ask; can be shared by threads.
///
/// Of a key only a hash of 128 bits is kept, made with a random secret, so that nobody can make two keys meet. Where a
/// shard is full, of 16 keys those whose time is over make room, which changes no verdict, or else the one of them that
/// is nearest to it.
pub struct Limiter {
    secret: OnceLock<[u64; 2]>,
    shards: Box<[Mutex<Shard>]>,
    most: usize,
}

impl Limiter {
    /// A limiter for `max_keys` keys at a time, spread over `shards` locks; each at least one and bounded by
    /// [`MAX_SHARDS`] and [`MAX_KEYS`]. Memory is taken as keys come.
    #[must_use]
    pub fn new(shards: usize, max_keys: usize) -> Self {
        let max_keys = max_keys.clamp(1, MAX_KEYS);
        let shards = shards.clamp(1, MAX_SHARDS).min(max_keys);
        Self {
            secret: OnceLock::new(),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            most: max_keys.div_ceil(shards),
        }
    }

    /// Counts a request of `key` at `now_us`, unless it is refused. Two rates for one key need two limiters, or keys
    /// that differ.
    #[must_use]
    pub fn check(&self, key: &[u8], rate: Rate, now_us: u64) -> Verdict {
        if rate.interval_us == 0 {
            return Verdict::Allow;
        }
        let hash = self.hash(key);
        let mut shard = self.shard(hash);
        let now_us = shard.now(now_us);
        // No more can be owed than a full burst: a rate that has changed, or an import, does not lock a key out.
        let most = now_us.saturating_add(rate.times(rate.burst)).saturating_add(rate.interval_us);
        let owed = shard.get(hash).unwrap_or_default().clamp(now_us, most);
        let ahead = owed - now_us;
        if let Some(retry_after_us) = ahead.checked_sub(rate.times(rate.burst)).filter(|&wait| wait > 0) {
            return Verdict::Refuse { retry_after_us };
        }
        shard.set(hash, owed.saturating_add(rate.interval_us), now_us, self.most);
        match rate.delay.map(|free| ahead.saturating_sub(rate.times(free))) {
            None | Some(0) => Verdict::Allow,
            Some(wait) => Verdict::Delay(wait),
        }
    }

    /// Has `f` say the new time, and more, from the one until which the key of this hash has paid, which is `now` at least.
    pub(super) fn update<T>(&self, hash: u128, now: u64, f: impl FnOnce(u64) -> (u64, T)) -> T {
        let mut shard = self.shard(hash);
        let now = shard.now(now);
        let (owed, told) = f(shard.get(hash).unwrap_or_default().max(now));
        shard.set(hash, owed, now, self.most);
        told
    }

    /// How many keys there are, those whose time is over included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).entries.len()).sum()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What stands for a key here, also after an import.
    pub(super) fn hash(&self, key: &[u8]) -> u128 {
        let &[first, second] = self.secret.get_or_init(|| {
            let random = RandomState::new();
            [random.hash_one(1), random.hash_one(2)]
        });
        let mut hasher = SipHasher13::new_with_keys(first, second);
        hasher.write(key);
        hasher.finish128().as_u128()
    }

    fn shard(&self, hash: u128) -> MutexGuard<'_, Shard> {
        // The upper half; the map within the shard uses the lower one.
        let index = (hash >> 64) as usize % self.shards.len();
        lock(&self.shards[index])
    }

    /// The keys that have not paid yet at `now_us` as bytes, for [`import`](Self::import) by another image of this module,
    /// also in another process, whose clock is another. They hold the secret of the hashes: not for a disk.
    ///
    /// Version 2 of the format, numbers in little endian: `APLM`, the version as one byte, the secret as two numbers of
    /// 64 bits, the count of keys as one of 64, and for each its hash of 128 bits and the time until it has paid of 64.
    #[must_use]
    pub fn export(&self, now_us: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.len() * ENTRY);
        out.extend_from_slice(MAGIC);
        // Makes the secret if there is none, so that an export of nothing is as good as any other.
        self.hash(b"");
        for number in self.secret.get().copied().unwrap_or_default() {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let count_at = out.len();
        out.extend_from_slice(&[0; 8]);
        let mut count = 0_u64;
        for shard in &self.shards {
            let shard = lock(shard);
            let owing = |&(hash, owed): &(u128, u64)| Some((hash, owed.checked_sub(now_us).filter(|&left| left > 0)?));
            for (hash, left) in shard.entries.iter().filter_map(owing) {
                out.extend_from_slice(&hash.to_le_bytes());
                out.extend_from_slice(&left.to_le_bytes());
                count += 1;
            }
        }
        if let Some(place) = out.get_mut(count_at..HEAD) {
            place.copy_from_slice(&count.to_le_bytes());
        }
        out
    }

    /// Takes over what [`export`](Self::export) gave, as of `now_us`, with any number of shards and keys. What there is no
    /// room for is left out.
    ///
    /// # Errors
    ///
    /// See [`ImportError`].
    pub fn import(&self, bytes: &[u8], now_us: u64) -> Result<(), ImportError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ImportError::Version)?;
        let (head, entries) = rest.split_at_checked(HEAD - MAGIC.len()).ok_or(ImportError::Length)?;
        let mut head = head.chunks_exact(8).map(number);
        let (Some(first), Some(second), Some(count)) = (head.next(), head.next(), head.next()) else {
            return Err(ImportError::Length);
        };
        let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY));
        if length != Some(entries.len()) {
            return Err(ImportError::Length);
        }
        if *self.secret.get_or_init(|| [first, second]) != [first, second] {
            return Err(ImportError::InUse);
        }
        for entry in entries.chunks_exact(ENTRY) {
            let (low, rest) = entry.split_at_checked(8).unwrap_or_default();
            let (high, left) = rest.split_at_checked(8).unwrap_or_default();
            let hash = u128::from(number(high)) << 64 | u128::from(number(low));
            let mut shard = self.shard(hash);
            if shard.entries.len() < self.most || shard.get(hash).is_some() {
                shard.set(hash, now_us.saturating_add(number(left)), now_us, self.most);
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for Limiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limiter").field("shards", &self.shards.len()).field("keys", &self.len()).finish_non_exhaustive()
    }
}

const MAGIC: &[u8] = b"APLM\x02";
const HEAD: usize = MAGIC.len() + 24;
const ENTRY: usize = 24;

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |&bytes| u64::from_le_bytes(bytes))
}

/// A thread that panicked while it held the lock left the map whole: nothing in between panics but for want of memory.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The keys in a list, in which a sample is cheap, and where in it each one is.
#[derive(Default)]
struct Shard {
    entries: Vec<(u128, u64)>,
    places: HashMap<u128, u32, BuildHasherDefault<Hashed>>,
    /// Where the last sample ended.
    hand: usize,
    latest_us: u64,
}

impl Shard {
    /// The latest time that anybody came with: a worker looks at its clock once a turn of its loop, and what another one said
    /// of its own clock since would seem to be ahead of its time.
    fn now(&mut self, now_us: u64) -> u64 {
        self.latest_us = self.latest_us.max(now_us);
        self.latest_us
    }

    fn get(&self, hash: u128) -> Option<u64> {
        let &place = self.places.get(&hash)?;
        self.entries.get(place as usize).map(|&(_, owed)| owed)
    }

    fn set(&mut self, hash: u128, owed: u64, now_us: u64, most: usize) {
        if let Some(entry) = self.places.get(&hash).and_then(|&place| self.entries.get_mut(place as usize)) {
            entry.1 = owed;
            return;
        }
        if self.entries.len() >= most {
            self.make_room(now_us);
        }
        // MAX_KEYS fits.
        self.places.insert(hash, self.entries.len() as u32);
        self.entries.push((hash, owed));
    }

    fn make_room(&mut self, now_us: u64) {
        let full = self.entries.len();
        let mut nearest: Option<(u64, usize)> = None;
        for _ in 0..SAMPLE.min(full) {
            if self.hand >= self.entries.len() {
                self.hand = 0;
            }
            let Some(&(_, owed)) = self.entries.get(self.hand) else { break };
            if owed <= now_us {
                // The last entry is here now, to be looked at next.
                self.remove(self.hand);
                continue;
            }
            if nearest.is_none_or(|(least, _)| owed < least) {
                nearest = Some((owed, self.hand));
            }
            self.hand += 1;
        }
        if let Some((_, place)) = nearest.filter(|_| self.entries.len() == full) {
            self.remove(place);
        }
    }

    fn remove(&mut self, place: usize) {
        if place >= self.entries.len() {
            return;
        }
        let (hash, _) = self.entries.swap_remove(place);
        self.places.remove(&hash);
        if let Some((moved, _)) = self.entries.get(place) {
            self.places.insert(*moved, place as u32);
        }
    }
}

/// What is hashed is a hash already.
#[derive(Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= number(bytes);
    }

    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
