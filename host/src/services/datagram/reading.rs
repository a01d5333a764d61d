//! Reads a socket in batches, and gives every datagram to the endpoint that owns it.

use super::{COUNTS, any, forward, newest, of_epoch};
use crate::{
    services::{rt, udp::Udp},
    worker::Worker,
};
use anyproxy_module_api::abi::{host::Received, module::Route};
use std::{
    cell::Cell,
    future::poll_fn,
    io::{self, IoSliceMut},
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::Poll,
    time::Duration,
};

/// Buffers of one batch. With GRO each holds a run of datagrams.
const BATCH: usize = 16;

/// Largest run.
const RUN: usize = 64 << 10;

/// Batches read before other tasks of the worker get their turn.
const TURN: usize = 4;

thread_local! {
    /// Of one batch.
    static MEMORY: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Reads some batches.
pub(super) async fn turn(worker: &Rc<Worker>, listener: u64, socket: &Udp) {
    for _ in 0..TURN {
        let read = poll_fn(|cx| {
            batch(worker, listener, |bufs, meta| match socket.poll_recv(cx, bufs, meta) {
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
                Poll::Ready(r) => r,
            })
            .map_or_else(
                |e| if e.kind() == io::ErrorKind::WouldBlock { Poll::Pending } else { Poll::Ready(Err(e)) },
                |n| Poll::Ready(Ok(n)),
            )
        });
        if let Err(e) = read.await {
            COUNTS.errors.fetch_add(1, Relaxed);
            tracing::debug!("datagram listener: {e}");
            // An error that stays must not become a busy loop.
            rt::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Reads one batch and gives its datagrams to their owners; how many runs there were. The memory is this thread's one.
pub(super) fn batch(
    worker: &Worker,
    listener: u64,
    recv: impl FnOnce(&mut [IoSliceMut<'_>], &mut [Received]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut memory = MEMORY.take();
    memory.resize(BATCH * RUN, 0);
    let mut meta = [Received::default(); BATCH];
    let result = {
        let mut pieces = memory.chunks_exact_mut(RUN);
        let mut bufs: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(pieces.next().unwrap_or_default()));
        recv(&mut bufs, &mut meta)
    };
    if let Ok(n) = result {
        for (m, bytes) in meta[..n].iter().zip(memory.chunks_exact(RUN)) {
            route(worker, listener, m, &bytes[..m.len.min(RUN)]);
        }
    }
    MEMORY.set(memory);
    result
}

/// Asks whose each datagram of a run is, and gives neighbours of one owner away together.
fn route(worker: &Worker, listener: u64, m: &Received, bytes: &[u8]) {
    let Some(asked) = newest(worker, listener).or_else(|| any(listener)) else {
        COUNTS.no_owner.fetch_add(1, Relaxed);
        return;
    };
    split(bytes, m.segment, |d| asked.owner_of(d), |owner, run| give(worker, listener, owner, m, run));
}

/// Splits a run into parts whose datagrams have one owner. `size`: bytes of a datagram; 0: it is one.
fn split(bytes: &[u8], size: usize, mut owner_of: impl FnMut(&[u8]) -> Route, mut give: impl FnMut(Route, &[u8])) {
    let size = if size == 0 { bytes.len().max(1) } else { size };
    let (mut from, mut at) = (0, size.min(bytes.len()));
    let mut owner = owner_of(&bytes[..at]);
    while at < bytes.len() {
        let end = (at + size).min(bytes.len());
        let next = owner_of(&bytes[at..end]);
        if next != owner {
            give(owner, &bytes[from..at]);
            (owner, from) = (next, at);
        }
        at = end;
    }
    give(owner, &bytes[from..]);
}

fn give(worker: &Worker, listener: u64, owner: Route, m: &Received, bytes: &[u8]) {
    let m = Received { len: bytes.len(), segment: m.segment.min(bytes.len()), ..*m };
    match owner.kind {
        0 => match newest(worker, listener) {
            Some(e) => e.deliver(&m, bytes),
            // A socket that lingers here is read elsewhere too, or its address is gone.
            None => forward::to_newest(listener, &m, bytes),
        },
        1 => match of_epoch(listener, forward::inner(owner.epoch)).filter(|e| e.generation.worker == owner.worker) {
            Some(e) => e.deliver(&m, bytes),
            None => forward::to_owner(listener, owner, &m, bytes),
        },
        _ => {
            COUNTS.refused.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(bytes: &[u8], size: usize) -> Vec<(u32, Vec<u8>)> {
        let mut out = Vec::new();
        // The first byte names the owner.
        let owner = |d: &[u8]| Route::owner(d.first().copied().unwrap_or(9).into(), 0);
        split(bytes, size, owner, |owner, run| out.push((owner.epoch, run.to_vec())));
        out
    }

    #[test]
    fn neighbours_of_one_owner_stay_a_run_and_others_are_cut_off() {
        assert_eq!(parts(b"1a1b2a2b2", 2).iter().map(|p| p.1.as_slice()).collect::<Vec<_>>(), [&b"1a1b"[..], b"2a2b2"]);
        assert_eq!(parts(b"1a2a1", 2).len(), 3);
    }

    #[test]
    fn one_datagram_is_one_part_whatever_its_length() {
        assert_eq!(parts(b"1234", 0), [(49, b"1234".to_vec())]);
        assert_eq!(parts(b"1234", 100), [(49, b"1234".to_vec())]);
        assert_eq!(parts(b"", 0), [(9, Vec::new())]);
        assert_eq!(parts(b"", 1200), [(9, Vec::new())]);
    }
}
