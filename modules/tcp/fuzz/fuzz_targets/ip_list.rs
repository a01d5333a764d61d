//! Networks, one a line: no panic, what parses is written back, and the compiled list is a first match.
#![no_main]

use anyproxy_tcp::core::ip_list::{Action, IpList, Network};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut rules = Vec::new();
    for (index, network) in text
        .lines()
        .filter_map(|line| line.parse::<Network>().ok())
        .enumerate()
    {
        assert_eq!(network.to_string().parse(), Ok(network));
        rules.push((
            if index % 2 == 0 {
                Action::Allow
            } else {
                Action::Deny
            },
            network,
        ));
    }
    let list = IpList::new(&rules);
    for (_, network) in &rules {
        let address = match *network {
            Network::All => continue,
            Network::V4 { address, .. } => address.into(),
            Network::V6 { address, .. } => address.into(),
        };
        let first = rules
            .iter()
            .find(|(_, rule)| IpList::set(&[*rule]).contains(address));
        assert_eq!(list.decide(address), first.map(|rule| rule.0));
    }
});
