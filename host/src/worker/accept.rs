//! Accepting on one worker: sockets of the process, shared out to workers. At a limit or without descriptors accepting
//! pauses, idle sessions go first, and what is shed is counted and logged once a second.

use super::{Worker, here};
use crate::{
    cycle::listener::Listener,
    process::process,
    services::{
        buffers,
        rt::{self, TaskHandle},
        stream::{self, ListenSocket},
        timers,
    },
    session,
};
use anyproxy_module_api::abi::{net::Addr, stream::Stream};
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};

/// While paused, look again after this long at the latest.
const PAUSE: Duration = Duration::from_millis(100);
/// More than a listen queue holds: the system cuts it to 65,535 at most.
const MOST_QUEUED: u32 = 1 << 16;

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

/// A place among the sessions of the process, counted against `max_connections`. Given back when it is dropped, unless a
/// session took it over.
#[derive(Debug)]
struct Seat(());

impl Seat {
    /// A place; `None` when all are taken.
    fn take() -> Option<Self> {
        let p = process();
        let max = p.max_sessions.load(Relaxed);
        let before = p.sessions.fetch_add(1, Relaxed);
        let seat = Self(());
        (max == 0 || before < max).then_some(seat)
    }

    /// A place whatever the limit says: the connection was established long ago.
    fn force() -> Self {
        process().sessions.fetch_add(1, Relaxed);
        Self(())
    }

    /// From now on it is the session's, which gives it back at its end.
    fn pass_on(self) {
        std::mem::forget(self);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        process().sessions.fetch_sub(1, Relaxed);
    }
}

/// A connection that was accepted: not yet a stream of any thread's loop; its client, its own address.
type Accepted = (socket2::Socket, Addr, Addr);

/// A connection that was accepted and waits for a place. Kept outside the loop, so that it is served when that ends.
type Held = Rc<RefCell<Option<Accepted>>>;

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

/// The socket of an accept loop, shared with whoever ends the loop: it is closed then and there, not when the loop's task
/// is dropped, because what the system accepted in between would be reset.
#[derive(Debug)]
struct Door(RefCell<Option<Socket>>);

impl Door {
    fn new(socket: socket2::Socket) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self(RefCell::new(Some(Socket::new(socket)?)))))
    }

    /// Whether connections are handed out with their first bytes only.
    fn defer(&self, on: bool) {
        if let Some(socket) = &*self.0.borrow() {
            socket.listening.defer(on);
        }
    }

    /// The next connection; never, once it is shut.
    async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.0.borrow().as_ref().map_or(Poll::Pending, |s| s.poll_accept(cx))).await
    }

    /// Hands out what waits in the queue, and closes the socket.
    fn drain(&self, mut each: impl FnMut(Accepted)) {
        if let Some(socket) = self.0.take() {
            drain(&socket, &mut each);
        }
    }
}

#[derive(Debug)]
struct Socket {
    listening: ListenSocket,
    /// Its address, unless that is a wildcard: then each connection's own is asked for.
    at: Option<Addr>,
}

impl Socket {
    fn new(socket: socket2::Socket) -> io::Result<Self> {
        let at = socket.local_addr()?.as_socket().filter(|a| !a.ip().is_unspecified()).map(Addr::from);
        Ok(Self { listening: ListenSocket::new(socket)?, at })
    }

    fn local_of(&self, socket: &socket2::Socket) -> Addr {
        let ask = || socket.local_addr().ok().and_then(|a| a.as_socket()).map_or(Addr::NONE, Addr::from);
        self.at.unwrap_or_else(ask)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let accepted = ready!(self.listening.poll_accept(cx));
        Poll::Ready(accepted.map(|(socket, peer)| {
            let local = self.local_of(&socket);
            (socket, peer, local)
        }))
    }

