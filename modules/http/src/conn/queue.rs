//! Pieces of bodies that are to be sent and were not copied.

use anyproxy_http_contract::Bytes;
use anyproxy_module_api::IoVec;
use std::collections::VecDeque;

/// Pieces in order. Most connections have none, so that they cost a pointer.
#[derive(Debug, Default)]
pub(super) struct Queue(Option<Box<Pieces>>);

#[derive(Debug, Default)]
struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Pieces in it.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |q| q.pieces.len())
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |q| q.bytes)
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        let q = self.0.get_or_insert_default();
        q.bytes += piece.len();
        q.pieces.push_back(piece);
    }

    /// Notes the first pieces, as many as there is room for; how many.
    pub(super) fn first<'a>(&'a self, to: &mut [IoVec<'a>]) -> usize {
        let all = self.0.iter().flat_map(|q| &q.pieces);
        to.iter_mut().zip(all).map(|(to, piece)| *to = IoVec::new(piece)).count()
    }

    /// So many bytes are sent. How many of them were behind its end.
    pub(super) fn advance(&mut self, sent: usize) -> usize {
        let Some(q) = &mut self.0 else { return sent };
        let mut left = sent;
        while left > 0
            && let Some(front) = q.pieces.front_mut()
        {
            let of_this = left.min(front.len());
            front.advance(of_this);
            left -= of_this;
            q.bytes -= of_this;
            if front.is_empty() {
                q.pieces.pop_front();
            }
        }
        left
    }

    /// Gives up its memory, if nothing is in it.
    pub(super) fn rest(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }
}
