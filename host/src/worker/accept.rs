//! Accepting on one worker: sockets of the process, shared out to workers. At a limit or without descriptors accepting
//! pauses, idle sessions go first, and what is shed is counted and logged once a second.

use super::{
    Worker,
    door::{Accepted, Door, is_clients_fault},
    here,
    seat::{Limit, Seat, seat},
};
use crate::{
    cycle::listener::Listener,
    process::process,
    services::{
        rt::{self, TaskHandle},
        stream, timers,
    },
    session,
};
use anyproxy_module_api::abi::{net::Addr, stream::Stream};
use std::{cell::RefCell, io, rc::Rc, sync::atomic::Ordering::Relaxed, time::Duration};

/// While paused, look again after this long at the latest.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket given to a worker.
#[derive(Debug)]
pub struct Assigned {
    /// Names the socket in the process.
    pub key: u64,
    /// Which listener of the configuration it serves, by the key of its address.
    pub listener: u64,
    /// The worker's own descriptor of the socket.
    pub socket: socket2::Socket,
    /// Datagrams: the host reads it for its module.
    pub datagram: bool,
}

/// A connection that was accepted and waits for a place. Kept outside the loop, so that it is served when that ends.
pub(super) type Held = Rc<RefCell<Option<Accepted>>>;

/// An accept loop. Dropping it ends the loop; the socket's queue stays for whoever else holds the socket.
#[derive(Debug)]
pub struct Accepting {
    /// The listener that it serves.
    pub listener: u64,
    door: Rc<Door>,
    held: Held,
    task: TaskHandle,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Accepting {
    /// Starts the loop.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn start(worker: &Rc<Worker>, assigned: Assigned) -> io::Result<Self> {
        let door = Door::new(assigned.socket)?;
        let listener = assigned.listener;
        let held = Held::default();
        let (worker, at, holds) = (Rc::clone(worker), Rc::clone(&door), Rc::clone(&held));
        let task = rt::spawn(async move { accept_loop(&worker, listener, &at, &holds).await });
        Ok(Self { listener, door, held, task })
    }

    /// Follows what the serving generation says of the listener.
    pub fn follow(&self, listener: &Listener) {
        self.door.defer(listener.options.defer_accept);
    }

    /// Ends the loop of a socket that is given up: what waits in its queue is served first, past every limit, because
    /// closing the socket would reset it.
    pub fn drain(self, worker: &Rc<Worker>) {
        self.door.drain(|accepted| begin(worker, self.listener, accepted, Seat::force()));
        self.hand_over(worker);
    }

    /// Ends the loop; others go on with the socket. What it had accepted is served here.
    pub fn hand_over(self, worker: &Rc<Worker>) {
        self.task.abort();
        if let Some(accepted) = self.held.take() {
            begin(worker, self.listener, accepted, Seat::force());
        }
    }
}

async fn accept_loop(worker: &Rc<Worker>, listener: u64, door: &Door, held: &RefCell<Option<Accepted>>) {
    let mut turn = 0;
    loop {
        match door.accept().await {
            Ok(accepted) => match seat_here(worker, listener) {
                Ok(seat) => begin(worker, listener, accepted, seat),
                Err(limit) => {
                    // Not left in the queue: room is made for somebody who is there, and never in advance.
                    held.replace(Some(accepted));
                    let seat = wait_for_seat(worker, listener, &mut turn, limit).await;
                    if let Some(accepted) = held.take() {
                        begin(worker, listener, accepted, seat);
                    }
                }
            },
            Err(e) => failed(worker, listener, &mut turn, &e).await,
        }
    }
}

fn seat_here(worker: &Rc<Worker>, listener: u64) -> Result<Seat, Limit> {
    seat(worker.current().as_ref().and_then(|g| g.listener(listener)).map(|l| &**l))
}

