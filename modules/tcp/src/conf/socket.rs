//! `socket { tcp "name" … }` and `tcp_config_name`: options of sockets, under a name.

use anyproxy_module_api::*;
use std::{net::IpAddr, sync::Arc};

directive! {
    /// A named profile of TCP sockets, for the listeners and peers whose block names it with `tcp_config_name`.
    /// Properties that are left out keep their defaults. The same name twice is an error.
    "tcp", Contexts::SOCKET,
    .args(&[ArgDesc::new("name", Kind::Text, "what tcp_config_name calls it").required()])
    .props(&[
        ArgDesc::new("nodelay", Kind::Bool, "send small segments at once (TCP_NODELAY)").default("#true"),
        ArgDesc::new("send_buffer", Kind::Size, "SO_SNDBUF; absent: the system grows it by itself").bounds(4096, 1 << 30),
        ArgDesc::new("recv_buffer", Kind::Size, "SO_RCVBUF; absent: the system grows it by itself").bounds(4096, 1 << 30),
        ArgDesc::new("connect_timeout", Kind::Time, "limit of connecting to a peer; a connect_timeout directive beats it")
            .bounds(MILLI, HOUR),
        ArgDesc::new("recv_timeout", Kind::Time, "as the directive recv_timeout, which beats it").bounds(0, DAY),
        ArgDesc::new("send_timeout", Kind::Time, "as the directive send_timeout, which beats it").bounds(0, DAY),
        ArgDesc::new("keepalive", Kind::Time, "idle time before the system asks whether the other end lives; 0: never")
            .bounds(0, DAY).default("0"),
        ArgDesc::new("user_timeout", Kind::Time, "bytes sent and not acknowledged for so long end it (TCP_USER_TIMEOUT)")
            .bounds(0, HOUR),
        ArgDesc::new("tos", Kind::Int, "IP_TOS or IPV6_TCLASS").bounds(0, 255),
        ArgDesc::new("mark", Kind::Int, "SO_MARK, for routing rules; needs CAP_NET_ADMIN").bounds(0, u32::MAX as i64),
        ArgDesc::new("source", Kind::Text, "address from which peers are connected; absent: the system chooses"),
        ArgDesc::new("backlog", Kind::Int, "connections that may wait to be accepted; absent: the system's most")
            .bounds(1, i32::MAX as i64),
        ArgDesc::new("defer_accept", Kind::Bool, "accept a client only when it has spoken: one that never does is not seen")
            .default("#false"),
        ArgDesc::new("mode", Kind::Text,
            "permissions of a Unix listener's file, octal: who may write it may connect; absent: \"0666\", everybody who gets there"),
        ArgDesc::new("fastopen", Kind::Bool, "take and send bytes with the first segment (TCP Fast Open)").default("#false"),
    ])
    .append()
    .inherit(Inherit::Never)
    .default("sockets with nodelay and otherwise the system's values")
    .example("tcp \"edge\" nodelay=#true keepalive=\"60s\" connect_timeout=\"3s\" backlog=4096")
}

directive! {
    /// The socket profile of this block's listeners and peers.
    /// In `net` and `server` it holds for listeners and for the peers inside; in a `local`, an `upstream` or at a peer for
    /// peers alone. A listening socket is shared by the servers of its address: the first one's profile holds.
    "tcp_config_name", Contexts::MSL.or(Contexts::UPSTREAM).or(Contexts::PEER),
    .args(&[ArgDesc::new("name", Kind::Text, "a profile of the socket block").required()])
    .default("the defaults of the profile's properties")
    .example("tcp_config_name \"edge\"")
}

const MILLI: i64 = 1_000_000;
const HOUR: i64 = 3_600_000 * MILLI;
const DAY: i64 = 24 * HOUR;

/// Options of the sockets of one block.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Profile {
    options: SocketOptions,
    /// Of `recv_timeout`, milliseconds; 0: not said.
    pub(super) recv_ms: u64,
    /// Of `send_timeout`.
    pub(super) send_ms: u64,
}

/// Profiles by name.
pub(super) type Profiles = Arc<[(Box<str>, Profile)]>;

impl Profile {
    /// As a listener's socket.
    pub(crate) fn listening(&self, to: &mut SocketOptions) {
        self.common(to);
        to.backlog = self.options.backlog;
        to.defer_accept = self.options.defer_accept;
        to.unix_mode = self.options.unix_mode;
    }

    /// As a socket that connects. A limit that is there already stays.
    pub(crate) fn connecting(&self, to: &mut SocketOptions) {
        self.common(to);
        if self.options.connect_timeout_ms != 0 {
            to.connect_timeout_ms = self.options.connect_timeout_ms;
        }
        if self.options.source != Addr::NONE {
            to.source = self.options.source;
        }
    }

