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
    cell::Cell,
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

    /// Reads the domain and chooses its server. Whoever has none is turned away.
    pub(super) async fn preread_domain(self: &Rc<Self>, stream: Stream) -> Ended<Stream> {
        let mut reader = Preread { for_domain: true, ..Preread::new(self, stream) };
        match reader.choose().await {
            Ok(()) => Ok(reader.into_stream()),
            Err(reason) => {
                reader.refuse().await;
                Err(reason)
            }
        }
    }
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
    refusal: Option<Refusal>,
    /// Which of those asked has found the domain.
    named_by: Option<Str<'static>>,
}

/// What to send back if no server matches, or the bytes are malformed.
#[derive(Clone, Copy)]
struct Refusal {
    bytes: &'static [u8],
    /// What it says, for logs; 0: none.
    status: u32,
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

    async fn choose(&mut self) -> Ended<()> {
        let s = self.session;
        // Else a trusted header named it already.
        if s.peek(|t| t.domain.borrow().is_empty()) {
            let all: Vec<_> = s.listener.domain_prereads.iter().collect();
            self.look(&all).await?;
        }
        s.stage(Str::new("preread"));
        s.choose_server(self.named_by)
    }

    pub(super) async fn look(&mut self, asked: &[&(u16, PrereadPoint)]) -> Ended<Found> {
        let mut out_of = vec![false; asked.len()];
        // By a header: not by what is looked at here.
        let named = self.has_domain();
        loop {
            let mut more = false;
            // Which of them would be malformed if nothing more came.
            let mut unfinished = None;
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
                    self.refusal = Some(Refusal { bytes: out.refusal.as_slice(), status: out.status });
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
                    Look::More => {
                        more = true;
                        if !out.reason.is_empty() {
                            unfinished = Some((point, out));
                        }
                    }
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
                Ok(0) => match unfinished {
                    None => return Ok(Found::Nobody),
                    // It came to see whether there is anybody: a load balancer's check.
                    Some(_) if self.bytes.is_empty() => return Err(Self::reason(Who::Client, Cause::Closed)),
                    Some((point, out)) => return Err(self.malformed(point, &out)),
                },
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
        let (preread, listener, reason) = (point.name.as_str(), &s.listener.label, out.reason.as_str());
        if let Some(more) = process().error_log.once_a_second(&format!("preread {preread} {listener}")) {
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
                add(&session.shared.client_received, n);
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

    /// The client is told in its own protocol, if that is known; whether it listens is not our concern.
    async fn refuse(mut self) {
        if let Some(Refusal { bytes, status }) = self.refusal {
            self.session.shared.status.set(status);
            timers::within(Duration::from_secs(1), pin!(self.tell(bytes))).await;
        }
    }

    async fn tell(&mut self, bytes: &[u8]) {
        let (stream, shared) = (&mut self.stream, &self.session.shared);
        if stream.write_all(bytes).await.is_err() {
            return;
        }
        add(&shared.client_sent, bytes.len());
        let _ = stream.shutdown().await;
        // Read what the client still sends: closing with unread bytes resets, and the answer would be lost.
        let mut rest = [0; 4096];
        for _ in 0..64 {
            match stream.read(&mut rest).await {
                Ok(n) if n > 0 => add(&shared.client_received, n),
                _ => break,
            }
        }
    }
}

fn add(count: &Cell<u64>, n: usize) {
    count.set(count.get() + n as u64);
}
