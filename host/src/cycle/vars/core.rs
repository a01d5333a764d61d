//! The host's own variables: name, documentation and how a session writes the value, in one table. Times are in seconds
//! with milliseconds, sizes in bytes.

use super::outcome::{is_timeout, matched_domain, status, status_text};
use crate::{
    config::tree::{DomainName, Server},
    log::time::LocalTime,
    services::{platform, timers},
    session::Session,
    template::Written,
    upstream::{live::PeerLive, pool::Pool},
};
use anyproxy_module_api::{
    abi::{bytes::Str, net::Addr, session::CloseReason},
    text,
};
use std::{cell::RefCell, fmt::Display, io::Write, sync::OnceLock, time::Duration};

type Writer = fn(&Session, &mut Vec<u8>) -> Option<Written>;

/// A variable of the host.
pub struct Core {
    /// Its name.
    pub name: &'static str,
    /// One line of documentation.
    pub doc: &'static str,
    /// A module may take the name over: the host itself has no value for it.
    pub open: bool,
    /// Appends the value. None: it has none now; what was appended is removed by the caller.
    pub write: Writer,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Core({})", self.name)
    }
}

const fn var(name: &'static str, doc: &'static str, write: Writer) -> Core {
    Core { name, doc, open: false, write }
}

/// Known so that a configuration loads with and without the module that gives it a value.
const fn open(name: &'static str, doc: &'static str) -> Core {
    Core { name, doc, open: true, write: |_, _| None }
}

