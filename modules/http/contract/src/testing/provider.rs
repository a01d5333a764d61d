//! The contract as the fake http implements it: heads in memory, with the checks that http makes of what it is given.

use super::{
    Fetch,
    exchange::{FakeHead, Parts},
};
use crate::{Body, HeadOp, HttpTable, Part, Provider, Registered, Request, Response, Which, take_hook};
use anyproxy_module_api::{
    Error, ErrorKind, Module, Problems, Registry as Points, Scope, Session, SessionShared, Sink,
};
use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

/// What modules registered.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) hooks: Vec<&'static Registered>,
    pub(super) handlers: Vec<&'static Registered>,
}

/// Answers to come: status, header lines and body.
type Prepared = VecDeque<(u16, Vec<u8>, Vec<u8>)>;

/// The module behind the fake's table.
#[derive(Debug, Default)]
pub(super) struct Fake {
    pub(super) table: OnceLock<HttpTable>,
    registry: Mutex<Registry>,
    /// By the address of their sessions.
    exchanges: Mutex<HashMap<usize, Parts>>,
    answers: Mutex<Prepared>,
    fetches: Mutex<Vec<Fetch>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fake {
    pub(super) fn table(&'static self) -> &'static HttpTable {
        self.table.get_or_init(|| HttpTable::new(self))
    }

    pub(super) fn registry(&self) -> MutexGuard<'_, Registry> {
        lock(&self.registry)
    }

    pub(super) fn answers(&self) -> MutexGuard<'_, Prepared> {
        lock(&self.answers)
    }

    pub(super) fn fetches(&self) -> MutexGuard<'_, Vec<Fetch>> {
        lock(&self.fetches)
    }

    pub(super) fn begin(&self, session: *const SessionShared, parts: Parts) -> usize {
        lock(&self.exchanges).insert(session as usize, parts);
        session as usize
    }

    pub(super) fn heads(&self, id: usize) -> (FakeHead, FakeHead) {
        lock(&self.exchanges).get(&id).map(|p| (p.request.clone(), p.answer.clone())).unwrap_or_default()
    }

    pub(super) fn end(&self, id: usize) {
        lock(&self.exchanges).remove(&id);
    }

    fn with<R>(&self, exchange: &Session<Self>, f: impl FnOnce(&mut Parts) -> R) -> Option<R> {
        let shared: &SessionShared = exchange;
        lock(&self.exchanges).get_mut(&(std::ptr::from_ref(shared) as usize)).map(f)
    }
}

impl Module for Fake {
    type Conf = ();
    type Worker = ();
    fn register(_: &mut Points<Self>) {}
    fn create() -> Self {
        Self::default()
    }
    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
    fn worker_start(&self, _: u32) {}
}

/// Lines that are http's own.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "transfer-encoding",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "expect",
];

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_value(value: &[u8]) -> bool {
    value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f))
}

fn is_host_name(value: &[u8]) -> bool {
    !value.is_empty() && !value.iter().any(|b| b"/?#@, \t\\".contains(b))
}

fn head(parts: &mut Parts, which: Which) -> &mut FakeHead {
    if which == Which::Request { &mut parts.request } else { &mut parts.answer }
}

/// Decoded, without `.`, `..` and double slashes.
fn normalised(path: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), path.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok());
        match hex.filter(|_| byte == b'%') {
            Some(byte) => (decoded.push(byte), rest = &after[2..]).1,
            None => (decoded.push(byte), rest = after).1,
        }
    }
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut parts = decoded.split(|b| *b == b'/').skip(1).peekable();
    while let Some(part) = parts.next() {
        match part {
            b".." => _ = kept.pop(),
            b"." => {}
            b"" if parts.peek().is_some() => continue,
            part => kept.push(part),
        }
        if parts.peek().is_none() && matches!(part, b"." | b"..") {
            kept.push(b"");
        }
    }
    [b"/", &kept.join(&b'/')[..]].concat()
}

impl Provider for Fake {
    fn register(&self, hook: Registered, handler: bool) -> bool {
        let Registry { hooks, handlers } = &mut *self.registry();
        // As the fake itself.
        let hook: &'static Registered = Box::leak(Box::new(hook));
        if !handler {
            return take_hook(hooks, hook).is_ok();
        }
        let taken = handlers.iter().any(|h| h.name == hook.name);
        if !taken {
            handlers.push(hook);
        }
        !taken
    }

    fn part(&self, exchange: &Session<Self>, part: Part, out: &mut Sink<'_>) -> bool {
        let found = self.with(exchange, |parts| {
            let request = &parts.request;
            let (path, query) = request.target.split_once('?').map_or((&*request.target, None), |(p, q)| (p, Some(q)));
            let bytes = |text: &str| Some(text.as_bytes().to_vec());
            match part {
                Part::Method => bytes(&request.method),
                Part::Target => bytes(&request.target),
                Part::Path => path.starts_with('/').then(|| normalised(path)),
                Part::Query => bytes(query?),
                Part::Authority => bytes(&request.header("Host")?),
                Part::Scheme => bytes(parts.scheme),
                Part::Version => bytes(parts.version),
                Part::Upgrade => bytes(&request.header("Upgrade")?.to_ascii_lowercase()),
            }
        });
        found.flatten().is_some_and(|found| {
            out.push(&found);
            true
        })
    }

