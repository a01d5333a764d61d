//! A request and its answer, as another module sees them.

use crate::{Body, HeadOp, HttpTable, RawRequest, RawResponse, Which};
use anyproxy_module_api::{Error, Module, Owner, Session, SessionShared, Sink, Slice, Str, Upstream, abi::task::guard};
use std::{fmt, ops::Deref};

/// A part of a request.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `GET`
    Method,
    /// Path and query as they came.
    Target,
    /// Path: decoded, without `.`, `..` and double slashes.
    Path,
    /// Query as it came, without the question mark.
    Query,
    /// Host and port as they came.
    Authority,
    /// `http` or `https`
    Scheme,
    /// `1.0`, `1.1` or `2`
    Version,
    /// The protocol that the connection is asked to change to, in small letters: `websocket`.
    Upgrade,
}

/// Which version of HTTP the peers of an upstream are asked by.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP/1.1
    Http1 = 1,
    /// HTTP/2
    Http2 = 2,
}

/// Whom a request of a module's own goes to: an upstream that a directive of the module names (`Kind::Upstream`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct To {
    /// The upstream.
    pub upstream: Upstream,
    /// By which version.
    pub speaks: Speaks,
}

/// One request and its answer. A session of its own by `Deref`: variables, slot, peers, log.
pub struct Exchange<M> {
    session: Session<M>,
    table: &'static HttpTable,
}

impl<M: Module> Exchange<M> {
    /// # Safety
    /// The session is an exchange of the table's provider, alive, on its worker, and of the generation of `module`.
    pub(crate) unsafe fn of(raw: *const SessionShared, module: &M, table: *const HttpTable) -> Self {
        // SAFETY: by contract; the table lives as long as the generation, which the session is of.
        unsafe { Self { session: Session::of(raw, module), table: &*table } }
    }

    fn raw(&self) -> *const SessionShared {
        self.session.as_ptr()
    }

