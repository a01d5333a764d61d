//! Hooks and handlers, as their authors write them, and the contract as they hold it.

use crate::{Body, Exchange, HttpTable, ID, LAYOUT, RawAnswer, RawHook, Upgraded, VERSION};
use anyproxy_module_api::{
    Error, ErrorKind, Module, Owner, SessionShared, Slice, Str,
    abi::{
        error::Outcome,
        task::{FfiPoll, LocalFuture, guard},
    },
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
};

/// Where in the life of an exchange a hook runs.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookStage {
    /// Whether the request is let in, once its local is chosen.
    Access,
    /// Changes the request before anybody answers.
    Headers,
    /// May answer before a handler or a peer does: a cache.
    Content,
    /// Looks at the answer as it was received, before conditions and ranges are applied: a cache that stores it.
    Received,
    /// Changes the answer as it is sent.
    Sent,
}

/// What a hook makes of an exchange.
#[derive(Debug)]
pub enum Answer {
    /// It goes on: with the request's body before, with the answer's after somebody answered.
    GoOn(Body),
    /// This is the answer: status and headers are set ([`Exchange::respond`]).
    Respond(Body),
    /// The connection becomes another protocol's, which the client asked for ([`Part::Upgrade`](crate::Part::Upgrade)):
    /// the answer's status is 101 and its headers are set, `Upgrade` among them. Over HTTP/2 the client gets 200 without
    /// that header (RFC 8441).
    Upgrade(Upgraded),
}

/// A hook or handler of the module `M`.
pub trait Hook<M: Module>: 'static {
    /// Its name: for the order of others, for messages, and for `http_router`.
    const NAME: &'static str;
    /// When it runs. Of no account for a handler.
    const STAGE: HookStage = HookStage::Content;
    /// Hooks of the same stage that it comes before.
    const BEFORE: &'static [&'static str] = &[];
    /// Hooks of the same stage that it comes after.
    const AFTER: &'static [&'static str] = &[];

    /// Whether it has a part in exchanges of the block that this one is in. Asked once a block.
    fn applies(_exchange: &Exchange<M>) -> bool {
        true
    }

    /// Runs. `body` is the request's before somebody answered, the answer's after that; whoever passes it on gives it
    /// back, or another in its place. `Content-Length` is http's to say: it is that of the body that is given back. Only to
    /// HEAD, and with a status that has no body, nothing tells it: a filter that changes lengths removes the line there.
    fn run(exchange: Exchange<M>, body: Body) -> impl Future<Output = Result<Answer, Error>> + 'static;
}

/// The contract as a module has it while it prepares: whom it registers hooks with. It ends with the call of `prepare`, so
/// that nobody keeps it longer than the generation.
///
/// ```compile_fail
/// # use anyproxy_http_contract::Http;
/// # use anyproxy_module_api::Module;
/// fn kept<M: Module>(module: &M) -> Option<Http<'static, M>> {
///     Http::resolve(module)
/// }
/// ```
#[derive(Debug)]
pub struct Http<'m, M> {
    table: &'m HttpTable,
    module: &'m M,
}

impl<'m, M: Module> Http<'m, M> {
    /// The http module of the generation that `module` prepares for; `None`: there is none, or `module` is not the object
    /// whose `prepare` runs, which is what hooks are called with.
    pub fn resolve(module: &'m M) -> Option<Self> {
        if !anyproxy_module_api::is_preparing(module) {
            return None;
        }
        let table = anyproxy_module_api::contract(ID, VERSION.0, VERSION.1, LAYOUT)?;
        // SAFETY: the host checked name, version and fingerprint; the module is stopped before the provider.
        let table = unsafe { &*table.cast::<HttpTable>() };
        // A function of a later minor is there only if the provider's table is long enough.
        (table.size >= size_of::<HttpTable>()).then_some(Self { table, module })
    }

    /// Registers a hook. False: it cannot be taken, and the error log says why: its name is taken in its stage, its order
    /// contradicts others', or there are too many.
    pub fn hook<H: Hook<M>>(&self) -> bool {
        // SAFETY: the table's own provider, which copies the hook.
        with_raw::<M, H>(self.module, |hook| unsafe { (self.table.add_hook)(self.table.provider, hook) })
    }

