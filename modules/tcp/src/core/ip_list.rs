//! Ordered lists of networks that allow or deny, and sets of trusted ones.
//! Knows addresses only; where a list is inherited or what a denial does is decided by who holds it.
//!
//! The first rule that matches wins. Networks never overlap partly, they nest, so the whole list is compiled into the
//! ranges between their edges, each with the answer of its first rule: a look-up is a binary search whatever the length.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// What a rule says about an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Let it in.
    Allow,
    /// Turn it away.
    Deny,
}

/// One address, a CIDR block, or everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// `all`: every address of either family.
    All,
    /// An IPv4 block.
    V4 {
        /// With the bits after the prefix 0.
        address: Ipv4Addr,
        /// 0 to 32.
        prefix: u8,
    },
    /// An IPv6 block. It holds no IPv4 addresses, mapped ones neither, not even as `::/0`.
    V6 {
        /// With the bits after the prefix 0.
        address: Ipv6Addr,
        /// 0 to 128.
        prefix: u8,
    },
}

/// Why a text is no network, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkError {
    /// What is wrong.
    pub reason: String,
    /// A text that would be accepted.
    pub suggestion: Option<String>,
}

/// An ordered list, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpList {
    v4: Table<u32>,
    v6: Table<u128>,
}

impl IpList {
    /// Compiles rules in the order in which they apply.
    pub fn new(rules: &[(Action, Network)]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (index, &(action, network)) in rules.iter().enumerate() {
            match network {
                Network::All => {
                    v4.push((0, u32::MAX, index, action));
                    v6.push((0, u128::MAX, index, action));
                }
                Network::V4 { address, prefix } => {
                    let free = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                    let first = address.to_bits() & !free;
                    v4.push((first, first | free, index, action));
                }
                Network::V6 { address, prefix } => {
                    let free = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                    let first = address.to_bits() & !free;
                    v6.push((first, first | free, index, action));
                }
            }
        }
        Self { v4: Table::new(&v4), v6: Table::new(&v6) }
    }

    /// A set: allows these networks and says nothing about others.
    pub fn set(networks: &[Network]) -> Self {
        let rules: Vec<_> = networks.iter().map(|&network| (Action::Allow, network)).collect();
        Self::new(&rules)
    }

    /// What the first matching rule says. None when no rule matches, and what follows from that is the caller's.
    pub fn decide(&self, address: IpAddr) -> Option<Action> {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(address.to_bits()),
            IpAddr::V6(address) => self.v6.find(address.to_bits()),
        }
    }

    /// Whether the first matching rule allows the address; false when none matches. For sets.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.decide(address) == Some(Action::Allow)
    }

    /// Whether no address matches.
    pub fn is_empty(&self) -> bool {
        self.v4.edges.is_empty() && self.v6.edges.is_empty()
    }
}

/// From each edge up to the next one the answer is the same; before the first there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table<N> {
    edges: Vec<(N, Option<Action>)>,
}

impl<N> Default for Table<N> {
    fn default() -> Self {
        Self { edges: Vec::new() }
    }
}

/// First and last address, place in the list, action.
type Range<N> = (N, N, usize, Action);

impl<N: Copy + Ord + Successor> Table<N> {
    /// Sweeps over the edges with the set of ranges that are open; the one that comes first in the list answers.
    fn new(ranges: &[Range<N>]) -> Self {
        let mut events: Vec<(N, bool, usize, Action)> = Vec::with_capacity(ranges.len() * 2);
        for &(first, last, index, action) in ranges {
            events.push((first, true, index, action));
            if let Some(after) = last.successor() {
                events.push((after, false, index, action));
            }
        }
        events.sort_unstable_by_key(|&(at, ..)| at);
        let mut open: BTreeSet<(usize, bool)> = BTreeSet::new();
        let mut edges: Vec<(N, Option<Action>)> = Vec::new();
        for group in events.chunk_by(|left, right| left.0 == right.0) {
            for &(_, opens, index, action) in group {
                let range = (index, action == Action::Allow);
                if opens {
                    open.insert(range);
                } else {
                    open.remove(&range);
                }
            }
            let answer = open.first().map(|&(_, allows)| match allows {
                true => Action::Allow,
                false => Action::Deny,
            });
            if edges.last().and_then(|last| last.1) != answer {
                edges.push((group[0].0, answer));
            }
        }
        Self { edges }
    }

