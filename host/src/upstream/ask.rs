//! One health check: connects to a peer as sessions do, then asks as the configuration says. Knows neither when that is due
//! nor what follows from the answer.

use super::{
    blame, connect,
    pool::{Member, Pool},
};
use crate::{
    services::{
        current::{Current, enter},
        panicked, points,
    },
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind, Outcome},
    task::{FfiPoll, LocalFuture},
};
use std::{
    future::Future,
    pin::Pin,
    ptr,
    rc::Rc,
    task::{Context, Poll},
};

/// Asks a peer whether it is well: by the probe of its line, else by its connector's own question, else to connect is enough.
/// The limit of time is the caller's. `Ok(Err(why))`: it is not.
///
/// # Errors
/// Why it cannot be asked, for which it is not to blame.
pub(super) async fn ask(generation: &Rc<WorkerGen>, pool: &Pool, member: &Member) -> Result<Result<(), Error>, Error> {
    let stream = match connect::connect(pool, member, generation, ptr::null()).await {
        Ok(stream) => stream,
        // A connector that panics is no way to the peer, as a probe that does is no word of its health.
        Err(e) if blame::is_peers(&e) || e.kind == ErrorKind::Panicked => return Ok(Err(e)),
        Err(e) => return Err(e),
    };
    let line = &pool.lines[member.line];
    let module = line.probe.as_ref().map_or(line.module, |(module, _)| *module);
    let place = generation.place(module, generation.cycle.conf(line.scope, module));
    let future = {
        let _who = enter(Current::on_worker(generation, module));
        match &line.probe {
            Some((_, probe)) => {
                let request = connect::request(line, generation, member, ptr::null());
                Some(points::ask(probe, place, &request, stream))
            }
            None => points::check_peer(&line.connector, place, stream),
        }
    };
    Ok(match future {
        Some(f) => Asking { generation, module, future: Some(f) }.await,
        None => Ok(()),
    })
}

/// A module's question in its module's name.
struct Asking<'a> {
    generation: &'a Rc<WorkerGen>,
    module: u16,
    future: Option<LocalFuture<Outcome<()>>>,
}

impl Future for Asking<'_> {
    type Output = Result<(), Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let _who = enter(Current::on_worker(this.generation, this.module));
        match this.future.as_mut().map(|f| f.poll_ffi(cx)) {
            Some(FfiPoll::Pending) => Poll::Pending,
            Some(FfiPoll::Ready(answer)) => Poll::Ready(answer.into()),
            Some(FfiPoll::Panicked) | None => {
                // Whatever it was about to say of the peer, nobody heard it well.
                panicked(&this.generation.cycle, this.module, "a health check");
                Poll::Ready(Err(Error::new(ErrorKind::Panicked, "the module that asks panicked")))
            }
        }
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let _who = enter(Current::on_worker(self.generation, self.module));
        self.future = None;
    }
}
