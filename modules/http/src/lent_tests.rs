use super::*;
use anyproxy_module_api::{Cause, ErrorKind, Who, testing::FakeHost};
use std::collections::VecDeque;

/// Pieces that are there, then the fault of a client.
struct Pieces(VecDeque<&'static str>);

impl Lend for Pieces {
    fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    fn poll_lent(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Segment>, (Fault, Error)>> {
        Poll::Ready(match self.0.pop_front() {
            Some("later") => return Poll::Pending,
            Some(text) => Ok(Some(Segment::Bytes(text.as_bytes().to_vec().into()))),
            None => Err((Fault::new(Who::Client, Cause::Malformed, 400), Error::new(ErrorKind::Invalid, "no chunk"))),
        })
    }
}

fn lend(pieces: &[&'static str]) -> (Body, Lent<Pieces>) {
    Lent::new(Pieces(pieces.iter().copied().collect()), Some(3))
}

#[test]
fn what_nothing_came_out_of_comes_back() {
    let host = FakeHost::new();
    let (mut given, lent) = lend(&["later", "abc"]);
    assert!(host.poll_once(&mut Box::pin(given.next())).is_pending());
    assert_eq!(lent.back(given).map(|pieces| pieces.0.len()).ok(), Some(1));
    let (given, lent) = lend(&[]);
    assert!(given.is_empty() && lent.back(given).is_ok());
    let (mut given, lent) = lend(&["a", "bc"]);
    assert!(matches!(host.run(given.next()), Ok(Some(Segment::Bytes(_)))));
    assert!(lent.back(given).is_err(), "it has begun");
}

#[test]
fn a_body_that_was_dropped_is_not_given_back_by_another_in_its_place() {
    let _host = FakeHost::new();
    for pieces in [&["abc"][..], &[]] {
        let (given, lent) = lend(pieces);
        drop(given);
        // Most likely it is where the other was.
        let (other, _lent) = lend(&["xyz"]);
        assert!(lent.back(other).is_err());
    }
    let (_given, lent) = lend(&["abc"]);
    assert!(lent.back(Body::EMPTY).is_err());
}

#[test]
fn whose_fault_it_was_is_known_to_whoever_goes_on() {
    let host = FakeHost::new();
    let (mut given, lent) = lend(&["abc"]);
    let note = lent.note();
    assert!(host.run(given.next()).is_ok() && note.fault().is_none());
    assert_eq!(host.run(given.next()).map(|_| ()).map_err(|e| e.kind), Err(ErrorKind::Invalid));
    drop((given, lent));
    assert_eq!(note.fault().map(|fault| (fault.who, fault.status)), Some((Who::Client, 400)));
}
