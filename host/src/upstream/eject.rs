//! Passive ejection: takes a peer out of service for a while when its real uses fail, by failures in a row or by their
//! share in a sliding interval. Owns the decision for one pool; knows nothing of what failed or why.
//!
//! Workers count on their own in a `Tally` and report now and then, or report each result.

use super::{backoff, window::Window};
use std::{collections::HashMap, mem, time::Duration};

const GOOD: usize = 0;
const BAD: usize = 1;
/// Enough doublings for any sensible `base` to reach `most`.
const MOST_DOUBLINGS: u32 = 16;

/// When and for how long peers are ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Failures in a row; 0: not by this.
    pub consecutive: u32,
    /// Failures in percent of the uses within `interval`; 0: not by this.
    pub percent: u32,
    /// Fewer uses than this within `interval` say nothing about the share.
    pub least_uses: u32,
    /// The sliding interval of `percent`.
    pub interval: Duration,
    /// Length of the first ejection; each repeat doubles it.
    pub base: Duration,
    /// Length of any ejection at most.
    pub most: Duration,
    /// Peers ejected at one time, in percent of the pool. One may always be, all never.
    pub max_share: u32,
}

impl Policy {
    /// Ejects nobody.
    pub const NEVER: Self = Self {
        consecutive: 0,
        percent: 0,
        least_uses: 0,
        interval: Duration::from_secs(10),
        base: Duration::from_secs(10),
        most: Duration::from_secs(10),
        max_share: 0,
    };

    /// Whether it ever ejects.
    pub const fn ejects(&self) -> bool {
        self.consecutive != 0 || self.percent != 0
    }
}

/// Results of one peer on one worker that are not reported yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    good: u32,
    bad: u32,
    /// Failures after the last success.
    trailing: u32,
}

impl Tally {
    /// Counts one use.
    pub fn add(&mut self, good: bool) {
        if good {
            self.good = self.good.saturating_add(1);
            self.trailing = 0;
        } else {
            self.bad = self.bad.saturating_add(1);
            self.trailing = self.trailing.saturating_add(1);
        }
    }

    /// What was counted, leaving nothing.
    pub fn take(&mut self) -> Self {
        mem::take(self)
    }

    /// Whether there is anything to report.
    pub fn is_empty(&self) -> bool {
        self.good == 0 && self.bad == 0
    }
}

/// Why a peer was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// So many failures in a row.
    Consecutive(u32),
    /// So many percent of the uses within the interval.
    Percent(u32),
}

/// A peer that goes out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// The peer's id.
    pub peer: u64,
    /// When it comes back.
    pub until: Duration,
    /// Why it goes.
    pub reason: Reason,
}

/// The ejections of one pool.
#[derive(Clone, Debug)]
pub struct Ejector {
    policy: Policy,
    peers: HashMap<u64, Record>,
    ejected: usize,
}

#[derive(Clone, Debug)]
struct Record {
    in_a_row: u32,
    window: Window<2>,
    until: Option<Duration>,
    /// Ejections that still count towards the length of the next one.
    repeats: u32,
    /// Length of the last ejection and when it ended.
    last: Duration,
    returned: Duration,
}

impl Record {
    fn new(policy: &Policy) -> Self {
        Self {
            in_a_row: 0,
            window: Window::new(policy.interval),
            until: None,
            repeats: 0,
            last: Duration::ZERO,
            returned: Duration::ZERO,
        }
    }

    fn reason(&mut self, policy: &Policy, now: Duration) -> Option<Reason> {
        if policy.consecutive != 0 && self.in_a_row >= policy.consecutive {
            return Some(Reason::Consecutive(self.in_a_row));
        }
        let [good, bad] = self.window.sums(now);
        let uses = good + bad;
        if policy.percent == 0 || uses == 0 || uses < u64::from(policy.least_uses) {
            return None;
        }
        let percent = (bad.saturating_mul(100) / uses) as u32;
        (percent >= policy.percent).then_some(Reason::Percent(percent))
    }
}

impl Ejector {
    /// A pool without peers.
    pub fn new(policy: Policy) -> Self {
        Self { policy, peers: HashMap::new(), ejected: 0 }
    }

