//! The contract as http itself implements it: no raw pointer gets out of here.

use crate::{
    Answer, Body, Bytes, HeadOp, HttpTable, Part, RawAnswer, RawHook, RawRequest, RawResponse, Speaks, To, Which,
};
use anyproxy_module_api::{
    Error, ErrorKind, Module, Owner, Session, SessionShared, Sink, Slice, Str, Upstream,
    abi::{
        error::Outcome,
        task::{LocalFuture, guard},
    },
};
use std::{future::Future, ptr, sync::Arc};

/// An answer to a request of a module's own: status, header lines each with its CRLF, body.
pub type Response = (u16, Vec<u8>, Body);

/// A request of a module's own.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Whom it goes to; `None`: the peers of the exchange's local.
    pub to: Option<To>,
    /// Method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a [u8],
    /// Header lines, each with its CRLF.
    pub headers: &'a [u8],
}

impl<'a> Request<'a> {
    /// Name and value of each header line, without the space around the value; `None`: it is no line.
    pub fn lines(&self) -> impl Iterator<Item = Option<(&'a str, &'a [u8])>> + use<'a> {
        let lines = self.headers.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        lines.filter(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|b| *b == b':')?;
            Some((std::str::from_utf8(&line[..colon]).ok()?, line[colon + 1..].trim_ascii()))
        })
    }
}