    /// A part of the request; `None`: it has none.
    pub fn part(&self, part: Part) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: the table's own provider and exchange; the sink is lent for the call.
        let has = unsafe { (self.table.part)(self.table.provider, self.raw(), part as u32, &raw mut sink) };
        has.then_some(out)
    }

    /// The values of a header, joined by commas (RFC 9110 section 5.3); `None`: there is none.
    pub fn header(&self, which: Which, name: &str) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: as above.
        let has = unsafe {
            (self.table.header)(self.table.provider, self.raw(), which as u32, Str::new(name), &raw mut sink)
        };
        has.then_some(out)
    }

    /// Calls `each` with name and value of every header line, in order. It is not to change the head.
    pub fn headers(&self, which: Which, mut each: impl FnMut(&str, &[u8])) {
        unsafe extern "C" fn call<F: FnMut(&str, &[u8])>(data: *mut (), name: Str<'_>, value: Slice<'_, u8>) {
            // SAFETY: the closure below, lent for the call.
            guard(|| unsafe { (*data.cast::<F>())(name.as_str(), value.as_slice()) });
        }
        fn function<F: FnMut(&str, &[u8])>(_: &F) -> unsafe extern "C" fn(*mut (), Str<'_>, Slice<'_, u8>) {
            call::<F>
        }
        let f = function(&each);
        // SAFETY: as above; the closure is lent for the call.
        unsafe { (self.table.headers)(self.table.provider, self.raw(), which as u32, (&raw mut each).cast(), f) }
    }

    fn edit(&self, which: Which, op: HeadOp, name: &str, value: &[u8]) -> bool {
        let (name, value) = (Str::new(name), Slice::new(value));
        // SAFETY: as above; name and value are copied.
        unsafe { (self.table.edit)(self.table.provider, self.raw(), which as u32, op as u32, name, value) }
    }

    /// Sets a header, in place of the lines of its name. False: it would be no line, or frames the message, or is a `Host` that
    /// is none.
    pub fn set(&self, which: Which, name: &str, value: &[u8]) -> bool {
        self.edit(which, HeadOp::Set, name, value)
    }

    /// Adds a header line. False: as for `set`, or it is a second `Host`.
    pub fn add(&self, which: Which, name: &str, value: &[u8]) -> bool {
        self.edit(which, HeadOp::Add, name, value)
    }

    /// Removes the lines of a name. `Content-Length` of an answer too, which is only called for where no body is sent that
    /// would tell the length (HEAD): else http says what the body's own is. False: as for `set`.
    pub fn remove(&self, which: Which, name: &str) -> bool {
        self.edit(which, HeadOp::Remove, name, b"")
    }

    /// The status of the answer; 0: there is none yet.
    pub fn answer_status(&self) -> u16 {
        // SAFETY: as above.
        unsafe { (self.table.status)(self.table.provider, self.raw()) as u16 }
    }

    /// Begins an answer with this status and no headers, in place of whatever was there. False: `status` is none of 200 to
    /// 599, nor 101 to a client that asks for another protocol ([`Answer::Upgrade`](crate::Answer::Upgrade)).
    pub fn respond(&self, status: u16) -> bool {
        // SAFETY: as above.
        unsafe { (self.table.respond)(self.table.provider, self.raw(), status.into()) }
    }

    /// Changes path and query of the request: what handlers see and peers get. The local stays. False: malformed.
    pub fn set_target(&self, target: &[u8]) -> bool {
        // SAFETY: as above; the target is copied.
        unsafe { (self.table.set_target)(self.table.provider, self.raw(), Slice::new(target)) }
    }

    /// Asks the peers of the exchange's local something of the module's own: `headers` are lines with their CRLF, of which a
    /// `Host` takes the place of the exchange's own; what frames the message is http's to say and is left out. By the version
    /// of HTTP that the local's `http_proxy` names, and of another peer where `http_retry` says so.
    ///
    /// # Errors
    /// When no peer answers, with why; `Invalid`: the request is malformed, has two `Host`, or its body is not as long as it
    /// says, which is in the error log with `hook=fetch`; `Other`: the peer's answer is malformed. Where its body fails, that
    /// error's kind, or `UnexpectedEof`.
    pub async fn fetch(&self, method: &str, target: &[u8], headers: &[u8], body: Body) -> Result<Fetched, Error> {
        self.ask(None, method, target, headers, body).await
    }

    /// The same of the peers of another upstream, with the limits, retries and counters of that one. How long it is waited for,
    /// and how many idle connections are kept, is as the local says; rules of the local for header lines do not apply.
    ///
    /// # Errors
    /// As [`Exchange::fetch`].
    pub async fn fetch_from(
        &self,
        to: To,
        method: &str,
        target: &[u8],
        headers: &[u8],
        body: Body,
    ) -> Result<Fetched, Error> {
        self.ask(Some(to), method, target, headers, body).await
    }

    async fn ask(
        &self,
        to: Option<To>,
        method: &str,
        target: &[u8],
        headers: &[u8],
        body: Body,
    ) -> Result<Fetched, Error> {
        let request = RawRequest {
            method: Str::new(method),
            target: Slice::new(target),
            headers: Slice::new(headers),
            speaks: to.map_or(0, |to| to.speaks as u32),
            upstream: to.map_or(0, |to| to.upstream.number()),
        };
        let HttpTable { fetch, provider, .. } = *self.table;
        // SAFETY: as above; the request is read during the call.
        let call = || unsafe { fetch(provider, self.raw(), &raw const request, body) };
        // What http does for it is http's.
        match crate::hook::answer(Owner::of(provider), call).await {
            Ok(RawResponse { status, headers, body }) => {
                Ok(Fetched { status: status as u16, headers: headers.to_vec(), body })
            }
            Err(e) => Err(e),
        }
    }
}

/// The answer to a request of a module's own.
#[derive(Debug)]
pub struct Fetched {
    /// Status.
    pub status: u16,
    headers: Vec<u8>,
    /// Body.
    pub body: Body,
}

impl Fetched {
    /// Name and value of each header line.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers.split(|b| *b == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let colon = line.iter().position(|b| *b == b':')?;
            Some((&line[..colon], line[colon + 1..].trim_ascii()))
        })
    }

    /// The value of the first line of a name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| v)
    }
}

impl<M> Deref for Exchange<M> {
    type Target = Session<M>;
    fn deref(&self) -> &Session<M> {
        &self.session
    }
}

impl<M: Module> Clone for Exchange<M> {
    fn clone(&self) -> Self {
        Self { session: self.session.clone(), table: self.table }
    }
}

impl<M> fmt::Debug for Exchange<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exchange({:?})", self.session)
    }
}
