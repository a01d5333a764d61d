//! A listener and a connector of a module's own: every byte on the wire is XORed with 0x5a.
//! Owns the two points named `xor` and the stream between; knows nothing of what is carried.

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

impl Module for ListenerConnector {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.listener::<Accept>().connector::<Dial>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

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

    async fn connect(_: At<'_, ListenerConnector>, request: Connect<'_>) -> Result<Stream, Error> {
        let options = SocketOptions { connect_timeout_ms: request.timeout_ms, ..SocketOptions::default() };
        connect(request.addr, &options).await.map(xor::wrap)
    }
}

#[cfg(test)]
mod tests;
