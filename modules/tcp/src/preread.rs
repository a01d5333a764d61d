//! What stands in front of a session, or names its domain: hello header, PROXY protocol, TLS ClientHello, HTTP/1 head.
//! The parsers are `core`'s; here it is decided whom to believe and what a session learns.

use crate::{
    Tcp, conf,
    core::{
        address::Address,
        client_hello, hello_header, http_host,
        proxy_protocol::{self, Endpoints},
    },
    session::{known, state},
    stats::malformed,
};
use anyproxy_module_api::{Addr, At, Look, LookOut, Preread, Session, Slice, Str};

fn refuse(preread: &str, reason: &'static str, out: &mut LookOut) -> Look {
    malformed(preread, reason);
    out.reason = Str::new(reason);
    Look::Malformed
}

/// One that ends here, within what it began or has to begin with, is turned away.
fn unfinished(why: &'static str, out: &mut LookOut) -> Look {
    out.reason = Str::new(why);
    Look::More
}

/// What to answer in the protocol, with its status for logs (0: it knows none), if no server matches or it is malformed.
fn answer(refusal: &'static [u8], status: u32, out: &mut LookOut) {
    out.refusal = Slice::new(refusal);
    out.status = status;
}

fn found(consumed: usize, out: &mut LookOut) -> Look {
    out.consumed = consumed;
    Look::Found
}

fn client(address: &Address) -> Addr {
    match address {
        Address::Ip(a) => (*a).into(),
        // Its path is a stranger's text without an end to its life; that it is a local socket is what matters.
        Address::Unix(_) => Addr::unix(Str::EMPTY),
    }
}

/// What a header says of the domain holds over what is found later.
fn learn_domain(session: &Session<Tcp>, domain: Option<&str>) {
    if let Some(domain) = domain.filter(|_| session.domain().is_empty()) {
        session.set_domain(domain);
    }
}

/// The hello header.
pub(crate) struct Hello;

impl Preread<Tcp> for Hello {
    const NAME: &'static str = "hello";
    const HEADER: bool = true;
    const ON_DOMAIN: bool = false;
    const MAX: u32 = hello_header::MAX_LENGTH as u32;

    fn wanted(at: At<'_, Tcp>) -> bool {
        at.try_conf().is_some_and(|c| c.headers.hello_from.is_some())
    }

    fn look(session: &Session<Tcp>, bytes: &[u8], out: &mut LookOut) -> Look {
        let Some(from) = &conf::of(session).headers.hello_from else { return Look::NotMine };
        match hello_header::decode(bytes) {
            hello_header::Outcome::NotHello => Look::NotMine,
            hello_header::Outcome::NeedMore if hello_header::is_begun(bytes) => {
                unfinished("ended within its hello header", out)
            }
            hello_header::Outcome::NeedMore => Look::More,
            hello_header::Outcome::Malformed(why) => refuse(Self::NAME, why, out),
            hello_header::Outcome::Parsed { .. } if !from.contains(&session.remote) => {
                refuse(Self::NAME, "hello header from an address that is not trusted", out)
            }
            hello_header::Outcome::Parsed { hello, consumed } => {
                if let Some(a) = &hello.client {
                    session.client.set(client(a));
                }
                if let Some(id) = &hello.request_id {
                    session.set_request_id(id);
                }
                learn_domain(session, hello.domain.as_deref());
                let state = state(session);
                state.hello_received.set(consumed as u32);
                state.hello.replace(Some(Box::new(hello)));
                found(consumed, out)
            }
        }
    }
}

/// The PROXY protocol.
pub(crate) struct ProxyProtocol;

impl Preread<Tcp> for ProxyProtocol {
    const NAME: &'static str = "proxy_protocol";
    const HEADER: bool = true;
    const ON_DOMAIN: bool = false;
    const MAX: u32 = proxy_protocol::V2_MAX as u32;

    fn wanted(at: At<'_, Tcp>) -> bool {
        at.try_conf().is_some_and(|c| c.headers.proxy_from.is_some())
    }

