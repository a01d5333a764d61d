//! How fast streams may send: one by itself ([`Bandwidth`]), or all that have a key in common ([`Share`]). A rate, a count
//! of bytes and the time come in; what may be sent, and when, goes out.

use super::limit::Limiter;

/// Limits how fast one stream sends: a bucket that fills at a constant rate.
///
/// It holds what comes in an eighth of a second, so that a stream that had nothing to send does not make up for it, and
/// gives nothing out before a 64th of a second's worth (4 KiB at most) is in, so that nobody wakes up for a few bytes.
#[derive(Debug, Clone)]
pub struct Bandwidth {
    rate: u64,
    /// Bytes that are free yet.
    free: u64,
    /// Bytes that may be sent, times a million; below zero if more was sent.
    credit: i128,
    last_us: Option<u64>,
}

/// Units of credit in a byte: a rate in bytes a second times microseconds.
const UNIT: i128 = 1_000_000;

impl Bandwidth {
    /// A stream limited to `rate` bytes a second (0: no limit) once `after` bytes have been sent.
    #[must_use]
    pub fn new(rate: u64, after: u64) -> Self {
        let mut bandwidth = Self { rate, free: after, credit: 0, last_us: None };
        bandwidth.credit = bandwidth.most();
        bandwidth
    }

    fn most(&self) -> i128 {
        i128::from((self.rate / 8).max(1)) * UNIT
    }

    fn least(&self) -> i128 {
        i128::from((self.rate / 64).clamp(1, 4096)) * UNIT
    }

    fn refill(&mut self, now_us: u64) {
        let elapsed = now_us.saturating_sub(*self.last_us.get_or_insert(now_us));
        self.last_us = self.last_us.max(Some(now_us));
        let gain = i128::from(elapsed) * i128::from(self.rate);
        self.credit = self.credit.saturating_add(gain).min(self.most());
    }

    /// How many bytes may be sent now; with 0, see [`wait_us`](Self::wait_us). Report what was sent with
    /// [`spent`](Self::spent).
    #[must_use]
    pub fn allow(&mut self, now_us: u64) -> usize {
        if self.rate == 0 {
            return usize::MAX;
        }
        self.refill(now_us);
        let credit = if self.credit < self.least() { 0 } else { u64::try_from(self.credit / UNIT).unwrap_or(u64::MAX) };
        usize::try_from(self.free.saturating_add(credit)).unwrap_or(usize::MAX)
    }

    /// Counts bytes that were sent. If they were more than allowed, the stream waits for longer.
    pub fn spent(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        let paid = bytes.saturating_sub(self.free);
        self.free = self.free.saturating_sub(bytes);
        self.credit = self.credit.saturating_sub(i128::from(paid) * UNIT);
    }

    /// How long it is until bytes may be sent again, in µs; 0 if some may be now.
    #[must_use]
    pub fn wait_us(&mut self, now_us: u64) -> u64 {
        if self.rate == 0 || self.free > 0 {
            return 0;
        }
        self.refill(now_us);
        let missing = u128::try_from(self.least() - self.credit).unwrap_or_default();
        u64::try_from(missing.div_ceil(self.rate.into())).unwrap_or(u64::MAX)
    }
}

/// Limits how fast all streams of one key send together.
///
/// A stream takes its turn, a few bytes, behind those that were taken before, and sends them when their time is there: so
/// each of several comes on as fast as the others, however many there are and whatever pieces they have. What a key left
/// unused in the last eighth of a second is there at once. The keys are a [`Limiter`]'s, with times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    hash: u128,
    rate: u64,
}

/// What a stream may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// At least one, if any were wanted.
    pub bytes: usize,
    /// After so long, in ns.
    pub wait_ns: u64,
}

const SECOND_NS: u64 = 1_000_000_000;
/// Nobody waits for longer than a day for a turn: so far ahead are no counters but broken ones.
const MOST_NS: u64 = 86_400 * SECOND_NS;

impl Share {
    /// Of `key`, at `rate` bytes a second, which is above 0. Two rates for one key need keys that differ.
    #[must_use]
    pub fn new(keys: &Limiter, key: &[u8], rate: u64) -> Self {
        Self { hash: keys.hash(key), rate: rate.max(1) }
    }

    /// Takes a turn for up to `wanted` bytes: they count from now on, whether they are sent or not.
    #[must_use]
    pub fn take(self, keys: &Limiter, wanted: usize, now_ns: u64) -> Turn {
        let at_once = (SECOND_NS / 8).max(self.time_of(1));
        keys.update(self.hash, now_ns, |owed| {
            let ahead = (owed - now_ns).min(MOST_NS);
            let free = u128::from(at_once.saturating_sub(ahead)) * u128::from(self.rate) / u128::from(SECOND_NS);
            let free = u64::try_from(free).unwrap_or(u64::MAX);
            let bytes = (wanted as u64).min(free.max(self.turn()));
            let ahead = ahead.saturating_add(self.time_of(bytes));
            let turn = Turn { bytes: bytes as usize, wait_ns: ahead.saturating_sub(at_once) };
            (now_ns.saturating_add(ahead), turn)
        })
    }

    /// Gives back what was taken and will not be sent.
    pub fn give_back(self, keys: &Limiter, bytes: usize, now_ns: u64) {
        keys.update(self.hash, now_ns, |owed| (owed.saturating_sub(self.time_of(bytes as u64)), ()));
    }

    /// Bytes of a turn that has to wait: small, so that many take turns, but no more than 512 of them a second, or 64 where
    /// they have less than 4 KiB.
    fn turn(self) -> u64 {
        (self.rate / 64).clamp(1, 4096).max(self.rate / 512)
    }

    /// Rounded up: no rate is ever exceeded.
    fn time_of(self, bytes: u64) -> u64 {
        let time = (u128::from(bytes) * u128::from(SECOND_NS)).div_ceil(self.rate.into());
        u64::try_from(time).unwrap_or(u64::MAX)
    }
}
