//! A filter of heads and bodies on the contract `http`: stamps answers, turns their letters into capitals, and adds up what
//! requests carry. To be built twice and exchanged under load: `SWAP_VERSION=2 cargo build -p http-stamp`.

use anyproxy_http_contract::{
    Answer, Body, BodySource, Exchange, Hook, HookStage, Http, ID, Pieces, Segment, VERSION, Which,
};
use anyproxy_module_api::*;
use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll, ready},
};

directive! {
    /// Stamps answers with this text (`X-Stamp`) and turns the letters of their bodies into capitals.
    /// A request with `X-Refuse` is answered with 403.
    /// Absent: answers stay as they are.
    "http_stamp", Contexts::LOCAL,
    .args(&[ArgDesc::new("text", Kind::Text, "The stamp.").required()])
    .example("http_stamp \"seen\"")
}

export_module!(HttpStamp, requires = ["http" 1.0]);

const BUILT_AS: &str = match option_env!("SWAP_VERSION") {
    Some(version) => version,
    None => "1",
};

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct HttpStamp;

impl Module for HttpStamp {
    /// The stamp; `None`: nothing is said.
    type Conf = Option<Box<str>>;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.require(ID, VERSION.0, VERSION.1, false);
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, scope: &Scope<'_, Self::Conf>, _: &mut Problems<'_>) -> Self::Conf {
        scope.node("http_stamp").and_then(|node| node.arg(0)).map(|text| text.text.as_str().into())
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        let Some(http) = Http::resolve(self) else {
            problems.fail("http_stamp: nobody provides http");
            return false;
        };
        // Another value than the generation's would outlive nothing.
        if Http::resolve(&Self::create()).is_some() {
            return false;
        }
        http.hook::<Refuse>() && http.hook::<Fail>() && http.hook::<Count>() && http.hook::<Stamp>()
    }

    fn worker_start(&self, _: u32) {}
}

fn stamp(exchange: &Exchange<HttpStamp>) -> Option<&str> {
    exchange.block()?.as_deref()
}

/// Refuses requests that ask for it.
struct Refuse;

impl Hook<HttpStamp> for Refuse {
    const NAME: &'static str = "stamp_refuse";
    const STAGE: HookStage = HookStage::Access;

    fn applies(exchange: &Exchange<HttpStamp>) -> bool {
        stamp(exchange).is_some()
    }

    async fn run(exchange: Exchange<HttpStamp>, body: Body) -> Result<Answer, Error> {
        if exchange.header(Which::Request, "X-Refuse").is_none() {
            return Ok(Answer::GoOn(body));
        }
        exchange.respond(403);
        exchange.set(Which::Response, "Content-Type", b"text/plain");
        Ok(Answer::Respond(b"not today\n".to_vec().into()))
    }
}

/// Goes wrong as `X-Fault` says, at access: `panic`, `block` (30 ms), `spawn` (a task without end), `body` (the request's
/// panics when it is read).
struct Fail;

impl Hook<HttpStamp> for Fail {
    const NAME: &'static str = "stamp_fail";
    const STAGE: HookStage = HookStage::Access;

    fn applies(exchange: &Exchange<HttpStamp>) -> bool {
        stamp(exchange).is_some()
    }

    async fn run(exchange: Exchange<HttpStamp>, body: Body) -> Result<Answer, Error> {
        let fault = exchange.header(Which::Request, "X-Fault").unwrap_or_default();
        match &fault[..] {
            b"" => {}
            b"body" => return Ok(Answer::GoOn(Body::new(Panics, body.length()))),
            other => {
                // In a later poll than the first.
                yield_now().await;
                match other {
                    b"panic" => panic!("told to panic in a hook"),
                    b"block" => std::thread::sleep(std::time::Duration::from_millis(30)),
                    _ => drop(spawn(std::future::pending())),
                }
            }
        }
        Ok(Answer::GoOn(body))
    }
}

struct Panics;

impl BodySource for Panics {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        panic!("told to panic in a body")
    }
}

/// What a request carried so far, kept in its exchange.
#[derive(Default)]
struct Carried(Rc<Cell<u64>>);

/// Adds up a request's body on its way to the peer.
struct Count;

impl Hook<HttpStamp> for Count {
    const NAME: &'static str = "stamp_count";
    const STAGE: HookStage = HookStage::Headers;

    fn applies(exchange: &Exchange<HttpStamp>) -> bool {
        stamp(exchange).is_some()
    }

    async fn run(exchange: Exchange<HttpStamp>, body: Body) -> Result<Answer, Error> {
        exchange.set(Which::Request, "X-Stamped", BUILT_AS.as_bytes());
        exchange.remove(Which::Request, "X-Secret");
        if body.is_empty() {
            return Ok(Answer::GoOn(body));
        }
        let carried = Rc::clone(&exchange.slot(Carried::default).0);
        let length = body.length();
        Ok(Answer::GoOn(Body::new(Counted { body, carried }, length)))
    }
}

struct Counted {
    body: Body,
    carried: Rc<Cell<u64>>,
}

impl BodySource for Counted {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        let next = ready!(self.body.poll_next(cx))?;
        if let Some(Segment::Bytes(bytes)) = &next {
            self.carried.set(self.carried.get() + bytes.len() as u64);
        }
        Poll::Ready(Ok(next))
    }
}

/// Stamps an answer.
struct Stamp;

impl Hook<HttpStamp> for Stamp {
    const NAME: &'static str = "stamp";
    const STAGE: HookStage = HookStage::Sent;

    fn applies(exchange: &Exchange<HttpStamp>) -> bool {
        stamp(exchange).is_some()
    }

    async fn run(exchange: Exchange<HttpStamp>, body: Body) -> Result<Answer, Error> {
        let text = format!("{} {BUILT_AS}", stamp(&exchange).unwrap_or_default());
        exchange.set(Which::Response, "X-Stamp", text.as_bytes());
        let carried = exchange.slot(Carried::default).0.get();
        exchange.set(Which::Response, "X-Carried", carried.to_string().as_bytes());
        if body.is_empty() {
            return Ok(Answer::GoOn(body));
        }
        // Letters for letters: the length stays.
        let length = body.length();
        Ok(Answer::GoOn(Body::stream(length, |out| capitals(body, out))))
    }
}

/// A body in capitals, whatever it is made of.
async fn capitals(mut body: Body, out: Pieces) -> Result<(), Error> {
    while let Some(bytes) = body.next_bytes().await? {
        out.put(bytes.to_ascii_uppercase()).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