/// All of them; the position is the slot.
pub static TABLE: [Core; 51] = [
    var("local_time", "Now, in local time: `2026-05-01T12:00:00.123+08:00` (RFC 3339).", |_, out| {
        iso(timers::wall_ms(), out)
    }),
    var("msec", "Now, in seconds since 1970.", |_, out| seconds(timers::wall(), out)),
    var("start_time", "When the connection was accepted, as `local_time`.", |s, out| {
        iso(began(s).as_millis() as u64, out)
    }),
    var("start_msec", "When the connection was accepted, in seconds since 1970.", |s, out| seconds(began(s), out)),
    var("session_time", "How long the session has lasted.", |s, out| seconds(s.age(), out)),
    var("session_id", "Number of the session, unique in the process.", |s, out| number(s.shared.id, out)),
    var("request_id", "Follows the session through a chain of hosts; made here when none came with it.", |s, out| {
        s.ensure_request_id();
        text(&s.texts().request_id.borrow(), out)
    }),
    var("local_name", "Name of this machine.", |_, out| text(host_name(), out)),
    var("local_protocol", "How the client reached this proxy: the kind of listener.", |s, out| {
        let user = s.user().or_else(|| s.listener.users.first());
        user.and_then(|u| text(&u.point.1.name, out))
    }),
    var("local_addr", "Address and port that the client connected to.", |s, out| addr(&s.shared.local, out)),
    var("local_ip", "Address that the client connected to.", |s, out| ip(&s.shared.local, out)),
    var("local_port", "Port that the client connected to.", |s, out| port(&s.shared.local, out)),
    var("remote_addr", "Address and port of the connection's other end.", |s, out| addr(&s.shared.remote, out)),
    var("remote_ip", "Address of the connection's other end.", |s, out| ip(&s.shared.remote, out)),
    var("remote_port", "Port of the connection's other end.", |s, out| port(&s.shared.remote, out)),
    var("client_addr", "Address and port of the client: `remote_addr`, or what a trusted header said.", |s, out| {
        addr(&s.shared.client.get(), out)
    }),
    var("client_ip", "Address of the client.", |s, out| ip(&s.shared.client.get(), out)),
    var("client_port", "Port of the client.", |s, out| port(&s.shared.client.get(), out)),
    var("domain", "The domain in effect: on a shared port the one asked for, else the server's own.", domain),
    var("local_domain", "The domain of the configuration that was matched, as written there.", |s, out| {
        let server = server(s)?;
        s.peek(|t| matched_domain(&server.domains, &t.domain.borrow()).and_then(|d| show(d, out)))
    }),
    var("remote_domain", "The domain that the client asked for.", |s, out| s.peek(|t| text(&t.domain.borrow(), out))),
    open("ssl_domain", "The server name of the client's TLS handshake, where a module ends TLS."),
    var("upstream_name", "Name of the upstream.", |s, out| with_pool(s, |p| text(&p.name, out))),
    var("upstream_balancer", "Balancer of the upstream.", |s, out| with_pool(s, |p| text(&p.balancer_name, out))),
    var("upstream_host", "Host of the peer as configured, without port.", |s, out| {
        let line = s.lease.borrow().member.as_ref().map(|m| m.line);
        line.and_then(|n| with_pool(s, |p| p.lines.get(n).and_then(|line| text(&line.host, out))))
    }),
    var("upstream_addr", "Address and port of the peer.", |s, out| {
        with_peer(s, |p| {
            out.extend_from_slice(p.addr_text.as_bytes());
            Some(kind(&p.addr))
        })
    }),
    var("upstream_ip", "Address of the peer.", |s, out| with_peer(s, |p| ip(&p.addr, out))),
    var("upstream_port", "Port of the peer.", |s, out| with_peer(s, |p| port(&p.addr, out))),
    var("upstream_protocol", "How the peer is reached: the kind of connector.", |s, out| {
        with_peer(s, |p| text(&p.connector, out))
    }),
    var("upstream_connect_time", "How long the last connect took.", |s, out| {
        s.lease.borrow().connect.and_then(|t| seconds(t, out))
    }),
    var("upstream_tries", "How many peers were tried; 0: none.", |s, out| number(s.lease.borrow().tries, out)),
    var(
        "status",
        "The protocol's status; without one, a number for how the session ended (200: in order).",
        |s, out| status_of(s).and_then(|n| number(n, out)),
    ),
    var("status_str", "The status in words.", |s, out| status_of(s).and_then(|n| text(status_text(n), out))),
    var("close_reason", "Who ended the session, in which stage, and why: `client_transfer_done`.", |s, out| {
        let code = s.shared.close_reason.get();
        let [who, stage, cause] = match CloseReason::words(code) {
            Some(words) => words,
            None if code == 0 => return None,
            None => return text("-", out),
        };
        text(who, out);
        text("_", out);
        text(stage, out);
        text("_", out);
        text(cause, out)
    }),
    var("is_timeout_exit", "1 when a time limit ended the session, else 0.", |s, out| {
        number(u8::from(is_timeout(s.shared.close_reason.get())), out)
    }),
    var("client_bytes_sent", "Bytes sent to the client.", |s, out| number(s.shared.client_sent.get(), out)),
    var("client_bytes_received", "Bytes received from the client.", |s, out| {
        number(s.shared.client_received.get(), out)
    }),
    var("upstream_bytes_sent", "Bytes sent to the upstream.", |s, out| number(s.shared.upstream_sent.get(), out)),
    var("upstream_bytes_received", "Bytes received from the upstream.", |s, out| {
        number(s.shared.upstream_received.get(), out)
    }),
    var(
        "stream_work_times",
        "Stages of the session or request with their offsets: `accept@0.000 route@0.001 connect@0.002`.",
        stages,
    ),
    var("worker", "Number of the worker.", |s, out| number(s.worker.worker, out)),
    var("epoch", "Number of the generation: grows with each reload.", |s, out| number(s.worker.cycle.epoch, out)),
    var("versions", "Name and version of this program.", |_, out| text(VERSION, out)),
    var("pid", "Number of the process.", |_, out| number(std::process::id(), out)),
    open("is_proxy_protocol_hello", "1 when a hello header came in front of the stream."),
    open("client_protocol_hello_size", "Size of the hello header that came."),
    open("upstream_protocol_hello_size", "Size of the hello header that was sent."),
    open("is_open_ebpf", "1 when the kernel relays the stream."),
    open("open_sendfile", "1 when files are sent without copying."),
    open("buffer_cache", "How bytes are kept for a slow side: memory or file."),
    open("write_max_block_time", "Longest time that a write waited."),
];

