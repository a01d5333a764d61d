//! Headers in front of streams, received and sent, and domains.

use super::say;
use anyproxy_module_api::{
    Look,
    testing::{Block, Directive, FakeSession, ModuleUnderTest},
};
use anyproxy_tcp::{
    Tcp,
    core::{
        hello_header::{self, Hello},
        proxy_protocol::{self, Endpoints},
    },
};
use std::net::SocketAddr;

const PEER: ([u8; 4], u16) = ([198, 51, 100, 1], 80);

fn server(directives: &[Directive]) -> ModuleUnderTest<Tcp> {
    let block = directives.iter().cloned().fold(Block::server(), Block::with);
    ModuleUnderTest::start(&[Block::net().block(block)])
}

/// The fake host's client is 192.0.2.1:40000 on 203.0.113.1:80.
fn trusting() -> ModuleUnderTest<Tcp> {
    server(&[
        say("proxy_protocol_hello_accept", "192.0.2.0/24"),
        say("proxy_protocol_accept", "192.0.2.0/24"),
        say("proxy_protocol_hello", true),
    ])
}

fn stranger(m: &ModuleUnderTest<Tcp>) -> FakeSession {
    m.host().session_of(SocketAddr::from(([203, 0, 113, 99], 1)), SocketAddr::from(PEER))
}

fn a_hello() -> Hello {
    let mut h = Hello::first();
    h.client = Some(SocketAddr::from(([10, 9, 8, 7], 65)).into());
    h.request_id = Some("abc-1".into());
    h.domain = Some("www.example.com".into());
    h
}

#[test]
fn a_hello_header_tells_client_request_id_and_domain_and_is_passed_on() {
    let m = trusting();
    let s = m.host().session();
    let mut bytes = a_hello().encode().expect("it is valid");
    let length = bytes.len();
    let (look, out) = m.preread("hello", &s, &bytes[..5]);
    assert_eq!((look, out.reason.as_str()), (Look::More, "ended within its hello header"));
    assert!(m.preread("hello", &s, &bytes[..3]).1.reason.is_empty(), "it may be none, and may be left out");
    bytes.extend(b"payload");
    let (look, out) = m.preread("hello", &s, &bytes);
    assert_eq!((look, out.consumed), (Look::Found, length));
    assert_eq!(s.client.get().to_string(), "10.9.8.7:65");
    assert_eq!((s.request_id().as_str(), s.domain().as_str()), ("abc-1", "www.example.com"));
    assert_eq!(m.variable("client_protocol_hello_size", &s), Some(length.to_string()));
    // The PROXY header that would else be demanded may be left out behind it.
    assert_eq!(m.preread("proxy_protocol", &s, b"payload").0, Look::NotMine);

    let sent = m.greeting("hello", &s, SocketAddr::from(PEER), "peer").expect("the peer can be used");
    let hello_header::Outcome::Parsed { hello, .. } = hello_header::decode(&sent) else { panic!("it is a header") };
    assert_eq!(hello.hops, 2);
    let expected = a_hello();
    assert_eq!((hello.client, hello.request_id, hello.domain), (expected.client, expected.request_id, expected.domain));
    assert_eq!(m.variable("upstream_protocol_hello_size", &s), Some(sent.len().to_string()));
    assert_eq!(m.variable("is_proxy_protocol_hello", &s).as_deref(), Some("true"));
    drop(s);
    m.stop();
}

#[test]
fn headers_of_strangers_are_refused_and_counted() {
    let m = trusting();
    let proxy = b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n";
    let hello = a_hello().encode().expect("it is valid");
    for (name, bytes) in [("hello", hello.as_slice()), ("proxy_protocol", proxy.as_slice())] {
        let s = stranger(&m);
        let (look, out) = m.preread(name, &s, bytes);
        assert_eq!(look, Look::Malformed);
        assert!(out.reason.contains("not trusted"));
        assert_eq!(s.client.get(), s.remote);
        let labels = format!("preread={name},reason={}", out.reason.as_str());
        assert_eq!(m.host().metric("preread_malformed", &labels).expect("it is counted").value, 1);
        // What is no header passes.
        assert_eq!(m.preread(name, &s, b"GET / HTTP/1.1\r\n").0, Look::NotMine);
    }
    m.stop();
}

#[test]
fn a_trusted_sender_must_send_the_proxy_header() {
    let m = trusting();
    let s = m.host().session();
    let (look, out) = m.preread("proxy_protocol", &s, b"GET / HTTP/1.1\r\n");
    assert_eq!(look, Look::Malformed);
    assert!(out.reason.contains("no PROXY header"));
    let (look, out) = m.preread("proxy_protocol", &s, b"PRO");
    assert_eq!((look, out.reason.as_str()), (Look::More, "ended within its PROXY header"));
    assert!(m.preread("proxy_protocol", &stranger(&m), b"PRO").1.reason.is_empty(), "others need send none");
    assert!(!m.preread("proxy_protocol", &stranger(&m), b"PROXY ").1.reason.is_empty());
    let endpoints = Endpoints::Proxied {
        source: SocketAddr::from(([10, 1, 2, 3], 4)).into(),
        destination: SocketAddr::from(([10, 0, 0, 1], 443)).into(),
    };
    let header = proxy_protocol::encode_v2(&endpoints, Some("sni.example"), true).expect("it is valid");
    let (look, out) = m.preread("proxy_protocol", &s, &header);
    assert_eq!((look, out.consumed), (Look::Found, header.len()));
    assert_eq!((s.client.get().to_string().as_str(), s.domain().as_str()), ("10.1.2.3:4", "sni.example"));
    // A health check of the sender's own.
    let s = m.host().session();
    let local = proxy_protocol::encode_v2(&Endpoints::Local, None, false).expect("it is valid");
    assert_eq!(m.preread("proxy_protocol", &s, &local).0, Look::Found);
    assert_eq!(s.client.get(), s.remote);
    drop(s);
    m.stop();
}

