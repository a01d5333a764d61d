//! Requests whose bodies are received in full before anybody is asked.

use super::{
    BATCH, Held, Kept, PIECE,
    file::{Chunks, TempFile},
};
use crate::{
    conf::Conf,
    conn::within,
    incoming::Incoming,
    message::Message,
    reply::{Call, Reply},
    respond::refuse,
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Cause, CloseReason, Error, ErrorKind, Stage, Who, tracing};
use std::{
    fmt,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// A file of a request is written from its beginning to its end.
const NO_RING: u64 = u64::MAX;

/// A body that was received, to be read as often as it is needed.
pub(crate) struct Stored {
    memory: Vec<u8>,
    file: Option<TempFile>,
    in_file: u64,
    /// How far it was read.
    at: u64,
    reading: Option<Reading>,
    held: Held,
    /// Where it came from: interim answers go there.
    client: Incoming,
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>>>>;

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({} of {})", self.at, self.len())
    }
}

/// Receives the body, where the block says so.
pub(crate) async fn receive(call: &Call<'_>, conf: &Conf, mut incoming: Incoming) -> Result<Incoming, Reply> {
    let Some(how) = &conf.request_buffering else { return Ok(incoming) };
    let memory = &call.exchange.worker().buffers;
    if incoming.is_done() || memory.is_full() || call.state.parts.borrow().upgrade().is_some() {
        return Ok(incoming);
    }
    let most = how.file.max(how.memory as u64);
    if incoming.length().is_some_and(|n| n > most) {
        return Err(refuse(call, 413));
    }
    incoming.ask();
    let mut stored = Stored {
        memory: Vec::new(),
        file: None,
        in_file: 0,
        at: 0,
        reading: None,
        held: Held::new(Rc::clone(memory)),
        client: Incoming::NONE,
    };
    let mut staged: Vec<u8> = Vec::new();
    loop {
        let next = within(call.watch, conf.body_ms, |cx| {
            if let Poll::Ready(Err(e)) = incoming.poll_flush(cx) {
                return Poll::Ready(Err(e));
            }
            incoming.poll_next(cx)
        });
        let next = next.await.map_err(|e| failed(call, &incoming, &e))?;
        if let Some(piece) = &next {
            if stored.len() + (staged.len() + piece.len()) as u64 > most {
                return Err(refuse(call, 413));
            }
            // Once something is in the file, all that follows is: there is one order.
            let fits = stored.in_file == 0 && staged.is_empty() && stored.memory.len() + piece.len() <= how.memory;
            let to = if fits && !memory.is_full() { &mut stored.memory } else { &mut staged };
            to.extend_from_slice(piece);
            stored.held.set(stored.memory.capacity() + staged.capacity());
        }
        if !staged.is_empty() && (next.is_none() || staged.len() >= BATCH || memory.is_full()) {
            let written = stored.write(std::mem::take(&mut staged), how.path).await;
            staged = written.map_err(|e| no_room(call, &e))?;
        }
        if next.is_none() {
            break;
        }
    }
    stored.held.set(stored.memory.capacity());
    let length = stored.announce(&mut call.state.parts.borrow_mut().request, &incoming);
    stored.client = incoming;
    Ok(Incoming::stored(stored, length))
}

/// Not all of it is to be had.
pub(crate) fn failed(call: &Call<'_>, incoming: &Incoming, e: &Error) -> Reply {
    let fault = incoming.fault(e);
    call.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
    refuse(call, if fault.status == 0 { 400 } else { fault.status })
}

fn no_room(call: &Call<'_>, e: &io::Error) -> Reply {
    let full =
        matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge);
    let status = if full { 507 } else { 500 };
    if call.exchange.worker().buffers.tells(Kept::Request) {
        tracing::error!(session = call.exchange.id, status, "no file for the body of a request: {e}");
    }
    call.exchange.close(CloseReason::new(Who::Proxy, Stage::Transfer, Cause::Internal));
    refuse(call, status)
}

impl Stored {
    fn len(&self) -> u64 {
        self.memory.len() as u64 + self.in_file
    }

    /// Writes more of it to the file; what held the bytes comes back empty.
    async fn write(&mut self, staged: Vec<u8>, dir: &'static Path) -> io::Result<Vec<u8>> {
        let n = staged.len() as u64;
        let (chunks, file) = TempFile::write(self.file.take(), dir, vec![staged], self.in_file, NO_RING).await;
        self.file = Some(file?);
        self.in_file += n;
        let mut staged = Chunks::into_iter(chunks).next().unwrap_or_default();
        staged.clear();
        Ok(staged)
    }

    /// Says in the request what is known now; its length, if it goes with one.
    fn announce(&self, request: &mut Message, from: &Incoming) -> Option<u64> {
        // The client was asked already.
        request.remove("Expect");
        if from.length().is_some() {
            return from.length();
        }
        // Lines behind a body need chunks.
        if !from.trailers().is_empty() {
            return None;
        }
        request.remove("Transfer-Encoding");
        request.put("Content-Length", self.len().to_string().as_bytes());
        Some(self.len())
    }

    /// Where it came from.
    pub(crate) const fn client(&self) -> &Incoming {
        &self.client
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.len()
    }

    /// It is read from its beginning again.
    pub(crate) fn rewind(&mut self) {
        self.at = 0;
        self.reading = None;
    }

    /// The next piece.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if self.is_done() {
            return Poll::Ready(Ok(None));
        }
        let in_memory = self.memory.len() as u64;
        if self.at < in_memory {
            let rest = &self.memory[self.at as usize..];
            let piece = rest[..rest.len().min(PIECE)].to_vec();
            self.at += piece.len() as u64;
            return Poll::Ready(Ok(Some(piece.into())));
        }
        let Some(file) = &self.file else { return Poll::Ready(Err(Error::bare(ErrorKind::UnexpectedEof))) };
        let at = self.at - in_memory;
        let len = (self.in_file - at).min(PIECE as u64) as usize;
        let now = if self.reading.is_none() { file.read_now(at, len) } else { None };
        let bytes = if let Some(bytes) = now {
            bytes
        } else {
            let job = self.reading.get_or_insert_with(|| Box::pin(file.clone().read(at, len)));
            let read = ready!(job.as_mut().poll(cx));
            self.reading = None;
            read?
        };
        if bytes.is_empty() {
            return Poll::Ready(Err(Error::bare(ErrorKind::UnexpectedEof)));
        }
        self.at += bytes.len() as u64;
        Poll::Ready(Ok(Some(bytes.into())))
    }
}