    fn look(session: &Session<Tcp>, bytes: &[u8], out: &mut LookOut) -> Look {
        let Some(from) = &conf::of(session).headers.proxy_from else { return Look::NotMine };
        let believed = from.contains(&session.remote);
        // Section 2: a receiver must not guess whether there is a header.
        let required = || believed && !known(session).is_some_and(|s| s.hello.borrow().is_some());
        match proxy_protocol::decode(bytes) {
            proxy_protocol::Outcome::NeedMore if proxy_protocol::is_begun(bytes) || required() => {
                unfinished("ended within its PROXY header", out)
            }
            proxy_protocol::Outcome::NeedMore => Look::More,
            proxy_protocol::Outcome::NotProxy if required() => {
                refuse(Self::NAME, "no PROXY header from a trusted address", out)
            }
            proxy_protocol::Outcome::NotProxy => Look::NotMine,
            proxy_protocol::Outcome::Malformed(why) => refuse(Self::NAME, why, out),
            proxy_protocol::Outcome::Parsed { .. } if !believed => {
                refuse(Self::NAME, "PROXY header from an address that is not trusted", out)
            }
            proxy_protocol::Outcome::Parsed { header, consumed } => {
                if let Endpoints::Proxied { source, .. } = &header.endpoints {
                    session.client.set(client(source));
                }
                learn_domain(session, header.authority.as_deref());
                found(consumed, out)
            }
        }
    }
}

/// The server name of a TLS ClientHello.
pub(crate) struct Tls;

/// A fatal alert, unrecognized_name; `core::client_hello` makes the same.
const ALERT: &[u8] = &client_hello::UNRECOGNIZED_NAME_ALERT;

impl Preread<Tcp> for Tls {
    const NAME: &'static str = "tls";
    const HEADER: bool = false;
    const ON_DOMAIN: bool = true;
    const MAX: u32 = client_hello::MAX_RECEIVED as u32;

    fn wanted(at: At<'_, Tcp>) -> bool {
        at.try_conf().is_none_or(|c| c.headers.tls)
    }

    fn look(session: &Session<Tcp>, bytes: &[u8], out: &mut LookOut) -> Look {
        if !conf::of(session).headers.tls {
            return Look::NotMine;
        }
        let begun = known(session).and_then(|s| s.readers.borrow_mut().tls.take());
        let mut reader = begun.unwrap_or_default();
        match reader.advance(bytes) {
            client_hello::Outcome::NotTls => Look::NotMine,
            client_hello::Outcome::Malformed(why) => refuse(Self::NAME, why, out),
            client_hello::Outcome::NeedMore => {
                // A peer that sends single bytes must not have all of them looked at each time.
                state(session).readers.borrow_mut().tls = Some(reader);
                Look::More
            }
            client_hello::Outcome::Parsed(hello) => {
                learn_domain(session, hello.sni.as_deref());
                answer(ALERT, 0, out);
                found(0, out)
            }
        }
    }
}

/// The host of an HTTP/1 request.
pub(crate) struct Http;

const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const MISDIRECTED: &[u8] = b"HTTP/1.1 421 Misdirected Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

impl Preread<Tcp> for Http {
    const NAME: &'static str = "http";
    const HEADER: bool = false;
    const ON_DOMAIN: bool = true;
    const MAX: u32 = 16 << 10;

    fn wanted(at: At<'_, Tcp>) -> bool {
        at.try_conf().is_none_or(|c| c.headers.http.is_some())
    }

    fn look(session: &Session<Tcp>, bytes: &[u8], out: &mut LookOut) -> Look {
        let Some(rules) = &conf::of(session).headers.http else { return Look::NotMine };
        let begun = known(session).and_then(|s| s.readers.borrow_mut().http.take());
        let mut reader = begun.unwrap_or_default();
        match reader.advance(rules, bytes) {
            // The host of HTTP/2 is inside compressed frames.
            http_host::Outcome::NotHttp | http_host::Outcome::Http2Preface => Look::NotMine,
            http_host::Outcome::Malformed(why) => {
                answer(BAD_REQUEST, 400, out);
                refuse(Self::NAME, why, out)
            }
            outcome @ (http_host::Outcome::NeedMore | http_host::Outcome::TooLong) => {
                if outcome == http_host::Outcome::TooLong {
                    answer(TOO_LARGE, 431, out);
                }
                // Whoever reads requests itself needs no more of this one. Others get it unchanged: all of it is looked at.
                learn_domain(session, reader.host());
                state(session).readers.borrow_mut().http = Some(reader);
                Look::More
            }
            http_host::Outcome::Parsed(head) => {
                learn_domain(session, head.host.as_deref());
                answer(MISDIRECTED, 421, out);
                found(0, out)
            }
        }
    }
}
