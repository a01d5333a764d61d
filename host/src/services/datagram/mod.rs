//! The host's side of datagram listeners: reads each socket in batches and gives every datagram to the endpoint that owns
//! it, here, on another worker, in an older generation, or in the process before this one. What nobody takes is counted.
//!
//! Everything about one thread's sockets and endpoints lives in that thread; other threads and processes reach it by `forward`.

mod counts;
pub mod forward;
mod numbers;
mod reading;

pub use counts::{COUNTS, Counts};
pub use numbers::{note_bound, number};

use super::{
    current::{Current, enter},
    net::failed,
    udp::Udp,
    waiters::Waiters,
};
use crate::{
    config::address::Address,
    process::process,
    services::rt::{self, TaskHandle},
    session,
    worker::{self, Worker, accept, generation::WorkerGen},
};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind},
    host::{Received, Transmit},
    module::{DatagramPoint, Route},
    net::Addr,
    stream::{PENDING, Stream},
    task::{FfiContext, guard},
};
use numbers::{bound, key_of};
use reading::{batch, turn};
use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Batches read of a socket that is about to be closed, at most.
const MOST_LEFT: usize = 1024;

// ---- this thread's sockets and endpoints

/// A module's endpoint of one listener and generation here.
struct Endpoint {
    generation: Rc<WorkerGen>,
    module: u16,
    point: DatagramPoint,
    object: *mut (),
}

/// A socket of a listener here.
struct Reading {
    key: u64,
    socket: Rc<Udp>,
    task: TaskHandle,
    /// Read only for the endpoints of older generations: the configuration names it no more.
    lingers: bool,
}

/// A listener here.
#[derive(Default)]
struct Here {
    sockets: Vec<Reading>,
    /// The newest generation's last.
    endpoints: Vec<Rc<Endpoint>>,
    /// Who wants to send before there is a socket.
    waiting: Arc<Waiters>,
}

thread_local! {
    static HERE: RefCell<HashMap<u64, Here>> = RefCell::default();
}

fn with_here<R>(f: impl FnOnce(&mut HashMap<u64, Here>) -> R) -> Option<R> {
    HERE.try_with(|h| f(&mut h.borrow_mut())).ok()
}

/// Starts the endpoints of a generation on this worker: after its `worker_start`, before it serves.
pub fn start_generation(generation: &Rc<WorkerGen>) {
    let cycle = &generation.cycle;
    let mut any = false;
    for &module in cycle.start_order() {
        for listener in &cycle.listeners {
            let Some((owner, point, scope)) = listener.datagram else { continue };
            if owner != module {
                continue;
            }
            any = true;
            let local = bound(listener.key).unwrap_or_else(|| match &listener.address {
                Address::Ip(at) => (*at).into(),
                Address::Unix(_) => Addr::NONE,
            });
            let place = generation.place(module, cycle.conf(scope, module));
            let object = {
                let _who = enter(Current::on_worker(generation, module));
                // SAFETY: the point belongs to the module of the place.
                unsafe { (point.start)(place, number(listener.key), local) }
            };
            if object.is_null() {
                tracing::error!(
                    module = cycle.module_id(module),
                    listener = listener.label,
                    "no endpoint: it panicked"
                );
                continue;
            }
            let endpoint = Rc::new(Endpoint { generation: Rc::clone(generation), module, point, object });
            with_here(|h| h.entry(listener.key).or_default().endpoints.push(endpoint));
        }
    }
    if any {
        forward::join(generation);
    }
}

/// Gives up the endpoints of a generation on this worker, in reverse order: before its `worker_stop`.
pub fn stop_generation(generation: &WorkerGen) {
    let epoch = generation.cycle.epoch;
    serve_rest(epoch);
    forward::leave(epoch, generation.worker);
    let mut ended = Vec::new();
    with_here(|h| {
        for here in h.values_mut() {
            ended.extend(here.endpoints.extract_if(.., |e| e.generation.cycle.epoch == epoch));
        }
    });
    let order = generation.cycle.start_order();
    ended.sort_by_key(|e| std::cmp::Reverse(order.iter().position(|m| *m == e.module)));
    for e in &ended {
        let _who = enter(Current::on_worker(&e.generation, e.module));
        // SAFETY: given up once: it is in no list any more, and whoever delivers now has returned.
        unsafe { (e.point.stop)(e.object) }
    }
    sweep();
}

/// Sockets that will be closed with the last endpoints here: what waits in their queues is given to its owners, elsewhere
/// if need be, because closing would lose it.
fn serve_rest(epoch: u32) {
    let Some(worker) = worker::here() else { return };
    let closing = with_here(|h| {
        let last = h.iter().filter(|(_, here)| here.endpoints.iter().all(|e| e.generation.cycle.epoch == epoch));
        let sockets = last.flat_map(|(listener, here)| {
            here.sockets.iter().filter(|s| s.lingers).map(|s| (*listener, Rc::clone(&s.socket)))
        });
        sockets.collect::<Vec<_>>()
    });
    for (listener, socket) in closing.unwrap_or_default() {
        for _ in 0..MOST_LEFT {
            match batch(&worker, listener, |bufs, meta| socket.try_recv(bufs, meta)) {
                Ok(n) if n > 0 => {}
                _ => break,
            }
        }
    }
}

/// Lets go of what nobody needs any more: lingering sockets without endpoints, listeners without anything.
fn sweep() {
    with_here(|h| {
        h.retain(|_, here| {
            if here.endpoints.is_empty() {
                here.sockets.retain(|s| {
                    if s.lingers {
                        s.task.abort();
                    }
                    !s.lingers
                });
            }
            !(here.endpoints.is_empty() && here.sockets.is_empty())
        });
    });
}