    fn common(&self, to: &mut SocketOptions) {
        let from = &self.options;
        to.send_buffer = from.send_buffer;
        to.recv_buffer = from.recv_buffer;
        to.keepalive_s = from.keepalive_s;
        to.user_timeout_ms = from.user_timeout_ms;
        to.tos = from.tos;
        to.mark = from.mark;
        to.nodelay = from.nodelay;
        to.fastopen = from.fastopen;
    }
}

/// The profiles of the `socket` blocks.
pub(super) fn profiles<'a>(nodes: impl Iterator<Item = &'a Node<'a>>, problems: &mut Problems<'_>) -> Profiles {
    let mut all: Vec<(Box<str>, Profile)> = Vec::new();
    for node in nodes {
        let name = node.arg(0).map_or("", |v| v.text.as_str());
        if all.iter().any(|(n, _)| **n == *name) {
            problems.error(
                &node.span,
                &format!("the socket profile \"{name}\" is already there"),
                "give one of them another name",
            );
            continue;
        }
        all.push((name.into(), profile(node, problems)));
    }
    all.into()
}

fn profile(node: &Node<'_>, problems: &mut Problems<'_>) -> Profile {
    let mut p = Profile::default();
    let o = &mut p.options;
    for Prop { name, value } in node.props.as_slice() {
        let number = u32::try_from(value.num).unwrap_or(u32::MAX);
        let ms = u64::try_from(value.time().as_millis()).unwrap_or(u64::MAX);
        let small_ms = u32::try_from(ms).unwrap_or(u32::MAX);
        match name.as_str() {
            "nodelay" => o.nodelay = value.bool(),
            "send_buffer" => o.send_buffer = number,
            "recv_buffer" => o.recv_buffer = number,
            "connect_timeout" => o.connect_timeout_ms = small_ms,
            "recv_timeout" => p.recv_ms = ms,
            "send_timeout" => p.send_ms = ms,
            // The system counts whole seconds.
            "keepalive" => o.keepalive_s = small_ms.div_ceil(1000),
            "user_timeout" => o.user_timeout_ms = small_ms,
            "tos" => o.tos = number,
            "mark" => o.mark = number,
            "backlog" => o.backlog = number,
            "defer_accept" => o.defer_accept = value.bool(),
            "fastopen" => o.fastopen = value.bool(),
            "mode" => match u16::from_str_radix(&value.text, 8) {
                Ok(mode @ 1..=0o777) => o.unix_mode = mode,
                _ => problems.error(
                    &value.span,
                    &format!("\"{}\" is no mode of a file", value.text),
                    "write three octal digits for owner, group and others, \"0660\"",
                ),
            },
            "source" => match value.text.parse::<IpAddr>() {
                Ok(ip) => o.source = std::net::SocketAddr::new(ip, 0).into(),
                Err(_) => problems.error(
                    &value.span,
                    &format!("\"{}\" is not an IP address", value.text),
                    "write an address of this machine without port, \"192.0.2.1\"",
                ),
            },
            _ => {}
        }
    }
    p
}

/// The profile that a block names.
pub(super) fn named(node: &Node<'_>, profiles: &Profiles, problems: &mut Problems<'_>) -> Profile {
    let Some(value) = node.arg(0) else { return Profile::default() };
    let name = value.text.as_str();
    if let Some((_, p)) = profiles.iter().find(|(n, _)| **n == *name) {
        return *p;
    }
    let help = match nearest(name, profiles.iter().map(|(n, _)| &**n)) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write `socket {{ tcp \"{name}\" }}` at the top level"),
    };
    problems.error(&value.span, &format!("there is no socket profile \"{name}\""), &help);
    Profile::default()
}

/// The name that `text` is probably a misspelling of.
fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    names.map(|n| (distance(text, n), n)).filter(|(d, n)| *d <= n.len().div_ceil(3)).min().map(|(_, n)| n)
}

/// Insertions, removals and changes of a byte between two texts (Levenshtein); long texts count as unlike.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = changed.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspellings_find_their_name_and_others_none() {
        let names = ["edge", "backend", "x"];
        let near = |text| nearest(text, names.into_iter());
        assert_eq!(near("egde"), Some("edge"));
        assert_eq!(near("backends"), Some("backend"));
        assert_eq!(near("something"), None);
        assert_eq!(near(&"a".repeat(10_000)), None);
    }

    #[test]
    fn listeners_and_connections_take_their_own_part_of_a_profile() {
        let mut p = Profile::default();
        p.options.backlog = 7;
        p.options.connect_timeout_ms = 9;
        p.options.tos = 16;
        p.options.unix_mode = 0o600;
        let (mut l, mut c) = (SocketOptions::default(), SocketOptions::default());
        p.listening(&mut l);
        p.connecting(&mut c);
        assert_eq!((l.backlog, l.connect_timeout_ms, l.tos, l.unix_mode), (7, 0, 16, 0o600));
        assert_eq!((c.backlog, c.connect_timeout_ms, c.tos, c.unix_mode), (0, 9, 16, 0));
    }
}
