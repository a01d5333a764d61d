//! From a request to its answer, whatever version of HTTP carries them.
//!
//! ```text
//! host → server → path and rules: local → rewriting → access → rates, credentials → body limit → hooks → answerer
//!      → hooks → error pages → compression → header rules
//! ```

use crate::{
    Http, buffer, conditions,
    conf::{self, Answerer, Conf},
    conn::within,
    core, direct,
    h1::Id,
    headers, hooks,
    incoming::Incoming,
    max_forwards, multi_hop, pages, proxy,
    reply::{Body, Call, Reply},
    rewrite::{self, Applied, Rewritten},
    statics, total,
};
use anyproxy_http_contract::HookStage;
use anyproxy_module_api::{Asked, Cause, CloseReason, Exchange, Routed, Stage, Who};
use std::{future::Future, mem, pin::Pin, task::Poll};

/// How the answer to a request begins.
pub(crate) enum Begun<'a> {
    /// It is there.
    Reply(Reply),
    /// A peer of HTTP/1 is to be asked, and nothing else has a part in it. By far the most: whoever carries the request
    /// asks it without another future around that.
    Peer(&'a Conf),
    /// It takes its time.
    Later(Pin<Box<dyn Future<Output = Reply> + 'a>>),
}

/// Why a request is turned away before anybody is asked: the same as of a connection at layer 4.
const DENIED: CloseReason = CloseReason::new(Who::Proxy, Stage::Access, Cause::Denied);
const NO_SERVER: CloseReason = CloseReason::new(Who::Client, Stage::Route, Cause::NoRoute);
/// 205 (RFC 9110 section 15.3.6).
const RESET_CONTENT: u32 = 205;
const NO_LOCAL: CloseReason = CloseReason::new(Who::Proxy, Stage::Route, Cause::NoRoute);

/// Answers a request whose head is in the exchange's state.
pub(crate) async fn respond(call: &Call<'_>, owned: &Exchange<Http>, mut incoming: Incoming) -> Reply {
    let mut reply = match begin(call, owned, &mut incoming) {
        Begun::Reply(reply) => reply,
        Begun::Peer(conf) => answered(call, conf, proxy::pass(call, conf, &mut incoming).await),
        Begun::Later(reply) => reply.await,
    };
    finish(call, &mut reply);
    reply
}

/// Answers a request that is none, or that nobody could understand.
pub(crate) fn refused(call: &Call<'_>, status: u16) -> Reply {
    let cause = match status {
        408 => Cause::Timeout,
        413 | 414 | 431 => Cause::Limit,
        501 | 505 => Cause::Protocol,
        _ => Cause::Malformed,
    };
    call.exchange.close(CloseReason::new(Who::Client, Stage::Preread, cause));
    let mut reply = refuse(call, status);
    finish(call, &mut reply);
    reply
}

/// What every answer goes through, where a block is known.
pub(crate) fn finish(call: &Call<'_>, reply: &mut Reply) {
    let status = || call.state.parts.borrow().response.status().into();
    call.exchange.status.set(status());
    let Some(conf) = call.conf() else { return };
    if !conf.pages.is_empty() {
        change(reply, |reply| pages::apply(&conf.pages, call, reply));
        call.exchange.status.set(status());
    }
    if call.exchange.status.get() == RESET_CONTENT {
        empty(call, reply);
    }
    if let Answerer::Static(files) = &conf.answerer
        && files.directio > 0
    {
        change(reply, |reply| direct::apply(files.directio, reply));
    }
    conf.access.finish(call);
    if let Some(compress) = &conf.compress {
        change(reply, |reply| compress.apply(call, reply));
    }
    // Behind all that makes a body: it is to be driven by whoever sends the answer.
    if let Some(buffering) = &conf.response_buffering {
        change(reply, |reply| buffering.apply(conf, call, reply));
    }
    if !conf.pace.is_empty() {
        change(reply, |reply| conf.pace.apply(call, reply));
    }
    if !conf.response_headers.is_empty() {
        headers::apply(&conf.response_headers, call);
    }
}

/// Takes the content out of an answer that has none: the client is to see that, not only its length (RFC 9110 section
/// 15.3.6).
#[cold]
fn empty(call: &Call<'_>, reply: &mut Reply) {
    let response = &mut call.state.parts.borrow_mut().response;
    for id in [Id::ContentLength, Id::ContentEncoding, Id::ContentType] {
        response.remove_known(id);
    }
    *reply = Reply::new(Body::Empty, Some(0));
}

/// Has `f` make another answer of it.
fn change(reply: &mut Reply, f: impl FnOnce(Reply) -> Reply) {
    *reply = f(mem::replace(reply, Reply::new(Body::Empty, None)));
}

/// Chooses who answers, who takes the request's body; but for [`Begun::Peer`], where it stays. It is moved as seldom as may be.
pub(crate) fn begin<'c>(call: &'c Call<'_>, owned: &Exchange<Http>, incoming: &mut Incoming) -> Begun<'c> {
    let Call { exchange, state, .. } = *call;
    let refused = |status| Begun::Reply(refuse(call, status));
    exchange.set_domain(state.parts.borrow_mut().host());
    let choose = || (owned.choose(), exchange.block());
    let (mut routed, mut block) = choose();
    // Who asks its own server says: it may be another one than the connection's. Rules and lists of addresses look at that.
    if let Some(conf) = block.filter(|_| routed != Routed::NoServer) {
        let hears = &conf.server;
        let fewer = !hears.underscores && headers::leave_underscores_out(call);
        let client = hears.hear(exchange, state);
        match multi_hop::hear(call, hears.multi_hop, &hears.trusted) {
            Ok(hop) if fewer || client || hop => (routed, block) = choose(),
            Ok(_) => {}
            Err(e) => return Begun::Reply(lost(call, e)),
        }
    }
    let mut rewritten = Applied::default();
    let conf = loop {
        if routed == Routed::NoServer {
            return Begun::Reply(turn_away(call, 421, NO_SERVER));
        }
        // Where no local takes it, the server's rules may find one.
        let Some(conf) = block else { return refused(500) };
        match rewrite::apply(&conf.rewrites, &mut rewritten, call) {
            Rewritten::Internal => (routed, block) = choose(),
            Rewritten::Reply(reply) => return if_admitted(call, owned, || reply),
            Rewritten::No if routed == Routed::NoLocal => {
                return if_admitted(call, owned, || turn_away(call, 404, NO_LOCAL));
            }
            Rewritten::No => break conf,
        }
    };
    call.conf.set(Some(conf));
    call.stage("route");
    if let Err(e) = multi_hop::settle(call, conf) {
        return Begun::Reply(lost(call, e));
    }
    incoming.limit = conf.body_size;
    match owned.ask_hooks() {
        Asked::Answered(false) => Begun::Reply(turn_away(call, 403, DENIED)),
        Asked::Answered(true) if conf.access.is_empty() && exchange.module().hooks.is_empty() => {
            if incoming.is_too_long() {
                return refused(413);
            }
            let reply = match answer(call, conf, incoming, true) {
                Begun::Reply(reply) => reply,
                other => return other,
            };
            Begun::Reply(if reply.whole { cut(call, reply) } else { reply })
        }
        Asked::Answered(true) => Begun::Later(Box::pin(admitted(call, conf, incoming.take()))),
        Asked::Later(answer) => {
            let incoming = incoming.take();
            Begun::Later(Box::pin(async move {
                if answer.await { admitted(call, conf, incoming).await } else { turn_away(call, 403, DENIED) }
            }))
        }
    }
}

/// Answers before a local does, if the block that the request came to lets its client in.
fn if_admitted<'c>(call: &'c Call<'_>, owned: &Exchange<Http>, reply: impl FnOnce() -> Reply + 'c) -> Begun<'c> {
    match owned.ask_hooks() {
        Asked::Answered(true) => Begun::Reply(reply()),
        Asked::Answered(false) => Begun::Reply(turn_away(call, 403, DENIED)),
        Asked::Later(answer) => Begun::Later(Box::pin(async move {
            let admitted = answer.await;
            if admitted { reply() } else { turn_away(call, 403, DENIED) }
        })),
    }
}

