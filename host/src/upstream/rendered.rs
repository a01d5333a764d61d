//! Peers whose addresses contain variables: what a session's text names, whether `peer_allow` lets it through, and the live
//! state of those that were reached lately. Renders nothing and resolves nothing.

use super::live::PeerLive;
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Peers of one upstream whose state is kept; the one unused longest goes first. Clients choose how many there are.
pub const MOST: usize = 1000;
/// Longest name (RFC 1035 section 2.3.4), with its dots.
const LONGEST_NAME: usize = 253;

/// What a rendered address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address.
    Ip(SocketAddr),
    /// A name to resolve, and the port.
    Name(String, u16),
}

impl Target {
    /// Reads `ip:port`, `[ipv6]:port` or `name:port`; `None`: it is nothing of the kind. A client may have written it.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(at) = text.parse::<SocketAddr>() {
            return (at.port() != 0).then_some(Self::Ip(at));
        }
        let (name, port) = text.rsplit_once(':')?;
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| digits && *port != 0)?;
        let is_label = |l: &str| {
            let chars = l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            chars && (1..=63).contains(&l.len()) && !l.starts_with('-')
        };
        let bare = name.strip_suffix('.').unwrap_or(name);
        // Digits and dots alone were meant as an address, and a resolver may take them for another one.
        let numeric = bare.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let good = bare.len() <= LONGEST_NAME && !numeric && bare.split('.').all(is_label);
        good.then(|| Self::Name(bare.to_ascii_lowercase(), port))
    }
}

/// One network of `peer_allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// IPv4 as mapped addresses.
    bits: u128,
    len: u32,
}

fn mapped(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Network {
    /// Reads an address, `ip/bits` or `all`, as the configuration has checked it.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "all" {
            return Some(Self { bits: 0, len: 0 });
        }
        let (ip, len) = text.split_once('/').map_or((text, None), |(ip, len)| (ip, Some(len)));
        let ip: IpAddr = ip.parse().ok()?;
        let (most, before) = if ip.is_ipv4() { (32, 96) } else { (128, 0) };
        let len = len.map_or(Some(most), |l| l.parse().ok()).filter(|l| *l <= most)?;
        Some(Self { bits: mapped(ip), len: before + len })
    }

    /// Whether the address is in it. A mapped IPv4 address is the IPv4 address.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let behind = 128 - self.len;
        (mapped(ip) ^ self.bits).checked_shr(behind).unwrap_or(0) == 0
    }
}

/// The peers of one upstream that were reached lately.
#[derive(Debug, Default)]
pub struct Rendered {
    inner: Mutex<Lately>,
}

#[derive(Debug, Default)]
struct Lately {
    peers: HashMap<u64, (Arc<PeerLive>, u64)>,
    uses: u64,
}

impl Rendered {
    fn locked(&self) -> MutexGuard<'_, Lately> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the state of a peer that is used now.
    pub fn used(&self, peer: &Arc<PeerLive>) {
        let mut lately = self.locked();
        lately.uses += 1;
        let now = lately.uses;
        lately.peers.insert(peer.state.id, (Arc::clone(peer), now));
        if lately.peers.len() > MOST {
            let oldest = lately.peers.iter().min_by_key(|(_, (_, at))| *at).map(|(id, _)| *id);
            oldest.and_then(|id| lately.peers.remove(&id));
        }
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<PeerLive>> {
        self.locked().peers.values().map(|(peer, _)| Arc::clone(peer)).collect()
    }

    /// Forgets those of lines that are gone.
    pub fn keep(&self, is_line: impl Fn(u64) -> bool) {
        self.locked().peers.retain(|_, (peer, _)| is_line(peer.line.load(std::sync::atomic::Ordering::Relaxed)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::live::{PeerSpec, Peers};

    #[test]
    fn addresses_and_names_are_told_apart_and_the_rest_is_refused() {
        let ip = |text: &str| Some(Target::Ip(text.parse().expect("an address")));
        assert_eq!(Target::parse("127.0.0.1:80"), ip("127.0.0.1:80"));
        assert_eq!(Target::parse("[::1]:80"), ip("[::1]:80"));
        assert_eq!(Target::parse("A_b-1.Example.:443"), Some(Target::Name("a_b-1.example".to_owned(), 443)));
        let long = format!("{}:80", "a.".repeat(200));
        let bad =
            ["", ":80", "a", "a:", "a:0", "a:+80", "a:65536", "a b:80", "127.1:80", "::1:80", "unix:/x", "a..b:80"];
        for bad in bad.into_iter().chain([long.as_str(), "-a:80", "a:80\n", "\u{e9}:80", "127.0.0.1:0"]) {
            assert_eq!(Target::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn networks_hold_what_is_in_them() {
        let holds =
            |net: &str, ip: &str| Network::parse(net).expect("a network").contains(ip.parse().expect("an address"));
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("10.0.0.0/8", "::ffff:10.0.0.1") && !holds("10.0.0.0/8", "::10.0.0.1"));
        assert!(holds("10.0.0.1", "10.0.0.1") && !holds("10.0.0.1", "10.0.0.2"));
        assert!(holds("2001:db8::/32", "2001:db8::1") && !holds("2001:db8::/32", "2001:db9::1"));
        assert!(holds("all", "::1") && holds("all", "1.2.3.4"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert_eq!((Network::parse("10.0.0.0/33"), Network::parse("x")), (None, None));
    }

    #[test]
    fn the_one_unused_longest_goes_first() {
        let (peers, lately) = (Peers::default(), Rendered::default());
        let peer = |id: u64| {
            let addr = SocketAddr::from(([10, 0, 0, 1], 80)).into();
            let (upstream, host, connector) = ("o", "x", "tcp");
            peers.get(&PeerSpec {
                id,
                line: 7,
                upstream,
                host,
                addr,
                connector,
                weight: 1,
                max_connections: 0,
                backup: false,
            })
        };
        (1..=MOST as u64).for_each(|id| lately.used(&peer(id)));
        lately.used(&peer(1));
        lately.used(&peer(5000));
        let ids: Vec<_> = lately.all().iter().map(|p| p.state.id).collect();
        assert_eq!(ids.len(), MOST);
        assert!(ids.contains(&1) && ids.contains(&5000) && !ids.contains(&2));
        lately.keep(|line| line != 7);
        assert!(lately.all().is_empty());
    }
}
