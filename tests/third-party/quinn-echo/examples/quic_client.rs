//! Sends bytes through a `quinn_echo` and checks that they come back.
//!
//! `quic_client ADDRESS BYTES STREAMS < certificate.pem`: address and certificate are in the module's status. Prints
//! `STREAMS x BYTES echoed`; anything else is a failure, exit 1.

use quinn::{ClientConfig, Endpoint, VarInt, crypto::rustls::QuicClientConfig};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
    version::TLS13,
};
use std::{env, error::Error, io::Read, sync::Arc, time::Duration};

type Failure = Box<dyn Error + Send + Sync>;
const LIMIT: Duration = Duration::from_secs(60);

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, bytes, streams] = &arguments[..] else {
        return Err("usage: quic_client ADDRESS BYTES STREAMS < certificate.pem".into());
    };
    let mut pem = Vec::new();
    std::io::stdin().read_to_end(&mut pem)?;
    let (size, streams) = (bytes.parse()?, streams.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { tokio::time::timeout(LIMIT, run(address.parse()?, &pem, size, streams)).await? })?;
    println!("{streams} x {size} echoed");
    Ok(())
}

async fn run(server: std::net::SocketAddr, pem: &[u8], size: usize, streams: usize) -> Result<(), Failure> {
    let mut endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
    endpoint.set_default_client_config(config(pem)?);
    let connection = endpoint.connect(server, "localhost")?.await?;
    let exchanges = (0..streams).map(|n| tokio::spawn(exchange(connection.clone(), n as u8, size)));
    for exchange in exchanges.collect::<Vec<_>>() {
        exchange.await??;
    }
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(())
}

async fn exchange(connection: quinn::Connection, byte: u8, size: usize) -> Result<(), Failure> {
    let (mut to, mut from) = connection.open_bi().await?;
    let sent = tokio::spawn(async move {
        to.write_all(&vec![byte; size]).await?;
        to.finish()?;
        Ok::<_, Failure>(())
    });
    let back = from.read_to_end(size).await?;
    sent.await??;
    if back.len() != size || back.iter().any(|b| *b != byte) {
        return Err("other bytes came back".into());
    }
    Ok(())
}

fn config(pem: &[u8]) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem)?)?;
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"echo".to_vec()];
    Ok(ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)))
}
