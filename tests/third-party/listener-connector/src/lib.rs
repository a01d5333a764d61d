//! A listener and a connector of a module's own: every byte on the wire is XORed with 0x5a.
//! Owns the two points named `xor` and the stream between; knows nothing of what is carried. `via` is a second connector.

mod via;
mod xor;

use anyproxy_module_api::*;

directive! {
    /// Listens on these addresses for one service; what comes is XORed with 0x5a, and so is what goes.
    /// Absent: the server has other listeners.
    "port_listen_xor", Contexts::SERVER,
    .args(&[ArgDesc::new("address", Kind::Listen, "Where to listen.").required().repeated()])
    .role(Role::ListenPort, "xor")
    .append()
    .inherit(Inherit::Never)
    .example("port_listen_xor \"127.0.0.1:10002\"")
}

directive! {
    /// Passes to a peer that speaks XOR with 0x5a, as `port_listen_xor` does.
    /// Absent: the block has other peers.
    "proxy_pass_xor", Contexts::LOCAL.or(Contexts::UPSTREAM),
    .args(&[ArgDesc::new("address", Kind::Address, "Whom to connect to.").required()])
    .role(Role::Peer, "xor")
    .append()
    .inherit(Inherit::Never)
    .example("proxy_pass_xor \"127.0.0.1:10002\"")
}

export_module!(ListenerConnector);

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct ListenerConnector;

/// The proxy of the block's `via`, if it says one.
type Conf = Option<Addr>;

impl Module for ListenerConnector {
    type Conf = Conf;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.listener::<Accept>().connector::<Dial>().connector::<via::Via>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
        via::conf(scope, problems)
    }

    fn worker_start(&self, _: u32) {}
}

struct Accept;

impl Listener<ListenerConnector> for Accept {
    const NAME: &'static str = "xor";

    async fn accept(_: Session<ListenerConnector>, stream: Stream) -> Result<Stream, Error> {
        Ok(xor::wrap(stream))
    }
}

struct Dial;

impl Connector<ListenerConnector> for Dial {
    const NAME: &'static str = "xor";

    async fn connect(
        _: At<'_, ListenerConnector>,
        session: Option<&Session<ListenerConnector>>,
        request: Connect<'_>,
    ) -> Result<Stream, Error> {
        let stream = connect(request.addr, request.options).await?;
        if let Some(session) = session {
            session.stage("xor_connected");
        }
        Ok(xor::wrap(stream))
    }
}

#[cfg(test)]
mod tests;
