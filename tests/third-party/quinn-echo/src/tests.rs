use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};
use quinn::{ClientConfig, crypto::rustls::QuicClientConfig};
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
    version::TLS13,
};
use std::{cell::Cell, rc::Rc, thread};

fn start() -> ModuleUnderTest<QuinnEcho> {
    let host = testing::FakeHost::new();
    host.segments(16);
    ModuleUnderTest::start_on(host, &[Block::main().with(Directive::new("quinn_echo").arg("127.0.0.1:0"))])
}

fn config(module: &QuinnEcho) -> ClientConfig {
    let pem = &module.identity.get().expect("prepared").pem;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).expect("a certificate");
    let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has it")
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"echo".to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3")))
}

async fn exchange(mut endpoint: Endpoint, config: ClientConfig, server: SocketAddr) -> Vec<u8> {
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(server, "localhost").expect("a client").await.expect("a handshake");
    let (mut to, mut from) = connection.open_bi().await.expect("a stream");
    let send = spawn(async move {
        to.write_all(&vec![7; SIZE]).await.expect("it is taken");
        to.finish().expect("it ends");
    });
    let back = from.read_to_end(SIZE).await.expect("it comes back");
    assert!(send.await);
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    back
}

const SIZE: usize = 1 << 20;

#[test]
fn a_stream_comes_back_in_runs_of_datagrams() {
    let module = start();
    let server = match module.module().bound.lock().expect("no panic").as_ref() {
        Some(Ok(socket)) => socket.addr().socket().expect("an IP address"),
        other => panic!("not bound: {other:?}"),
    };
    let socket = Arc::new(rt::Socket::bind(([127, 0, 0, 1], 0).into()).expect("a free port"));
    let endpoint = Endpoint::new_with_abstract_socket(EndpointConfig::default(), None, socket, Arc::new(rt::Host));
    let done = Rc::new(Cell::new(0));
    let (to, config) = (Rc::clone(&done), config(module.module()));
    let endpoint = endpoint.expect("an endpoint");
    drop(spawn(async move { to.set(exchange(endpoint, config, server).await.len()) }));
    // quinn reads the true clock to pace itself; its timers are the host's.
    for _ in 0..20_000 {
        module.host().run_until_stalled();
        if done.get() != 0 {
            break;
        }
        thread::sleep(Duration::from_millis(1));
        module.host().advance(Duration::from_millis(1));
    }
    assert_eq!(done.get(), SIZE);
    let status = module.action("", "").expect("it has one");
    assert!(status.starts_with(&format!("{{\"address\":\"{server}\",\"gso\":16,")), "{status}");
    assert!(!status.contains("\"sent_runs\":0"), "{status}");
    module.stop();
}

#[test]
fn an_address_that_is_none_is_a_problem_with_its_place() {
    let block = Block::main().with(Directive::new("quinn_echo").arg("unix:/run/quinn"));
    let problems = ModuleUnderTest::<QuinnEcho>::try_start(&[block]).expect_err("no datagrams go there");
    assert!(problems[0].message.contains("an IP address and port"), "{problems:?}");
}
