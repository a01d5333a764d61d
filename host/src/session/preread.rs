//! The first bytes of a stream, read until one of several prereads knows them: bounded in size and in time.

use super::{Ended, Session, cause_of};
use crate::{
    process::process,
    services::{
        buffers,
        current::{Current, enter},
        points, timers,
    },
};
use anyproxy_module_api::abi::{
    bytes::{Buf, Str},
    error::{Error, ErrorKind},
    module::{Look, LookOut, PrereadPoint},
    session::{Cause, CloseReason, Stage, Who},
    stream::Stream,
};
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::Poll,
    time::Duration,
};

impl Session {
    pub(super) async fn preread_headers(self: &Rc<Self>, stream: Stream) -> Ended<Stream> {
        let wanted: Vec<_> = self.listener.header_prereads.iter().collect();
        let mut reader = Preread::new(self, stream);
        // Each kind of header may come once, in any order (a hello in a PROXY connection).
        let mut left = wanted;
        while !left.is_empty() {
            match reader.look(&left).await? {
                Found::By(n) => {
                    left.remove(n);
                }
                Found::Nobody => break,
            }
        }
        Ok(reader.into_stream())
    }

    pub(super) async fn preread_domain(self: &Rc<Self>, stream: Stream) -> Ended<(Stream, Read)> {
        if self.peek(|t| !t.domain.borrow().is_empty()) {
            // A trusted header named it already.
            return Ok((stream, Read::default()));
        }
        let all: Vec<_> = self.listener.domain_prereads.iter().collect();
        let mut reader = Preread { for_domain: true, ..Preread::new(self, stream) };
        if let Err(reason) = reader.look(&all).await {
            if let Some(bytes) = reader.refusal {
                refuse(&mut reader.stream, bytes).await;
            }
            return Err(reason);
        }
        let read = Read { refusal: reader.refusal, named_by: reader.named_by };
        Ok((reader.into_stream(), read))
    }
}

/// What the first bytes have told beside the domain.
#[derive(Default)]
pub(super) struct Read {
    /// What to send back if no server matches.
    pub(super) refusal: Option<&'static [u8]>,
    /// The preread that found the domain.
    pub(super) named_by: Option<Str<'static>>,
}

/// What a preread found.
pub(super) enum Found {
    /// This one of those asked.
    By(usize),
    /// None of them.
    Nobody,
}

/// Reads the first bytes until one of several prereads knows them.
pub(super) struct Preread<'a> {
    session: &'a Rc<Session>,
    stream: Stream,
    bytes: Buf,
    /// By the process's clock.
    deadline: Duration,
    /// What is looked for is which server it is for.
    for_domain: bool,
    /// What to send back if no server matches, or the bytes are malformed.
    refusal: Option<&'static [u8]>,
    /// Which of those asked has found the domain.
    named_by: Option<Str<'static>>,
}

impl<'a> Preread<'a> {
    pub(super) fn new(session: &'a Rc<Session>, stream: Stream) -> Self {
        // Of all that is read before a server is chosen: a header does not begin it anew.
        let limit = session.worker.cycle.settings.preread_timeout.saturating_sub(session.age());
        let deadline = process().now() + limit;
        Self { session, stream, bytes: Buf::new(), deadline, for_domain: false, refusal: None, named_by: None }
    }

    fn reason(who: Who, cause: Cause) -> CloseReason {
        CloseReason::new(who, Stage::Preread, cause)
    }

    pub(super) async fn look(&mut self, asked: &[&(u16, PrereadPoint)]) -> Ended<Found> {
        let mut out_of = vec![false; asked.len()];
        // By a header: not by what is looked at here.
        let named = self.has_domain();
        loop {
            let mut more = false;
            for (n, (module, point)) in asked.iter().enumerate() {
                if out_of[n] {
                    continue;
                }
                let mut out = LookOut::default();
                let verdict = self.ask(*module, point, &mut out);
                if self.named_by.is_none() && self.has_domain() {
                    self.named_by = Some(point.name);
                }
                if !out.refusal.is_empty() {
                    self.refusal = Some(out.refusal.as_slice());
                }
                match verdict {
                    Look::Found => {
                        self.consume(out.consumed);
                        return Ok(Found::By(n));
                    }
                    Look::NotMine => out_of[n] = true,
                    Look::Malformed if self.is_anybodys() => out_of[n] = true,
                    Look::Malformed => return Err(self.malformed(point, &out)),
                    Look::More if self.bytes.len() >= point.max as usize => {
                        if !self.is_known() && !self.is_anybodys() {
                            out.reason = Str::new("longer than allowed");
                            return Err(self.malformed(point, &out));
                        }
                        out_of[n] = true;
                    }
                    Look::More => more = true,
                }
            }
            if !more || self.is_known() {
                return Ok(Found::Nobody);
            }
            match self.read().await {
                // The client said all it will say: the protocol that waits for more cannot be it.
                // What names a host all the same is a head that was not looked at to its end.
                Ok(0) if !named && self.has_domain() && !self.is_known() => {
                    return Err(Self::reason(Who::Client, Cause::Closed));
                }
                Ok(0) => return Ok(Found::Nobody),
                Ok(_) => {}
                Err(late) if late == Self::reason(Who::Client, Cause::Timeout) && self.is_anybodys() => {
                    return Ok(Found::Nobody);
                }
                Err(reason) => return Err(reason),
            }
        }
    }

