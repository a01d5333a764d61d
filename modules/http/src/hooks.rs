//! Hooks and handlers of other modules: their order, and their part in an exchange.

use crate::{
    Http,
    conf::Conf,
    fault::Fault,
    h1::{Id, Method},
    incoming::Incoming,
    lent::{Lend, Lent, Note},
    made::Made,
    message::is_bare,
    proxy::Failure,
    reply::{Body, Call, Reply, Upgrade},
    respond::refuse,
};
use anyproxy_http_contract::{self as contract, Answer, HookStage, MOST_HOOKS, Registered, Segment, take_hook};
use anyproxy_module_api::{CloseReason, Error, ErrorKind, Session, tracing};
use std::{
    collections::HashMap,
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

/// Why nothing more is taken.
const TOO_LATE: &str = "it is registered outside `prepare`, when the hooks of this generation are known already";
/// The bit that says that the others are known: each is a hook's.
const KNOWN: u64 = 1 << 63;
const _: () = assert!(MOST_HOOKS < 63);

/// What other modules brought to one generation.
#[derive(Debug, Default)]
pub(crate) struct Hooks {
    /// While modules prepare.
    brought: Mutex<Brought>,
    /// From `settle` on.
    settled: OnceLock<Brought>,
}

#[derive(Debug, Default)]
struct Brought {
    /// By stage, each in its order.
    hooks: Vec<Registered>,
    handlers: HashMap<Arc<str>, Registered>,
}

/// Which hooks have a part in the exchanges of a block. Asked once.
#[derive(Debug, Default)]
pub(crate) struct Active(AtomicU64);

impl Hooks {
    /// Takes a hook.
    ///
    /// # Errors
    /// Why it cannot be taken.
    pub(crate) fn add(&self, hook: Registered) -> Result<(), &'static str> {
        let all = &mut *self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        if self.settled.get().is_some() {
            return Err(TOO_LATE);
        }
        take_hook(&mut all.hooks, hook)
    }

    /// Takes a handler.
    ///
    /// # Errors
    /// Why it cannot be taken.
    pub(crate) fn add_handler(&self, handler: Registered) -> Result<(), &'static str> {
        let all = &mut *self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        if self.settled.get().is_some() {
            return Err(TOO_LATE);
        }
        if all.handlers.contains_key(&handler.name) {
            return Err("another handler has its name already");
        }
        all.handlers.insert(Arc::clone(&handler.name), handler);
        Ok(())
    }

    /// Nothing more is brought.
    pub(crate) fn settle(&self) {
        let all = std::mem::take(&mut *self.brought.lock().unwrap_or_else(PoisonError::into_inner));
        // Once a generation.
        let _ = self.settled.set(all);
    }

    /// Nobody has brought a hook.
    pub(crate) fn is_empty(&self) -> bool {
        self.list().is_empty()
    }

    fn list(&self) -> &[Registered] {
        self.settled.get().map_or(&[], |all| &all.hooks)
    }

    /// The handler of that name.
    pub(crate) fn handler(&self, name: &str) -> Option<&Registered> {
        self.settled.get()?.handlers.get(name)
    }

    /// Names of handlers, for messages.
    pub(crate) fn handlers(&self) -> Vec<&str> {
        let mut names: Vec<_> =
            self.settled.get().map_or_else(Vec::new, |all| all.handlers.keys().map(|name| &**name).collect());
        names.sort_unstable();
        names
    }

    /// Those of a stage that have a part in the exchanges of this block, with their numbers.
    fn active<'a>(
        &'a self,
        call: &Call<'_>,
        conf: &Conf,
        stage: HookStage,
    ) -> impl Iterator<Item = &'a Registered> + use<'a> {
        let list = self.list();
        let active = if list.is_empty() { 0 } else { self.active_bits(call.exchange, &conf.hooks) };
        list.iter().enumerate().filter(move |(n, h)| h.stage == stage as u32 && active >> n & 1 == 1).map(|(_, h)| h)
    }

    fn active_bits(&self, exchange: &Session<Http>, active: &Active) -> u64 {
        let known = active.0.load(Relaxed);
        if known & KNOWN != 0 {
            return known;
        }
        let table = exchange.module().table();
        let bits = self.list().iter().enumerate();
        let bits = bits.fold(KNOWN, |bits, (n, h)| bits | u64::from(h.applies(table, exchange)) << n);
        active.0.store(bits, Relaxed);
        bits
    }
}

/// Runs the hooks of a stage before somebody answers: the request's body to go on with, or an answer.
pub(crate) async fn before(
    call: &Call<'_>,
    conf: &Conf,
    stage: HookStage,
    mut incoming: Incoming,
) -> Result<Incoming, Reply> {
    for hook in call.exchange.module().hooks.active(call, conf, stage) {
        let (given, lent) = incoming.lend();
        let note = lent.note();
        incoming = match run(call, hook, given, &note).await? {
            Answer::GoOn(body) => lent.back(body).unwrap_or_else(|body| {
                let made = Incoming::module(body, &hook.name, call.exchange.id, note);
                call.state.parts.borrow_mut().request.frame(made.length());
                made
            }),
            // What comes from memory or a file may be cut.
            answer => return Err(Reply { whole: true, ..answered(call, hook, answer, note) }),
        };
    }
    Ok(incoming)
}