    /// Takes over another policy. Ejections under way keep their end; counts begin anew if the interval changed.
    pub fn set_policy(&mut self, policy: Policy) {
        if policy.interval != self.policy.interval {
            for record in self.peers.values_mut() {
                record.window = Window::new(policy.interval);
            }
        }
        self.policy = policy;
    }

    /// The pool's peers are these now. Those that stay keep their counts; an ejected one that leaves is forgotten.
    pub fn set_peers(&mut self, ids: impl IntoIterator<Item = u64>) {
        let mut before = mem::take(&mut self.peers);
        for id in ids {
            let record = before.remove(&id).unwrap_or_else(|| Record::new(&self.policy));
            // A repeated id finds its record already moved: the first one holds.
            self.peers.entry(id).or_insert(record);
        }
        self.ejected = self.peers.values().filter(|record| record.until.is_some()).count();
    }

    /// Whether it is one of the pool's.
    pub fn knows(&self, peer: u64) -> bool {
        self.peers.contains_key(&peer)
    }

    /// Whether the pool has none yet.
    pub fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Takes in what a worker counted of `peer`. Results of one that is ejected (begun before) or unknown do not count.
    pub fn report(&mut self, peer: u64, tally: Tally, now: Duration) -> Option<Ejection> {
        let room = self.ejected < self.allowed();
        let policy = self.policy;
        let record = self.peers.get_mut(&peer)?;
        if record.until.is_some() || tally.is_empty() {
            return None;
        }
        record.in_a_row = if tally.good == 0 { record.in_a_row.saturating_add(tally.bad) } else { tally.trailing };
        record.window.add(now, GOOD, tally.good);
        record.window.add(now, BAD, tally.bad);
        // Only a failure ejects: successes of a peer that was bad before do not.
        if tally.bad == 0 || !room {
            return None;
        }
        let reason = record.reason(&policy, now)?;
        let length = eject(record, &policy, now);
        self.ejected += 1;
        Some(Ejection { peer, until: now.saturating_add(length), reason })
    }

    /// `report` of a single use.
    pub fn result(&mut self, peer: u64, good: bool, now: Duration) -> Option<Ejection> {
        let mut tally = Tally::default();
        tally.add(good);
        self.report(peer, tally, now)
    }

    /// Returns to service the peers whose time has come.
    pub fn expire(&mut self, now: Duration) -> Vec<u64> {
        let mut back = Vec::new();
        for (id, record) in &mut self.peers {
            if let Some(until) = record.until.filter(|until| *until <= now) {
                give_back(record, until);
                back.push(*id);
            }
        }
        self.ejected -= back.len();
        back
    }

    /// Returns `peer` to service now, when an operator says so or an active check has passed. False if it was not ejected.
    pub fn release(&mut self, peer: u64, now: Duration) -> bool {
        let Some(record) = self.peers.get_mut(&peer).filter(|record| record.until.is_some()) else {
            return false;
        };
        give_back(record, now);
        self.ejected -= 1;
        true
    }

    /// When the next peer returns; `None` when none is ejected.
    pub fn next_return(&self) -> Option<Duration> {
        self.peers.values().filter_map(|record| record.until).min()
    }

    /// Peers ejected now.
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    fn allowed(&self) -> usize {
        let peers = self.peers.len();
        let share = peers.saturating_mul(self.policy.max_share as usize) / 100;
        share.max(1).min(peers.saturating_sub(1))
    }
}

fn eject(record: &mut Record, policy: &Policy, now: Duration) -> Duration {
    // One repeat is forgiven for each time in service as long as the last ejection.
    let served = now.saturating_sub(record.returned);
    let unit = record.last.max(Duration::from_millis(1));
    let forgiven = u32::try_from(served.as_nanos() / unit.as_nanos()).unwrap_or(u32::MAX);
    record.repeats = record.repeats.saturating_sub(forgiven);
    let length = backoff(policy.base, record.repeats, policy.most);
    record.repeats = (record.repeats + 1).min(MOST_DOUBLINGS);
    record.last = length;
    record.until = Some(now.saturating_add(length));
    length
}

fn give_back(record: &mut Record, at: Duration) {
    record.until = None;
    record.returned = at;
    record.in_a_row = 0;
    record.window.clear();
}

#[cfg(test)]
mod tests;
