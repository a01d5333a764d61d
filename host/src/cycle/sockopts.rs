//! Listening sockets outlive generations: what a new configuration says of one that is there is set on it, and holds for the
//! connections that are accepted from then on.

use super::{Cycle, bound::Sockets};
use crate::{config::address::Address, services::net};
use anyproxy_module_api::SocketOptions;
use socket2::{Socket, TcpKeepalive};
use std::{collections::HashMap, io, time::Duration};

/// Sets on the sockets that stay what differs from the generation `before`; what cannot be set any more, in words.
pub fn follow(sockets: &Sockets, before: &Cycle, after: &Cycle) -> Vec<String> {
    let was: HashMap<_, _> = before.listeners.iter().map(|l| (l.key, &l.options)).collect();
    set_all(sockets, after, |key| was.get(&key).map(|was| Some(*was)))
}

/// Sets all on sockets that another process made, by options that are not known here.
pub fn follow_inherited(sockets: &Sockets, cycle: &Cycle) -> Vec<String> {
    set_all(sockets, cycle, |_| Some(None))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Unix,
    Datagram,
}

/// Sets what differs from what each listener `was`, which may be `Some(None)`: nobody knows; `None`: it was bound as it is to be.
fn set_all<'a>(
    sockets: &Sockets,
    cycle: &Cycle,
    was: impl Fn(u64) -> Option<Option<&'a SocketOptions>>,
) -> Vec<String> {
    let mut left = Vec::new();
    for l in &cycle.listeners {
        let (Some(bound), Some(was)) = (sockets.get(&l.key), was(l.key)) else { continue };
        let kind = match l.address {
            Address::Unix(_) => Kind::Unix,
            Address::Ip(_) if l.datagram.is_some() => Kind::Datagram,
            Address::Ip(_) => Kind::Tcp,
        };
        // Said or not: one that the service manager made has the permissions that it was told.
        let mode = was.map_or(0, |was| was.unix_mode);
        if kind == Kind::Unix
            && mode != l.options.unix_mode
            && let Err(e) = bound.set_mode(l.options.unix_mode)
        {
            left.push(format!("{}: mode: {e}", l.label));
        }
        for socket in &bound.sockets {
            for what in set(socket, kind, was, &l.options) {
                let text = format!("{}: {what}", l.label);
                // The sockets of a group say the same.
                if !left.contains(&text) {
                    left.push(text);
                }
            }
        }
    }
    left
}

/// Sets what `now` says otherwise than `was`, all where that is not known; what stays as it was, in words.
fn set(socket: &Socket, kind: Kind, was: Option<&SocketOptions>, now: &SocketOptions) -> Vec<String> {
    let mut left = Vec::new();
    let mut set = |name: &str, differs: bool, to: &dyn Fn() -> io::Result<()>| {
        if differs && let Err(e) = to() {
            left.push(format!("{name}: {e}"));
        }
    };
    let differs = |same: fn(&SocketOptions, &SocketOptions) -> bool| was.is_none_or(|was| !same(was, now));
    // Whether somebody said a size cannot be read from a socket: one that is not known is taken for the system's.
    let sizes = was.map_or((0, 0), |was| (was.send_buffer, was.recv_buffer));
    // A size that was said once ends the system's own choice for good.
    let said = |n: u32| match n {
        0 => Err(io::Error::other("the system's own choice comes back with a restart")),
        n => Ok(n as usize),
    };
    set("send_buffer", sizes.0 != now.send_buffer, &|| socket.set_send_buffer_size(said(now.send_buffer)?));
    set("recv_buffer", sizes.1 != now.recv_buffer, &|| socket.set_recv_buffer_size(said(now.recv_buffer)?));
    if kind != Kind::Datagram {
        set("backlog", differs(|a, b| a.backlog == b.backlog), &|| socket.listen(net::backlog(now)));
    }
    if kind != Kind::Unix {
        set("tos", differs(|a, b| a.tos == b.tos), &|| socket.set_tos_v4(now.tos));
        #[cfg(target_os = "linux")]
        // Only who may set it may set it to what it is.
        set("mark", socket.mark().ok() != Some(now.mark), &|| socket.set_mark(now.mark));
    }
    if kind == Kind::Tcp {
        set("nodelay", differs(|a, b| a.nodelay == b.nodelay), &|| socket.set_tcp_nodelay(now.nodelay));
        set("keepalive", differs(|a, b| a.keepalive_s == b.keepalive_s), &|| match now.keepalive_s {
            0 => socket.set_keepalive(false),
            s => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(s.into()))),
        });
        #[cfg(target_os = "linux")]
        set("user_timeout", differs(|a, b| a.user_timeout_ms == b.user_timeout_ms), &|| {
            socket.set_tcp_user_timeout(Some(Duration::from_millis(now.user_timeout_ms.into())))
        });
        #[cfg(target_os = "linux")]
        set("fastopen", differs(|a, b| a.fastopen == b.fastopen), &|| net::set_fastopen(socket, now.fastopen));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};

    #[test]
    fn what_differs_is_set_and_what_cannot_be_is_said() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        socket.listen(5).expect("listens");
        let was = SocketOptions { nodelay: false, ..SocketOptions::default() };
        let now = SocketOptions { keepalive_s: 33, tos: 16, recv_buffer: 40 << 10, backlog: 7, ..Default::default() };
        assert_eq!(set(&socket, Kind::Tcp, Some(&was), &now), [""; 0]);
        assert!(socket.tcp_nodelay().expect("said") && socket.keepalive().expect("said"));
        assert_eq!(socket.tos_v4().expect("said"), 16);
        // The system counts its own part too.
        assert!(socket.recv_buffer_size().expect("said") >= 40 << 10);
        let left = set(&socket, Kind::Tcp, Some(&now), &was);
        assert!(left.len() == 1 && left[0].starts_with("recv_buffer: "), "{left:?}");
        assert!(!socket.tcp_nodelay().expect("said") && !socket.keepalive().expect("said"));
        assert_eq!(socket.tos_v4().expect("said"), 0);
    }

    #[test]
    fn a_socket_of_which_nothing_is_known_gets_all_that_is_said_the_defaults_too() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        socket.listen(5).expect("listens");
        socket.set_keepalive(true).expect("set");
        socket.set_tos_v4(16).expect("set");
        socket.set_tcp_nodelay(true).expect("set");
        let now = SocketOptions { nodelay: false, ..SocketOptions::default() };
        assert_eq!(set(&socket, Kind::Tcp, None, &now), [""; 0]);
        assert!(!socket.keepalive().expect("said") && !socket.tcp_nodelay().expect("said"));
        assert_eq!(socket.tos_v4().expect("said"), 0);
    }
}