/// Runs the hooks of a stage after somebody answered.
pub(crate) async fn after(call: &Call<'_>, conf: &Conf, stage: HookStage, mut answer: Reply) -> Reply {
    if answer.upgrade.is_some() {
        return answer;
    }
    for hook in call.exchange.module().hooks.active(call, conf, stage) {
        let Reply { body, length, whole, refusal, .. } = answer;
        let line = call.state.parts.borrow().response.length();
        let (given, lent) = Answered::lend(call, body, length.or(line));
        let (empty, note) = (given.is_empty(), lent.note());
        answer = match run(call, hook, given, &note).await {
            Ok(Answer::GoOn(body)) => {
                let (bare, gone) = {
                    let parts = call.state.parts.borrow();
                    let now = &parts.response;
                    // As it is now: the filter may have made another answer of it.
                    let bare = parts.method() == Method::Head || is_bare(now.status());
                    (bare, line.is_some() && now.length().is_none())
                };
                let given = match lent.back(body) {
                    // Where none is sent only the head tells the length, which is the filter's to take back.
                    back if empty && bare => (Body::Empty, length.filter(|_| back.is_ok() && !gone)),
                    // As if nobody had had it: it may be cut, or sent by the system.
                    Ok(same) if !empty => (same.body, length),
                    Ok(_) => given_by(call, hook, contract::Body::EMPTY, note),
                    Err(body) => given_by(call, hook, body, note),
                };
                let reply = reply(call, given);
                // A filter makes no words of the proxy's its own: a page may still take their place.
                Reply { whole, refusal: refusal || reply.refusal, ..reply }
            }
            Ok(Answer::Respond(body)) => reply(call, given_by(call, hook, body, note)),
            // Somebody has answered: it is no more the time for that.
            Ok(Answer::Upgrade(_)) => return refuse(call, 500),
            Err(failed) => return failed,
        };
    }
    answer
}

/// What a handler of another module answers.
pub(crate) async fn handle(call: &Call<'_>, name: &str, incoming: Incoming) -> Reply {
    let Some(handler) = call.exchange.module().hooks.handler(name) else { return refuse(call, 500) };
    let (given, lent) = incoming.lend();
    let note = lent.note();
    match run(call, handler, given, &note).await {
        Ok(Answer::GoOn(_)) => refuse(call, 404),
        Ok(answer) => answered(call, handler, answer, note),
        Err(failed) => failed,
    }
}

fn answered(call: &Call<'_>, hook: &Registered, answer: Answer, note: Note) -> Reply {
    match answer {
        Answer::GoOn(body) | Answer::Respond(body) => reply(call, given_by(call, hook, body, note)),
        Answer::Upgrade(upgraded) if call.state.parts.borrow().upgrade().is_some() => {
            Reply { upgrade: Some(Box::new(Upgrade::Module(upgraded))), ..Reply::new(Body::Empty, None) }
        }
        Answer::Upgrade(_) => {
            tracing::error!(
                session = call.exchange.id,
                "a hook changes the protocol of a request that does not ask for it"
            );
            refuse(call, 500)
        }
    }
}

/// An answer whose status and headers another module has set.
fn reply(call: &Call<'_>, (body, length): (Body, Option<u64>)) -> Reply {
    let wrong = {
        let response = &call.state.parts.borrow().response;
        match response.is_empty() {
            true => Some("a hook answered without a status"),
            false => {
                (response.status() == 101).then_some("a hook answered with 101 and does not go on by another protocol")
            }
        }
    };
    if let Some(wrong) = wrong {
        tracing::error!(session = call.exchange.id, "{wrong}");
        return refuse(call, 500);
    }
    Reply::new(body, length)
}

/// A body that a hook gives for one with that note, and its length: what says another one is taken away, as http writes the
/// true one.
fn given_by(call: &Call<'_>, hook: &Registered, body: contract::Body, note: Note) -> (Body, Option<u64>) {
    let length = body.length();
    let response = &mut call.state.parts.borrow_mut().response;
    if response.length().is_some_and(|line| Some(line) != length) {
        response.remove_known(Id::ContentLength);
    }
    match body.is_empty() {
        true => (Body::Empty, length),
        false => (Body::Module(Made::new(body, &hook.name, call.exchange.id, note)), length),
    }
}

/// `note`: of the body that it gets.
async fn run(call: &Call<'_>, hook: &Registered, body: contract::Body, note: &Note) -> Result<Answer, Reply> {
    let table = call.exchange.module().table();
    let mut running = pin!(hook.run(table, call.exchange, body));
    let ran = poll_fn(|cx| {
        if call.watch.kill.get() != 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::Cancelled)));
        }
        running.as_mut().poll(cx)
    });
    ran.await.map_err(|e| {
        let (session, hook) = (call.exchange.id, &*hook.name);
        let fault = match note.fault() {
            Some(fault) => {
                tracing::info!(session, hook, "what it reads is not whole: {e}");
                fault
            }
            None => {
                tracing::error!(session, hook, "{e}");
                let status = if e.kind == ErrorKind::Limit { 413 } else { 500 };
                Fault { status, ..Fault::of_module(&e) }
            }
        };
        Failure::Fault(fault).reply(call)
    })
}

/// An answer's body, and the exchange that it is of.
pub(crate) struct Answered {
    body: Body,
    exchange: Session<Http>,
}

impl Answered {
    /// For another module, which may give it back.
    pub(crate) fn lend(call: &Call<'_>, body: Body, length: Option<u64>) -> (contract::Body, Lent<Self>) {
        Lent::new(Self { body, exchange: call.exchange.clone() }, length)
    }
}

impl Lend for Answered {
    fn is_nothing(&self) -> bool {
        matches!(self.body, Body::Empty)
    }

    fn poll_lent(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, (Fault, Error)>> {
        self.body.poll_next(&self.exchange, cx).map_err(|fault| {
            // Of what a module asked for itself nobody else tells.
            self.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
            (fault, fault.into())
        })
    }
}
