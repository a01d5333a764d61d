//! The fake host's relay: copies both ways, with half-close, to the end of both.

use crate::{Error, Stream};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

/// Bytes under way in one direction.
const CHUNK: usize = 4096;

#[derive(Default)]
struct Direction {
    bytes: Vec<u8>,
    sent: usize,
    ending: bool,
    ended: bool,
}

impl Direction {
    /// Moves what can be moved; ready at the end, when the other side was shut down behind the last byte.
    fn poll(&mut self, cx: &mut Context<'_>, from: &mut Stream, to: &mut Stream) -> Poll<Result<(), Error>> {
        while !self.ended {
            if self.ending {
                ready!(to.poll_shutdown(cx))?;
                self.ended = true;
            } else if self.sent < self.bytes.len() {
                self.sent += ready!(to.poll_write(cx, &self.bytes[self.sent..]))?;
            } else {
                self.bytes.resize(CHUNK, 0);
                self.sent = CHUNK;
                let n = ready!(from.poll_read(cx, &mut self.bytes))?;
                self.bytes.truncate(n);
                self.sent = 0;
                self.ending = n == 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Joins two streams.
pub(crate) async fn copy_both(mut a: Stream, mut b: Stream) -> Result<(), Error> {
    let (mut there, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        let first = there.poll(cx, &mut a, &mut b)?;
        let second = back.poll(cx, &mut b, &mut a)?;
        if first.is_ready() && second.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
    })
    .await
}
