//! Streams that are gone before the system had room for their last bytes.

use super::{
    bounds::{inode, is_open},
    *,
};
use crate::services::rt::{here, lingering, lingers_here, ring::ending::MOST_LINGER};
use std::net::Shutdown;

/// What comes up to the end, and whether that is one in order.
pub(super) fn to_any_end(mut far: &TcpStream) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    match far.read_to_end(&mut all) {
        Ok(_) => (all, true),
        Err(e) => {
            assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset);
            (all, false)
        }
    }
}

#[test]
fn what_was_let_go_of_counts_until_the_peer_took_it() {
    on_a_ring(|| async {
        let (far, mut s) = small_pair();
        let accepted = fill(&mut s, 0, 1000).await;
        assert!(!lingers_here(), "it is still somebody's");
        drop(s);
        assert!(lingers_here());
        while lingering() == 0 {
            turn().await;
        }
        let (all, in_order) = over(super::far(move || to_any_end(&far))).await;
        assert!(in_order && all == pattern(0, accepted), "{} of {accepted}", all.len());
        while lingers_here() {
            turn().await;
        }
    });
}

#[test]
fn so_many_linger_at_once_and_no_more() {
    on_a_ring(|| async {
        let mut fars = Vec::new();
        for _ in 0..MOST_LINGER + 2 {
            let (far, mut s) = small_pair();
            let accepted = fill(&mut s, 0, 1000).await;
            drop(s);
            turn().await;
            fars.push((far, accepted));
        }
        // At most: others wait in tests beside this one.
        for (n, (far, accepted)) in fars.into_iter().enumerate() {
            let (all, in_order) = over(super::far(move || to_any_end(&far))).await;
            assert_eq!(in_order, n >= 2, "number {n}: the oldest go first");
            assert_eq!(all.len() == accepted, in_order);
        }
    });
}

#[test]
fn the_end_follows_at_once_when_a_peer_reads_on_though_it_has_ended_its_side() {
    on_a_ring(|| async {
        let (far, near) = sockets(true);
        let socket = inode(&near);
        let mut s = stream_of(near);
        fill(&mut s, 0, 1000).await;
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read(&mut s, &mut [0; 8]).await.unwrap(), 0);
        drop(s);
        turn().await;
        assert!(lingers_here());
        let reader = super::far(move || to_any_end(&far));
        while is_open(&[socket].into()) {
            turn().await;
        }
        // Nothing looks at it any more that would hold it: the look of each second has no part in that.
        for _ in 0..10 {
            turn().await;
        }
        assert!(here(|l| l.unwrap().ring.as_ref().unwrap().sockets.borrow().is_empty()));
        assert!(over(reader).await.1);
    });
}

#[test]
fn what_a_peer_never_takes_ends_in_a_reset() {
    on_a_ring(|| async {
        let (far, near) = sockets(true);
        let socket = inode(&near);
        let mut s = stream_of(near);
        let accepted = fill(&mut s, 0, 1000).await;
        drop(s);
        assert!(lingers_here());
        // The wait itself is what is looked at.
        while lingers_here() {
            crate::services::rt::sleep(Duration::from_millis(100)).await;
        }
        while is_open(&[socket].into()) {
            turn().await;
        }
        let (all, in_order) = over(super::far(move || to_any_end(&far))).await;
        assert!(!in_order && all.len() < accepted, "a part is taken for the whole");
    });
}