    /// What waits in the queue now, without waiting for more.
    fn accept_now(&self) -> io::Result<Accepted> {
        let (socket, peer) = self.listening.accept_now()?;
        let local = self.local_of(&socket);
        Ok((socket, peer, local))
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

/// Takes the queue's connections until there is none, a failure, or more than any queue holds.
fn drain(socket: &Socket, each: &mut dyn FnMut(Accepted)) {
    for _ in 0..MOST_QUEUED {
        match socket.accept_now() {
            Ok(accepted) => each(accepted),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            Err(e) if is_clients_fault(&e) => {}
            Err(e) => {
                tracing::error!("accept: {e}; connections that waited at an address that is given up are lost");
                return;
            }
        }
    }
}

async fn accept_loop(worker: &Rc<Worker>, listener: u64, door: &Door, held: &RefCell<Option<Accepted>>) {
    loop {
        wait_for_room(worker, listener).await;
        match door.accept().await {
            Ok(accepted) => match Seat::take() {
                Some(seat) => begin(worker, listener, accepted, seat),
                // Loops wait for connections side by side: the last place has gone meanwhile.
                None => {
                    held.replace(Some(accepted));
                    let seat = wait_for_seat(worker).await;
                    if let Some(accepted) = held.take() {
                        begin(worker, listener, accepted, seat);
                    }
                }
            },
            Err(e) => failed(worker, listener, &e).await,
        }
    }
}

async fn wait_for_seat(worker: &Rc<Worker>) -> Seat {
    loop {
        say_limit(worker, "max_connections");
        pause(worker).await;
        if let Some(seat) = Seat::take() {
            return seat;
        }
    }
}

/// A connection was accepted for a listener: it becomes a stream here, and its session begins.
fn begin(worker: &Rc<Worker>, listener: u64, (socket, peer, local): Accepted, seat: Seat) {
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

/// Waits while a limit holds: of the process, of this listener, of memory.
async fn wait_for_room(worker: &Rc<Worker>, listener: u64) {
    while let Some(limit) = limit_reached(worker, listener) {
        say_limit(worker, limit);
        pause(worker).await;
    }
}

/// Ends an idle session to make room, and says so once a second.
fn say_limit(worker: &Worker, limit: &str) {
    let shed = worker.shed_idle(1);
    if let Some(more) = process().error_log.once_a_second(limit) {
        tracing::warn!(limit, shed, more, "limit reached; accepting pauses");
    }
}

fn limit_reached(worker: &Rc<Worker>, listener: u64) -> Option<&'static str> {
    if let Some(limit) = process_limit() {
        return Some(limit);
    }
    let generation = worker.current()?;
    generation.listener(listener)?.limit_reached()
}

fn process_limit() -> Option<&'static str> {
    let p = process();
    let max = p.max_sessions.load(Relaxed);
    if max != 0 && p.sessions.load(Relaxed) >= max {
        return Some("max_connections");
    }
    buffers::is_full().then_some("memory_limit")
}

async fn pause(worker: &Rc<Worker>) {
    worker.paused.set(true);
    tokio::select! {
        () = worker.room.notified() => {}
        () = rt::sleep(PAUSE) => timers::tick(),
    }
    worker.paused.set(false);
}

/// A client that gave up while it waited in the queue is no failure of ours.
fn is_clients_fault(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

async fn failed(worker: &Rc<Worker>, listener: u64, e: &io::Error) {
    if is_clients_fault(e) {
        return;
    }
    if let Some(generation) = worker.current()
        && let Some(plan) = generation.listener(listener).cloned()
    {
        plan.stats.accept_errors.fetch_add(1, Relaxed);
    }
    let shed = worker.shed_idle(8);
    if let Some(more) = process().error_log.once_a_second("accept") {
        tracing::error!(shed, more, "accept: {e}; accepting pauses");
    }
    // Without descriptors the listening socket stays readable: trying again at once would be a busy loop.
    pause(worker).await;
}

/// One accept loop for all workers, on the process's loop. Dropping it ends the loop as dropping [`Accepting`] does.
#[derive(Debug)]
pub struct Sharing {
    /// What the serving generation says of the listener.
    plan: Rc<RefCell<Arc<Listener>>>,
    door: Rc<Door>,
    held: Held,
    task: TaskHandle,
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Sharing {
    /// Without reuseport: accepts on the process's loop, which is one thread, and hands connections round.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn start(listener: &Arc<Listener>, socket: socket2::Socket) -> io::Result<Self> {
        let door = Door::new(socket)?;
        door.defer(listener.options.defer_accept);
        let plan = Rc::new(RefCell::new(Arc::clone(listener)));
        let held = Held::default();
        let (seen, at, holds) = (Rc::clone(&plan), Rc::clone(&door), Rc::clone(&held));
        let task = rt::spawn(async move { share_loop(&seen, &at, &holds).await });
        Ok(Self { plan, door, held, task })
    }

    /// From now on this is what the listener is.
    pub fn switch_to(&self, listener: &Arc<Listener>) {
        self.door.defer(listener.options.defer_accept);
        *self.plan.borrow_mut() = Arc::clone(listener);
    }

    /// As [`Accepting::drain`]. To be called before the workers leave the generation that knows the listener.
    pub fn drain(self) {
        let (mut round, key) = (Round::default(), self.plan.borrow().key);
        self.door.drain(|accepted| drop(round.hand_on(key, accepted, Seat::force())));
        self.hand_over();
    }

    /// As [`Accepting::hand_over`].
    pub fn hand_over(self) {
        self.task.abort();
        if let Some(accepted) = self.held.take() {
            drop(Round::default().hand_on(self.plan.borrow().key, accepted, Seat::force()));
        }
    }
}

async fn share_loop(plan: &RefCell<Arc<Listener>>, door: &Door, held: &RefCell<Option<Accepted>>) {
    let mut round = Round::default();
    let limit = || process_limit().or_else(|| plan.borrow().limit_reached());
    loop {
        while let Some(limit) = limit() {
            shed_everywhere(limit).await;
        }
        match door.accept().await {
            Ok(accepted) => {
                held.replace(Some(accepted));
                let seat = loop {
                    if let Some(seat) = Seat::take() {
                        break seat;
                    }
                    shed_everywhere("max_connections").await;
                };
                if let Some(accepted) = held.take() {
                    let (key, limited) = {
                        let plan = plan.borrow();
                        (plan.key, plan.max_connections != 0)
                    };
                    let begun = round.hand_on(key, accepted, seat);
                    if limited {
                        // The listener's count is known once the worker has begun; one that has ended drops the word.
                        let _ = begun.await;
                    }
                }
            }
            Err(e) if is_clients_fault(&e) => {}
            Err(e) => {
                plan.borrow().stats.accept_errors.fetch_add(1, Relaxed);
                shed_everywhere(&format!("accept: {e}")).await;
            }
        }
    }
}

async fn shed_everywhere(why: &str) {
    if let Some(more) = process().error_log.once_a_second(why) {
        tracing::warn!(limit = why, more, "limit reached; accepting pauses");
    }
    for n in 0..crate::control::worker_count() {
        if let Some(mailbox) = crate::control::worker_mailbox(n) {
            // A worker that has ended sheds nothing.
            let _ = mailbox.send(Box::new(|w| {
                w.shed_idle(1);
            }));
        }
    }
    rt::sleep(PAUSE).await;
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Round(u32);

impl Round {
    /// Hands a connection to the next worker. The result ends when the session has begun there.
    fn hand_on(&mut self, listener: u64, accepted: Accepted, seat: Seat) -> tokio::sync::oneshot::Receiver<()> {
        let (tell, begun) = tokio::sync::oneshot::channel();
        self.0 = self.0.wrapping_add(1);
        let next = self.0 % crate::control::worker_count().max(1);
        let Some(mailbox) = crate::control::worker_mailbox(next) else { return begun };
        let begin_there = move |w: &Rc<Worker>| {
            begin(w, listener, accepted, seat);
            // Nobody listens for a listener without a limit.
            let _ = tell.send(());
        };
        // A worker that has ended drops the message, and with it the connection and its place.
        let _ = mailbox.send(Box::new(begin_there));
        begun
    }
}
