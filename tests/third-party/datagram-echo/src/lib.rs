//! Echoes datagrams whose flows name their owner, as the connection ids of a real protocol do.
//!
//! The first eight bytes of a datagram are the epoch and the worker of whoever began the flow, big-endian; both zero: it
//! begins here. An answer carries the owner's. So a client that moves to another port, worker or generation still gets
//! answers from the one that began, and sees so. What begins with `\x01` behind the head is a session's (see `flow`).

mod flow;

use anyproxy_module_api::*;

directive! {
    /// Listens on these addresses for datagrams and echoes them.
    /// Absent: the server has other listeners.
    "port_listen_dgram", Contexts::SERVER,
    .args(&[ArgDesc::new("address", Kind::Listen, "Where to listen.").required().repeated()])
    .role(Role::ListenPort, "dgram")
    .append()
    .inherit(Inherit::Never)
    .example("port_listen_dgram \"127.0.0.1:10003\"")
}

export_module!(DatagramEcho);

const HEAD: usize = 8;

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct DatagramEcho;

impl Module for DatagramEcho {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.datagram_listener::<Datagrams>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn worker_start(&self, _: u32) {}
}

struct Datagrams;

impl DatagramListener<DatagramEcho> for Datagrams {
    const NAME: &'static str = "dgram";
    type Endpoint = Echo;

    fn route(_: &DatagramEcho, datagram: &[u8]) -> Route {
        match owner(datagram) {
            None => Route::DROP,
            Some((0, 0)) => Route::NEW,
            Some((epoch, worker)) => Route::owner(epoch, worker),
        }
    }

    fn start(_: At<'_, DatagramEcho>, listener: u32, _: Addr) -> Echo {
        Echo {
            socket: DatagramSocket(listener),
            // Read once: this endpoint answers as what it was when its flows began.
            epoch: epoch(),
            worker: worker().unwrap_or(u32::MAX),
            flows: flow::Flows::default(),
        }
    }
}

/// Epoch and worker that a datagram names.
fn owner(datagram: &[u8]) -> Option<(u32, u32)> {
    let (epoch, rest) = datagram.split_first_chunk()?;
    let (worker, _) = rest.split_first_chunk()?;
    Some((u32::from_be_bytes(*epoch), u32::from_be_bytes(*worker)))
}

/// The echo of one listener on one worker.
#[derive(Debug)]
struct Echo {
    socket: DatagramSocket,
    epoch: u32,
    worker: u32,
    flows: flow::Flows,
}

impl DatagramEndpoint for Echo {
    fn deliver(&self, meta: &Received, bytes: &[u8]) {
        let size = if meta.segment == 0 { bytes.len() } else { meta.segment };
        for datagram in bytes.chunks(size.max(1)).filter(|datagram| datagram.len() >= HEAD) {
            let mut head = [0; HEAD];
            head[..4].copy_from_slice(&self.epoch.to_be_bytes());
            head[4..].copy_from_slice(&self.worker.to_be_bytes());
            if datagram.get(HEAD) == Some(&flow::MARK) {
                self.flows.deliver(self.socket, head, meta.from, meta.to, &datagram[HEAD + 1..]);
                continue;
            }
            let mut answer = datagram.to_vec();
            answer[..HEAD].copy_from_slice(&head);
            let mut transmit = Transmit::new(meta.from, &answer);
            if meta.to.port() != 0 {
                transmit = transmit.from(meta.to);
            }
            if let Err(e) = self.socket.try_send(&transmit) {
                // As any network would: a datagram may be lost.
                tracing::debug!(client = %meta.from, error = %e, "answer lost");
            }
        }
    }
}

#[cfg(test)]
mod tests;