/// What the module behind the table does. Exchanges are its own.
pub trait Provider: Module {
    /// Takes a hook, or a handler for `http_router`. False: it cannot be taken.
    fn register(&self, hook: Registered, handler: bool) -> bool;
    /// See `HttpTable::part`.
    fn part(&self, exchange: &Session<Self>, part: Part, out: &mut Sink<'_>) -> bool;
    /// See `HttpTable::header`.
    fn header(&self, exchange: &Session<Self>, which: Which, name: &str, out: &mut Sink<'_>) -> bool;
    /// See `HttpTable::headers`.
    fn headers(&self, exchange: &Session<Self>, which: Which, each: &mut dyn FnMut(&str, &[u8]));
    /// See `HttpTable::edit`.
    fn edit(&self, exchange: &Session<Self>, which: Which, op: HeadOp, name: &str, value: &[u8]) -> bool;
    /// See `HttpTable::status`.
    fn status(&self, exchange: &Session<Self>) -> u16;
    /// See `HttpTable::respond`.
    fn respond(&self, exchange: &Session<Self>, status: u16) -> bool;
    /// See `HttpTable::set_target`.
    fn set_target(&self, exchange: &Session<Self>, target: &[u8]) -> bool;
    /// See `HttpTable::fetch`. What is borrowed is so for the call that makes the future.
    fn fetch(
        &self,
        exchange: &Session<Self>,
        request: &Request<'_>,
        body: Body,
    ) -> impl Future<Output = Result<Response, Error>> + use<Self> + 'static;
}

/// A hook or handler of another module.
#[derive(Debug)]
pub struct Registered {
    /// Its name.
    pub name: Arc<str>,
    /// Its stage, as a number.
    pub stage: u32,
    /// Hooks that it comes before and after.
    pub before: Vec<Box<str>>,
    /// The same after.
    pub after: Vec<Box<str>>,
    raw: RawHook<'static>,
}

impl Registered {
    /// Whether it has a part in the exchanges of the block that this one is in.
    pub fn applies<P: Provider>(&self, table: &HttpTable, exchange: &Session<P>) -> bool {
        let _in = Owner::of(self.raw.module).enter();
        // SAFETY: the registered object, of this generation, as the exchange.
        unsafe { (self.raw.applies)(self.raw.module, table, exchange.as_ptr()) }
    }

    /// Runs it. Dropped before the exchange ends.
    pub fn run<P: Provider>(
        &self,
        table: &HttpTable,
        exchange: &Session<P>,
        body: Body,
    ) -> impl Future<Output = Result<Answer, Error>> + use<P> {
        let exchange = exchange.clone();
        let RawHook { module, run, .. } = self.raw;
        // SAFETY: as above; the exchange is held until the future is dropped.
        let answer = crate::hook::answer(Owner::of(module), || unsafe { run(module, table, exchange.as_ptr(), body) });
        async move {
            let _held = exchange;
            let RawAnswer { kind, body, upgraded } = answer.await?;
            Ok(match kind {
                1 => Answer::Respond(body),
                2 if upgraded.is_some() => Answer::Upgrade(upgraded),
                _ => Answer::GoOn(body),
            })
        }
    }
}

impl HttpTable {
    /// The table over its module, which must stay in its place: a field of it.
    pub const fn new<P: Provider>(provider: &P) -> Self {
        Self {
            size: size_of::<Self>(),
            provider: ptr::from_ref(provider).cast(),
            add_hook: add::<P, false>,
            add_handler: add::<P, true>,
            part: part::<P>,
            header: header::<P>,
            headers: headers::<P>,
            edit: edit::<P>,
            status: status::<P>,
            respond: respond::<P>,
            set_target: set_target::<P>,
            fetch: fetch::<P>,
        }
    }
}

/// Calls `f` with the provider and the exchange; nothing: it panicked.
///
/// # Safety
/// The provider is the table's, the session a live exchange of this worker.
unsafe fn with<P: Provider, R>(
    provider: *const (),
    exchange: *const SessionShared,
    f: impl FnOnce(&P, &Session<P>) -> R,
) -> Option<R> {
    guard(|| {
        // SAFETY: by contract.
        unsafe {
            let provider = &*provider.cast::<P>();
            f(provider, &Session::of(exchange, provider))
        }
    })
}

const fn which(n: u32) -> Which {
    if n == Which::Request as u32 { Which::Request } else { Which::Response }
}

unsafe extern "C" fn add<P: Provider, const HANDLER: bool>(provider: *const (), hook: *const RawHook<'_>) -> bool {
    guard(|| {
        // SAFETY: the table's provider; the hook and its texts are lent for the call.
        let (provider, raw) = unsafe { (&*provider.cast::<P>(), *hook) };
        let texts = |list: Slice<'_, Str<'_>>| list.iter().map(|t| t.as_str().into()).collect();
        let hook = Registered {
            name: raw.name.as_str().into(),
            stage: raw.stage,
            before: texts(raw.before),
            after: texts(raw.after),
            raw: RawHook {
                size: raw.size,
                name: Str::EMPTY,
                stage: raw.stage,
                before: Slice::EMPTY,
                after: Slice::EMPTY,
                module: raw.module,
                applies: raw.applies,
                run: raw.run,
            },
        };
        provider.register(hook, HANDLER)
    })
    .unwrap_or(false)
}

unsafe extern "C" fn part<P: Provider>(p: *const (), s: *const SessionShared, part: u32, out: *mut Sink<'_>) -> bool {
    const PARTS: [Part; 8] = [
        Part::Method,
        Part::Target,
        Part::Path,
        Part::Query,
        Part::Authority,
        Part::Scheme,
        Part::Version,
        Part::Upgrade,
    ];
    let Some(part) = PARTS.into_iter().find(|p| *p as u32 == part) else { return false };
    // SAFETY: see `with`; the sink is lent for the call.
    unsafe { with::<P, _>(p, s, |p, s| p.part(s, part, &mut *out)) }.unwrap_or(false)
}

unsafe extern "C" fn header<P: Provider>(
    p: *const (),
    s: *const SessionShared,
    n: u32,
    name: Str<'_>,
    out: *mut Sink<'_>,
) -> bool {
    // SAFETY: as above.
    unsafe { with::<P, _>(p, s, |p, s| p.header(s, which(n), name.as_str(), &mut *out)) }.unwrap_or(false)
}

unsafe extern "C" fn headers<P: Provider>(
    p: *const (),
    s: *const SessionShared,
    n: u32,
    data: *mut (),
    each: unsafe extern "C" fn(*mut (), Str<'_>, Slice<'_, u8>),
) {
    // SAFETY: as above; the caller's function takes its data.
    let mut call = |name: &str, value: &[u8]| unsafe { each(data, Str::new(name), Slice::new(value)) };
    // SAFETY: as above.
    unsafe { with::<P, _>(p, s, |p, s| p.headers(s, which(n), &mut call)) };
}

unsafe extern "C" fn edit<P: Provider>(
    p: *const (),
    s: *const SessionShared,
    n: u32,
    op: u32,
    name: Str<'_>,
    value: Slice<'_, u8>,
) -> bool {
    let ops = [HeadOp::Set, HeadOp::Add, HeadOp::Remove];
    let Some(op) = ops.into_iter().find(|o| *o as u32 == op) else { return false };
    // SAFETY: as above; name and value are lent for the call.
    unsafe { with::<P, _>(p, s, |p, s| p.edit(s, which(n), op, name.as_str(), value.as_slice())) }.unwrap_or(false)
}

unsafe extern "C" fn status<P: Provider>(p: *const (), s: *const SessionShared) -> u32 {
    // SAFETY: as above.
    unsafe { with::<P, _>(p, s, |p, s| p.status(s).into()) }.unwrap_or(0)
}

unsafe extern "C" fn respond<P: Provider>(p: *const (), s: *const SessionShared, status: u32) -> bool {
    let Ok(status) = u16::try_from(status) else { return false };
    // SAFETY: as above.
    unsafe { with::<P, _>(p, s, |p, s| p.respond(s, status)) }.unwrap_or(false)
}

unsafe extern "C" fn set_target<P: Provider>(p: *const (), s: *const SessionShared, target: Slice<'_, u8>) -> bool {
    // SAFETY: as above; the target is lent for the call.
    unsafe { with::<P, _>(p, s, |p, s| p.set_target(s, target.as_slice())) }.unwrap_or(false)
}

unsafe extern "C" fn fetch<P: Provider>(
    p: *const (),
    s: *const SessionShared,
    request: *const RawRequest<'_>,
    body: Body,
) -> LocalFuture<Outcome<RawResponse>> {
    // SAFETY: as above; the request is lent for the call.
    let made = unsafe {
        with::<P, _>(p, s, |p, s| {
            let r = *request;
            let speaks = [Speaks::Http1, Speaks::Http2].into_iter().find(|speaks| *speaks as u32 == r.speaks);
            let request = Request {
                to: speaks.map(|speaks| To { upstream: Upstream::numbered(r.upstream), speaks }),
                method: r.method.as_str(),
                target: r.target.as_slice(),
                headers: r.headers.as_slice(),
            };
            let future = p.fetch(s, &request, body);
            let future = crate::hook::stopping(future);
            LocalFuture::new(async move {
                match future.await {
                    Ok((status, headers, body)) => {
                        Outcome::Ok(RawResponse { status: status.into(), headers: Bytes::from(headers), body })
                    }
                    Err(e) => Outcome::Err(e),
                }
            })
        })
    };
    made.unwrap_or_else(|| LocalFuture::new(std::future::ready(Outcome::Err(Error::bare(ErrorKind::Panicked)))))
}
