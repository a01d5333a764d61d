//! Addresses of one configuration that the system does not let one process listen on beside each other.

use super::Builder;
use crate::{
    config::{
        Tree,
        address::Address,
        diagnostic::Diagnostic,
        tree::{Socket, SocketUser},
    },
    cycle::settings::Settings,
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
};

impl Builder<'_> {
    /// Without `SO_REUSEPORT` Linux refuses a wildcard beside an address that it covers. Others take the narrower one first.
    pub(super) fn overlaps(&mut self, tree: &Tree, settings: &Settings) {
        if settings.reuseport || !cfg!(target_os = "linux") {
            return;
        }
        let listen = |u: SocketUser| &tree.nets[u.net].servers[u.server].listens[u.listen].node;
        // Of two ranges each port would say the same.
        let mut said = HashSet::new();
        for (wide, narrow) in covered(&tree.sockets, settings.ipv6_only) {
            let (wide, narrow) = (&tree.sockets[wide], &tree.sockets[narrow]);
            let (at, other) = (listen(narrow.users[0]), listen(wide.users[0]));
            if !said.insert((std::ptr::from_ref(at), std::ptr::from_ref(other))) {
                continue;
            }
            let text =
                format!("{} is part of {}: without reuseport addresses may not overlap", narrow.address, wide.address);
            let mut found = Diagnostic::error("addresses-overlap", text).at_some(self.place(&at.span));
            if let Some(other) = self.place(&other.span) {
                found = found.label(other, "the wider one");
            }
            self.wrong.push(found);
        }
    }
}

/// Pairs of sockets of which the first is a wildcard that covers the second.
fn covered(sockets: &[Socket], v6_only: bool) -> Vec<(usize, usize)> {
    let mut by_port: HashMap<(u16, bool), Vec<(usize, SocketAddr)>> = HashMap::new();
    for (n, socket) in sockets.iter().enumerate() {
        // The system chooses ports that are free.
        if let Address::Ip(at) = socket.address
            && at.port() != 0
        {
            by_port.entry((at.port(), socket.datagram)).or_default().push((n, at));
        }
    }
    let mut found = Vec::new();
    for all in by_port.values().filter(|all| all.len() > 1) {
        for (wide, w) in all.iter().filter(|(_, at)| at.ip().is_unspecified()) {
            let covers = |at: &SocketAddr| at.is_ipv6() == w.is_ipv6() || w.is_ipv6() && !v6_only;
            found.extend(all.iter().filter(|(n, at)| n != wide && covers(at)).map(|(n, _)| (*wide, *n)));
        }
    }
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_its_family_and_ipv6_that_takes_ipv4_both() {
        let sockets = |texts: &[(&str, bool)]| -> Vec<Socket> {
            let one = |(text, datagram): &(&str, bool)| Socket {
                address: Address::Ip(text.parse().expect("an address")),
                datagram: *datagram,
                users: Vec::new(),
                default: None,
            };
            texts.iter().map(one).collect()
        };
        let all = sockets(&[
            ("127.0.0.1:80", false),
            ("0.0.0.0:80", false),
            ("127.0.0.1:81", false),
            ("127.0.0.1:80", true),
            ("[::]:80", false),
            ("[::1]:80", false),
        ]);
        assert_eq!(covered(&all, true), [(1, 0), (4, 5)]);
        assert_eq!(covered(&all, false), [(1, 0), (4, 0), (4, 1), (4, 5)]);
        assert_eq!(covered(&sockets(&[("0.0.0.0:0", false), ("127.0.0.1:0", false)]), true), []);
    }
}
