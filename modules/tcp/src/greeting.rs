//! Headers sent to peers in front of a session's bytes: hello, then PROXY. Formats are `core`'s; this says what goes in.

use crate::{
    Tcp,
    conf::{Headers, SendProxy},
    core::{
        address::Address,
        hello_header,
        proxy_protocol::{self, Endpoints},
    },
    session::{known, state},
};
use anyproxy_module_api::{Addr, At, Connect, Greeting, Session, Sink, tracing};

const SENDER: &str = concat!("anyproxy/", env!("CARGO_PKG_VERSION"));

/// What holds for a peer: its own word, or the one it inherited, else that of the session's local.
fn effective<T>(at: At<'_, Tcp>, session: &Session<Tcp>, of: impl Fn(&Headers) -> Option<T>) -> Option<T> {
    let own = at.try_conf().and_then(|c| of(&c.headers));
    own.or_else(|| session.block().and_then(|c| of(&c.headers)))
}

/// Whether the hello header goes to this peer.
pub(crate) fn sends_hello(at: At<'_, Tcp>, session: &Session<Tcp>) -> bool {
    effective(at, session, |h| h.send_hello).unwrap_or(false)
}

fn address(a: &Addr) -> Address {
    match a.socket() {
        Some(s) => s.into(),
        None => Address::Unix(a.path().unwrap_or_default().as_bytes().into()),
    }
}

fn domain(session: &Session<Tcp>) -> Option<&str> {
    Some(session.domain()).filter(|d| !d.is_empty())
}

/// The hello header.
pub(crate) struct Hello;

impl Greeting<Tcp> for Hello {
    const NAME: &'static str = "hello";
    const ORDER: i32 = 0;

    fn write(at: At<'_, Tcp>, session: &Session<Tcp>, _: &Connect<'_>, out: &mut Sink<'_>) -> bool {
        if !sends_hello(at, session) {
            return true;
        }
        match hello(session) {
            Ok(bytes) => {
                state(session).hello_sent.set(bytes.len() as u32);
                out.push(&bytes);
                true
            }
            Err(why) => {
                tracing::warn!(session = session.id, "no hello header for the peer: {why}");
                false
            }
        }
    }
}

fn hello(session: &Session<Tcp>) -> Result<Vec<u8>, &'static str> {
    let received = known(session).and_then(|s| s.hello.borrow().as_ref().map(|h| h.next_hop()));
    let mut hello = received.unwrap_or_else(|| Ok(hello_header::Hello::first()))?;
    hello.sender = Some(SENDER.to_owned());
    hello.request_id = Some(session.request_id().to_owned());
    hello.client = Some(address(&session.client.get()));
    hello.domain = domain(session).map(str::to_owned);
    hello.encode()
}

/// The PROXY protocol.
pub(crate) struct ProxyProtocol;

impl Greeting<Tcp> for ProxyProtocol {
    const NAME: &'static str = "proxy_protocol";
    const ORDER: i32 = 10;

    fn write(at: At<'_, Tcp>, session: &Session<Tcp>, _: &Connect<'_>, out: &mut Sink<'_>) -> bool {
        let Some(Some(send)) = effective(at, session, |h| h.send_proxy) else { return true };
        match proxy(session, send) {
            Ok(bytes) => {
                out.push(&bytes);
                true
            }
            Err(why) => {
                tracing::warn!(session = session.id, "no PROXY header for the peer: {why}");
                false
            }
        }
    }
}

fn proxy(session: &Session<Tcp>, send: SendProxy) -> Result<Vec<u8>, &'static str> {
    let endpoints = Endpoints::Proxied { source: address(&session.client.get()), destination: address(&session.local) };
    match send.version {
        1 => Ok(proxy_protocol::encode_v1(&endpoints)),
        _ => proxy_protocol::encode_v2(&endpoints, domain(session), send.checksum),
    }
}
