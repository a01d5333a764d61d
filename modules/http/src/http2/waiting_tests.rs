use super::*;
use crate::http2::counted::Count;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// One who waits.
#[derive(Default)]
struct One {
    ticket: Ticket,
    count: Arc<Count>,
}

impl One {
    fn sleep(&mut self, waiting: &mut Waiting) {
        waiting.sleep(&mut self.ticket, &Waker::from(Arc::clone(&self.count)));
    }

    fn woken(&self) -> u64 {
        self.count.0.load(Relaxed)
    }
}

fn queue(n: usize) -> (Waiting, Vec<One>) {
    let mut waiting = Waiting::default();
    let mut all: Vec<One> = (0..n).map(|_| One::default()).collect();
    all.iter_mut().for_each(|one| one.sleep(&mut waiting));
    (waiting, all)
}

fn woken(all: &[One]) -> Vec<u64> {
    all.iter().map(One::woken).collect()
}

#[test]
fn as_many_are_woken_as_there_are_places_and_the_first_first() {
    let (mut waiting, all) = queue(4);
    waiting.wake(2);
    assert_eq!(woken(&all), [1, 1, 0, 0]);
    // The same two places, said again: those that are on their way are for them.
    waiting.wake(2);
    waiting.wake(1);
    assert_eq!(woken(&all), [1, 1, 0, 0]);
    waiting.wake(3);
    assert_eq!(woken(&all), [1, 1, 1, 0]);
    assert!(waiting.look(&all[0].ticket));
    waiting.wake(2);
    assert_eq!(woken(&all), [1, 1, 1, 0], "two are on their way");
    waiting.wake_all();
    assert_eq!(woken(&all), [1, 1, 1, 1]);
    assert!(!waiting.is_empty() && !waiting.has_sleepers());
    assert!(all[1..].iter().all(|one| waiting.look(&one.ticket)));
    assert!(waiting.is_empty());
}

#[test]
fn who_looks_unasked_or_in_vain_keeps_its_turn() {
    let (mut waiting, mut all) = queue(3);
    assert!(!waiting.look(&all[0].ticket), "nobody woke it");
    all[0].sleep(&mut waiting);
    waiting.wake(1);
    assert!(waiting.look(&all[0].ticket));
    // Somebody else was sooner.
    all[0].sleep(&mut waiting);
    waiting.wake(1);
    assert_eq!(woken(&all), [2, 0, 0]);
}

#[test]
fn who_gives_up_says_whether_its_place_is_anothers_now() {
    let (mut waiting, all) = queue(3);
    assert!(!waiting.look(&all[0].ticket));
    waiting.wake(1);
    assert_eq!(woken(&all), [0, 1, 0]);
    assert!(waiting.look(&all[1].ticket), "it was on its way");
    waiting.wake(1);
    assert_eq!(woken(&all), [0, 1, 1]);
    assert!(!waiting.look(&Ticket::default()), "it never waited");
}

/// Places that are taken and given back in any order, by some who lose interest and others who come by without waiting: none
/// stays free while somebody sleeps and nobody is on its way.
#[test]
fn no_place_is_free_while_somebody_sleeps() {
    let mut state = 11_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    const PLACES: usize = 3;
    let (mut waiting, mut all, mut taken, mut served) = (Waiting::default(), Vec::<One>::new(), 0, 0);
    for _ in 0..50_000 {
        match below(6) {
            // It comes, and waits where it finds nothing.
            0 | 1 if all.len() < 40 => {
                if taken < PLACES {
                    taken += 1;
                } else {
                    let mut one = One::default();
                    one.sleep(&mut waiting);
                    all.push(one);
                }
            }
            // A place is given back.
            2 if taken > 0 => {
                taken -= 1;
                waiting.wake(PLACES - taken);
            }
            // Somebody gives up, asleep or on its way.
            3 if !all.is_empty() && below(4) == 0 => {
                let one = all.remove(below(all.len()));
                if waiting.look(&one.ticket) {
                    waiting.wake(PLACES - taken);
                }
            }
            // Somebody looks, most often who was woken.
            _ if !all.is_empty() => {
                let n = all.iter().position(|one| one.woken() > 0).filter(|_| below(8) > 0);
                let n = n.unwrap_or_else(|| below(all.len()));
                let mut one = all.remove(n);
                waiting.look(&one.ticket);
                one.count.0.store(0, Relaxed);
                if taken < PLACES {
                    taken += 1;
                    served += 1;
                    waiting.wake(PLACES - taken);
                } else {
                    one.sleep(&mut waiting);
                    all.insert(n, one);
                }
            }
            _ => {}
        }
        assert!(waiting.woken <= PLACES, "{} on their way", waiting.woken);
        assert!(taken == PLACES || !waiting.has_sleepers() || waiting.woken > 0);
        assert_eq!(waiting.asleep.len() + waiting.woken, all.len());
    }
    assert!(served > 5_000, "{served}");
}
