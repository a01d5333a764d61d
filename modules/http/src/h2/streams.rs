//! The open streams of a connection, by id. Knows nothing of frames.

use super::flow::{Receive, Send};
use crate::core::priority::Priority;

/// No `content-length` holds the data to anything.
pub(super) const UNKNOWN: u64 = u64::MAX;

/// One open stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    /// 0 where the place is free.
    pub(super) id: u32,
    pub(super) key: u32,
    pub(super) send: Send,
    pub(super) receive: Receive,
    /// Content that must still come, or [`UNKNOWN`].
    pub(super) expected: u64,
    /// A head was received that is no interim one; or sent.
    pub(super) received_head: bool,
    pub(super) sent_head: bool,
    pub(super) received_end: bool,
    pub(super) sent_end: bool,
    /// The request is `HEAD`, or `CONNECT`: what is said of content in the response means something else.
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    /// What PRIORITY_UPDATE said last.
    pub(super) priority: Option<Priority>,
}

/// The streams that were closed last: those whose frames may still be on their way (or as many as may be open, where that is
/// more: the peer may not have heard of one of their ends), and those that are done with.
const RESETS: usize = 128;
const CLOSED: usize = 8;

/// All open streams.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// Id and slot, at or behind the place that the id says; id 0 where there is none. Ids go up by two, so that streams
    /// that are open together rarely meet. At least half of it is empty.
    map: Vec<(u32, u32)>,
    len: usize,
    reset: Vec<u32>,
    most_reset: usize,
    /// The place of the next one, once there are so many.
    resets: usize,
    closed: [u32; CLOSED],
    closes: usize,
}

impl Streams {
    /// None is open. `most` may be at once.
    pub(super) fn new(most: u32) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            map: vec![(0, 0); 16],
            len: 0,
            reset: Vec::new(),
            most_reset: RESETS.max(most as usize),
            resets: 0,
            closed: [0; CLOSED],
            closes: 0,
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.slots.capacity() * size_of::<Stream>()
            + (self.free.capacity() + self.reset.capacity()) * 4
            + self.map.capacity() * 8
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The slot of a stream; `None` where it is not open.
    #[inline]
    pub(super) fn find(&self, id: u32) -> Option<usize> {
        let mask = self.map.len() - 1;
        let mut place = (id >> 1) as usize & mask;
        loop {
            let (there, slot) = self.map[place];
            if there == id && id != 0 {
                return Some(slot as usize);
            }
            if there == 0 {
                return None;
            }
            place = (place + 1) & mask;
        }
    }

    /// The stream in a slot that [`Streams::find`] or [`Streams::insert`] gave.
    #[inline]
    pub(super) fn at(&mut self, slot: usize) -> &mut Stream {
        &mut self.slots[slot]
    }

    /// The stream, where it is open.
    #[inline]
    pub(super) fn stream(&mut self, id: u32) -> Option<&mut Stream> {
        let slot = self.find(id)?;
        Some(&mut self.slots[slot])
    }

    /// The stream, where it is open.
    #[inline]
    pub(super) fn peek(&self, id: u32) -> Option<&Stream> {
        Some(&self.slots[self.find(id)?])
    }

    /// All open streams.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().filter(|stream| stream.id != 0)
    }

    /// Adds a stream that is not there, with these windows.
    pub(super) fn insert(&mut self, id: u32, send: u32, receive: u32) -> usize {
        if (self.len + 1) * 2 > self.map.len() {
            self.widen();
        }
        let stream = Stream {
            id,
            key: 0,
            send: Send::new(send),
            receive: Receive::new(receive),
            expected: UNKNOWN,
            received_head: false,
            sent_head: false,
            received_end: false,
            sent_end: false,
            is_head: false,
            is_connect: false,
            priority: None,
        };
        let slot = if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = stream;
            slot as usize
        } else {
            self.slots.push(stream);
            self.slots.len() - 1
        };
        self.place(id, slot as u32);
        self.len += 1;
        slot
    }

    fn place(&mut self, id: u32, slot: u32) {
        let mask = self.map.len() - 1;
        let mut place = (id >> 1) as usize & mask;
        while self.map[place].0 != 0 {
            place = (place + 1) & mask;
        }
        self.map[place] = (id, slot);
    }

    fn widen(&mut self) {
        let wider = vec![(0, 0); self.map.len() * 2];
        for (id, slot) in std::mem::replace(&mut self.map, wider) {
            if id != 0 {
                self.place(id, slot);
            }
        }
    }

    /// Removes the stream in a slot, with which both sides are done.
    pub(super) fn complete(&mut self, slot: usize) {
        self.closed[self.closes % CLOSED] = self.slots[slot].id;
        self.closes = self.closes.wrapping_add(1);
        self.remove(slot);
    }

    /// Removes the stream in a slot, of which more frames may come.
    pub(super) fn abandon(&mut self, slot: usize) {
        self.ignore(self.slots[slot].id);
        self.remove(slot);
    }

    /// Frames of a stream that is not open may come.
    pub(super) fn ignore(&mut self, id: u32) {
        if self.reset.len() < self.most_reset {
            self.reset.push(id);
            return;
        }
        self.reset[self.resets] = id;
        self.resets = (self.resets + 1) % self.most_reset;
    }

    /// Whether frames may come of a stream that is not open.
    pub(super) fn is_ignored(&self, id: u32) -> bool {
        self.reset.contains(&id)
    }

    /// Whether a stream was completed lately.
    pub(super) fn was_completed(&self, id: u32) -> bool {
        self.closed.contains(&id)
    }

    fn remove(&mut self, slot: usize) {
        let id = std::mem::take(&mut self.slots[slot].id);
        self.free.push(slot as u32);
        self.len -= 1;
        let mask = self.map.len() - 1;
        let mut hole = (id >> 1) as usize & mask;
        while self.map[hole].0 != id {
            hole = (hole + 1) & mask;
        }
        // What is behind moves up, where the hole lies between its own place and where it is.
        let mut next = (hole + 1) & mask;
        while self.map[next].0 != 0 {
            let home = (self.map[next].0 >> 1) as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.map[hole] = self.map[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.map[hole] = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn streams_are_found_as_in_a_plain_map() {
        let mut state = 7u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        };
        for stride in [1, 16, 64] {
            let (mut streams, mut map, mut next) = (Streams::new(300), HashMap::new(), 1u32);
            for _ in 0..20_000 {
                if below(2) == 0 && map.len() < 300 {
                    let slot = streams.insert(next, 1, 1);
                    streams.at(slot).key = next + 7;
                    map.insert(next, slot);
                    next += 2 * (1 + below(stride) as u32);
                } else if let Some((&id, &slot)) = map.iter().nth(below(map.len().max(1) as u64) as usize) {
                    map.remove(&id);
                    streams.complete(slot);
                    assert!(streams.was_completed(id));
                }
                let id = below(u64::from(next) + 10) as u32;
                assert_eq!(streams.find(id), map.get(&id).copied());
                assert_eq!(streams.len(), map.len());
            }
            assert!(map.keys().all(|&id| streams.stream(id).is_some_and(|stream| stream.key == id + 7)));
            assert_eq!(streams.iter_mut().count(), map.len());
            assert!(streams.slots.len() <= 300);
        }
    }
}
