//! The contract `http` as this module implements it: see `contract/`.

use crate::{
    Http,
    exchange::{Request, State, known},
    h1::{Id, Method, authority},
    headers::is_own,
    incoming::Incoming,
    lent::Note,
    message::Message,
    proxy,
};
use anyproxy_http_contract::{
    self as contract, Body, HeadOp, HttpTable, ID, LAYOUT, Part, Provider, Registered, Response, VERSION, Which,
};
use anyproxy_module_api::{ContractTable, Error, ErrorKind, Session, Sink, tracing};
use std::{future::Future, sync::Arc};

/// The contract's table.
pub(crate) struct Table;

impl ContractTable<Http> for Table {
    const ID: &'static str = ID;
    const VERSION: (u16, u16) = VERSION;
    const LAYOUT: u64 = LAYOUT;

    fn table(module: &Http) -> *const () {
        std::ptr::from_ref(module.table()).cast()
    }
}

impl Http {
    /// The table that other modules get.
    pub(crate) fn table(&self) -> &HttpTable {
        self.table.get_or_init(|| HttpTable::new(self))
    }
}

/// Calls `f` with what is known of the exchange, if it is one and nobody else has it.
fn with<R>(exchange: &Session<Http>, f: impl FnOnce(&mut Request) -> R) -> Option<R> {
    let mut parts = known(exchange)?.parts.try_borrow_mut().ok()?;
    Some(f(&mut parts))
}

fn message(request: &mut Request, which: Which) -> &mut Message {
    match which {
        Which::Request => &mut request.request,
        Which::Response => &mut request.response,
    }
}

impl Provider for Http {
    fn register(&self, hook: Registered, handler: bool) -> bool {
        let name = Arc::clone(&hook.name);
        let taken = if handler { self.hooks.add_handler(hook) } else { self.hooks.add(hook) };
        taken.inspect_err(|why| tracing::error!(hook = &*name, "cannot be taken: {why}")).is_ok()
    }

    fn part(&self, exchange: &Session<Self>, part: Part, out: &mut Sink<'_>) -> bool {
        let mut put = |bytes: &[u8]| {
            out.push(bytes);
            true
        };
        with(exchange, |r| match part {
            Part::Method => put(r.method_name()),
            Part::Target => put(r.uri()),
            Part::Path => r.path.as_ref().is_some_and(|p| put(p.as_bytes())),
            Part::Query => crate::core::path::split_query(r.uri()).1.is_some_and(put),
            Part::Authority => !r.authority().is_empty() && put(r.authority()),
            Part::Scheme => put(r.scheme().as_bytes()),
            Part::Version => put(r.protocol.name().as_bytes()),
            Part::Upgrade => r.upgrade().is_some_and(|u| put(&u)),
        })
        .unwrap_or(false)
    }

    fn header(&self, exchange: &Session<Self>, which: Which, name: &str, out: &mut Sink<'_>) -> bool {
        let found = with(exchange, |r| {
            let message = message(r, which);
            let id = Id::of(name.as_bytes());
            let mut found = false;
            for line in message.lines().filter(|l| l.id == id) {
                if !id.is_known() && !line.name(&message.bytes).eq_ignore_ascii_case(name.as_bytes()) {
                    continue;
                }
                if std::mem::replace(&mut found, true) {
                    out.push(b", ");
                }
                out.push(line.value(&message.bytes));
            }
            found
        });
        found.unwrap_or(false)
    }

    fn headers(&self, exchange: &Session<Self>, which: Which, each: &mut dyn FnMut(&str, &[u8])) {
        // Called with nothing held: it may ask for other things.
        let lines = with(exchange, |r| {
            let message = message(r, which);
            let line = |l: &crate::h1::HeaderAt| {
                (String::from_utf8_lossy(l.name(&message.bytes)).into_owned(), l.value(&message.bytes).to_vec())
            };
            message.lines().map(line).collect::<Vec<_>>()
        });
        for (name, value) in lines.unwrap_or_default() {
            each(&name, &value);
        }
    }