#[test]
fn nothing_is_read_in_front_of_streams_unless_told() {
    let m = server(&[]);
    assert!(!m.wanted("hello") && !m.wanted("proxy_protocol"));
    assert!(m.wanted("tls") && m.wanted("http"));
    let s = m.host().session();
    assert_eq!(m.preread("hello", &s, &a_hello().encode().expect("it is valid")).0, Look::NotMine);
    drop(s);
    m.stop();
    let m = server(&[say("domain_from_tls", false), say("domain_from_http_v1", false)]);
    assert!(!m.wanted("tls") && !m.wanted("http"));
    m.stop();
}

#[test]
fn the_host_of_a_request_is_its_domain_however_it_arrives() {
    let m = server(&[Directive::new("domain_from_http_v1").prop("methods", "GET HEAD")]);
    let head = b"GET /x HTTP/1.1\r\nuser-agent: t\r\nHost: WWW.Example.com:80\r\n\r\nbody";
    let s = m.host().session();
    for n in 1..head.len() - 4 {
        assert_eq!(m.preread("http", &s, &head[..n]).0, Look::More, "{n}");
    }
    let (look, out) = m.preread("http", &s, head);
    assert_eq!((look, out.consumed, s.domain().as_str()), (Look::Found, 0, "www.example.com"));
    assert!(out.refusal.starts_with(b"HTTP/1.1 421 ") && out.status == 421);
    let s = m.host().session();
    assert_eq!(m.preread("http", &s, b"POST / HTTP/1.1\r\n").0, Look::NotMine);
    let (look, out) = m.preread("http", &s, b"GET / HTTP/1.1\nhost: x\n\n");
    assert_eq!((look, out.reason.as_str()), (Look::Malformed, "bare LF in the request head"));
    drop(s);
    m.stop();
}

#[test]
fn the_server_name_is_the_domain_unless_a_header_said_one() {
    let m = server(&[]);
    let hello = client_hello("shop.example.cn");
    let s = m.host().session();
    for n in 1..hello.len() {
        assert_eq!(m.preread("tls", &s, &hello[..n]).0, Look::More, "{n}");
    }
    let (look, out) = m.preread("tls", &s, &hello);
    assert_eq!((look, out.consumed, s.domain().as_str()), (Look::Found, 0, "shop.example.cn"));
    assert_eq!(&*out.refusal, [21, 3, 3, 0, 2, 2, 112]);
    let s = m.host().session();
    s.set_domain("from.header");
    assert_eq!(m.preread("tls", &s, &hello).0, Look::Found);
    assert_eq!(s.domain(), "from.header");
    assert_eq!(m.preread("tls", &s, b"SSH-2.0-x").0, Look::NotMine);
    drop(s);
    m.stop();
}

/// A ClientHello of TLS 1.2 shape with nothing but a server name.
fn client_hello(name: &str) -> Vec<u8> {
    let wide = |n: usize| (n as u16).to_be_bytes();
    let mut sni = vec![0];
    sni.extend(wide(name.len()));
    sni.extend(name.as_bytes());
    let mut extension = vec![0, 0];
    extension.extend(wide(sni.len() + 2));
    extension.extend(wide(sni.len()));
    extension.extend(sni);
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0]);
    body.extend(wide(extension.len()));
    body.extend(extension);
    let mut message = vec![1, 0];
    message.extend(wide(body.len()));
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(wide(message.len()));
    record.extend(message);
    record
}

#[test]
fn the_peers_word_on_headers_beats_the_locals() {
    let greet = |local: &[Directive], peer: &[Directive], name: &str| {
        let peer = peer.iter().cloned().fold(Block::peer(), Block::with);
        let local = local.iter().cloned().fold(Block::local(), Block::with).block(peer);
        let m = ModuleUnderTest::<Tcp>::start(&[local]);
        let s = m.host().session();
        s.set_domain("a.example");
        let sent = m.greeting(name, &s, SocketAddr::from(PEER), "peer").expect("the peer can be used");
        drop(s);
        m.stop();
        sent
    };
    assert_eq!(greet(&[], &[], "hello"), b"");
    assert_ne!(greet(&[say("proxy_protocol_hello", true)], &[], "hello"), b"");
    assert_eq!(greet(&[say("proxy_protocol_hello", true)], &[say("proxy_protocol_hello", false)], "hello"), b"");
    assert_eq!(greet(&[], &[], "proxy_protocol"), b"");
    let on = Directive::new("proxy_protocol");
    let v1 = greet(&[], std::slice::from_ref(&on), "proxy_protocol");
    assert_eq!(v1, b"PROXY TCP4 192.0.2.1 203.0.113.1 40000 80\r\n");
    assert_eq!(greet(&[on], &[say("proxy_protocol", false)], "proxy_protocol"), b"");
    let v2 = greet(&[Directive::new("proxy_protocol").prop("version", 2)], &[], "proxy_protocol");
    let proxy_protocol::Outcome::Parsed { header, consumed } = proxy_protocol::decode(&v2) else {
        panic!("it is a header")
    };
    assert_eq!((consumed, header.authority.as_deref()), (v2.len(), Some("a.example")));
}

#[test]
fn a_chain_that_goes_in_a_circle_is_broken() {
    let m = trusting();
    let s = m.host().session();
    let mut h = a_hello();
    h.hops = hello_header::MAX_HOPS;
    assert_eq!(m.preread("hello", &s, &h.encode().expect("it is valid")).0, Look::Found);
    assert_eq!(m.greeting("hello", &s, SocketAddr::from(PEER), "peer"), None);
    drop(s);
    m.stop();
}