/// What comes after the lists of addresses.
async fn admitted(call: &Call<'_>, conf: &Conf, incoming: Incoming) -> Reply {
    if let Some(reply) = conf.access.check(call).await {
        return reply;
    }
    if incoming.is_too_long() {
        return refuse(call, 413);
    }
    match before_answer(call, conf, incoming).await {
        Err(reply) | Ok(reply) => after_answer(call, conf, reply).await,
    }
}

/// Its list of hops is none.
fn lost(call: &Call<'_>, e: core::domains::Error) -> Reply {
    anyproxy_module_api::tracing::info!(session = call.exchange.id, "request refused: {e}");
    refuse(call, 400)
}

/// Applies conditions and ranges to an answer that can be cut.
fn cut(call: &Call<'_>, reply: Reply) -> Reply {
    let mut reply = conditions::apply(call, reply);
    conditions::inline(&mut reply.body);
    reply
}

/// What comes before somebody answers, and the answer. `Err`: something before has answered.
async fn before_answer(call: &Call<'_>, conf: &Conf, incoming: Incoming) -> Result<Reply, Reply> {
    let incoming = hooks::before(call, conf, HookStage::Access, incoming).await?;
    let incoming = hooks::before(call, conf, HookStage::Headers, incoming).await?;
    let mut incoming = hooks::before(call, conf, HookStage::Content, incoming).await?;
    Ok(match answer(call, conf, &mut incoming, false) {
        Begun::Reply(reply) => reply,
        Begun::Peer(conf) => answered(call, conf, proxy::pass(call, conf, &mut incoming).await),
        Begun::Later(reply) => reply.await,
    })
}

