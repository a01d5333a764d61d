//! Terminates TLS with rustls and echoes what comes: an encryption of a module's own over a stream of the host.
//! Owns the handler `rustls_echo` and a self-signed certificate made anew for each generation.

use anyproxy_module_api::*;
use std::{
    io,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

directive! {
    /// Takes TLS connections with a self-signed certificate for `localhost` and echoes their bytes.
    /// Absent: the local has another handler. The certificate: `anyproxy ctl rustls_echo certificate`.
    "rustls_echo", Contexts::LOCAL,
    .role(Role::Handler, "rustls_echo")
    .inherit(Inherit::Never)
}

export_module!(RustlsEcho);

const HANDSHAKE: Duration = Duration::from_secs(10);

/// The module: what `prepare` made for this generation.
#[derive(Debug, Default)]
pub struct RustlsEcho {
    tls: OnceLock<Tls>,
}

#[derive(Debug)]
struct Tls {
    config: Arc<ServerConfig>,
    certificate: String,
}

impl Module for RustlsEcho {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Serve>().action::<Certificate>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        match Tls::new() {
            Ok(tls) => self.tls.set(tls).is_ok(),
            Err(e) => {
                problems.fail(&format!("rustls_echo: {e}"));
                false
            }
        }
    }

    fn worker_start(&self, _: u32) {}
}

impl Tls {
    fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        // The provider is always named: two TLS stacks in one process must not meet in a default.
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        Ok(Self { config: Arc::new(config), certificate: made.cert.pem() })
    }
}

struct Serve;

impl Handler<RustlsEcho> for Serve {
    const NAME: &'static str = "rustls_echo";

    async fn handle(session: Session<RustlsEcho>, stream: Stream) -> Result<(), Error> {
        let tls = session.module().tls.get().ok_or(Error::bare(ErrorKind::NotFound))?;
        let accept = TlsAcceptor::from(Arc::clone(&tls.config)).accept(stream);
        let mut tls = timeout(HANDSHAKE, async { Ok(accept.await?) }).await?;
        let mut piece = [0; 4096];
        loop {
            let n = match tls.read(&mut piece).await {
                Ok(0) => break,
                // Closed without close_notify: an echo loses nothing by it.
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                n => n?,
            };
            tls.write_all(&piece[..n]).await?;
            tls.flush().await?;
        }
        Ok(tls.shutdown().await?)
    }
}

struct Certificate;

impl Action<RustlsEcho> for Certificate {
    const NAME: &'static str = "certificate";
    const DOC: &'static str = "The certificate of the present generation, as PEM.";

    fn run(module: &RustlsEcho, _: &str) -> Result<String, String> {
        let tls = module.tls.get().ok_or("there is no certificate yet")?;
        // PEM needs no escape in JSON but for its line ends.
        Ok(format!("{{\"certificate\":\"{}\"}}", tls.certificate.replace('\r', "").replace('\n', "\\n")))
    }
}

#[cfg(test)]
mod tests;
