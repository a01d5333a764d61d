//! Recognises a peer after a reload and in another process, and carries what an operator said of it across.
//! Knows peers and their lines only as text.

use std::collections::{HashMap, HashSet};

/// The id of the peer at `address`, reached by `connector` (its id, such as `tcp`), in `upstream`. For `PeerState::id`.
///
/// FNV-1a, 64 bits, over each part preceded by its length in 8 bytes, little-endian: the same in every process, on every
/// machine and in every release, for zones handed to another binary and hashing balancers depend on it. Never 0.
/// Two lines of one upstream with the same connector and address are one peer. A name that resolves to several
/// addresses is several peers: `address` is the resolved one.
pub fn peer_id(upstream: &str, connector: &str, address: &str) -> u64 {
    fingerprint([upstream, connector, address])
}

/// Tells whether a peer's line says the same as before. `parts`: the upstream's name, then all that the line says, in
/// canonical order (name as written, options sorted, blocks included). The hash is that of `peer_id`.
pub fn line_id<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    fingerprint(parts)
}

fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        for byte in (part.len() as u64).to_le_bytes().iter().chain(part.as_bytes()) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash.max(1)
}

/// What an operator said of a peer. `None`: what the configuration says holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// A value of `abi::upstream::admin`.
    pub admin: Option<u8>,
    /// Weight; 0: never picked.
    pub weight: Option<u32>,
}

/// Overrides by peer. Belongs to the process, not to a generation.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    peers: HashMap<u64, Entry>,
}

/// One override in the form that is handed to another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// `peer_id`.
    pub peer: u64,
    /// `line_id` of the line that the peer comes from.
    pub line: u64,
    /// What was said.
    pub said: Override,
}

impl Overrides {
    /// Sets what `said` says and leaves the rest as it was.
    pub fn set(&mut self, peer: u64, line: u64, said: Override) {
        let entry = self.peers.entry(peer).or_insert_with(|| Entry { peer, line, said: Override::default() });
        entry.line = line;
        entry.said.admin = said.admin.or(entry.said.admin);
        entry.said.weight = said.weight.or(entry.said.weight);
    }

    /// Returns the peer to what its configuration says.
    pub fn clear(&mut self, peer: u64) {
        self.peers.remove(&peer);
    }

    /// What holds for `peer`, also when its name stopped resolving to it for a while.
    pub fn of(&self, peer: u64) -> Override {
        self.peers.get(&peer).map(|entry| entry.said).unwrap_or_default()
    }

    /// A new configuration came into force: forgets what was said of lines that changed or left. `lines`: every line of it.
    pub fn carry(&mut self, lines: &HashSet<u64>) {
        self.peers.retain(|_, entry| lines.contains(&entry.line));
    }

    /// All of them, in order of peer, for status and for the next process.
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.peers.values().copied().collect();
        entries.sort_unstable_by_key(|entry| entry.peer);
        entries
    }

    /// Takes over what another process exported.
    pub fn import(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.peers.extend(entries.into_iter().map(|entry| (entry.peer, entry)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyproxy_module_api::abi::upstream::admin;

    const DRAIN: Override = Override { admin: Some(admin::DRAIN), weight: None };
    const LIGHT: Override = Override { admin: None, weight: Some(1) };

    #[test]
    fn ids_are_fixed_for_ever() {
        // Computed independently, from the description on `peer_id`.
        assert_eq!(peer_id("", "", ""), 0x81d2_3fd7_003c_2305);
        assert_eq!(peer_id("origin", "tcp", "10.0.0.1:8080"), 0x202b_31f7_4ae4_dfba);
    }

    #[test]
    fn every_part_counts_and_they_do_not_run_together() {
        let ids = [
            peer_id("origin", "tcp", "10.0.0.1:80"),
            peer_id("origin2", "tcp", "10.0.0.1:80"),
            peer_id("origin", "ssl", "10.0.0.1:80"),
            peer_id("origin", "tcp", "10.0.0.1:81"),
            peer_id("origint", "cp", "10.0.0.1:80"),
            line_id(["origin", "tcp"]),
            line_id(["origin", "tcp", ""]),
            line_id([]),
        ];
        assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    }

    #[test]
    fn override_stays_until_its_line_changes() {
        let before = line_id(["origin", "tcp", "10.0.0.1:80", "weight=5"]);
        let after = line_id(["origin", "tcp", "10.0.0.1:80", "weight=6"]);
        let peer = peer_id("origin", "tcp", "10.0.0.1:80");
        let mut overrides = Overrides::default();
        overrides.set(peer, before, DRAIN);
        overrides.carry(&HashSet::from([before, 17]));
        assert_eq!(overrides.of(peer), DRAIN);
        overrides.carry(&HashSet::from([after, 17]));
        assert_eq!(overrides.of(peer), Override::default());
    }

    #[test]
    fn drained_address_stays_drained_while_its_name_does_not_resolve_to_it() {
        let line = line_id(["origin", "tcp", "origin.example:80"]);
        let mut overrides = Overrides::default();
        for peer in [1, 2] {
            overrides.set(peer, line, DRAIN);
        }
        overrides.carry(&HashSet::from([line]));
        assert_eq!(overrides.of(2), DRAIN);
    }

    #[test]
    fn state_and_weight_are_set_apart_and_cleared_together() {
        let mut overrides = Overrides::default();
        overrides.set(1, 9, DRAIN);
        overrides.set(1, 9, LIGHT);
        let both = Override { admin: Some(admin::DRAIN), weight: Some(1) };
        assert_eq!(overrides.of(1), both);
        overrides.clear(1);
        assert_eq!(overrides.of(1), Override::default());
    }

    #[test]
    fn export_and_import_keep_everything() {
        let mut overrides = Overrides::default();
        overrides.set(5, 50, DRAIN);
        overrides.set(4, 40, LIGHT);
        let mut other = Overrides::default();
        other.import(overrides.entries());
        assert_eq!(other.entries(), overrides.entries());
        assert_eq!(other.entries()[0].peer, 4);
        other.carry(&HashSet::from([50]));
        assert_eq!((other.of(5), other.of(4)), (DRAIN, Override::default()));
    }
}
