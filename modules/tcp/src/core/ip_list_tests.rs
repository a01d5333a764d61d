//! Tests of address lists: first match by examples, and against a linear search on generated lists.

use super::super::corpus::{self, Random};
use super::Action::{Allow, Deny};
use super::*;

fn net(text: &str) -> Network {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn error(text: &str) -> NetworkError {
    text.parse::<Network>().unwrap_err()
}

fn matches(network: Network, address: IpAddr) -> bool {
    let inside = |address: u128, first: u128, width: u32, prefix: u8| {
        let shift = width - u32::from(prefix);
        address.checked_shr(shift) == first.checked_shr(shift)
    };
    match (network, address.to_canonical()) {
        (Network::All, _) => true,
        (Network::V4 { address: first, prefix }, IpAddr::V4(ip)) => {
            inside(ip.to_bits().into(), first.to_bits().into(), 32, prefix)
        }
        (Network::V6 { address: first, prefix }, IpAddr::V6(ip)) => inside(ip.to_bits(), first.to_bits(), 128, prefix),
        _ => false,
    }
}

#[test]
fn the_first_match_wins() {
    let list = IpList::new(&[
        (Allow, net("192.0.2.7")),
        (Deny, net("192.0.2.0/24")),
        (Allow, net("192.0.0.0/16")),
        (Allow, net("2001:db8::/32")),
        (Deny, net("all")),
        (Allow, net("203.0.113.0/24")),
    ]);
    for (address, answer) in [
        ("192.0.2.7", Allow),
        ("192.0.2.8", Deny),
        ("192.0.2.255", Deny),
        ("192.0.3.0", Allow),
        ("192.1.0.0", Deny),
        ("203.0.113.1", Deny),
        ("255.255.255.255", Deny),
        ("2001:db8:ffff::1", Allow),
        ("2001:db9::", Deny),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", Deny),
        ("::ffff:192.0.2.7", Allow),
    ] {
        assert_eq!(list.decide(ip(address)), Some(answer), "{address}");
    }
}

#[test]
fn no_match_is_no_answer() {
    let list = IpList::new(&[(Deny, net("192.0.2.0/24"))]);
    assert_eq!(list.decide(ip("192.0.3.0")), None);
    assert_eq!(list.decide(ip("192.0.1.255")), None);
    assert_eq!(list.decide(ip("::1")), None);
    assert!(IpList::new(&[]).is_empty());
    assert_eq!(IpList::new(&[]).decide(ip("192.0.2.1")), None);
}

#[test]
fn a_set_holds_its_networks_only() {
    let trusted = IpList::set(&[net("127.0.0.0/8"), net("::1")]);
    assert!(trusted.contains(ip("127.1.2.3")) && trusted.contains(ip("::1")));
    assert!(!trusted.contains(ip("128.0.0.0")) && !trusted.contains(ip("::2")));
    assert!(!IpList::default().contains(ip("127.0.0.1")));
}

#[test]
fn mapped_addresses_are_ipv4_on_both_sides() {
    assert_eq!(net("::ffff:192.0.2.0/120"), net("192.0.2.0/24"));
    assert_eq!(net("::ffff:192.0.2.1"), net("192.0.2.1"));
    assert!(IpList::set(&[net("0.0.0.0/0")]).contains(ip("::ffff:192.0.2.1")));
    assert!(!IpList::set(&[net("::/0")]).contains(ip("::ffff:192.0.2.1")));
}

#[test]
fn mistakes_are_explained() {
    for (text, reason, suggestion) in [
        ("10.0.0.1/8", "bits are set after the first 8", Some("10.0.0.0/8")),
        ("2001:db8::1/32", "bits are set after the first 32", Some("2001:db8::/32")),
        ("10.0.0.0/33", "the prefix must be a number from 0 to 32", None),
        ("::/129", "the prefix must be a number from 0 to 128", None),
        ("10.0.0.0/+8", "the prefix must be a number from 0 to 32", None),
        ("10.0.0.0/08", "the prefix must be a number from 0 to 32", None),
        ("10.0.0.0/", "the prefix must be a number from 0 to 32", None),
        ("[::1]", "expected an IPv4 or IPv6 address, a CIDR block, or all", Some("::1")),
        (" 10.0.0.1", "expected an IPv4 or IPv6 address, a CIDR block, or all", Some("10.0.0.1")),
        ("10.0.0", "expected an IPv4 or IPv6 address, a CIDR block, or all", None),
        ("localhost", "expected an IPv4 or IPv6 address, a CIDR block, or all", None),
        ("", "empty address", None),
        ("ALL", "invalid address", Some("all")),
    ] {
        let error = error(text);
        assert_eq!(error.reason, reason, "{text}");
        assert_eq!(error.suggestion.as_deref(), suggestion, "{text}");
    }
    let shown = error("10.0.0.1/8").to_string();
    assert_eq!(shown, "bits are set after the first 8; did you mean \"10.0.0.0/8\"?");
}

#[test]
fn the_compiled_list_answers_as_a_linear_search_does() {
    let mut random = Random(11);
    for _ in 0..300 {
        // A few leading bits, so that blocks nest and repeat.
        let any = |random: &mut Random| match random.below(3) {
            0 => IpAddr::from(Ipv6Addr::from_bits(u128::from(random.next() & 0xff) << 120 | 1)),
            _ => IpAddr::from(Ipv4Addr::from_bits((random.next() as u32 & 0xf3) << 24 | 0x0101)),
        };
        let rules: Vec<(Action, Network)> = (0..random.below(30))
            .map(|_| {
                let action = if random.below(2) == 0 { Allow } else { Deny };
                let network = match random.below(20) {
                    0 => Network::All,
                    _ => Network::new(any(&mut random), random.below(129) as u8),
                };
                (action, network)
            })
            .collect();
        let list = IpList::new(&rules);
        for _ in 0..200 {
            let address = any(&mut random);
            let expected = rules.iter().find(|rule| matches(rule.1, address)).map(|rule| rule.0);
            assert_eq!(list.decide(address), expected, "{address} {rules:?}");
        }
    }
}

#[test]
fn ten_thousand_rules_are_searched_in_log_time() {
    let rules: Vec<_> = (0..10_000u32)
        .map(|index| {
            let block = Network::new(Ipv4Addr::from_bits(index << 12).into(), 24);
            (if index % 2 == 0 { Allow } else { Deny }, block)
        })
        .collect();
    let list = IpList::new(&rules);
    // Two edges a block at most, and a binary search over them.
    assert_eq!(list.v4.edges.len(), 20_000);
    assert_eq!(list.decide(Ipv4Addr::from_bits(9_998 << 12 | 255).into()), Some(Allow));
    assert_eq!(list.decide(Ipv4Addr::from_bits(9_999 << 12).into()), Some(Deny));
    assert_eq!(list.decide(Ipv4Addr::from_bits(9_999 << 12 | 256).into()), None);
}

#[test]
fn no_text_panics_and_what_parses_is_written_back() {
    corpus::run("ip_list", |input| {
        let text = String::from_utf8_lossy(input);
        for line in text.lines() {
            if let Ok(network) = line.parse::<Network>() {
                assert_eq!(network.to_string().parse(), Ok(network));
                assert_eq!(matches(network, network.first()), IpList::set(&[network]).contains(network.first()));
            }
        }
    });
}
