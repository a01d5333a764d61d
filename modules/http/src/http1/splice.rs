//! The rest of a long answer, which goes from the peer's socket to the client's through a pipe: nobody looks at it, and
//! nothing is copied.

use crate::{
    conn::Conn,
    fault::Fault,
    proxy::Poured,
    reply::{Body, Call},
};
use anyproxy_module_api::{Buf, Error, ErrorKind, pipe::Pipe};
use std::task::{Context, Poll};

/// What is shorter is copied sooner than two more calls are made.
const LONG: u64 = 32 << 10;
/// Bytes that are read at once out of a pipe that the client's stream does not take from.
const PIECE: usize = 64 << 10;

/// How an answer goes that way.
pub(super) struct Splice {
    /// While there are bytes in it.
    pipe: Option<Pipe>,
    /// Some of it did.
    begun: bool,
    /// Nothing more of it does.
    off: bool,
}

impl Splice {
    /// `chunked`: the client gets it in chunks, whose heads go between.
    pub(super) fn new(conn: &Conn, body: &Body, chunked: bool) -> Self {
        let goes = !chunked && matches!(body, Body::Peer(download) if download.rest() >= LONG && download.is_plain());
        Self { pipe: None, begun: false, off: !goes || !conn.is_plain() }
    }

    /// Nothing is under way.
    pub(super) const fn is_empty(&self) -> bool {
        self.pipe.is_none()
    }

    /// Takes what is there of the body; whether that was some. `None`: what comes next of it is to be copied.
    ///
    /// # Errors
    /// As [`Body::poll_next`].
    pub(super) fn fill(
        &mut self,
        call: &Call<'_>,
        body: &mut Body,
        cx: &mut Context<'_>,
    ) -> Result<Option<bool>, Fault> {
        let Body::Peer(download) = body else { return Ok(None) };
        if self.pipe.is_some() {
            download.drive(call.exchange, cx)?;
            return Ok(Some(false));
        }
        if self.off || download.unread() > 0 || download.rest() < if self.begun { 1 } else { LONG } {
            return Ok(None);
        }
        let pipes = &call.exchange.worker().pipes;
        let Some(mut pipe) = pipes.take() else { return Ok(None) };
        let poured = download.poll_pour(call.exchange, cx, &mut pipe);
        if pipe.held() > 0 {
            self.pipe = Some(pipe);
        } else {
            pipes.give(pipe);
        }
        match poured {
            Poll::Pending => Ok(Some(false)),
            Poll::Ready(Ok(Poured::Some)) => {
                self.begun = true;
                Ok(Some(true))
            }
            Poll::Ready(Ok(Poured::NotNow)) => Ok(None),
            Poll::Ready(Ok(Poured::Never)) => {
                self.off = true;
                Ok(None)
            }
            Poll::Ready(Err(fault)) => Err(fault),
        }
    }

    /// Sends what is under way, to a client for whom nothing else is to be sent before; whether that was some.
    ///
    /// # Errors
    /// The client's.
    pub(super) fn drain(&mut self, call: &Call<'_>, conn: &mut Conn, cx: &mut Context<'_>) -> Result<bool, Error> {
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        match conn.poll_drain(cx, pipe) {
            Poll::Pending => return Ok(false),
            Poll::Ready(Ok(n)) => call.exchange.worker().stats.spliced.add_some(n as u64),
            Poll::Ready(Err(e)) if e.kind == ErrorKind::Unsupported => {
                self.off = true;
                while pipe.held() > 0 {
                    let mut piece = Buf::from(Vec::with_capacity(PIECE));
                    pipe.read_into(&mut piece)?;
                    conn.put(piece.into(), false);
                }
            }
            Poll::Ready(Err(e)) => return Err(e),
        }
        if let Some(pipe) = self.pipe.take_if(|pipe| pipe.held() == 0) {
            call.exchange.worker().pipes.give(pipe);
        }
        Ok(true)
    }
}
