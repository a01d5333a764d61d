//! What is known of one request and its answer, for handlers, variables and the log.

use crate::{
    Http,
    core::path::{self, Path},
    h1::{Id, Method, Struck, Target},
    message::Message,
    multi_hop::Way,
};
use anyproxy_module_api::Session;
use std::{cell::RefCell, rc::Rc};

/// The version of HTTP between client and proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http10,
    #[default]
    Http11,
    Http2,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "1.0",
            Self::Http11 => "1.1",
            Self::Http2 => "2",
        }
    }
}

/// Bytes of the heads of one exchange, as they came and went; what is left of all bytes is bodies.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heads {
    pub(crate) client_received: u64,
    pub(crate) client_sent: u64,
    pub(crate) upstream_received: u64,
    pub(crate) upstream_sent: u64,
}

/// A request and the head of its answer. Reused.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) request: Message,
    /// Of the answer, or empty.
    pub(crate) response: Message,
    /// Decoded and normalised; `None`: the target has none (`*`, CONNECT).
    pub(crate) path: Option<Path>,
    /// What carried it here.
    pub(crate) protocol: Protocol,
    /// It came through an encrypted connection.
    pub(crate) secure: bool,
    /// Its sender is one of `http_trusted`.
    pub(crate) trusted: bool,
    /// Memory for whoever passes a head on: lines that are not.
    pub(crate) left_out: Struck,
    /// The peer as written, where redirects are to know it.
    pub(crate) peer: String,
    /// `multi_hop`.
    pub(crate) way: Way,
    pub(crate) heads: Heads,
    /// The head that the last peer got, where a variable shows it.
    pub(crate) to_peer: Vec<u8>,
    /// Path and query as the client sent them, where they were changed since.
    asked: Vec<u8>,
    /// What `host` has made, of this request or an earlier one.
    host: String,
}

impl Request {
    /// Forgets it; false: its memory is not worth keeping.
    pub(crate) fn clear(&mut self) -> bool {
        let kept = self.request.clear();
        self.way.clear();
        self.trusted = false;
        self.asked.clear();
        self.heads = Heads::default();
        self.to_peer.clear();
        self.response.clear() && kept
    }

    pub(crate) fn method(&self) -> Method {
        self.request.head.method()
    }

    pub(crate) fn method_name(&self) -> &[u8] {
        self.request.head.method_name(&self.request.bytes)
    }

    /// A peer gets this head. `shown`: a variable may want it.
    pub(crate) fn goes(&mut self, head: &[u8], shown: bool) {
        self.heads.upstream_sent += head.len() as u64;
        if shown {
            self.to_peer.clear();
            self.to_peer.extend_from_slice(head);
        }
    }

    pub(crate) const fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }

    /// The protocol that the connection is asked to change to: `Upgrade`, if `Connection` names it (RFC 9110 section 7.8).
    pub(crate) fn upgrade(&self) -> Option<Vec<u8>> {
        let m = &self.request;
        if !crate::h1::connection(&m.head, &m.bytes).upgrade {
            return None;
        }
        Some(m.head.fields().value(&m.bytes, Id::Upgrade)?.to_ascii_lowercase())
    }

    /// Changes path and query; false: malformed, and nothing has changed.
    pub(crate) fn set_target(&mut self, target: &[u8]) -> bool {
        let mut changed = Message::default();
        if target.first() != Some(&b'/') || changed.make_request(self.method_name(), target).is_err() {
            return false;
        }
        // The authority of an absolute target is the host's name from now on.
        let authority = self.authority().to_vec();
        // A request of 1.0 may have none: peers get their own name then.
        if !authority.is_empty() || self.request.value(Id::Host).is_some() {
            let _ = changed.add("Host", &authority);
        }
        for line in self.request.lines().filter(|l| l.id != Id::Host) {
            let name = std::str::from_utf8(line.name(&self.request.bytes)).unwrap_or_default();
            if changed.add(name, line.value(&self.request.bytes)).is_err() {
                return false;
            }
        }
        let first = self.asked.is_empty();
        if first {
            self.asked = self.uri().to_vec();
        }
        std::mem::swap(&mut self.request, &mut changed);
        if self.decode_path().is_err() {
            if first {
                self.asked.clear();
            }
            self.request = changed;
            // As it was, which is well-formed.
            let _ = self.decode_path();
            return false;
        }
        true
    }

    /// Path and query as the client sent them, whatever they became since.
    pub(crate) fn asked(&self) -> &[u8] {
        if self.asked.is_empty() { self.uri() } else { &self.asked }
    }

    /// Path and query, without scheme and host. May be empty.
    pub(crate) fn uri(&self) -> &[u8] {
        uri(&self.request)
    }

    /// Whom it is for, with the port if there is one, as it came.
    pub(crate) fn authority(&self) -> &[u8] {
        let m = &self.request;
        match m.head.form() {
            Target::Absolute { authority, .. } => authority.of(&m.bytes),
            Target::Authority => m.head.target(&m.bytes),
            Target::Origin | Target::Asterisk => m.value(Id::Host).unwrap_or_default(),
        }
    }

    /// The host that it is for, in lower case without the dot of a full name; empty: none.
    pub(crate) fn host(&mut self) -> &str {
        let Message { head, bytes, .. } = &self.request;
        let host = head.plain_host(bytes).or_else(|| Some(head.authority(bytes)?.host)).unwrap_or_default();
        let host = host.strip_suffix(b".").unwrap_or(host);
        // Mostly it is that of the request before, as it was made then.
        if self.host.as_bytes() != host {
            self.host.clear();
            // What is no text is no name of a server's either.
            self.host.push_str(std::str::from_utf8(host).unwrap_or_default());
            self.host.make_ascii_lowercase();
        }
        &self.host
    }

    /// Decodes the path.
    ///
    /// # Errors
    /// When it is malformed, or leaves the root.
    pub(crate) fn decode_path(&mut self) -> Result<(), path::Error> {
        let Self { request, path, .. } = self;
        let target = uri(request);
        if target == b"*" || request.head.form() == Target::Authority {
            *path = None;
            return Ok(());
        }
        if path.as_mut().is_some_and(|p| p.set_plain(target)) {
            return Ok(());
        }
        *path = None;
        let raw = match path::split_query(target).0 {
            b"" => b"/",
            raw => raw,
        };
        *path = Some(path::normalise(raw, true)?);
        Ok(())
    }
}

/// Path and query of the target. What OPTIONS asks of a host is of the whole server (RFC 9112 section 3.2.4).
fn uri(request: &Message) -> &[u8] {
    match request.head.path(&request.bytes) {
        b"" if request.head.method() == Method::Options => b"*",
        b"" => b"/",
        uri => uri,
    }
}

/// Memory of requests that are over.
pub(crate) type Spare = RefCell<Vec<Rc<RefCell<Request>>>>;

/// What the module keeps in an exchange.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) parts: Rc<RefCell<Request>>,
    spare: Rc<Spare>,
}

/// Requests that are kept for their memory.
const SPARE: usize = 64;

impl State {
    pub(crate) fn new(parts: Rc<RefCell<Request>>, spare: &Rc<Spare>) -> Self {
        Self { parts, spare: Rc::clone(spare) }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE && self.parts.borrow_mut().clear() {
            spare.push(Rc::clone(&self.parts));
        }
    }
}

/// What the module keeps in this exchange; `None`: the session is none.
pub(crate) fn known(session: &Session<Http>) -> Option<&State> {
    session.slot_if_made()
}
