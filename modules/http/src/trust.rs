//! What senders that are trusted may say of a request: whose it is, and how it is called.

use crate::{
    Http,
    core::forwarded::{client_by_forwarded, client_by_x_forwarded_for, is_request_id},
    exchange::State,
    h1::Id,
};
use anyproxy_module_api::*;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

directive! {
    /// Senders whose X-Forwarded-For says who the client is, and whose request id is taken over. Their X-Forwarded-Proto and
    /// X-Forwarded-Host are passed on. Where the server says `http_forwarded "rfc7239"` it is Forwarded that counts, and
    /// X-Forwarded-For does not: a sender writes one of them, and lets pass in the other what a client has made up.
    /// Of several addresses in the header the last one that is not trusted is the client's. A local that has one has it for
    /// `multi_hop` alone: who the client is is known before a local is chosen.
    "http_trusted", Contexts::MSL,
    .args(&[ArgDesc::new("network", Kind::Cidr, "An address, a network or all.").required().repeated()])
    .default("nobody")
    .example("http_trusted \"10.0.0.0/8\" \"fd00::/8\"")
}

directive! {
    /// A header that carries the request's id to peers, and from senders that are trusted.
    /// A request without id gets one. It is `${request_id}`. A name with `_` is heard only where `http_header_underscores` is said.
    "http_request_id", Contexts::MSL,
    .args(&[ArgDesc::new("name", Kind::Text, "Name of the header.").required()])
    .default("none is sent")
    .example("http_request_id \"X-Request-Id\"")
}

/// A network: its address, and how many bits of it count.
#[derive(Clone, Copy, Debug)]
struct Network(IpAddr, u8);

/// What a server hears of who asks, before one of its locals is chosen.
#[derive(Clone, Debug)]
pub(crate) struct Hears {
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) multi_hop: bool,
    pub(crate) request_id: Option<&'static str>,
    /// `http_header_underscores`
    pub(crate) underscores: bool,
    /// Clients are named by `Forwarded`.
    pub(crate) forwarded: bool,
}

impl Hears {
    /// Takes over what the sender of a request says, if it is trusted. Whether anything was.
    pub(crate) fn hear(&self, exchange: &Session<Http>, state: &State) -> bool {
        let trusted = &*self.trusted;
        if trusted.is_empty() {
            return false;
        }
        let Some(sender) = exchange.client.get().socket().filter(|a| trusted.has(a.ip())) else { return false };
        let mut heard = false;
        let parts = &mut *state.parts.borrow_mut();
        parts.trusted = true;
        let named = |id| parts.request.joined(id);
        let is_trusted = |ip| trusted.has(ip);
        let ip = match self.forwarded {
            true => named(Id::Forwarded).map(|v| client_by_forwarded(sender.ip(), &v, is_trusted)),
            false => named(Id::XForwardedFor).map(|v| client_by_x_forwarded_for(sender.ip(), &v, is_trusted)),
        };
        if let Some(ip) = ip.filter(|ip| *ip != sender.ip()) {
            // Whoever passed it on does not say from which port it came.
            exchange.client.set(SocketAddr::new(ip, 0).into());
            heard = true;
        }
        let id = self.request_id.and_then(|name| {
            let bytes = &parts.request.bytes;
            let same = |l: &&crate::h1::HeaderAt| l.name(bytes).eq_ignore_ascii_case(name.as_bytes());
            Some(parts.request.lines().find(same)?.value(bytes))
        });
        if let Some(id) = id.filter(|id| is_request_id(id)) {
            exchange.set_request_id(&String::from_utf8_lossy(id));
            heard = true;
        }
        heard
    }
}

/// Whose word is taken.
#[derive(Debug, Default)]
pub(crate) struct Trusted {
    networks: Vec<Network>,
    all: bool,
}

impl Trusted {
    pub(crate) fn new<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Self {
        let mut trusted = Self::default();
        let Some(node) = scope.node("http_trusted") else { return trusted };
        for value in node.args.as_slice() {
            match value.text.as_str() {
                "all" => trusted.all = true,
                text => match network(text) {
                    Some(n) => trusted.networks.push(n),
                    None => problems.error(&value.span, &format!("\"{text}\" is no network"), ""),
                },
            }
        }
        trusted
    }

    fn is_empty(&self) -> bool {
        !self.all && self.networks.is_empty()
    }

    fn has(&self, ip: IpAddr) -> bool {
        self.all || self.networks.iter().any(|n| n.has(ip))
    }

    /// Whether this sender's word is taken.
    pub(crate) fn is_trusted(&self, sender: Addr) -> bool {
        sender.socket().is_some_and(|a| self.has(a.ip()))
    }
}

fn network(text: &str) -> Option<Network> {
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip.parse().ok()?, Some(bits.parse().ok()?)),
        None => (text.parse().ok()?, None),
    };
    let most = if matches!(ip, IpAddr::V4(_)) { 32 } else { 128 };
    let bits = bits.unwrap_or(most);
    (bits <= most).then_some(Network(ip, bits))
}

impl Network {
    fn has(self, ip: IpAddr) -> bool {
        let Self(of, bits) = self;
        match (of, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                let rest = 32 - u32::from(bits);
                (a.to_bits() ^ b.to_bits()).checked_shr(rest).unwrap_or(0) == 0
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => {
                let rest = 128 - u32::from(bits);
                (a.to_bits() ^ b.to_bits()).checked_shr(rest).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "203.0.113.9", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("::1", "::1", "::2"),
            ("192.0.2.0/25", "192.0.2.127", "192.0.2.128"),
        ] {
            let n = network(text).expect(text);
            assert!(n.has(inside.parse().expect("an address")), "{text} {inside}");
            assert!(!n.has(outside.parse().expect("an address")), "{text} {outside}");
        }
        assert!(network("10.0.0.0/8").expect("one").has("::ffff:10.1.2.3".parse().expect("mapped")));
        for text in ["", "x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0/8"] {
            assert!(network(text).is_none(), "{text}");
        }
    }
}
