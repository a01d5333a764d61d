//! Deadlines of streams on a connection that alone is looked at by the host (decision 0006): it is told of the next one, and
//! passes on what passes.

use std::{cell::Cell, task::Waker};

/// What a stream has to do with time.
pub(super) struct Deadline<'a> {
    /// 0: none.
    pub(super) at_ms: &'a Cell<u64>,
    /// Not 0: it has passed, and the stream has not looked yet.
    pub(super) fired: &'a Cell<u8>,
    pub(super) waker: Option<&'a Waker>,
}

/// Tells those streams whose time has come. When the next one's does; `u64::MAX`: no other has any.
pub(super) fn expire<'a>(streams: impl Iterator<Item = Deadline<'a>>, now_ms: u64) -> u64 {
    let mut next = u64::MAX;
    for Deadline { at_ms, fired, waker } in streams {
        match at_ms.get() {
            0 => {}
            // It says when again once it has looked.
            at if at <= now_ms => {
                if fired.replace(1) == 0
                    && let Some(waker) = waker
                {
                    waker.wake_by_ref();
                }
            }
            at => next = next.min(at),
        }
    }
    next
}

/// A stream has set its deadline: the connection's comes no later.
pub(super) fn note(connection_ms: &Cell<u64>, stream_ms: u64) {
    let before = connection_ms.get();
    if stream_ms != 0 && (before == 0 || stream_ms < before) {
        connection_ms.set(stream_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::counted::Count;
    use std::sync::{Arc, atomic::Ordering::Relaxed};

    /// A stream and how often it was woken.
    #[derive(Default)]
    struct Stream {
        at_ms: Cell<u64>,
        fired: Cell<u8>,
        woken: Arc<Count>,
    }

    fn expire_all(streams: &[Stream], now_ms: u64) -> u64 {
        let wakers: Vec<_> = streams.iter().map(|s| Waker::from(Arc::clone(&s.woken))).collect();
        let all = streams.iter().zip(&wakers);
        expire(all.map(|(s, w)| Deadline { at_ms: &s.at_ms, fired: &s.fired, waker: Some(w) }), now_ms)
    }

    #[test]
    fn those_whose_time_has_come_are_told_once_and_the_next_one_is_told_of() {
        let streams: Vec<Stream> = (0..4).map(|_| Stream::default()).collect();
        assert_eq!(expire_all(&streams, 1000), u64::MAX);
        for (stream, at) in streams.iter().zip([900, 1000, 1001, 0]) {
            stream.at_ms.set(at);
        }
        let woken = || streams.iter().map(|s| s.woken.0.load(Relaxed)).collect::<Vec<_>>();
        assert_eq!((expire_all(&streams, 1000), woken()), (1001, vec![1, 1, 0, 0]));
        // One that does not look is not told again, nor is it a reason to look at the clock.
        assert_eq!((expire_all(&streams, 1000), woken()), (1001, vec![1, 1, 0, 0]));
        streams[0].fired.set(0);
        streams[0].at_ms.set(5000);
        assert_eq!((expire_all(&streams, 1001), woken()), (5000, vec![1, 1, 1, 0]));
    }

    #[test]
    fn a_connection_is_looked_at_no_later_than_its_streams() {
        let connection = Cell::new(0);
        for (stream, then) in [(0, 0), (500, 500), (700, 500), (0, 500), (300, 300)] {
            note(&connection, stream);
            assert_eq!(connection.get(), then);
        }
    }

    /// Streams that set, move and take back their deadlines, and a host that looks at the connection's only: each is told at
    /// its time, and nobody looks without need.
    #[test]
    fn no_deadline_is_missed_and_few_looks_are_in_vain() {
        let mut state = 5_u64;
        let mut below = |limit: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % limit
        };
        let streams: Vec<Stream> = (0..20).map(|_| Stream::default()).collect();
        let (connection, mut looks, mut told, mut moved) = (Cell::new(0), 0, 0, 0);
        for now in 1..100_000 {
            if connection.get() != 0 && connection.get() <= now {
                let next = expire_all(&streams, now);
                connection.set(if next == u64::MAX { 0 } else { next });
                looks += 1;
            }
            for stream in &streams {
                let at = stream.at_ms.get();
                assert_eq!(at != 0 && at <= now, stream.fired.get() != 0, "{at} at {now}");
                if stream.fired.take() != 0 {
                    told += 1;
                    stream.at_ms.set(0);
                } else if below(500) == 0 {
                    moved += 1;
                    stream.at_ms.set(if below(3) == 0 { 0 } else { now + 1 + below(2000) });
                }
                note(&connection, stream.at_ms.get());
            }
        }
        assert!(told > 500 && looks <= told + moved, "{looks} looks, {told} told, {moved} moved");
    }
}