    fn edit(&self, exchange: &Session<Self>, which: Which, op: HeadOp, name: &str, value: &[u8]) -> bool {
        let id = Id::of(name.as_bytes());
        // The length of an answer is the handler's to say, and to take back when its body becomes another.
        let taken_back = id == Id::ContentLength && op == HeadOp::Remove;
        let upgrade = id == Id::Upgrade && op != HeadOp::Remove;
        if is_own(id) && !(which == Which::Response && (taken_back || upgrade)) {
            return false;
        }
        let is_host = id == Id::Host && which == Which::Request && op != HeadOp::Remove;
        if is_host && authority(value).is_none() {
            return false;
        }
        let done = with(exchange, |r| {
            let message = message(r, which);
            // Two hosts would be two requests to whoever looks at the other one (RFC 9112 section 3.2).
            if message.is_empty() || (is_host && op == HeadOp::Add && message.value(Id::Host).is_some()) {
                return false;
            }
            match op {
                HeadOp::Set => message.set(name, value).is_ok(),
                HeadOp::Add => message.add(name, value).is_ok(),
                HeadOp::Remove => {
                    message.remove(name);
                    true
                }
            }
        });
        done.unwrap_or(false)
    }

    fn status(&self, exchange: &Session<Self>) -> u16 {
        with(exchange, |r| if r.response.is_empty() { 0 } else { r.response.status() }).unwrap_or(0)
    }

    fn respond(&self, exchange: &Session<Self>, status: u16) -> bool {
        let fits = |r: &Request| (200..=599).contains(&status) || (status == 101 && r.upgrade().is_some());
        let begun = with(exchange, |r| fits(r).then(|| r.response.answer(status)).is_some());
        begun.unwrap_or(false)
    }

    fn set_target(&self, exchange: &Session<Self>, target: &[u8]) -> bool {
        with(exchange, |r| r.set_target(target)).unwrap_or(false)
    }

    fn fetch(
        &self,
        exchange: &Session<Self>,
        asked: &contract::Request<'_>,
        body: Body,
    ) -> impl Future<Output = Result<Response, Error>> + use<> + 'static {
        let exchange = exchange.clone();
        let (state, to) = (request(&exchange, asked, body.length()), asked.to);
        async move {
            let state = state?;
            let id = exchange.id;
            let body = Incoming::module(body, &Arc::from("fetch"), id, Note::default());
            proxy::fetch(exchange, state, body, to).await
        }
    }
}

/// A request of a module's own.
fn request(exchange: &Session<Http>, asked: &contract::Request<'_>, length: Option<u64>) -> Result<State, Error> {
    let contract::Request { method, target, .. } = *asked;
    let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("a request's {what} is malformed"));
    let parts = exchange.worker().request();
    {
        let request = &mut *parts.borrow_mut();
        // It is asked for the exchange's client.
        (request.secure, request.trusted) = with(exchange, |r| (r.secure, r.trusted)).unwrap_or_default();
        let message = &mut request.request;
        message.make_request(method.as_bytes(), target).map_err(|_| invalid("method or target"))?;
        if message.head.method() == Method::Connect {
            return Err(Error::new(ErrorKind::Unsupported, "CONNECT makes a tunnel, which is no answer"));
        }
        for line in asked.lines() {
            let (name, value) = line.ok_or_else(|| invalid("header"))?;
            if is_own(Id::of(name.as_bytes())) {
                continue;
            }
            // Any peer would answer these with 400 (RFC 9112 section 3.2).
            if name.eq_ignore_ascii_case("Host") {
                authority(value).ok_or_else(|| invalid("host"))?;
                if message.value(Id::Host).is_some() {
                    return Err(Error::new(ErrorKind::Invalid, "a request has two lines of Host"));
                }
            }
            message.add(name, value).map_err(|_| invalid("header"))?;
        }
        if message.value(Id::Host).is_none()
            && let Some(host) = with(exchange, |r| r.authority().to_vec()).filter(|h| !h.is_empty())
        {
            message.add("Host", &host).map_err(|_| invalid("host"))?;
        }
        message.frame(length);
    }
    Ok(State::new(parts, &exchange.worker().spare))
}
