//! A connector that hands names on: says `name:port` and a line feed to a proxy, which answers `+` before it is a way to that
//! peer. Owns the directives `via` and `proxy_pass_via`; resolves nothing.

use super::{Conf, ListenerConnector};
use anyproxy_module_api::*;

directive! {
    /// Passes to a peer by the proxy of `via`, which resolves its name.
    /// Absent: the block has other peers.
    "proxy_pass_via", Contexts::LOCAL.or(Contexts::UPSTREAM),
    .args(&[ArgDesc::new("address", Kind::Address, "Whom to reach.").required()])
    .role(Role::Peer, "via")
    .append()
    .inherit(Inherit::Never)
    .example("proxy_pass_via \"inside.example:80\"")
}

directive! {
    /// The proxy by which `proxy_pass_via` reaches peers.
    "via", Contexts::MSL.or(Contexts::UPSTREAM).or(Contexts::PEER),
    .args(&[ArgDesc::new("address", Kind::Text, "Where the proxy is, `ip:port`.").required()])
    .inherit(Inherit::Replace)
    .example("via \"127.0.0.1:1080\"")
}

/// The proxy that a block names.
pub(super) fn conf(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
    let said = scope.node("via").and_then(|node| node.arg(0))?;
    let read = said.text.parse::<std::net::SocketAddr>();
    read.map_err(|e| problems.error(&said.span, &format!("via: {e}"), "")).ok().map(Addr::from)
}

pub(super) struct Via;

impl Connector<ListenerConnector> for Via {
    const NAME: &'static str = "via";
    const RESOLVES: bool = false;

    async fn connect(
        at: At<'_, ListenerConnector>,
        session: Option<&Session<ListenerConnector>>,
        request: Connect<'_>,
    ) -> Result<Stream, Error> {
        let proxy = at.conf().ok_or_else(|| Error::new(ErrorKind::Invalid, "no via in the peer's block"))?;
        let mut stream = connect(proxy, request.options).await?;
        stream.write_all(format!("{}:{}\n", request.host, request.port).as_bytes()).await?;
        stream.flush().await?;
        if let Some(session) = session {
            session.stage("via_asked");
        }
        let mut answer = [0];
        stream.read_exact(&mut answer).await?;
        match &answer {
            b"+" => Ok(stream),
            _ => Err(Error::new(ErrorKind::Permission, "the proxy does not let it through")),
        }
    }
}