/// A socket that this worker reads. Dropping it lets the socket linger for the endpoints that are there now; with the last
/// of them it is closed.
#[derive(Debug)]
pub struct Receiving {
    listener: u64,
    key: u64,
}

impl Receiving {
    /// Reads `socket` for `listener` from now on. `key` names the socket in the process. To be called on the worker's thread.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn start(worker: &Rc<Worker>, key: u64, listener: u64, socket: socket2::Socket) -> io::Result<Self> {
        let socket = Rc::new(Udp::new(socket)?);
        let (worker, read) = (Rc::downgrade(worker), Rc::clone(&socket));
        let task = rt::spawn(async move {
            loop {
                let Some(worker) = worker.upgrade() else { break };
                turn(&worker, listener, &read).await;
                drop(worker);
                rt::yield_now().await;
            }
        });
        let reading = Reading { key, socket, task, lingers: false };
        let waiting = with_here(|h| {
            let here = h.entry(listener).or_default();
            for old in here.sockets.extract_if(.., |s| s.key == key) {
                old.task.abort();
            }
            here.sockets.push(reading);
            Arc::clone(&here.waiting)
        });
        if let Some(w) = waiting {
            w.wake_all();
        }
        Ok(Self { listener, key })
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        with_here(|h| {
            let sockets = h.get_mut(&self.listener).map(|here| &mut here.sockets);
            if let Some(s) = sockets.and_then(|s| s.iter_mut().find(|s| s.key == self.key)) {
                s.lingers = true;
            }
        });
        sweep();
    }
}

/// Reads no socket of this thread any more, because another process does from now on. They stay open for sending.
pub fn stop_reading() {
    with_here(|h| {
        for s in h.values().flat_map(|here| &here.sockets) {
            s.task.abort();
        }
    });
}

// ---- whose a datagram may be

/// The endpoint that takes what is new: the current generation's. `None` also while the socket only lingers here.
fn newest(worker: &Worker, listener: u64) -> Option<Rc<Endpoint>> {
    let current = worker.current()?;
    let of_current = |e: &&Rc<Endpoint>| Rc::ptr_eq(&e.generation, &current);
    with_here(|h| h.get(&listener)?.endpoints.iter().rev().find(of_current).cloned()).flatten()
}

/// Any endpoint, the newest first: to ask whose a datagram is.
fn any(listener: u64) -> Option<Rc<Endpoint>> {
    with_here(|h| h.get(&listener)?.endpoints.last().cloned()).flatten()
}

fn of_epoch(listener: u64, epoch: u32) -> Option<Rc<Endpoint>> {
    let is = |e: &&Rc<Endpoint>| e.generation.cycle.epoch == epoch;
    with_here(|h| h.get(&listener)?.endpoints.iter().find(is).cloned()).flatten()
}

impl Endpoint {
    fn owner_of(&self, bytes: &[u8]) -> Route {
        let instance = self.generation.cycle.instance(self.module).as_ptr();
        let _who = enter(Current::on_worker(&self.generation, self.module));
        // SAFETY: the module's own point and object; the bytes are lent for the call.
        unsafe { (self.point.route)(instance, bytes.as_ptr(), bytes.len()) }
    }

    fn deliver(&self, m: &Received, bytes: &[u8]) {
        COUNTS.delivered.fetch_add(1, Relaxed);
        let _who = enter(Current::on_worker(&self.generation, self.module));
        // SAFETY: the endpoint is not given up while it is in the list or held by the caller; all is lent for the call.
        unsafe { (self.point.deliver)(self.object, std::ptr::from_ref(m), bytes.as_ptr()) }
    }
}

// ---- for the table

pub(super) unsafe extern "C" fn datagram_send(
    listener: u32,
    cx: &FfiContext<'_>,
    transmit: *const Transmit<'_>,
) -> isize {
    let send = || {
        let Some(key) = key_of(listener).filter(|_| worker::here().is_some()) else {
            return failed(Error::new(ErrorKind::Unsupported, "a datagram listener sends on its workers only"));
        };
        let found = with_here(|h| {
            let here = h.entry(key).or_default();
            here.sockets.first().map(|s| Rc::clone(&s.socket)).ok_or_else(|| Arc::clone(&here.waiting))
        });
        match found {
            // SAFETY: lent for the call.
            Some(Ok(socket)) => socket.send(cx, unsafe { &*transmit }),
            Some(Err(waiting)) => {
                cx.with_context(|cx| waiting.note(cx.waker()));
                PENDING
            }
            None => failed(Error::bare(ErrorKind::Cancelled)),
        }
    };
    guard(send).unwrap_or_else(|| failed(Error::bare(ErrorKind::Panicked)))
}

pub(super) unsafe extern "C" fn epoch() -> u32 {
    forward::outer(super::current::current().cycle().map_or(1, |c| c.epoch).max(1))
}

/// A connection that a module accepted enters its listener as a session, in the generation that accepted it: an older one
/// must not end under its connections. False: no room, or no such listener.
pub(super) fn accept(listener: u32, stream: Stream, client: Addr) -> bool {
    let (Some(key), Some(worker)) = (key_of(listener), worker::here()) else { return false };
    let max = process().max_sessions.load(Relaxed);
    if max != 0 && process().sessions.load(Relaxed) >= max {
        return false;
    }
    let local = stream.info().local;
    if let Some(generation) = super::current::current().worker_rc()
        && let Some(plan) = generation.listener(key)
    {
        process().sessions.fetch_add(1, Relaxed);
        session::start(&worker, &generation, plan, stream, client, local);
        return true;
    }
    accept::begin_here(key, stream, client, local)
}