/// Waits while a limit holds: of the process, of this listener, of memory.
async fn wait_for_seat(worker: &Rc<Worker>, listener: u64, turn: &mut u32, mut limit: Limit) -> Seat {
    loop {
        let leaving = worker.shed_idle(1, limit.of);
        if leaving == 0 {
            shed_at_another(worker.index, turn, limit.of);
        }
        say_limit(limit, Some(leaving));
        pause(worker).await;
        match seat_here(worker, listener) {
            Ok(seat) => return seat,
            Err(other) => limit = other,
        }
    }
}

/// Says that a limit is reached, once a second. `leaving`: sessions here that are on their way out.
pub(super) fn say_limit(limit: Limit, leaving: Option<usize>) {
    if let Some(more) = process().error_log.once_a_second(limit.name) {
        tracing::warn!(limit = limit.name, leaving, more, "limit reached; accepting pauses");
    }
}

/// Has one idle session of another worker ended than the one that is `asking`: of the next one with each `turn`.
pub(super) fn shed_at_another(asking: u32, turn: &mut u32, of: Option<u64>) {
    let workers = crate::control::worker_count();
    *turn = turn.wrapping_add(1);
    let next = asking.wrapping_add(*turn) % workers.max(1);
    // A worker that has ended sheds nothing.
    if next != asking
        && let Some(mailbox) = crate::control::worker_mailbox(next)
    {
        let _ = mailbox.send(Box::new(move |w| _ = w.shed_idle(1, of)));
    }
}

/// A connection was accepted for a listener: it becomes a stream here, and its session begins.
pub(super) fn begin(worker: &Rc<Worker>, listener: u64, (socket, peer, local): Accepted, seat: Seat) {
    let with_bytes = worker.current().is_some_and(|g| g.listener(listener).is_some_and(|l| l.options.defer_accept));
    let stream = if with_bytes {
        stream::from_socket_with_bytes(socket, peer, local)
    } else {
        stream::from_socket(socket, peer, local)
    };
    match stream {
        Ok(stream) => begin_stream(worker, listener, stream, peer, local, seat),
        Err(e) => tracing::error!(client = %peer, "a connection is lost: {e}"),
    }
}

fn begin_stream(worker: &Rc<Worker>, listener: u64, stream: Stream, peer: Addr, local: Addr, seat: Seat) {
    let Some(generation) = worker.current() else { return };
    // Its address may have left the configuration while it waited in the queue: a generation before still knows it.
    let before = || worker.generations().into_iter().rev().find_map(|g| Some((g.listener(listener).cloned()?, g)));
    let now = generation.listener(listener).cloned().map(|plan| (plan, generation));
    if let Some((plan, generation)) = now.or_else(before) {
        seat.pass_on();
        session::start(worker, &generation, &plan, stream, peer, local);
    }
}

/// A connection made by a module is handed to this thread's worker.
pub fn begin_here(listener: u64, stream: Stream, peer: Addr, local: Addr) -> bool {
    let Some(worker) = here() else { return false };
    begin_stream(&worker, listener, stream, peer, local, Seat::force());
    true
}

async fn pause(worker: &Rc<Worker>) {
    worker.paused.set(true);
    tokio::select! {
        () = worker.room.notified() => {}
        () = rt::sleep(PAUSE) => timers::tick(),
    }
    worker.paused.set(false);
}

async fn failed(worker: &Rc<Worker>, listener: u64, turn: &mut u32, e: &io::Error) {
    if is_clients_fault(e) {
        return;
    }
    if let Some(generation) = worker.current()
        && let Some(plan) = generation.listener(listener).cloned()
    {
        plan.stats.accept_errors.fetch_add(1, Relaxed);
    }
    let leaving = worker.shed_idle(8, None);
    if leaving == 0 {
        shed_at_another(worker.index, turn, None);
    }
    if let Some(more) = process().error_log.once_a_second("accept") {
        tracing::error!(leaving, more, "accept: {e}; accepting pauses");
    }
    // Without descriptors the listening socket stays readable: trying again at once would be a busy loop.
    pause(worker).await;
}