    fn find(&self, address: N) -> Option<Action> {
        let after = self.edges.partition_point(|edge| edge.0 <= address);
        self.edges[..after].last().and_then(|edge| edge.1)
    }
}

trait Successor: Sized {
    fn successor(self) -> Option<Self>;
}

impl Successor for u32 {
    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

impl Successor for u128 {
    fn successor(self) -> Option<Self> {
        self.checked_add(1)
    }
}

/// `all`, `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32`. A block inside `::ffff:0:0/96` is the IPv4 block it maps.
impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text == "all" {
            return Ok(Self::All);
        }
        if text.eq_ignore_ascii_case("all") || text == "*" || text == "any" {
            return Err(NetworkError::new("invalid address", Some("all".into())));
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(not_an_address(text, address));
        };
        let width: u8 = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) => parse_prefix(digits)
                .filter(|&prefix| prefix <= width)
                .ok_or_else(|| NetworkError::new(format!("the prefix must be a number from 0 to {width}"), None))?,
        };
        let network = Self::new(address, prefix);
        if network.first() != address.to_canonical() {
            let reason = format!("bits are set after the first {prefix}");
            return Err(NetworkError::new(reason, Some(network.to_string())));
        }
        Ok(network)
    }
}

impl Network {
    /// The block around an address; bits after the prefix are dropped, and a prefix over the family's width is that
    /// width.
    pub fn new(address: IpAddr, prefix: u8) -> Self {
        const MAPPED: u8 = 96;
        match (address, address.to_canonical()) {
            (IpAddr::V4(address), _) => Self::v4(address, prefix),
            (IpAddr::V6(_), IpAddr::V4(address)) if prefix >= MAPPED => Self::v4(address, prefix - MAPPED),
            (IpAddr::V6(address), _) => {
                let prefix = prefix.min(128);
                let free = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                let address = Ipv6Addr::from_bits(address.to_bits() & !free);
                Self::V6 { address, prefix }
            }
        }
    }

    fn v4(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        let free = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
        let address = Ipv4Addr::from_bits(address.to_bits() & !free);
        Self::V4 { address, prefix }
    }

    fn first(self) -> IpAddr {
        match self {
            Self::All => Ipv6Addr::UNSPECIFIED.into(),
            Self::V4 { address, .. } => address.into(),
            Self::V6 { address, .. } => address.into(),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::V4 { address, prefix: 32 } => address.fmt(f),
            Self::V6 { address, prefix: 128 } => address.fmt(f),
            Self::V4 { address, prefix } => write!(f, "{address}/{prefix}"),
            Self::V6 { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

impl NetworkError {
    fn new(reason: impl Into<String>, suggestion: Option<String>) -> Self {
        Self { reason: reason.into(), suggestion }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.suggestion {
            Some(text) => write!(f, "; did you mean \"{text}\"?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NetworkError {}

/// Digits without sign or leading zero.
fn parse_prefix(digits: &str) -> Option<u8> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    if plain { digits.parse().ok() } else { None }
}

fn not_an_address(text: &str, address: &str) -> NetworkError {
    if text.is_empty() {
        return NetworkError::new("empty address", None);
    }
    let bare = address.trim().trim_start_matches('[').trim_end_matches(']');
    let suggestion = bare.parse::<IpAddr>().ok().map(|ip| ip.to_string());
    NetworkError::new("expected an IPv4 or IPv6 address, a CIDR block, or all", suggestion)
}

#[cfg(test)]
#[path = "ip_list_tests.rs"]
mod tests;
