//! The dynamic table (RFC 7541 section 2.3.2): names and values in a ring of bytes, their places in a ring of entries.

use super::OVERHEAD;
use super::names::Name;

/// One entry: where it lies, and what was found out about it when it came, so that no use of it asks again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    at: u32,
    pub(super) name_len: u32,
    pub(super) value_len: u32,
    /// Which name it is.
    pub(super) name: Name,
    /// Whether name and value are such as a message may have.
    pub(super) valid: bool,
}

impl Entry {
    fn size(&self) -> u32 {
        self.name_len + self.value_len + OVERHEAD
    }
}

/// The table of one direction. Allocates when the first entry comes, and never after that.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// How many entries were ever inserted, and how many of them are still there: the last ones.
    inserted: u32,
    len: u32,
    /// Where the next entry goes in `bytes`.
    end: u32,
    size: u32,
    max: u32,
    /// The largest `max` there may be.
    capacity: u32,
}

impl Table {
    pub(super) fn new(max: u32, capacity: u32) -> Self {
        Self { max, capacity: capacity.max(max), ..Self::default() }
    }

    /// The sum of the entries' sizes (RFC 7541 section 4.1).
    #[cfg(test)]
    pub(super) fn size(&self) -> u32 {
        self.size
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// What [`Table::size`] stays within.
    pub(super) fn max(&self) -> u32 {
        self.max
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// How many entries were ever inserted; wraps around.
    #[inline]
    pub(super) fn inserted(&self) -> u32 {
        self.inserted
    }

    /// Sets the size that the entries stay within, at most the capacity (RFC 7541 section 4.3).
    pub(super) fn resize(&mut self, max: u32) {
        self.max = max.min(self.capacity);
        self.evict(0);
    }

    /// The entry of `index`, the newest being 0, and its name and value one behind the other.
    #[inline]
    pub(super) fn entry(&self, index: u32) -> Option<(&Entry, &[u8])> {
        if index >= self.len {
            return None;
        }
        let place = self.inserted.wrapping_sub(index + 1) as usize & self.entries.len().wrapping_sub(1);
        let entry = self.entries.get(place)?;
        let pair = self.bytes.get(entry.at as usize..)?.get(..(entry.name_len + entry.value_len) as usize)?;
        Some((entry, pair))
    }

    /// Inserts name and value, which lie in `pair` one behind the other. One that is larger than the table empties it
    /// (RFC 7541 section 4.4), and `false` is returned.
    pub(super) fn insert(&mut self, pair: &[u8], name_len: usize, name: Name, valid: bool) -> bool {
        let length = pair.len() as u32;
        let size = length.saturating_add(OVERHEAD);
        self.evict(size);
        if size > self.max {
            return false;
        }
        if self.entries.is_empty() {
            // An entry that does not fit behind the last one goes to the beginning. What lives there is then at most
            // `capacity` bytes away from the end, so that twice the capacity never lets two meet.
            self.bytes = vec![0; self.capacity as usize * 2];
            self.entries = vec![Entry::default(); (self.capacity / OVERHEAD).next_power_of_two() as usize];
        }
        if self.end as usize + pair.len() > self.bytes.len() {
            self.end = 0;
        }
        let at = self.end as usize;
        self.bytes[at..at + pair.len()].copy_from_slice(pair);
        let place = self.inserted as usize & (self.entries.len() - 1);
        let name_len = name_len as u32;
        self.entries[place] = Entry { at: self.end, name_len, value_len: length - name_len, name, valid };
        self.end += length;
        self.inserted = self.inserted.wrapping_add(1);
        self.len += 1;
        self.size += size;
        true
    }

    /// Removes the oldest entries until `size` more bytes fit, or none is left (RFC 7541 section 4.4).
    #[inline]
    fn evict(&mut self, size: u32) {
        while self.len > 0 && self.size.saturating_add(size) > self.max {
            let place = self.inserted.wrapping_sub(self.len) as usize & (self.entries.len() - 1);
            self.size -= self.entries[place].size();
            self.len -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    #[test]
    fn entries_are_those_of_a_plain_list() {
        let mut state = 1u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        };
        for capacity in [64, 100, 500, 4096] {
            let mut table = Table::new(capacity, capacity);
            let mut list: VecDeque<(Vec<u8>, usize)> = VecDeque::new();
            for step in 0..3000 {
                let mut max = table.max();
                if step % 37 == 0 {
                    max = below(u64::from(capacity) + 1) as u32;
                    table.resize(max);
                } else {
                    let name = below(40) as usize;
                    let pair: Vec<u8> = (0..name + below(80) as usize).map(|_| below(256) as u8).collect();
                    table.insert(&pair, name, Name::OTHER, true);
                    list.push_front((pair, name));
                }
                let size =
                    |list: &VecDeque<(Vec<u8>, usize)>| list.iter().map(|(pair, _)| pair.len() + 32).sum::<usize>();
                while size(&list) > max as usize {
                    list.pop_back();
                }
                assert_eq!(table.size() as usize, size(&list));
                assert_eq!(table.len() as usize, list.len());
                for (index, (pair, name)) in list.iter().enumerate() {
                    let (entry, bytes) = table.entry(index as u32).unwrap();
                    assert_eq!((bytes, entry.name_len as usize), (&pair[..], *name));
                }
                assert!(table.entry(table.len()).is_none());
            }
        }
    }
}
