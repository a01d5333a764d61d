//! Headers in front of a stream, received and sent, and where a domain comes from.

use super::access::Peers;
use crate::core::http_host::Rules;
use anyproxy_module_api::*;
use std::sync::Arc;

const UNIX: &[Str<'_>] = &[Str::new("unix")];

directive! {
    /// Accepts the hello header of another anyproxy, from these addresses only.
    /// On an address that several servers share it belongs in `net`.
    /// It sets client address, request id and domain. A listed sender may leave it out; from anybody else one is refused,
    /// and the connection closed. Until its first byte a connection waits, so protocols in which the server speaks first
    /// need a listener without this.
    "proxy_protocol_hello_accept", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("network", Kind::Cidr, "address, CIDR, `all`, or `unix` for local sockets")
        .required().repeated().choices(UNIX)])
    .role(Role::Preread, "hello")
    .default("no hello header is read; its bytes go to the peer like any others")
    .example("proxy_protocol_hello_accept \"10.0.0.0/8\" \"2001:db8::/32\"")
}

directive! {
    /// Accepts the PROXY protocol, versions 1 and 2, from these addresses only.
    /// On an address that several servers share it belongs in `net`.
    /// It sets the client address, version 2 also the domain (authority). A listed sender must send it, as the protocol
    /// demands; from anybody else one is refused. In both cases the connection is closed. Behind a hello header it may be
    /// left out.
    "proxy_protocol_accept", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("network", Kind::Cidr, "address, CIDR, `all`, or `unix` for local sockets")
        .required().repeated().choices(UNIX)])
    .role(Role::Preread, "proxy_protocol")
    .default("no PROXY header is read; its bytes go to the peer like any others")
    .example("proxy_protocol_accept \"192.0.2.10\" \"10.0.0.0/8\"")
}

directive! {
    /// Sends the hello header to peers: request id, client address, domain, and how many proxies have passed it on.
    /// The peer must be an anyproxy that accepts it. More than 16 hops end the connection: it goes in a circle.
    "proxy_protocol_hello", Contexts::MSL.or(Contexts::UPSTREAM).or(Contexts::PEER),
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .default("#false")
    .example("proxy_protocol_hello #true")
}

directive! {
    /// Sends a PROXY protocol header to peers: the client's address and the one it connected to.
    /// Version 2 also carries the domain (authority). The peer must expect it.
    "proxy_protocol", Contexts::MSL.or(Contexts::UPSTREAM).or(Contexts::PEER),
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .props(&[
        ArgDesc::new("version", Kind::Int, "1: text, 2: binary").bounds(1, 2).default("1"),
        ArgDesc::new("checksum", Kind::Bool, "adds a CRC32c (version 2)").default("#false"),
    ])
    .default("#false")
    .example("proxy_protocol version=2")
}

directive! {
    /// Whether the host of an HTTP/1 request chooses the server on domain listeners.
    /// For an address that several servers share it belongs in `net`.
    /// Only connections that begin with one of the methods are looked at. A head over 16 KiB, or one that two readers
    /// could understand differently, is refused. A host that no server has is answered 421.
    "domain_from_http_v1", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .props(&[ArgDesc::new("methods", Kind::Text, "methods that mark HTTP, with spaces between")
        .default("GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH")])
    .default("#true")
    .example("domain_from_http_v1 methods=\"GET HEAD POST\"")
}

directive! {
    /// Whether the server name of a TLS ClientHello chooses the server on domain listeners.
    /// For an address that several servers share it belongs in `net`.
    /// TLS is passed through, not terminated. A name that no server has is answered by the alert unrecognized_name.
    "domain_from_tls", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .default("#true")
    .example("domain_from_tls #false")
}

/// How a PROXY header is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SendProxy {
    /// 1 or 2.
    pub(crate) version: u8,
    /// CRC32c, version 2.
    pub(crate) checksum: bool,
}

/// What a block says of headers and domains.
#[derive(Clone, Debug)]
pub(crate) struct Headers {
    /// Whose hello headers are believed; `None`: none is read.
    pub(crate) hello_from: Option<Arc<Peers>>,
    /// Whose PROXY headers are believed.
    pub(crate) proxy_from: Option<Arc<Peers>>,
    /// `None`: not said here.
    pub(crate) send_hello: Option<bool>,
    /// `Some(None)`: said to be off.
    pub(crate) send_proxy: Option<Option<SendProxy>>,
    /// `None`: the host of HTTP requests chooses nothing.
    pub(crate) http: Option<Arc<Rules>>,
    /// Whether the server name of TLS chooses.
    pub(crate) tls: bool,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            hello_from: None,
            proxy_from: None,
            send_hello: None,
            send_proxy: None,
            http: Some(Arc::default()),
            tls: true,
        }
    }
}

/// A switch's value: its argument, or on.
pub(super) fn on(node: &Node<'_>) -> bool {
    node.arg(0).is_none_or(Value::bool)
}

impl Headers {
    pub(super) fn set(&mut self, node: &Node<'_>, problems: &mut Problems<'_>) {
        match node.name.as_str() {
            "proxy_protocol_hello_accept" => self.hello_from = Some(Arc::new(Peers::new(node, problems))),
            "proxy_protocol_accept" => self.proxy_from = Some(Arc::new(Peers::new(node, problems))),
            "proxy_protocol_hello" => self.send_hello = Some(on(node)),
            "proxy_protocol" => {
                self.send_proxy =
                    Some(on(node).then(|| SendProxy {
                        version: node.num("version") as u8,
                        checksum: node.num("checksum") != 0,
                    }));
            }
            "domain_from_tls" => self.tls = on(node),
            "domain_from_http_v1" => self.http = on(node).then(|| Arc::new(rules(node, problems))),
            _ => {}
        }
    }
}

fn rules(node: &Node<'_>, problems: &mut Problems<'_>) -> Rules {
    let mut rules = Rules::default();
    if let Some(value) = node.prop("methods") {
        rules.methods = value.text.split_ascii_whitespace().map(str::to_owned).collect();
        // RFC 9110 §9.1: a method is a token.
        let token = |m: &String| {
            m.len() <= 32 && m.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        if rules.methods.is_empty() || !rules.methods.iter().all(token) {
            let help = "write methods with spaces between, \"GET HEAD POST\"; `domain_from_http_v1 #false` allows none";
            problems.error(&value.span, "this is no list of HTTP methods", help);
        }
    }
    rules
}
