//! How fast a client gets its answers.

use crate::{
    Http,
    core::{
        bandwidth::{Bandwidth, Share},
        limit::Limiter,
    },
    fault::Fault,
    reply::{Body, Call, Reply},
};
use anyproxy_http_contract::{Bytes, FilePart, Segment};
use anyproxy_module_api::*;
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

directive! {
    /// Bytes a second of each answer's body to its client: several answers at a time are each this fast. With `key`, of all
    /// answers together for which it has the same value, in all workers: they take turns. Lines with the same rate and key
    /// count together, wherever they stand. The first eighth of a second's bytes come at once. A peer is slowed by it too,
    /// unless its answers are kept (`http_response_buffering`). Unset: as fast as it goes.
    "http_limit_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "Bytes a second; 0: no limit.").required().bounds(0, 1 << 40)])
    .props(&[
        ArgDesc::new("after", Kind::Size, "So many bytes of each answer come first, as fast as they may.").default("0").bounds(0, 1 << 50),
        ArgDesc::new("key", Kind::Template, "Whose answers share the rate. Where it has no value there is no limit. Without: each answer by itself."),
    ])
    .default("no limit")
    .example("http_limit_rate \"1MiB/s\" key=\"${client_ip}\" after=\"10MiB\"")
}

/// What a block says of it.
#[derive(Debug)]
pub(crate) struct Pace {
    rate: u64,
    after: u64,
    key: Option<Key>,
}

#[derive(Debug)]
struct Key {
    template: u32,
    /// Distinguishes it from others with the same value.
    name: Vec<u8>,
}

impl Pace {
    pub(crate) fn new<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Option<Self> {
        let node = scope.node("http_limit_rate")?;
        let rate = node.arg(0).map_or(0, |v| v.num.unsigned_abs());
        let after = node.prop("after").map_or(0, |v| v.num.unsigned_abs());
        let key = node.prop("key").map(|v| {
            if v.text.as_str().is_empty() {
                problems.error(
                    &node.span,
                    "an empty key: nothing would be limited",
                    "leave key= out for a rate of each answer",
                );
            }
            let name = format!("{} {rate} ", v.text.as_str()).into_bytes();
            Key { template: v.num as u32, name }
        });
        (rate > 0).then_some(Self { rate, after, key })
    }

    /// Slows the answer down, if it is longer than what may be sent at once.
    pub(crate) fn apply(&self, call: &Call<'_>, mut reply: Reply) -> Reply {
        let Some(mut budget) = self.budget(call) else { return reply };
        let short = match (&reply.body, &mut budget) {
            (Body::Empty, _) => true,
            (Body::Bytes(bytes), Budget::Own(bandwidth)) => bytes.len() <= bandwidth.allow(now_us()),
            _ => false,
        };
        if !short && reply.upgrade.is_none() {
            let inner = std::mem::replace(&mut reply.body, Body::Empty);
            reply.body = Body::Limited(Box::new(Limited { inner, left: None, budget, wait: None }));
        }
        reply
    }

    /// What an answer may use; `None`: all there is.
    fn budget(&self, call: &Call<'_>) -> Option<Budget> {
        let Some(Key { template, name }) = &self.key else {
            return Some(Budget::Own(Bandwidth::new(self.rate, self.after)));
        };
        let mut key = name.clone();
        call.exchange.render(*template, &mut key);
        if key.len() == name.len() {
            return None;
        }
        let keys = Arc::clone(call.exchange.module().rates.get()?);
        let share = Share::new(&keys.0, &key, self.rate);
        Some(Budget::Shared(Shared { keys, share, rate: self.rate, free: self.after, taken: 0 }))
    }
}

/// What the keys of all rates have sent, for all workers and over reloads.
#[derive(Debug, Default)]
pub(crate) struct Rates(Limiter);

impl ZoneState for Rates {
    const SCHEMA: u32 = 2;

    fn export(&self) -> Vec<u8> {
        self.0.export(now_ns())
    }

    fn import(schema: u32, bytes: &[u8]) -> Option<Self> {
        let rates = Self::default();
        (schema == Self::SCHEMA && rates.0.import(bytes, now_ns()).is_ok()).then_some(rates)
    }
}

fn now_us() -> u64 {
    now().as_micros() as u64
}

fn now_ns() -> u64 {
    now().as_nanos() as u64
}

/// What of an answer may be sent when.
#[derive(Debug)]
enum Budget {
    Own(Bandwidth),
    Shared(Shared),
}

