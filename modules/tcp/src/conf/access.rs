//! `ip_allow` and `ip_deny` as one ordered list, and lists of believed senders.

use crate::core::ip_list::{Action, IpList, Network};
use anyproxy_module_api::*;
use std::net::IpAddr;

const UNIX: &[Str<'_>] = &[Str::new("unix")];
/// Taken from the host's hands: elsewhere it may be false.
const OUTER: &[ArgDesc] =
    &[ArgDesc::new("inherit", Kind::Bool, "always true: what a block around denies stays denied")];

directive! {
    /// Clients that are let in.
    /// Together with `ip_deny` one list in the order of the file, that of the block around first: the first line that
    /// matches decides, so a block cannot undo what the one around it denies. When none matches, the last line's opposite
    /// holds: a list that ends with `ip_allow` turns others away, one that ends with `ip_deny` lets them in. The client is
    /// the one that a trusted header names. Who is turned away is closed without a byte. Where a server answers requests it
    /// is they who are let in or not, each by its own client.
    "ip_allow", Contexts::MSL,
    .args(&[ArgDesc::new("network", Kind::Cidr, "address, CIDR, `all`, or `unix` for local sockets")
        .required().repeated().choices(UNIX)])
    .append()
    .inherit(Inherit::Append)
    .props(OUTER)
    .default("without ip_allow and ip_deny everybody may connect")
    .example("ip_allow \"10.0.0.0/8\" \"2001:db8::/32\"")
}

directive! {
    /// Clients that are not let in; see `ip_allow`.
    "ip_deny", Contexts::MSL,
    .args(&[ArgDesc::new("network", Kind::Cidr, "address, CIDR, `all`, or `unix` for local sockets")
        .required().repeated().choices(UNIX)])
    .append()
    .inherit(Inherit::Append)
    .props(OUTER)
    .default("without ip_allow and ip_deny everybody may connect")
    .example("ip_deny \"192.0.2.0/24\"")
}

/// Who may connect.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    list: IpList,
    unix: Option<Action>,
    others: Action,
}

impl Access {
    /// Of the lines `ip_allow` and `ip_deny` in order; `None` when there are none.
    pub(super) fn new<'a>(nodes: impl Iterator<Item = &'a Node<'a>>, problems: &mut Problems<'_>) -> Option<Self> {
        let mut rules = Vec::new();
        let (mut unix, mut last) = (None, None);
        for node in nodes {
            let action = if node.name.as_str() == "ip_allow" { Action::Allow } else { Action::Deny };
            last = Some(action);
            if let Some(inherit) = node.prop("inherit").filter(|v| !v.bool()) {
                problems.error(
                    &inherit.span,
                    "the lines of outer blocks cannot be left out: a nested block would undo what they deny",
                    "write what is denied to all alone outside, and the rest in each block",
                );
            }
            for value in node.args.as_slice() {
                match network(value, problems) {
                    Some(Who::Unix) => unix = unix.or(last),
                    Some(Who::Network(n)) => {
                        if n == Network::All {
                            unix = unix.or(last);
                        }
                        rules.push((action, n));
                    }
                    None => {}
                }
            }
        }
        let others = match last? {
            Action::Allow => Action::Deny,
            Action::Deny => Action::Allow,
        };
        Some(Self { list: IpList::new(&rules), unix, others })
    }

    /// What the first line that matches says; `None`: none does.
    fn decide(&self, client: &Addr) -> Option<Action> {
        match client.ip() {
            Some(ip) => self.list.decide(ip),
            None => self.unix,
        }
    }

    /// Whether a line denies this client, so that no nested block can let it in.
    pub(crate) fn denies(&self, client: &Addr) -> bool {
        self.decide(client) == Some(Action::Deny)
    }

    /// Whether this client may connect, where no nested block has a say.
    pub(crate) fn allows(&self, client: &Addr) -> bool {
        self.decide(client).unwrap_or(self.others) == Action::Allow
    }
}

/// A set of senders.
#[derive(Clone, Debug)]
pub(crate) struct Peers {
    list: IpList,
    unix: bool,
}

impl Peers {
    pub(super) fn new(node: &Node<'_>, problems: &mut Problems<'_>) -> Self {
        let (mut networks, mut unix) = (Vec::new(), false);
        for value in node.args.as_slice() {
            match network(value, problems) {
                Some(Who::Unix) => unix = true,
                Some(Who::Network(n)) => {
                    unix |= n == Network::All;
                    networks.push(n);
                }
                None => {}
            }
        }
        Self { list: IpList::set(&networks), unix }
    }

    /// Whether it is one of them.
    pub(crate) fn contains(&self, sender: &Addr) -> bool {
        let known = |ip: IpAddr| self.list.contains(ip);
        sender.ip().map_or(self.unix, known)
    }
}

enum Who {
    Unix,
    Network(Network),
}

fn network(value: &Value<'_>, problems: &mut Problems<'_>) -> Option<Who> {
    if value.text.as_str() == "unix" {
        return Some(Who::Unix);
    }
    match value.text.parse() {
        Ok(n) => Some(Who::Network(n)),
        Err(e) => {
            let e: crate::core::ip_list::NetworkError = e;
            let help = e.suggestion.as_ref().map_or_else(String::new, |s| format!("did you mean \"{s}\"?"));
            problems.error(&value.span, &e.reason, &help);
            None
        }
    }
}
