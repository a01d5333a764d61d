//! A question over HTTP/2, by prior knowledge, on a connection of its own.

use super::{BODY, unwell};
use crate::{
    conn::Conn,
    http2::{
        Gone,
        peers::{CHECKED, Got, Peers},
    },
    message::Message,
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Error, ErrorKind, Stream};
use std::{future::poll_fn, rc::Rc, task::Poll};

/// Answers before the one that counts (1xx), at most.
const INTERIM: usize = 32;

/// What comes back.
pub(super) struct Answer {
    pub(super) head: Message,
    /// As much of it as is looked at.
    pub(super) body: Vec<u8>,
    /// Lines behind it.
    pub(super) trailers: Vec<u8>,
}

/// Sends a request, whose head is there as one of HTTP/1, with a body, and hears the answer.
pub(super) async fn ask(peers: &Rc<Peers>, stream: Stream, head: &[u8], mut body: Bytes) -> Result<Answer, Error> {
    let Got::Turn(turn) = peers.alone() else { return Err(Error::bare(ErrorKind::Other)) };
    // It is nobody else's, and ends with its stream.
    let Some(stream) = turn.connected(CHECKED, true, Conn::new(stream), 0) else {
        return Err(Error::bare(ErrorKind::Unreachable));
    };
    if stream.send_head(head, None, body.is_empty()).is_err() {
        return Err(Error::new(ErrorKind::Invalid, "a request that HTTP/2 cannot carry"));
    }
    if !body.is_empty() {
        poll_fn(|cx| if stream.send(&mut body, true, cx) { Poll::Ready(()) } else { Poll::Pending }).await;
    }
    let mut before = 0;
    let head = loop {
        let head = poll_fn(|cx| stream.poll_head(cx)).await.map_err(|gone| match gone {
            Gone::Refused => unwell("the request was refused"),
            Gone::Reset | Gone::Malformed | Gone::Ended => unwell("no answer by HTTP/2"),
        })?;
        if head.status() >= 200 {
            break head;
        }
        before += 1;
        if before > INTERIM {
            return Err(unwell("interim answers without end"));
        }
    };
    let mut answer = Answer { head, body: Vec::new(), trailers: Vec::new() };
    let reset = |_| unwell("half an answer");
    while let Some(piece) = poll_fn(|cx| stream.poll_piece(cx)).await.map_err(reset)? {
        let room = BODY - answer.body.len();
        answer.body.extend_from_slice(&piece[..piece.len().min(room)]);
        if answer.body.len() == BODY {
            return Ok(answer);
        }
    }
    answer.trailers = stream.trailers();
    Ok(answer)
}
