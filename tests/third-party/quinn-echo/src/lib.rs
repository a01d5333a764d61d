//! A QUIC echo on quinn: each bidirectional stream gets back what it sends.
//! Owns the directive `quinn_echo` and its endpoint on the first worker; quinn's socket, timers and tasks are the host's,
//! through `rt`. A fixed port cannot be bound by two generations at once: a server for daily use takes its datagrams from a
//! datagram listener (see `datagram-echo`).

mod rt;
mod tls;

use anyproxy_module_api::*;
use quinn::{
    Connection, Endpoint, EndpointConfig, Incoming, RecvStream, SendStream, ServerConfig, TransportConfig, VarInt,
};
use std::{
    fmt::Write,
    net::SocketAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tls::Identity;

directive! {
    /// Serves a QUIC echo on this address, ALPN `echo`. Port 0: the system's choice, shown in status.
    /// Absent: no QUIC.
    "quinn_echo", Contexts::MAIN,
    .args(&[ArgDesc::new("address", Kind::Listen, "Where to bind, an IP address and port.").required()])
    .example("quinn_echo \"127.0.0.1:0\"")
    .needs_reinit()
}

export_module!(QuinnEcho);

const MAX_CONNECTIONS: usize = 256;
const MAX_STREAMS: u32 = 16;

/// The module of one generation.
#[derive(Debug, Default)]
pub struct QuinnEcho {
    address: OnceLock<SocketAddr>,
    identity: OnceLock<Identity>,
    /// What the endpoint came to: its socket, or why there is none.
    bound: Mutex<Option<Result<Arc<rt::Socket>, String>>>,
}

impl Module for QuinnEcho {
    type Conf = ();
    /// The endpoint, on the first worker.
    type Worker = Option<Endpoint>;

    fn register(registry: &mut Registry<Self>) {
        registry.action::<Status>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, ()>, problems: &mut Problems<'_>) {
        let Some(arg) = scope.node("quinn_echo").and_then(|node| node.arg(0)) else {
            return;
        };
        match arg.text.as_str().parse() {
            Ok(address) => {
                self.address.get_or_init(|| address);
            }
            Err(_) => problems.error(&arg.span, "an IP address and port are wanted here", "as in \"127.0.0.1:0\""),
        }
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        match Identity::new() {
            Ok(identity) => self.identity.set(identity).is_ok(),
            Err(e) => {
                problems.fail(&format!("quinn_echo: {e}"));
                false
            }
        }
    }

    fn worker_start(&self, worker: u32) -> Self::Worker {
        let address = *self.address.get().filter(|_| worker == 0)?;
        let started = self.start(address);
        if let Err(e) = &started {
            tracing::error!(%address, error = %e, "cannot serve");
        }
        let (bound, endpoint) = match started {
            Ok((socket, endpoint)) => (Ok(socket), Some(endpoint)),
            Err(e) => (Err(e.to_string()), None),
        };
        *self.bound.lock().unwrap_or_else(PoisonError::into_inner) = Some(bound);
        endpoint
    }

    fn drain(&self, endpoint: &Self::Worker) {
        if let Some(endpoint) = endpoint {
            // Nothing new; the connections that are there go on until they are idle.
            endpoint.set_server_config(None);
        }
    }

    fn worker_stop(&self, endpoint: Self::Worker) {
        if let Some(endpoint) = endpoint {
            endpoint.close(VarInt::from_u32(0), b"stopped");
        }
    }
}

impl QuinnEcho {
    fn start(&self, address: SocketAddr) -> Result<(Arc<rt::Socket>, Endpoint), Box<dyn std::error::Error>> {
        let identity = self.identity.get().ok_or("there is no certificate")?;
        let mut server = ServerConfig::with_crypto(identity.config.clone());
        let mut transport = TransportConfig::default();
        transport.max_concurrent_bidi_streams(MAX_STREAMS.into()).max_concurrent_uni_streams(0_u32.into());
        transport.max_idle_timeout(Some(Duration::from_secs(30).try_into()?));
        server.transport_config(Arc::new(transport));
        let socket = Arc::new(rt::Socket::bind(address)?);
        let endpoint = Endpoint::new_with_abstract_socket(
            EndpointConfig::default(),
            Some(server),
            Arc::clone(&socket) as Arc<dyn quinn::AsyncUdpSocket>,
            Arc::new(rt::Host),
        )?;
        let accept = endpoint.clone();
        drop(spawn(async move {
            while let Some(incoming) = accept.accept().await {
                if accept.open_connections() < MAX_CONNECTIONS {
                    drop(spawn(serve(incoming)));
                } else {
                    incoming.refuse();
                }
            }
        }));
        Ok((socket, endpoint))
    }
}

async fn serve(incoming: Incoming) {
    let connection: Connection = match incoming.await {
        Ok(connection) => connection,
        Err(e) => return tracing::debug!(error = %e, "no handshake"),
    };
    while let Ok((to, from)) = connection.accept_bi().await {
        drop(spawn(async move {
            if let Err(e) = echo(from, to).await {
                tracing::debug!(error = %e, "stream ended early");
            }
        }));
    }
}

async fn echo(mut from: RecvStream, mut to: SendStream) -> Result<(), Box<dyn std::error::Error>> {
    while let Some(chunk) = from.read_chunk(64 << 10, true).await? {
        to.write_chunk(chunk.bytes).await?;
    }
    Ok(to.finish()?)
}

struct Status;

impl Action<QuinnEcho> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str =
        "Where the endpoint is bound, its certificate (PEM), and how many datagrams went in runs.";

    fn run(module: &QuinnEcho, _: &str) -> Result<String, String> {
        let mut json = "{".to_owned();
        // Writing to a `String` does not fail.
        match &*module.bound.lock().unwrap_or_else(PoisonError::into_inner) {
            None => json.push_str("\"address\":null"),
            Some(Err(e)) => drop(write!(json, "\"address\":null,\"error\":{e:?}")),
            Some(Ok(socket)) => {
                let _ = write!(json, "\"address\":\"{}\",{}", socket.addr(), socket.counts());
            }
        }
        if let Some(identity) = module.identity.get() {
            let _ = write!(json, ",\"certificate\":\"{}\"", identity.pem.replace('\r', "").replace('\n', "\\n"));
        }
        json.push('}');
        Ok(json)
    }
}

#[cfg(test)]
mod tests;