    /// Registers what `http_router` calls by the name of `H`. False: the name is taken, as the error log says.
    pub fn handler<H: Hook<M>>(&self) -> bool {
        // SAFETY: as above.
        with_raw::<M, H>(self.module, |hook| unsafe { (self.table.add_handler)(self.table.provider, hook) })
    }
}

/// Calls `give` with a hook as it crosses.
fn with_raw<M: Module, H: Hook<M>>(module: &M, give: impl FnOnce(*const RawHook<'_>) -> bool) -> bool {
    unsafe extern "C" fn applies<M: Module, H: Hook<M>>(
        module: *const (),
        table: *const HttpTable,
        session: *const SessionShared,
    ) -> bool {
        // SAFETY: the module of `with_raw`; the provider passes its own table and a live exchange.
        guard(|| unsafe { H::applies(&Exchange::of(session, &*module.cast::<M>(), table)) }).unwrap_or(false)
    }
    unsafe extern "C" fn run<M: Module, H: Hook<M>>(
        module: *const (),
        table: *const HttpTable,
        session: *const SessionShared,
        body: Body,
    ) -> LocalFuture<Outcome<RawAnswer>> {
        let made = guard(|| {
            // SAFETY: as above; the exchange is alive until the future is dropped.
            let exchange = unsafe { Exchange::of(session, &*module.cast::<M>(), table) };
            let run = stopping(H::run(exchange, body));
            LocalFuture::new(async move {
                match run.await {
                    Ok(Answer::GoOn(body)) => Outcome::Ok(RawAnswer { kind: 0, body, upgraded: Upgraded::NONE }),
                    Ok(Answer::Respond(body)) => Outcome::Ok(RawAnswer { kind: 1, body, upgraded: Upgraded::NONE }),
                    Ok(Answer::Upgrade(upgraded)) => Outcome::Ok(RawAnswer { kind: 2, body: Body::EMPTY, upgraded }),
                    Err(e) => Outcome::Err(e),
                }
            })
        });
        made.unwrap_or_else(|| LocalFuture::new(std::future::ready(Outcome::Err(Error::bare(ErrorKind::Panicked)))))
    }
    let names = |list: &[&'static str]| list.iter().map(|n| Str::new(n)).collect::<Vec<_>>();
    let (before, after) = (names(H::BEFORE), names(H::AFTER));
    let hook = RawHook {
        size: size_of::<RawHook<'_>>(),
        name: Str::new(H::NAME),
        stage: H::STAGE as u32,
        before: Slice::new(&before),
        after: Slice::new(&after),
        module: std::ptr::from_ref(module).cast(),
        applies: applies::<M, H>,
        run: run::<M, H>,
    };
    give(&raw const hook)
}

/// A panic of `future` is an error, and counted as this image's: whoever polls it is another module.
pub(crate) async fn stopping<T>(future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let polled = guard(|| future.as_mut().poll(cx));
        polled.unwrap_or_else(|| Poll::Ready(Err(Error::bare(ErrorKind::Panicked))))
    })
    .await
}

/// What another image answers, polled and dropped in the name of its module.
pub(crate) struct Answering<T> {
    owner: Owner,
    future: Option<LocalFuture<Outcome<T>>>,
}

/// Calls a function of `owner`'s image, and awaits what it answers.
pub(crate) fn answer<T>(owner: Owner, call: impl FnOnce() -> LocalFuture<Outcome<T>>) -> Answering<T> {
    let _in = owner.enter();
    Answering { owner, future: Some(call()) }
}

impl<T> Future for Answering<T> {
    type Output = Result<T, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let _in = this.owner.enter();
        let answer = match this.future.as_mut().map(|f| f.poll_ffi(cx)) {
            Some(FfiPoll::Pending) => return Poll::Pending,
            Some(FfiPoll::Ready(outcome)) => outcome.into(),
            Some(FfiPoll::Panicked) | None => Err(Error::bare(ErrorKind::Panicked)),
        };
        this.future = None;
        Poll::Ready(answer)
    }
}

impl<T> Drop for Answering<T> {
    fn drop(&mut self) {
        if self.future.is_some() {
            let _in = self.owner.enter();
            self.future = None;
        }
    }
}
