//! The hook of http: who may open a WebSocket, and who answers it.

use crate::{
    WebSockets,
    conf::Does,
    handshake::{self, Refused, Request},
    serve,
    stats::Books,
};
use anyproxy_http_contract::{Answer, Body, Exchange, Hook, HookStage, Part, Upgraded, Which};
use anyproxy_module_api::{Cause, CloseReason, Error, ErrorKind, Handler, Session, Stage, Stream, Who, tracing};

pub(crate) struct Open;

impl Hook<WebSockets> for Open {
    const NAME: &'static str = "websocket";
    const STAGE: HookStage = HookStage::Content;

    fn applies(exchange: &Exchange<WebSockets>) -> bool {
        exchange.block().is_some_and(|conf| conf.does.is_some())
    }

    async fn run(exchange: Exchange<WebSockets>, body: Body) -> Result<Answer, Error> {
        let Some((conf, does)) = exchange.block().and_then(|conf| Some((conf, conf.does?))) else {
            return Ok(Answer::GoOn(body));
        };
        let books = Books::of(&exchange);
        let agreed = match handshake::check(&request(&exchange, &body), conf) {
            Ok(agreed) => agreed,
            Err(refused) => {
                tracing::debug!(session = exchange.id, status = refused.status(), "{}", refused.text());
                books.refused(refused.status());
                return Ok(Answer::Respond(refuse(&exchange, refused)));
            }
        };
        if does == Does::Proxy {
            books.proxied();
            return Ok(Answer::GoOn(body));
        }
        exchange.respond(101);
        exchange.set(Which::Response, "Upgrade", b"websocket");
        if let Some(accept) = agreed.accept {
            exchange.set(Which::Response, "Sec-WebSocket-Accept", accept.as_bytes());
        }
        if let Some(protocol) = agreed.protocol {
            exchange.set(Which::Response, "Sec-WebSocket-Protocol", protocol.as_bytes());
        }
        let limits = conf.limits;
        Ok(Answer::Upgrade(Upgraded::new(move |stream| serve::serve(exchange, does, limits, stream))))
    }
}

/// Sessions of a local with `websocket_proxy` whose server does not speak HTTP. They must not reach the peer unchecked, and
/// what other modules say of the server is not shown when the configuration is read.
pub(crate) struct WithoutHttp;

impl Handler<WebSockets> for WithoutHttp {
    const NAME: &'static str = "websocket";

    async fn handle(session: Session<WebSockets>, _: Stream) -> Result<(), Error> {
        tracing::error!(session = session.id, "websocket_proxy in a server without `http`: the session is closed");
        session.close(CloseReason::new(Who::Proxy, Stage::Route, Cause::Protocol));
        Err(Error::bare(ErrorKind::Unsupported))
    }
}

fn request(exchange: &Exchange<WebSockets>, body: &Body) -> Request {
    let part = |part| exchange.part(part).unwrap_or_default();
    let header = |name| exchange.header(Which::Request, name);
    Request {
        method: part(Part::Method),
        http: part(Part::Version),
        upgrade: exchange.part(Part::Upgrade),
        version: header("Sec-WebSocket-Version"),
        key: header("Sec-WebSocket-Key"),
        protocols: header("Sec-WebSocket-Protocol"),
        origin: header("Origin"),
        has_body: body.length() != Some(0),
    }
}

fn refuse(exchange: &Exchange<WebSockets>, why: Refused) -> Body {
    exchange.respond(why.status());
    if why.status() == 426 {
        // What would be understood (RFC 6455 section 4.4, RFC 9110 section 15.5.22).
        exchange.set(Which::Response, "Upgrade", b"websocket");
        exchange.set(Which::Response, "Sec-WebSocket-Version", b"13");
    }
    exchange.set(Which::Response, "Content-Type", b"text/plain");
    format!("{}\n", why.text()).into_bytes().into()
}