const VERSION: &str = concat!("anyproxy/", env!("CARGO_PKG_VERSION"));

fn text(value: &str, out: &mut Vec<u8>) -> Option<Written> {
    out.extend_from_slice(value.as_bytes());
    (!value.is_empty()).then_some(Written::Any)
}

/// What is shown by few.
fn show(value: impl Display, out: &mut Vec<u8>) -> Option<Written> {
    write!(out, "{value}").ok().map(|()| Written::Any)
}

fn number(value: impl Into<u64>, out: &mut Vec<u8>) -> Option<Written> {
    text::number(value, out);
    Some(Written::Plain)
}

fn seconds(time: Duration, out: &mut Vec<u8>) -> Option<Written> {
    text::seconds(time, out);
    Some(Written::Plain)
}

fn addr(value: &Addr, out: &mut Vec<u8>) -> Option<Written> {
    text::address(value, out);
    Some(kind(value))
}

/// The path of a Unix socket is any text.
fn kind(value: &Addr) -> Written {
    if value.path().is_none() { Written::Plain } else { Written::Any }
}

fn ip(value: &Addr, out: &mut Vec<u8>) -> Option<Written> {
    text::ip(value, out).then_some(Written::Plain)
}

fn port(addr: &Addr, out: &mut Vec<u8>) -> Option<Written> {
    addr.socket().and_then(|_| number(addr.port(), out))
}

fn iso(since_1970_ms: u64, out: &mut Vec<u8>) -> Option<Written> {
    thread_local! {
        static CLOCK: RefCell<LocalTime> = RefCell::default();
    }
    CLOCK.try_with(|c| c.borrow_mut().write_ms(since_1970_ms, out)).ok().map(|()| Written::Plain)
}

fn began(s: &Session) -> Duration {
    timers::wall().saturating_sub(s.age())
}

fn status_of(s: &Session) -> Option<u32> {
    status(s.shared.status.get(), s.shared.close_reason.get())
}

fn server(s: &Session) -> Option<&Server> {
    let cycle = &s.worker.cycle;
    cycle.vars.server(&cycle.tree, s.user()?.server.scope)
}

fn domain(s: &Session, out: &mut Vec<u8>) -> Option<Written> {
    let own = || {
        server(s)?.domains.iter().find_map(|d| match &d.name {
            DomainName::Exact(name) => Some(name.as_str()),
            _ => None,
        })
    };
    match if s.listener.by_domain { None } else { own() } {
        Some(own) => text(own, out),
        None => s.peek(|t| text(&t.domain.borrow(), out)),
    }
}

/// The pool of which a peer was chosen; where none was, the one of its local.
fn with_pool(s: &Session, f: impl FnOnce(&Pool) -> Option<Written>) -> Option<Written> {
    let note = s.lease.borrow();
    match note.member {
        Some(_) => f(s.worker.cycle.pools.get(note.pool)?),
        None => f(s.pool()?),
    }
}

fn with_peer(s: &Session, f: impl FnOnce(&PeerLive) -> Option<Written>) -> Option<Written> {
    s.lease.borrow().member.as_ref().and_then(|m| f(&m.live))
}

fn stages(s: &Session, out: &mut Vec<u8>) -> Option<Written> {
    s.peek(|t| write_stages(&t.stages.borrow(), out))
}

fn write_stages(stages: &[(Str<'_>, u32)], out: &mut Vec<u8>) -> Option<Written> {
    let mut first = true;
    if stages.first().is_none_or(|(name, _)| name.as_str() != "accept") {
        out.extend_from_slice(b"accept@0.000");
        first = false;
    }
    for (name, at) in stages {
        if !std::mem::take(&mut first) {
            out.push(b' ');
        }
        text(name, out);
        out.push(b'@');
        seconds(Duration::from_micros((*at).into()), out);
    }
    Some(Written::Any)
}

/// Asked once.
fn host_name() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| platform::host_name().unwrap_or_else(|| "localhost".to_owned()))
}
