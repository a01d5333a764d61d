//! Listening sockets outlive generations: what a new configuration says of one that is there is set on it, and holds for the
//! connections that are accepted from then on.

use super::{Cycle, prepare::Sockets};
use crate::{config::address::Address, services::net};
use anyproxy_module_api::SocketOptions;
use socket2::{Socket, TcpKeepalive};
use std::{collections::HashMap, io, time::Duration};

/// Sets on the sockets that stay what differs from the generation `before`; what cannot be set any more, in words.
pub fn follow(sockets: &Sockets, before: &Cycle, after: &Cycle) -> Vec<String> {
    let was: HashMap<_, _> = before.listeners.iter().map(|l| (l.key, &l.options)).collect();
    set_all(sockets, after, |key| was.get(&key).copied())
}

/// The same on sockets that another process made, by options that are not known here.
pub fn follow_inherited(sockets: &Sockets, cycle: &Cycle) -> Vec<String> {
    let unknown = SocketOptions { nodelay: false, v6_only: cycle.settings.ipv6_only, ..SocketOptions::default() };
    set_all(sockets, cycle, |_| Some(&unknown))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Unix,
    Datagram,
}

fn set_all<'a>(sockets: &Sockets, cycle: &Cycle, was: impl Fn(u64) -> Option<&'a SocketOptions>) -> Vec<String> {
    let mut left = Vec::new();
    for l in &cycle.listeners {
        let (Some(bound), Some(was)) = (sockets.get(&l.key), was(l.key)) else { continue };
        let kind = match l.address {
            Address::Unix(_) => Kind::Unix,
            Address::Ip(_) if l.datagram.is_some() => Kind::Datagram,
            Address::Ip(_) => Kind::Tcp,
        };
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

/// Sets what `now` says otherwise than `was`; what stays as it was, in words.
fn set(socket: &Socket, kind: Kind, was: &SocketOptions, now: &SocketOptions) -> Vec<String> {
    let mut left = Vec::new();
    let mut set = |name: &str, differs: bool, to: &dyn Fn() -> io::Result<()>| {
        if differs && let Err(e) = to() {
            left.push(format!("{name}: {e}"));
        }
    };
    // A size that was said once ends the system's own choice for good.
    let said = |n: u32| match n {
        0 => Err(io::Error::other("the system's own choice comes back with a restart")),
        n => Ok(n as usize),
    };
    set("send_buffer", was.send_buffer != now.send_buffer, &|| socket.set_send_buffer_size(said(now.send_buffer)?));
    set("recv_buffer", was.recv_buffer != now.recv_buffer, &|| socket.set_recv_buffer_size(said(now.recv_buffer)?));
    if kind != Kind::Datagram {
        set("backlog", was.backlog != now.backlog, &|| socket.listen(net::backlog(now)));
    }
    if kind != Kind::Unix {
        set("tos", was.tos != now.tos, &|| socket.set_tos_v4(now.tos));
        #[cfg(target_os = "linux")]
        set("mark", was.mark != now.mark, &|| socket.set_mark(now.mark));
    }
    if kind == Kind::Tcp {
        set("nodelay", was.nodelay != now.nodelay, &|| socket.set_tcp_nodelay(now.nodelay));
        set("keepalive", was.keepalive_s != now.keepalive_s, &|| match now.keepalive_s {
            0 => socket.set_keepalive(false),
            s => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(s.into()))),
        });
        #[cfg(target_os = "linux")]
        set("user_timeout", was.user_timeout_ms != now.user_timeout_ms, &|| {
            socket.set_tcp_user_timeout(Some(Duration::from_millis(now.user_timeout_ms.into())))
        });
        #[cfg(target_os = "linux")]
        set("fastopen", was.fastopen != now.fastopen, &|| net::set_fastopen(socket, now.fastopen));
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
        assert_eq!(set(&socket, Kind::Tcp, &was, &now), [""; 0]);
        assert!(socket.tcp_nodelay().expect("said") && socket.keepalive().expect("said"));
        assert_eq!(socket.tos_v4().expect("said"), 16);
        // The system counts its own part too.
        assert!(socket.recv_buffer_size().expect("said") >= 40 << 10);
        let left = set(&socket, Kind::Tcp, &now, &was);
        assert!(left.len() == 1 && left[0].starts_with("recv_buffer: "), "{left:?}");
        assert!(!socket.tcp_nodelay().expect("said") && !socket.keepalive().expect("said"));
        assert_eq!(socket.tos_v4().expect("said"), 0);
    }
}