/// An answer's part in what a key may send.
#[derive(Debug)]
struct Shared {
    keys: Arc<ZoneRef<Rates>>,
    share: Share,
    rate: u64,
    /// Bytes that do not count yet.
    free: u64,
    /// Bytes whose turn is waited for.
    taken: usize,
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(keys) = self.keys.live().filter(|_| self.taken > 0) {
            self.share.give_back(&keys.0, self.taken, now_ns());
        }
    }
}

impl Budget {
    /// How many of these bytes, at least one, are sent now; or how long that takes. It is asked again then.
    fn spend(&mut self, wanted: usize) -> Result<usize, Duration> {
        let shared = match self {
            Self::Own(bandwidth) => {
                let n = bandwidth.allow(now_us()).min(wanted);
                if n == 0 {
                    return Err(Duration::from_micros(bandwidth.wait_us(now_us()).max(1)));
                }
                bandwidth.spent(n);
                return Ok(n);
            }
            Self::Shared(shared) => shared,
        };
        if shared.free > 0 {
            let n = shared.free.min(wanted as u64);
            shared.free -= n;
            return Ok(n as usize);
        }
        if shared.taken > 0 {
            return Ok(std::mem::take(&mut shared.taken));
        }
        let Some(keys) = shared.keys.live() else {
            // Another image counts, and this one's answers are at their ends: each is as fast as all may be.
            *self = Self::Own(Bandwidth::new(shared.rate, 0));
            return self.spend(wanted);
        };
        let turn = shared.share.take(&keys.0, wanted, now_ns());
        if turn.wait_ns == 0 {
            return Ok(turn.bytes);
        }
        shared.taken = turn.bytes;
        Err(Duration::from_nanos(turn.wait_ns))
    }
}

/// A body that is handed out no faster than that.
#[derive(Debug)]
pub(crate) struct Limited {
    inner: Body,
    /// The next piece, or what of one was too much.
    left: Option<Segment>,
    budget: Budget,
    wait: Option<Sleep>,
}

impl Limited {
    /// The next piece, cut to what may be sent now.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        loop {
            if let Some(wait) = &mut self.wait {
                if Pin::new(wait).poll(cx).is_pending() {
                    self.inner.drive(exchange, cx)?;
                    return Poll::Pending;
                }
                self.wait = None;
            }
            let piece = match self.left.take() {
                Some(left) => left,
                None => match ready!(self.inner.poll_next(exchange, cx))? {
                    Some(piece) => piece,
                    None => return Poll::Ready(Ok(None)),
                },
            };
            let len = match &piece {
                Segment::Bytes(bytes) => bytes.len(),
                Segment::File(part) => usize::try_from(part.len).unwrap_or(usize::MAX),
                Segment::Trailers(_) => 0,
            };
            if len == 0 {
                return Poll::Ready(Ok(Some(piece)));
            }
            match self.budget.spend(len) {
                Ok(n) => {
                    let (now, left) = cut(piece, n);
                    self.left = left;
                    return Poll::Ready(Ok(Some(now)));
                }
                Err(time) => {
                    self.left = Some(piece);
                    self.wait = Some(sleep(time));
                }
            }
        }
    }

    /// Goes on with what is to be done meanwhile.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.inner.drive(exchange, cx)
    }

    /// A piece is there, and waits for its time.
    pub(crate) const fn is_held(&self) -> bool {
        self.wait.is_some()
    }

    /// Whose fault it is that nothing comes.
    pub(crate) fn stalled(&self) -> Fault {
        self.inner.stalled()
    }

    /// It is the request's own body.
    pub(crate) fn is_echo(&self) -> bool {
        self.inner.is_echo()
    }
}

/// The first bytes, and the rest.
fn cut(piece: Segment, most: usize) -> (Segment, Option<Segment>) {
    match piece {
        Segment::Bytes(mut bytes) if bytes.len() > most => {
            let first = Bytes::from(bytes[..most].to_vec());
            bytes.advance(most);
            (Segment::Bytes(first), Some(Segment::Bytes(bytes)))
        }
        Segment::File(part) if part.len > most as u64 => {
            let n = most as u64;
            let left = FilePart { file: part.file.clone(), at: part.at + n, len: part.len - n };
            (Segment::File(FilePart { len: n, ..part }), Some(Segment::File(left)))
        }
        whole => (whole, None),
    }
}