    fn has_domain(&self) -> bool {
        self.for_domain && self.session.peek(|t| !t.domain.borrow().is_empty())
    }

    /// The domain is known already, and its server reads for itself: with limits of its own, and an answer to who exceeds them.
    fn is_known(&self) -> bool {
        let listener = &self.session.listener;
        let knows = |domain: &str| !domain.is_empty() && listener.reads_for(domain.as_bytes());
        self.for_domain && self.session.peek(|t| knows(&t.domain.borrow()))
    }

    /// Nobody here has something that must not get what was not looked at: any server may tell the client what is wrong.
    fn is_anybodys(&self) -> bool {
        self.for_domain && !self.bytes.is_empty() && self.session.listener.read_for_themselves()
    }

    fn ask(&self, module: u16, point: &PrereadPoint, out: &mut LookOut) -> Look {
        let worker = &self.session.worker;
        let place = worker.place(module, worker.cycle.conf(self.session.scope.get(), module));
        let _who = enter(Current::in_session(self.session, module));
        points::look(point, place, self.session, &self.bytes, out)
    }

    fn malformed(&self, point: &PrereadPoint, out: &LookOut) -> CloseReason {
        let s = self.session;
        s.listener.stats.malformed.fetch_add(1, Relaxed);
        if let Some(more) = process().error_log.once_a_second("preread") {
            let (preread, reason) = (point.name.as_str(), out.reason.as_str());
            tracing::warn!(session = s.shared.id, client = %s.shared.remote, preread, reason, more, "malformed first bytes");
        }
        Self::reason(Who::Client, Cause::Malformed)
    }

    async fn read(&mut self) -> Ended<usize> {
        let mut room = poll_fn(|cx| match buffers::take((self.bytes.len() + 1).max(16 << 10)) {
            b if b.capacity() > 0 => Poll::Ready(b),
            _ => {
                buffers::wait(cx.waker());
                Poll::Pending
            }
        });
        if self.bytes.len() == self.bytes.capacity() {
            let mut larger = Pin::new(&mut room).await;
            larger.push(&self.bytes);
            self.bytes = larger;
        }
        let (stream, bytes, session) = (&mut self.stream, &mut self.bytes, self.session);
        let read = poll_fn(|cx| {
            if session.shared.kill.get() != 0 {
                return Poll::Ready(Err(Error::bare(ErrorKind::Cancelled)));
            }
            stream.poll_read_buf(cx, bytes)
        });
        match timers::within(self.deadline.saturating_sub(process().now()), read).await {
            None => Err(Self::reason(Who::Client, Cause::Timeout)),
            Some(Err(e)) => Err(Self::reason(Who::Client, cause_of(&e))),
            Some(Ok(n)) => {
                let count = &session.shared.client_received;
                count.set(count.get() + n as u64);
                Ok(n)
            }
        }
    }

    fn consume(&mut self, n: usize) {
        let rest = self.bytes[n.min(self.bytes.len())..].to_vec();
        self.bytes.clear();
        self.bytes.push(&rest);
    }

    /// The stream with what was read and not consumed in front again.
    pub(super) fn into_stream(mut self) -> Stream {
        let count = &self.session.shared.client_received;
        // What is put back will be counted by whoever reads it.
        count.set(count.get() - self.bytes.len() as u64);
        self.stream.unread(std::mem::take(&mut self.bytes));
        self.stream
    }
}

/// The client is told in its own protocol; whether it listens is not our concern.
pub(super) async fn refuse(stream: &mut Stream, bytes: &[u8]) {
    timers::within(Duration::from_secs(1), pin!(tell(stream, bytes))).await;
}

async fn tell(stream: &mut Stream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.shutdown().await;
        // Read what the client still sends: closing with unread bytes resets, and the answer would be lost.
        let mut rest = [0; 4096];
        for _ in 0..64 {
            match stream.read(&mut rest).await {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
    }
}
