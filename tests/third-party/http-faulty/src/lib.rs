//! Misbehaves on the contract `http` as it is told, for tests of what http believes of other modules.

use anyproxy_http_contract::{
    Answer, Body, BodySource, Exchange, FileHandle, FilePart, Hook, HookStage, Http, ID, Part, Segment, VERSION, Which,
};
use anyproxy_module_api::*;
use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll},
};

directive! {
    /// Does one thing wrong with each request.
    /// Absent: nothing is wrong.
    "http_faulty", Contexts::LOCAL,
    .args(&[ArgDesc::new("mode", Kind::Text, "What goes wrong.").required()])
    .example("http_faulty \"answer_long\"")
}

export_module!(HttpFaulty, requires = ["http" 1.0]);

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct HttpFaulty;

impl Module for HttpFaulty {
    /// What goes wrong; `None`: nothing is said.
    type Conf = Option<Box<str>>;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.require(ID, VERSION.0, VERSION.1, false);
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, scope: &Scope<'_, Self::Conf>, _: &mut Problems<'_>) -> Self::Conf {
        scope.node("http_faulty").and_then(|node| node.arg(0)).map(|text| text.text.as_str().into())
    }

    fn prepare(&self, _: &mut Problems<'_>) -> bool {
        Http::resolve(self).is_some_and(|http| {
            let first = http.hook::<Ask>() && http.hook::<Reply>() && http.hook::<Send>() && http.handler::<Long>();
            // Again, and one that contradicts itself: that is to be said.
            first && !http.hook::<Ask>() && !http.hook::<Torn>()
        })
    }

    fn worker_start(&self, _: u32) {
        assert!(Http::resolve(self).is_none(), "hooks are registered in `prepare`");
    }
}

/// A body in two pieces that says what it likes of its length.
struct Pieces(VecDeque<&'static [u8]>);

impl BodySource for Pieces {
    fn poll_next(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        Poll::Ready(Ok(self.0.pop_front().map(|piece| Segment::Bytes(piece.to_vec().into()))))
    }
}

/// What a client or a peer would take for a message of its own, were it sent.
const MORE: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

fn body(mode: &str) -> Option<Body> {
    let mode = mode.split_once('_')?.1;
    let (pieces, says): (&[&'static [u8]], _) = match mode {
        "fails" => return Some(Body::stream(None, |_| async { Err(Error::new(ErrorKind::Reset, "told to fail")) })),
        // A file that is not as long any more.
        "file" => {
            let file = FileHandle::new(Arc::new(std::fs::File::open("/dev/null").ok()?));
            return Some(Body::of([Segment::File(FilePart { file, at: 0, len: 5 })]));
        }
        "long" => (&[b"12345", MORE], Some(5)),
        "long_at_once" => (&[b"12345GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"], Some(5)),
        "short" => (&[b"123", b"45"], Some(10)),
        "well" => (&[b"123", b"45"], Some(5)),
        "open" => (&[b"123", b"45"], None),
        "none" => (&[], Some(0)),
        _ => return None,
    };
    Some(Body::new(Pieces(pieces.iter().copied().collect()), says))
}

fn mode(exchange: &Exchange<HttpFaulty>, of: &str) -> Option<String> {
    let mode = exchange.block()?.as_deref()?;
    mode.starts_with(of).then(|| mode.to_owned())
}

/// Before somebody answers: another body for the peer, a request of its own.
struct Ask;

impl Hook<HttpFaulty> for Ask {
    const NAME: &'static str = "faulty_ask";
    const STAGE: HookStage = HookStage::Access;

    async fn run(exchange: Exchange<HttpFaulty>, given: Body) -> Result<Answer, Error> {
        if let Some(mode) = mode(&exchange, "request_") {
            if mode == "request_hosts" {
                let edits =
                    [exchange.add(Which::Request, "Host", b"b.test"), exchange.set(Which::Request, "host", b"a b")];
                let taken = exchange.set(Which::Request, "Host", b"other.test");
                exchange.set(Which::Request, "X-Taken", format!("{edits:?} {taken}").as_bytes());
            }
            if mode == "request_read" {
                let mut given = given;
                return Ok(Answer::GoOn(given.collect(1 << 20).await?.into()));
            }
            return Ok(Answer::GoOn(body(&mode).unwrap_or(given)));
        }
        let Some(mode) = mode(&exchange, "fetch_") else { return Ok(Answer::GoOn(given)) };
        let headers: &[u8] = match &*mode {
            "fetch_host" => b"Host: other.test\r\n",
            "fetch_hosts" => b"Host: other.test\r\nHost: third.test\r\n",
            "fetch_line" => b"no line\r\n",
            // What frames it is left out.
            _ => b"Connection: close\r\nContent-Length: 7\r\n",
        };
        let fetched = exchange.fetch("POST", b"/fetched", headers, body(&mode).unwrap_or(Body::EMPTY)).await;
        exchange.respond(200);
        let said = match fetched {
            Ok(fetched) => format!("status {}", fetched.status),
            Err(e) => format!("{:?}", e.kind),
        };
        Ok(Answer::Respond(said.into_bytes().into()))
    }
}

/// Before and after another one.
struct Torn;

impl Hook<HttpFaulty> for Torn {
    const NAME: &'static str = "faulty_torn";
    const STAGE: HookStage = HookStage::Access;
    const BEFORE: &'static [&'static str] = &["faulty_ask"];
    const AFTER: &'static [&'static str] = &["faulty_ask"];

    async fn run(_: Exchange<HttpFaulty>, _: Body) -> Result<Answer, Error> {
        panic!("it was not taken")
    }
}

/// In place of the peer.
struct Reply;

impl Hook<HttpFaulty> for Reply {
    const NAME: &'static str = "faulty_reply";

    async fn run(exchange: Exchange<HttpFaulty>, given: Body) -> Result<Answer, Error> {
        let Some(mode) = mode(&exchange, "answer_") else { return Ok(Answer::GoOn(given)) };
        // The requests that come after it are answered by the peer.
        if exchange.part(Part::Path).is_none_or(|path| path != b"/") {
            return Ok(Answer::GoOn(given));
        }
        assert!(mode != "answer_panic", "told to panic");
        let begun = exchange.respond(if mode == "answer_101" { 101 } else { 200 });
        if !begun {
            exchange.respond(500);
        }
        Ok(Answer::Respond(body(&mode).unwrap_or(Body::EMPTY)))
    }
}

/// Another body than the one that is sent, or another answer. `Content-Length` stays, which is http's to say.
struct Send;

impl Hook<HttpFaulty> for Send {
    const NAME: &'static str = "faulty_send";
    const STAGE: HookStage = HookStage::Sent;

    async fn run(exchange: Exchange<HttpFaulty>, given: Body) -> Result<Answer, Error> {
        let (again, sent) = (mode(&exchange, "again_"), mode(&exchange, "sent_"));
        if let Some(mode) = &again {
            exchange.respond(if mode == "again_101" { 101 } else { 200 });
        } else if sent.is_some() {
            exchange.set(Which::Response, "X-Sent", b"1");
        }
        Ok(Answer::GoOn(again.or(sent).and_then(|mode| body(&mode)).unwrap_or(given)))
    }
}

/// For `http_router "faulty"`.
struct Long;

impl Hook<HttpFaulty> for Long {
    const NAME: &'static str = "faulty";

    async fn run(exchange: Exchange<HttpFaulty>, _: Body) -> Result<Answer, Error> {
        exchange.respond(200);
        Ok(Answer::Respond(body("handler_long").unwrap_or(Body::EMPTY)))
    }
}

#[cfg(test)]
mod tests;