    fn header(&self, exchange: &Session<Self>, which: Which, name: &str, out: &mut Sink<'_>) -> bool {
        let found = self.with(exchange, |parts| {
            let lines = head(parts, which).headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
            let values: Vec<_> = lines.map(|(_, value)| value.clone()).collect();
            (!values.is_empty()).then(|| values.join(&b", "[..]))
        });
        found.flatten().is_some_and(|found| {
            out.push(&found);
            true
        })
    }

    fn headers(&self, exchange: &Session<Self>, which: Which, each: &mut dyn FnMut(&str, &[u8])) {
        let lines = self.with(exchange, |parts| head(parts, which).headers.clone());
        lines.unwrap_or_default().iter().for_each(|(name, value)| each(name, value));
    }

    fn edit(&self, exchange: &Session<Self>, which: Which, op: HeadOp, name: &str, value: &[u8]) -> bool {
        let lower = name.to_ascii_lowercase();
        let allowed = match &*lower {
            "content-length" => op == HeadOp::Remove,
            "upgrade" => op != HeadOp::Remove,
            _ => false,
        };
        if OWN.contains(&&*lower) && !(which == Which::Response && allowed) {
            return false;
        }
        if op != HeadOp::Remove && !(is_token(name) && is_value(value)) {
            return false;
        }
        let is_host = lower == "host" && which == Which::Request && op != HeadOp::Remove;
        if is_host && !is_host_name(value) {
            return false;
        }
        let done = self.with(exchange, |parts| {
            if which == Which::Response && parts.answer.status == 0 {
                return false;
            }
            if is_host && op == HeadOp::Add && parts.request.header("Host").is_some() {
                return false;
            }
            let headers = &mut head(parts, which).headers;
            if op != HeadOp::Add {
                headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            }
            if op != HeadOp::Remove {
                headers.push((name.to_owned(), value.to_vec()));
            }
            true
        });
        done.unwrap_or(false)
    }

    fn status(&self, exchange: &Session<Self>) -> u16 {
        self.with(exchange, |parts| parts.answer.status).unwrap_or(0)
    }

    fn respond(&self, exchange: &Session<Self>, status: u16) -> bool {
        let begun = self.with(exchange, |parts| {
            let upgrade = status == 101 && parts.request.header("Upgrade").is_some();
            let fits = (200..=599).contains(&status) || upgrade;
            if fits {
                parts.answer = FakeHead { status, ..FakeHead::default() };
            }
            fits
        });
        begun.unwrap_or(false)
    }

    fn set_target(&self, exchange: &Session<Self>, target: &[u8]) -> bool {
        let Ok(target) = std::str::from_utf8(target) else { return false };
        let fits = target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic());
        fits && self.with(exchange, |parts| target.clone_into(&mut parts.request.target)).is_some()
    }

    fn fetch(
        &self,
        exchange: &Session<Self>,
        request: &Request<'_>,
        body: Body,
    ) -> impl Future<Output = Result<Response, Error>> + use<> + 'static {
        let host = self.with(exchange, |parts| parts.request.header("Host")).flatten();
        let head = fetched(request, host, body.length());
        let upstream = request.to.map(|to| to.upstream.number());
        let exchange = exchange.clone();
        async move {
            let (head, said, mut body) = (head?, body.length(), body);
            let body = body.collect(usize::MAX).await?;
            if said.is_some_and(|said| said != body.len() as u64) {
                return Err(Error::new(ErrorKind::Invalid, "a body is not as long as it says"));
            }
            let fake = exchange.module();
            fake.fetches().push(Fetch { upstream, head, body });
            let (status, lines, body) = fake.answers().pop_front().ok_or(Error::bare(ErrorKind::NoPeer))?;
            Ok((status, lines, body.into()))
        }
    }
}

/// The head of a request of a module's own as a peer gets it, of an exchange for that host.
fn fetched(asked: &Request<'_>, host: Option<String>, length: Option<u64>) -> Result<FakeHead, Error> {
    let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("a request's {what} is malformed"));
    let target = std::str::from_utf8(asked.target).map_err(|_| invalid("target"))?;
    if !is_token(asked.method) || target.is_empty() || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(invalid("method or target"));
    }
    if asked.method == "CONNECT" {
        return Err(Error::new(ErrorKind::Unsupported, "CONNECT makes a tunnel, which is no answer"));
    }
    let mut head = FakeHead { method: asked.method.to_owned(), target: target.to_owned(), ..FakeHead::default() };
    for line in asked.lines() {
        let (name, value) =
            line.filter(|(name, value)| is_token(name) && is_value(value)).ok_or_else(|| invalid("header"))?;
        if OWN.contains(&&*name.to_ascii_lowercase()) {
            continue;
        }
        if name.eq_ignore_ascii_case("Host") && head.header("Host").is_some() {
            return Err(Error::new(ErrorKind::Invalid, "a request has two lines of Host"));
        }
        head.headers.push((name.to_owned(), value.trim_ascii().to_vec()));
    }
    let mut put = |name: &str, value: String| head.headers.push((name.to_owned(), value.into_bytes()));
    let has = matches!(asked.method, "POST" | "PUT" | "PATCH");
    match length {
        None => put("Transfer-Encoding", "chunked".to_owned()),
        Some(length) if length > 0 || has => put("Content-Length", length.to_string()),
        Some(_) => {}
    }
    if let Some(host) = host.filter(|_| head.header("Host").is_none()) {
        head.headers.push(("Host".to_owned(), host.into_bytes()));
    }
    Ok(head)
}
