use super::{Manner::*, *};

const FRAME: usize = 16 << 10;

fn order(urgency: u8, manner: Manner) -> Order {
    Order { urgency, manner }
}

/// Streams by their ids, each with so many frames to send, dealt turns for `room` bytes again and again. The frames as they
/// were sent, by stream.
fn sent(all: &[(u32, Order, usize)], room: usize) -> Vec<u32> {
    let mut turns = Turns::default();
    let mut left: Vec<usize> = all.iter().map(|(.., frames)| *frames).collect();
    for (key, (id, order, _)) in all.iter().enumerate() {
        turns.push(key as u32, *id, *order);
    }
    let mut sent = Vec::new();
    while !turns.is_empty() {
        let mut dealt = Vec::new();
        turns.deal(room, FRAME, |key, turn| dealt.push((key, turn)));
        assert!(!dealt.is_empty());
        for (key, turn) in dealt {
            let (id, order, _) = all[key as usize];
            let frames = left[key as usize].min(turn / FRAME);
            left[key as usize] -= frames;
            sent.extend(std::iter::repeat_n(id, frames));
            if left[key as usize] > 0 {
                turns.push(key, id, order);
            }
        }
    }
    assert_eq!(turns.special, 0);
    sent
}

/// The same without those turns that are for the one that waits longest, which are one frame each.
fn runs(sent: &[u32]) -> Vec<(u32, usize)> {
    let runs = sent.chunk_by(|a, b| a == b).map(|run| (run[0], run.len()));
    runs.filter(|(_, frames)| *frames > 1).fold(Vec::new(), |mut all, (id, frames)| {
        match all.last_mut() {
            Some((last, before)) if *last == id => *before += frames,
            _ => all.push((id, frames)),
        }
        all
    })
}

#[test]
fn where_nobody_says_anything_all_take_turns() {
    let usual = Order::default();
    let got = sent(&[(1, usual, 8), (3, usual, 8), (5, usual, 8)], 2 * SHARE);
    assert_eq!(
        got.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect::<Vec<_>>(),
        [(1, 4), (3, 4), (5, 4), (1, 4), (3, 4), (5, 4)]
    );
}

#[test]
fn the_urgent_come_first_and_the_others_now_and_then() {
    let got = sent(&[(1, order(7, Usual), 400), (3, order(0, Usual), 400), (5, Order::default(), 400)], SHARE);
    let end = |id| got.iter().rposition(|sent| *sent == id).expect("it was sent");
    assert!(end(3) < end(5) && end(5) < end(1));
    let before = got[..end(3)].iter().filter(|id| **id != 3).count();
    // A frame after each seven turns.
    assert!((12..=16).contains(&before), "{before}");
    assert!(got[..end(3)].contains(&1) && got[..end(3)].contains(&5));
}

#[test]
fn those_that_are_no_use_in_parts_come_one_after_another() {
    // In order of their ids, not of their coming.
    let whole = order(3, Whole);
    for room in [1, SHARE, 4 * SHARE] {
        let got = sent(&[(5, whole, 100), (1, whole, 100), (3, whole, 100)], room);
        assert_eq!(runs(&got).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3, 5], "{got:?}");
        let end = got.iter().rposition(|id| *id == 1).expect("it was sent");
        let others = got[..end].iter().filter(|id| **id != 1).count();
        assert!((1..=4).contains(&others), "{others}");
    }
}

#[test]
fn those_that_are_of_use_in_parts_share_by_frames() {
    let frames = order(3, Frames);
    let got = sent(&[(1, frames, 20), (3, frames, 20), (5, frames, 20)], SHARE);
    assert_eq!(got[..7], [1, 3, 5, 1, 3, 5, 1]);
    assert!(got.chunks(3).all(|round| round == [1, 3, 5]), "{got:?}");
    // One alone has nobody to share with.
    let mut turns = Turns::default();
    turns.push(0, 1, frames);
    turns.deal(1, FRAME, |_, turn| assert_eq!(turn, SHARE));
}

#[test]
fn of_both_kinds_the_first_of_those_that_are_to_be_whole_is_one_that_shares() {
    let (whole, frames) = (order(2, Whole), order(2, Frames));
    let got = sent(&[(1, whole, 30), (3, whole, 30), (5, frames, 60), (7, frames, 60)], SHARE);
    let before = |id: u32, end: u32| {
        let end = got.iter().rposition(|sent| *sent == end).expect("it was sent");
        got[..end].iter().filter(|sent| **sent == id).count()
    };
    // 1, 5 and 7 share alike; then 3 takes the place of 1.
    assert!(before(3, 1) <= 4, "{}", before(3, 1));
    assert!((25..=32).contains(&before(5, 1)) && (25..=32).contains(&before(7, 1)), "{got:?}");
    assert!(before(5, 3) >= 50 && before(7, 3) >= 50, "{got:?}");
}

#[test]
fn who_is_gone_or_changed_counts_as_that() {
    let mut turns = Turns::default();
    turns.push(0, 1, Order::default());
    turns.push(1, 3, order(7, Whole));
    turns.push(2, 5, Order::default());
    turns.change(1, order(0, Whole));
    turns.change(9, order(0, Whole));
    let next = |turns: &mut Turns| {
        let mut keys = Vec::new();
        turns.deal(4 * SHARE, FRAME, |key, _| keys.push(key));
        keys
    };
    assert_eq!(next(&mut turns), [1]);
    turns.remove(0);
    turns.remove(0);
    assert_eq!(turns.special, 0);
    assert_eq!(next(&mut turns), [2]);
    assert!(turns.is_empty() && next(&mut turns).is_empty());
    turns.push(3, 7, order(1, Usual));
    turns.remove(3);
    assert!(turns.is_empty() && turns.special == 0);
}
