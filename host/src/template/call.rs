//! One call of a function: its arguments lie at the end of the output buffer, the result is written behind them and
//! moved over them when the call ends. So a call allocates nothing of its own.

use std::ops::Range;

/// Most arguments of a function.
pub const MAX_ARGUMENTS: usize = 8;
/// Longest result of a function, in bytes. Replacing each byte of one peer's header by another header would have none.
pub const MAX_RESULT: usize = 1024 * 1024;

/// The arguments and the result of one call.
pub struct Call<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    args: [Option<(usize, usize)>; MAX_ARGUMENTS],
    count: usize,
    /// Where the result begins: behind the last argument.
    result: usize,
    over: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, args: [None; MAX_ARGUMENTS], count: 0, result: start, over: false }
    }

    /// Adds the next argument: `write` appends it and says whether it has a value. More than [`MAX_ARGUMENTS`] are ignored.
    pub(super) fn add_argument(&mut self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        if self.count == MAX_ARGUMENTS {
            return;
        }
        let from = self.out.len();
        let present = write(self.out);
        self.args[self.count] = present.then_some((from, self.out.len()));
        self.count += 1;
        self.result = self.out.len();
    }

    /// Moves the result to where the arguments were. False: it was longer than [`MAX_RESULT`].
    pub(super) fn finish(self) -> bool {
        let len = self.out.len() - self.result;
        self.out.copy_within(self.result.., self.start);
        self.out.truncate(self.start + len);
        !self.over
    }

    /// Notes a result that would become too long; true: nothing may be added.
    fn exceeds(&mut self, more: usize) -> bool {
        self.over |= self.out.len() - self.result + more > MAX_RESULT;
        self.over
    }

    /// True: the result became longer than [`MAX_RESULT`], so the call has none.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// How many arguments were given.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The argument's value. None: not given, or without a value.
    pub fn argument(&self, index: usize) -> Option<&[u8]> {
        let (from, to) = (*self.args.get(index)?)?;
        Some(&self.out[from..to])
    }

    /// Appends to the result.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.exceeds(bytes.len()) {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Appends a part of an argument to the result; the range is cut to what the argument has.
    pub fn push_argument(&mut self, index: usize, range: Range<usize>) {
        if let Some(Some((from, to))) = self.args.get(index).copied() {
            let len = to - from;
            let (a, b) = (range.start.min(len), range.end.min(len));
            if a < b && !self.exceeds(b - a) {
                self.out.extend_from_within(from + a..from + b);
            }
        }
    }

    /// The result so far, to change in place.
    pub fn result_mut(&mut self) -> &mut [u8] {
        &mut self.out[self.result..]
    }

    /// Writes the result by a function that fills a slice: `fill` gets the arguments and room for the result and returns
    /// the length it needs. When that exceeds the room it is called once more with enough. False: it wanted more than
    /// `limit` bytes, or still more the second time; nothing was written.
    pub fn fill(&mut self, limit: usize, mut fill: impl FnMut(&[Option<&[u8]>], &mut [u8]) -> usize) -> bool {
        let base = self.out.len();
        let limit = limit.min(MAX_RESULT);
        let mut room = 256.min(limit);
        for _ in 0..2 {
            self.out.resize(base + room, 0);
            let (before, space) = self.out.split_at_mut(base);
            let mut args: [Option<&[u8]>; MAX_ARGUMENTS] = [None; MAX_ARGUMENTS];
            for (slot, arg) in args.iter_mut().zip(&self.args) {
                *slot = arg.map(|(from, to)| &before[from..to]);
            }
            let need = fill(&args[..self.count], space);
            if need <= room {
                self.out.truncate(base + need);
                return true;
            }
            if need > limit {
                break;
            }
            room = need;
        }
        self.out.truncate(base);
        false
    }
}
