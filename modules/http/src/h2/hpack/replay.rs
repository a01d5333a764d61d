//! The block that was encoded last, as long as the table stays as it was: where the next one begins with the same fields,
//! it begins with the same bytes. A server's responses differ in few fields, which often come last.

use super::super::text;

/// What is remembered at most of a block: fields, and bytes of their names and values.
const FIELDS: usize = 32;
const BYTES: usize = 1024;

/// One field: what it is, and where its bytes end.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Kind, length of the name, and length of the value.
    shape: u64,
    /// The end of name and value in `raw`, which begin at the end of those before.
    raw: u32,
    /// In `encoded`.
    end: u32,
}

/// Kind and lengths in a word. Different ones are only the same where the lengths are beyond what is remembered.
#[inline]
fn shape(kind: u16, name: &[u8], value: &[u8]) -> u64 {
    u64::from(kind) << 48 | (name.len() as u64) << 24 ^ value.len() as u64
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// All fields so far were the same; none of them is written yet.
    Follow,
    /// They are not any more, and are remembered for the next block.
    Record,
    /// Neither.
    #[default]
    Off,
}

/// The fields of one block and what they were encoded to.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    steps: Vec<Step>,
    raw: Vec<u8>,
    encoded: Vec<u8>,
    /// How many fields were the same.
    followed: usize,
    state: State,
    /// The table has changed, and with it the bytes.
    stale: bool,
}

impl Replay {
    /// A block begins.
    #[inline]
    pub(super) fn begin(&mut self) {
        self.followed = 0;
        self.state = State::Follow;
        if self.stale {
            self.stale = false;
            self.truncate();
        }
    }

    /// The table has changed.
    pub(super) fn invalidate(&mut self) {
        self.stale = true;
        if self.state == State::Record {
            self.state = State::Off;
        }
    }

    /// The next field is to be written in another way when it comes again; it and those behind it are not remembered.
    pub(super) fn stop(&mut self) {
        self.state = State::Off;
    }

    /// Whether the next field is the same as in the block before. `kind` is all that counts beside name and value.
    #[inline]
    pub(super) fn follow(&mut self, kind: u16, name: &[u8], value: &[u8]) -> bool {
        if self.state != State::Follow {
            return false;
        }
        let Some(&Step { shape: its_shape, raw, .. }) = self.steps.get(self.followed) else { return false };
        if shape(kind, name, value) != its_shape {
            return false;
        }
        let (length, end) = (name.len() + value.len(), raw as usize);
        let Some(its) = self.raw.get(end.wrapping_sub(length)..end) else { return false };
        let Some((its_name, its_value)) = its.split_at_checked(name.len()) else { return false };
        let same = text::is_same(name, its_name) && text::is_same(value, its_value);
        self.followed += usize::from(same);
        same
    }

    /// The next field is another one: writes those that were the same.
    #[inline]
    pub(super) fn leave(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Follow {
            self.end(out);
            self.truncate();
            self.state = State::Record;
        }
    }

    /// A field was written.
    #[inline]
    pub(super) fn record(&mut self, kind: u16, name: &[u8], value: &[u8], encoded: &[u8]) {
        if self.state != State::Record {
            return;
        }
        if self.steps.len() == FIELDS || self.raw.len() + name.len() + value.len() > BYTES {
            self.state = State::Off;
            return;
        }
        self.raw.extend_from_slice(name);
        self.raw.extend_from_slice(value);
        self.encoded.extend_from_slice(encoded);
        let (raw, end) = (self.raw.len() as u32, self.encoded.len() as u32);
        self.steps.push(Step { shape: shape(kind, name, value), raw, end });
    }

    /// The block ends: writes what is not written yet.
    #[inline]
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if self.state == State::Follow
            && let Some(last) = self.followed.checked_sub(1).and_then(|last| self.steps.get(last))
        {
            out.extend_from_slice(&self.encoded[..last.end as usize]);
        }
    }

    /// Forgets the fields that are not the same.
    fn truncate(&mut self) {
        self.steps.truncate(self.followed);
        let (raw, end) = self.steps.last().map_or((0, 0), |last| (last.raw, last.end));
        self.raw.truncate(raw as usize);
        self.encoded.truncate(end as usize);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.steps.capacity() * size_of::<Step>() + self.raw.capacity() + self.encoded.capacity()
    }
}
