//! What a stream received and nobody has read yet. Its memory is bounded by the stream's window, whatever the size of the
//! frames.

use anyproxy_http_contract::Bytes;
use std::collections::VecDeque;

/// Smaller pieces are copied behind each other: one alone would keep the whole buffer that it was received in.
const GATHERED: usize = 4 << 10;

/// Pieces of a body, each with what it takes of the windows.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pieces: VecDeque<(Bytes, u32)>,
    /// What came last, of small pieces.
    tail: Vec<u8>,
    tail_credit: u32,
    len: usize,
}

impl Inbox {
    pub(super) fn push(&mut self, bytes: Bytes, credit: u32) {
        self.len += bytes.len();
        if bytes.len() >= GATHERED {
            self.cut();
            self.pieces.push_back((bytes, credit));
            return;
        }
        self.tail.extend_from_slice(&bytes);
        self.tail_credit += credit;
        if self.tail.len() >= GATHERED {
            self.cut();
        }
    }

    pub(super) fn pop(&mut self) -> Option<(Bytes, u32)> {
        if self.pieces.is_empty() {
            self.cut();
        }
        let piece = self.pieces.pop_front()?;
        self.len -= piece.0.len();
        Some(piece)
    }

    /// There is nothing to be read, nor to be released.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail_credit == 0
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn cut(&mut self) {
        if self.tail_credit > 0 {
            let tail = std::mem::take(&mut self.tail);
            self.pieces.push_back((tail.into(), std::mem::take(&mut self.tail_credit)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_credits_come_out_in_order_whatever_the_sizes() {
        let mut inbox = Inbox::default();
        let (mut all, mut given) = (Vec::new(), 0);
        for n in [1, 5000, 1, 2, 0, 4096, 4095, 4095, 70_000, 3] {
            let piece: Vec<u8> = (0..n).map(|i| (i * 7 + n) as u8).collect();
            all.extend_from_slice(&piece);
            inbox.push(piece.into(), n as u32 + 1);
            given += n as u32 + 1;
            assert_eq!(inbox.len(), all.len());
        }
        let (mut out, mut released) = (Vec::new(), 0);
        while let Some((bytes, credit)) = inbox.pop() {
            out.extend_from_slice(&bytes);
            released += credit;
        }
        assert!(out == all && released == given && inbox.is_empty());
        assert_eq!(inbox.len(), 0);
    }
}