/// What an answer goes through, whoever gave it.
async fn after_answer(call: &Call<'_>, conf: &Conf, reply: Reply) -> Reply {
    let mut reply = hooks::after(call, conf, HookStage::Received, reply).await;
    if reply.whole {
        reply = cut(call, reply);
    }
    hooks::after(call, conf, HookStage::Sent, reply).await
}

/// Has the request answered. `alone`: no hook is to see the whole of what can be cut.
fn answer<'c>(call: &'c Call<'_>, conf: &'c Conf, incoming: &mut Incoming, alone: bool) -> Begun<'c> {
    call.stage("access");
    match &conf.answerer {
        Answerer::Static(files) => match statics::send_recent(call, conf, files) {
            Some(reply) => Begun::Reply(reply),
            None => Begun::Later(Box::pin(async move {
                let reply = statics::send(call, conf, files).await;
                if alone && reply.whole { cut(call, reply) } else { reply }
            })),
        },
        Answerer::Module(name) => Begun::Later(Box::pin(hooks::handle(call, name, incoming.take()))),
        Answerer::Purge(purge) => Begun::Later(Box::pin(purge.answer(call, incoming.take()))),
        Answerer::Proxy => {
            if conf.forward.goes_round(call) {
                return Begun::Reply(refuse(call, 508));
            }
            if let Some(reply) = max_forwards::count(call) {
                return Begun::Reply(reply);
            }
            if !conf.peers_http2 && conf.request_buffering.is_none() && conf.total_ms == 0 {
                return Begun::Peer(conf);
            }
            Begun::Later(Box::pin(pass(call, conf, incoming.take())))
        }
        Answerer::Return { status, text } => {
            let mut rendered = Vec::new();
            if let Some(t) = text {
                call.exchange.render(*t, &mut rendered);
            }
            if conf::redirects(*status) && text.is_some() {
                return Begun::Reply(redirect(call, *status, &rendered));
            }
            let mut reply = whole(call, *status, "text/plain", rendered);
            // Nothing of its own to say: `return 503` is how a site is closed, with a page for that.
            reply.refusal = text.is_none();
            Begun::Reply(reply)
        }
        Answerer::Echo { body: Some(text), status, content_type } => {
            let mut content = Vec::new();
            call.exchange.render(*text, &mut content);
            Begun::Reply(whole(call, *status, content_type, content))
        }
        Answerer::Echo { body: None, status, content_type } => {
            incoming.ask();
            if !incoming.is_chunked() {
                return Begun::Reply(echo(call, *status, content_type, incoming.take()));
            }
            let incoming = incoming.take();
            Begun::Later(Box::pin(async move {
                match first_piece(call, conf, incoming).await {
                    Ok(incoming) => echo(call, *status, content_type, incoming),
                    Err(reply) => reply,
                }
            }))
        }
    }
}

