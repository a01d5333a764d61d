//! A self-signed certificate, and the TLS that QUIC wants. Made anew for each generation.

use quinn::crypto::rustls::QuicServerConfig;
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer, version::TLS13};
use std::{error::Error, fmt, sync::Arc};

/// A certificate with its key, ready for use.
pub(crate) struct Identity {
    pub(crate) config: Arc<QuicServerConfig>,
    /// The certificate, for clients to trust.
    pub(crate) pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der())?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        tls.alpn_protocols = vec![b"echo".to_vec()];
        Ok(Self { config: Arc::new(QuicServerConfig::try_from(tls)?), pem: made.cert.pem() })
    }
}
