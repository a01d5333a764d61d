//! One line of an upstream: a peer as written, which may be several addresses.

use super::{
    health,
    identity::{line_id, peer_id},
    live::{PeerLive, PeerSpec},
    pool::{Pool, prop, time},
    rendered::Network,
    resolve::Refresh,
};
use crate::{
    config::tree::{ScopeId, Tree, UpstreamTree},
    process::process,
};
use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{Kind, Node},
    module::{ConnectorPoint, ProbePoint},
    net::{Addr, SocketOptions},
};
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock, atomic::AtomicU64},
    time::Duration,
};

/// Limit of one connect where nothing is said.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One line of the upstream: a peer as written, which may be several addresses.
#[derive(Debug)]
pub struct Line {
    /// The module whose connector it is.
    pub module: u16,
    /// The connector.
    pub connector: ConnectorPoint,
    /// The block of its options.
    pub scope: ScopeId,
    /// As written, `host:port`.
    pub text: String,
    /// The host part.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether the host is a name to resolve. What the connector takes as it is, is none.
    pub is_name: bool,
    /// Of an address with variables: rendered for each session.
    pub template: Option<u32>,
    /// Where a rendered address may be.
    pub allow: Vec<Network>,
    /// Fingerprint of the line.
    pub id: u64,
    pub(super) weight: u32,
    pub(super) max_connections: u32,
    pub(super) backup: bool,
    /// Active checks.
    pub heartbeat: Option<health::Policy>,
    /// How they ask, and whose that is; `None`: as the connector does.
    pub probe: Option<(u16, ProbePoint)>,
    /// When its name is resolved again.
    pub refresh: Refresh,
    /// What the connector says of its sockets, once it was asked.
    pub options: OnceLock<SocketOptions>,
    /// Whether connections to it begin with a greeting: the answer for the block of the session that asked last.
    pub greeted: AtomicU64,
    /// Limit of one connect; `None`: the connector's own, or [`CONNECT_TIMEOUT`].
    pub connect_timeout: Option<Duration>,
}

impl Line {
    pub(super) fn build(
        tree: &Tree,
        up: &UpstreamTree,
        peer: &crate::config::tree::Peer,
        connector: ConnectorPoint,
    ) -> Self {
        let node = |name: &str| tree.core(peer.scope, name);
        let text = peer.address.as_str().to_owned();
        let (host, port) = split(&text);
        // What stands in for it in the set is only chosen, never connected.
        let template = peer.template;
        let is_name = template.is_none()
            && connector.resolves
            && !text.starts_with("unix:")
            && text.parse::<SocketAddr>().is_err();
        let heartbeat = node("heartbeat").filter(|_| template.is_none()).map(|n| health::Policy {
            interval: time(Some(n), "interval").unwrap_or(Duration::from_secs(10)),
            timeout: time(Some(n), "timeout").unwrap_or(Duration::from_secs(3)),
            fail: prop(Some(n), "fail").map_or(3, |n| n as u32),
            pass: prop(Some(n), "pass").map_or(1, |n| n as u32),
        });
        let refresh = node("dynamic_domain").map_or(Refresh::Once, |n| {
            time(Some(n), "interval").map_or(
                Refresh::Ttl { least: Duration::from_secs(1), most: Duration::from_secs(3600) },
                Refresh::Interval,
            )
        });
        let id = line_id([up.name.as_str(), &text_of(&peer.node)]);
        Self {
            module: peer.module,
            connector,
            scope: peer.scope,
            host,
            port,
            is_name,
            template,
            allow: allowed(tree, peer.scope),
            id,
            weight: peer.weight.into(),
            max_connections: peer.max_connections,
            backup: peer.backup,
            heartbeat,
            probe: None,
            refresh,
            options: OnceLock::new(),
            greeted: AtomicU64::new(0),
            connect_timeout: node("connect_timeout").and_then(|n| n.arg(0)).map(|v| v.time()),
            text,
        }
    }

    /// The live state of a rendered address of this line.
    pub fn rendered(&self, pool: &Pool, text: &str, addr: Addr) -> Arc<PeerLive> {
        let connector = self.connector.name.as_str();
        let live = process().peers.get(&PeerSpec {
            id: peer_id(&pool.name, connector, &addr.to_string()),
            line: self.id,
            upstream: &pool.name,
            host: text,
            addr,
            connector,
            weight: self.weight,
            max_connections: self.max_connections,
            backup: self.backup,
        });
        pool.shared.rendered.used(&live);
        live
    }

    pub(super) fn literal(&self) -> Vec<Addr> {
        if self.template.is_some() {
            return vec![Addr::NONE];
        }
        if let Some(path) = self.text.strip_prefix("unix:") {
            return vec![Addr::unix(crate::services::net::interned(Str::new(path)))];
        }
        match self.text.parse::<SocketAddr>() {
            Ok(addr) => vec![addr.into()],
            // The peer is its name.
            Err(_) if !self.connector.resolves => vec![Addr::NONE],
            Err(_) => Vec::new(),
        }
    }
}

/// The networks of `peer_allow` in force in a block.
fn allowed(tree: &Tree, scope: ScopeId) -> Vec<Network> {
    let nodes = tree.nodes(scope, 0).iter().filter(|n| n.name.as_str() == "peer_allow");
    nodes.flat_map(|n| n.args.as_slice()).filter_map(|v| Network::parse(v.text.as_str())).collect()
}

/// What a line says, for its fingerprint: everything but where it stands.
fn text_of(node: &Node<'_>) -> String {
    let mut out = node.name.as_str().to_owned();
    let props = node.props.as_slice().iter().map(|p| (p.name, p.value));
    for (name, v) in node.args.as_slice().iter().map(|v| (Str::EMPTY, *v)).chain(props) {
        // The number of a template is a place in a list that other lines move.
        let num = if v.kind == Kind::Template { 0 } else { v.num };
        out.push_str(&format!(" {name}={num}:{}", v.text));
    }
    for child in node.children.as_slice() {
        out.push_str(&format!("{{{}}}", text_of(child)));
    }
    out
}

fn split(text: &str) -> (String, u16) {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port.parse().unwrap_or(0))
        }
        None => (text.to_owned(), 0),
    }
}