/// The request's body as an answer.
fn echo(call: &Call<'_>, status: u16, content_type: &str, body: Incoming) -> Reply {
    let message = &mut call.state.parts.borrow_mut().response;
    message.answer(status);
    message.put("Content-Type", content_type.as_bytes());
    let length = body.length();
    Reply::new(Body::Echo(Box::new(body)), length)
}

/// Waits for the first piece of a body: one that is malformed from its beginning can still be answered.
async fn first_piece(call: &Call<'_>, conf: &Conf, mut body: Incoming) -> Result<Incoming, Reply> {
    let first = within(call.watch, conf.body_ms, |cx| {
        if let Poll::Ready(Err(e)) = body.poll_flush(cx) {
            return Poll::Ready(Err(e));
        }
        body.poll_next(cx)
    });
    let first = first.await.map_err(|e| buffer::failed(call, &body, &e))?;
    body.put_back(first.map_or_else(Vec::new, |piece| piece.to_vec()));
    Ok(body)
}

/// Asks a peer in a way that few do.
async fn pass(call: &Call<'_>, conf: &Conf, mut incoming: Incoming) -> Reply {
    if conf.request_buffering.is_some() {
        incoming = match Box::pin(buffer::receive(call, conf, incoming)).await {
            Ok(incoming) => incoming,
            Err(reply) => return reply,
        };
    }
    let asked = async {
        let asked = match conf.peers_http2 {
            true => proxy::pass_http2(call, conf, incoming).await,
            false => proxy::pass(call, conf, &mut incoming).await,
        };
        answered(call, conf, asked)
    };
    if conf.total_ms > 0 { Box::pin(total::within(call, conf, asked)).await } else { asked.await }
}

/// What a peer's answer goes through, or what is said in its place.
pub(crate) fn answered(call: &Call<'_>, conf: &Conf, asked: Result<Reply, proxy::Failure>) -> Reply {
    match asked {
        Ok(reply) => {
            passed(call, conf, &reply);
            reply
        }
        Err(why) => why.reply(call),
    }
}

/// What a peer's answer goes through.
fn passed(call: &Call<'_>, conf: &Conf, reply: &Reply) {
    if !reply.refusal {
        conf.forward.answered(call, conf.peers_http2);
        if let Some(redirects) = &conf.redirects {
            redirects.apply(call);
        }
    }
}

/// An answer with all of its body at hand.
pub(crate) fn whole(call: &Call<'_>, status: u16, content_type: &str, body: Vec<u8>) -> Reply {
    let message = &mut call.state.parts.borrow_mut().response;
    message.answer(status);
    if !body.is_empty() && message.add("Content-Type", content_type.as_bytes()).is_err() {
        tracing_type(content_type);
    }
    Reply::whole(body)
}

fn tracing_type(content_type: &str) {
    anyproxy_module_api::tracing::warn!(content_type, "not the value of a header; it is left out");
}

/// An answer that sends the client elsewhere.
pub(crate) fn redirect(call: &Call<'_>, status: u16, to: &[u8]) -> Reply {
    let added = {
        let message = &mut call.state.parts.borrow_mut().response;
        message.answer(status);
        message.add("Location", to)
    };
    match added {
        Ok(()) => Reply::whole(Vec::new()),
        Err(_) => refuse(call, 500),
    }
}

/// The same of one that is nobody's here, with why for the log.
fn turn_away(call: &Call<'_>, status: u16, why: CloseReason) -> Reply {
    call.exchange.close(why);
    refuse(call, status)
}

/// What this proxy says of a request that it does not serve.
pub(crate) fn refuse(call: &Call<'_>, status: u16) -> Reply {
    call.exchange.worker().stats.refused.add();
    let (body, content_type) = pages::default(call, status);
    let mut reply = whole(call, status, content_type, body);
    pages::vary(&mut call.state.parts.borrow_mut().response);
    reply.refusal = true;
    reply
}
