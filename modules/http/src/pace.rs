//! How fast a client gets its answers.

use crate::{
    Http,
    core::{
        bandwidth::{Bandwidth, Share, Turn},
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
    /// answers together for which it has the same value, in all workers: they take turns. Of several lines an answer keeps
    /// all, outer ones too: it is as fast as the slowest lets it. Lines with the same rate and key count together, wherever
    /// they stand; in one place they count once, with the smaller `after`. The first eighth of a second's bytes come at once.
    /// A peer is slowed by it too, unless its answers are kept (`http_response_buffering`). Unset: as fast as it goes.
    "http_limit_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "Bytes a second; 0: no limit, and lines before it, outer ones too, are forgotten.").required().bounds(0, 1 << 40)])
    .props(&[
        ArgDesc::new("after", Kind::Size, "So many bytes of each answer come first, as fast as they may.").default("0").bounds(0, 1 << 50),
        ArgDesc::new("key", Kind::Template, "Whose answers share the rate. Where it has no value there is no limit. Without: each answer by itself."),
    ])
    .append()
    .inherit(Inherit::Append)
    .default("no limit")
    .example("http_limit_rate \"1MiB/s\" key=\"${client_ip}\" after=\"10MiB\"")
}

/// What a block says of it: lines that all count.
#[derive(Debug, Default)]
pub(crate) struct Pace(Vec<Line>);

#[derive(Debug)]
struct Line {
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
    pub(crate) fn new<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for node in scope.all("http_limit_rate") {
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
            if rate == 0 {
                lines.clear();
                continue;
            }
            // One count that is used twice would let half as much through.
            let line = Line { rate, after, key };
            match lines.iter_mut().find(|l| l.counts_as(&line)) {
                Some(same) => same.after = same.after.min(after),
                None => lines.push(line),
            }
        }
        // A turn is taken for what is left of those before it, so that none holds more than it can send soon: an answer's
        // own rates take nothing from anybody, and of the others the slowest has the smallest turns.
        lines.sort_by_key(|l| (l.key.is_some(), l.rate));
        Self(lines)
    }

    /// Nothing is said.
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Slows the answer down, if it is longer than what may be sent at once.
    pub(crate) fn apply(&self, call: &Call<'_>, mut reply: Reply) -> Reply {
        let short = match &reply.body {
            Body::Empty => true,
            Body::Bytes(bytes) => self.0.iter().all(|l| l.is_short(bytes.len())),
            _ => false,
        };
        if short || reply.upgrade.is_some() {
            return reply;
        }
        let budgets: Vec<_> = self.0.iter().filter_map(|l| l.budget(call)).collect();
        if !budgets.is_empty() {
            let inner = std::mem::replace(&mut reply.body, Body::Empty);
            reply.body = Body::Limited(Box::new(Limited { inner, left: None, budgets, wait: None }));
        }
        reply
    }
}

impl Line {
    /// Their bytes are counted together.
    fn counts_as(&self, other: &Self) -> bool {
        self.rate == other.rate && self.name() == other.name()
    }

    fn name(&self) -> Option<&[u8]> {
        self.key.as_ref().map(|key| &key.name[..])
    }

    /// It lets so many bytes pass at once, and nobody else is to know.
    fn is_short(&self, bytes: usize) -> bool {
        match self.key {
            Some(_) => bytes as u64 <= self.after,
            None => bytes <= Bandwidth::new(self.rate, self.after).allow(now_us()),
        }
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
    /// Bytes of a turn that was taken: it is waited for, or what is left of it.
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
    /// How many of these bytes, at least one, may be sent, and after what time; they are [`spent`](Self::spent) when all
    /// others let them pass. None, where that cannot be said before the time is over. With a time, it is asked again then.
    fn turn(&mut self, wanted: usize) -> Turn {
        let shared = match self {
            Self::Own(bandwidth) => {
                let bytes = bandwidth.allow(now_us()).min(wanted);
                let wait_us = if bytes == 0 { bandwidth.wait_us(now_us()).max(1) } else { 0 };
                return Turn { bytes, wait_ns: wait_us.saturating_mul(1000) };
            }
            Self::Shared(shared) => shared,
        };
        if shared.free > 0 {
            return Turn { bytes: shared.free.min(wanted as u64) as usize, wait_ns: 0 };
        }
        if shared.taken > 0 {
            return Turn { bytes: shared.taken.min(wanted), wait_ns: 0 };
        }
        let Some(keys) = shared.keys.live() else {
            // Another image counts, and this one's answers are at their ends: each is as fast as all may be.
            *self = Self::Own(Bandwidth::new(shared.rate, 0));
            return self.turn(wanted);
        };
        let turn = shared.share.take(&keys.0, wanted, now_ns());
        shared.taken = turn.bytes;
        turn
    }

    /// So many were sent, no more than it let pass. What is left of a turn is for the next ones.
    fn spent(&mut self, bytes: usize) {
        match self {
            Self::Own(bandwidth) => bandwidth.spent(bytes),
            Self::Shared(shared) if shared.free > 0 => shared.free = shared.free.saturating_sub(bytes as u64),
            Self::Shared(shared) => shared.taken = shared.taken.saturating_sub(bytes),
        }
    }
}

/// How many of these bytes, at least one, are sent now; or how long that takes. It is asked again then.
fn spend(budgets: &mut [Budget], wanted: usize) -> Result<usize, Duration> {
    let (mut n, mut wait_ns) = (wanted, 0);
    // Turns of several keys are waited for at the same time.
    for budget in budgets.iter_mut() {
        let turn = budget.turn(n);
        (n, wait_ns) = (turn.bytes, turn.wait_ns.max(wait_ns));
        if n == 0 {
            break;
        }
    }
    if wait_ns > 0 {
        return Err(Duration::from_nanos(wait_ns));
    }
    budgets.iter_mut().for_each(|budget| budget.spent(n));
    Ok(n)
}

/// A body that is handed out no faster than that.
#[derive(Debug)]
pub(crate) struct Limited {
    inner: Body,
    /// The next piece, or what of one was too much.
    left: Option<Segment>,
    budgets: Vec<Budget>,
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
            match spend(&mut self.budgets, len) {
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
