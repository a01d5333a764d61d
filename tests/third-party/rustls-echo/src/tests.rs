use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest, pair};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

fn start() -> ModuleUnderTest<RustlsEcho> {
    ModuleUnderTest::start(&[Block::local().with(Directive::new("rustls_echo"))])
}

fn client(module: &ModuleUnderTest<RustlsEcho>) -> TlsConnector {
    let json = module.action("certificate", "").expect("there is one");
    let pem = json.split('"').nth(3).expect("the value").replace("\\n", "\n");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[test]
fn bytes_come_back_through_tls() {
    let module = start();
    let (stream, wire) = module.host().stream();
    wire.fragment(100);
    wire.stutter(true);
    let (_, nobody) = pair();
    let mut run = module.handle_with("rustls_echo", module.host().session(), stream, nobody);
    let sent: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let back = module.host().run(async {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut tls = client(&module).connect(name, wire.into_stream()).await.expect("a handshake");
        let mut back = vec![0; sent.len()];
        for (sent, back) in sent.chunks(5000).zip(back.chunks_mut(5000)) {
            tls.write_all(sent).await.expect("there is room");
            tls.flush().await.expect("it goes out");
            tls.read_exact(back).await.expect("it comes back");
        }
        tls.shutdown().await.expect("it ends");
        assert_eq!(tls.read(&mut [0]).await.expect("the other side ends too"), 0);
        back
    });
    assert!(back == sent);
    module.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_ok());
}

#[test]
fn what_is_no_tls_is_refused_and_a_silent_client_is_closed() {
    let module = start();
    let mut run = module.handle("rustls_echo");
    run.client.send(b"GET / HTTP/1.1\r\n\r\n");
    module.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_err());
    let mut silent = module.handle("rustls_echo");
    module.host().advance(HANDSHAKE);
    assert_eq!(silent.result().expect("it ended").expect_err("it failed").kind, ErrorKind::TimedOut);
}
