//! Streams that wait for room in what is to be sent: whose turn it is. Knows nothing of what they send.

use std::collections::VecDeque;

/// So often the one that waits longest has its turn, however urgent the others are: none waits for ever.
const FAIR: u32 = 8;

/// Who waits, in order, with its urgency (RFC 9218): smaller ones come first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<(u32, u8)>,
    given: u32,
}

impl Turns {
    pub(super) fn push(&mut self, key: u32, urgency: u8) {
        self.waiting.push_back((key, urgency));
    }

    /// It is gone. Those that stay would add up where more urgent ones always wait.
    pub(super) fn remove(&mut self, key: u32) {
        self.waiting.retain(|(k, _)| *k != key);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The urgency of those whose turn it is. Others have none beside them: they would get as much.
    pub(super) fn urgency(&self) -> Option<u8> {
        self.waiting.iter().map(|(_, urgency)| *urgency).min()
    }

    /// Takes out the next of this urgency.
    pub(super) fn pop(&mut self, urgency: u8) -> Option<u32> {
        let at = self.waiting.iter().position(|(_, u)| *u == urgency)?;
        self.given = self.given.wrapping_add(1);
        let at = if self.given.is_multiple_of(FAIR) { 0 } else { at };
        self.waiting.remove(at).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns with this much room, after each of which those that had one wait again.
    fn turns(all: &[(u32, u8)], room: usize, times: usize) -> Vec<u32> {
        let mut turns = Turns::default();
        all.iter().for_each(|(key, urgency)| turns.push(*key, *urgency));
        let mut had = Vec::new();
        for _ in 0..times {
            let urgency = turns.urgency().expect("somebody waits");
            let now: Vec<u32> = (0..room).map_while(|_| turns.pop(urgency)).collect();
            for key in &now {
                turns.push(*key, all.iter().find(|(k, _)| k == key).expect("one of them").1);
            }
            had.extend(now);
        }
        had
    }

    #[test]
    fn those_of_one_urgency_take_turns() {
        assert_eq!(turns(&[(1, 3), (2, 3), (3, 3)], 2, 6), [1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn the_urgent_come_first_and_the_others_now_and_then() {
        let had = turns(&[(1, 7), (2, 0), (3, 3)], 1, 64);
        assert_eq!(had[..8], [2, 2, 2, 2, 2, 2, 2, 1]);
        let of = |key| had.iter().filter(|k| **k == key).count();
        assert_eq!((of(2), of(1), of(3)), (56, 4, 4));
        let mut turns = Turns::default();
        turns.push(5, 4);
        turns.push(6, 4);
        assert_eq!((turns.urgency(), turns.pop(4), turns.pop(4), turns.pop(4)), (Some(4), Some(5), Some(6), None));
        assert!(turns.is_empty() && turns.urgency().is_none());
    }

    #[test]
    fn who_is_gone_has_no_turn() {
        let mut turns = Turns::default();
        [(1, 3), (2, 7), (3, 3)].into_iter().for_each(|(key, urgency)| turns.push(key, urgency));
        turns.remove(1);
        assert_eq!(turns.pop(3), Some(3));
        turns.remove(2);
        assert!(turns.is_empty());
    }
}
