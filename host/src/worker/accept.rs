//! Accepting on one worker: sockets of the process, shared out to workers. At a limit or without descriptors accepting
//! pauses, idle sessions go first, and what is shed is counted and logged once a second.

use super::{Worker, here};
use crate::{
    process::process,
    services::{buffers, stream, tasks, timers},
    session,
};
use anyproxy_module_api::abi::{net::Addr, stream::Stream};
use std::{
    io,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};
use tokio::{
    net::{TcpListener, UnixListener},
    task::AbortHandle,
};

/// While paused, look again after this long at the latest.
const PAUSE: Duration = Duration::from_millis(100);

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

/// An accept loop. Dropping it ends the loop once the socket's queue is empty.
#[derive(Debug)]
pub struct Accepting {
    task: AbortHandle,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    fn new(socket: socket2::Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        if socket.local_addr()?.is_unix() {
            UnixListener::from_std(socket.into()).map(Self::Unix)
        } else {
            TcpListener::from_std(socket.into()).map(Self::Tcp)
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Addr, Addr)> {
        match self {
            Self::Tcp(l) => {
                let (socket, peer) = l.accept().await?;
                let local = local_of(l, &socket);
                Ok((stream::tcp(socket, peer.into(), local), peer.into(), local))
            }
            Self::Unix(l) => {
                let (socket, _) = l.accept().await?;
                Ok((stream::unix(socket, Addr::NONE, Addr::NONE), Addr::NONE, Addr::NONE))
            }
        }
    }
}

/// The accepted socket's own address: the listener's, unless that is a wildcard and the system must be asked.
fn local_of(listener: &TcpListener, socket: &tokio::net::TcpStream) -> Addr {
    match listener.local_addr() {
        Ok(a) if !a.ip().is_unspecified() => a.into(),
        _ => socket.local_addr().map_or(Addr::NONE, Into::into),
    }
}

impl Accepting {
    /// Starts the loop.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    pub fn start(worker: &Rc<Worker>, assigned: Assigned) -> io::Result<Self> {
        let socket = Socket::new(assigned.socket)?;
        let worker = Rc::clone(worker);
        let task = tasks::spawn_local(async move { accept_loop(&worker, assigned.listener, &socket).await });
        Ok(Self { task })
    }
}

async fn accept_loop(worker: &Rc<Worker>, listener: u64, socket: &Socket) {
    loop {
        wait_for_room(worker, listener).await;
        match socket.accept().await {
            Ok((stream, peer, local)) => begin(worker, listener, stream, peer, local),
            Err(e) => failed(worker, listener, &e).await,
        }
    }
}

/// A connection was accepted for a listener: its session begins.
pub fn begin(worker: &Rc<Worker>, listener: u64, stream: Stream, peer: Addr, local: Addr) {
    let Some(generation) = worker.current() else { return };
    let Some(plan) = generation.listener(listener).cloned() else {
        // Its address left the configuration while it waited in the queue: the generation before still knows it.
        let before = worker.generations().into_iter().rev().find_map(|g| g.listener(listener).cloned().map(|p| (p, g)));
        if let Some((plan, g)) = before {
            process().sessions.fetch_add(1, Relaxed);
            session::start(worker, &g, &plan, stream, peer, local);
        }
        return;
    };
    process().sessions.fetch_add(1, Relaxed);
    session::start(worker, &generation, &plan, stream, peer, local);
}

/// A connection accepted elsewhere (shared accept) or made by a module is handed to this thread's worker.
pub fn begin_here(listener: u64, stream: Stream, peer: Addr, local: Addr) -> bool {
    let Some(worker) = here() else { return false };
    begin(&worker, listener, stream, peer, local);
    true
}

/// Waits while a limit holds: of the process, of this listener, of memory.
async fn wait_for_room(worker: &Rc<Worker>, listener: u64) {
    loop {
        let Some(limit) = limit_reached(worker, listener) else {
            worker.paused.set(false);
            return;
        };
        let shed = worker.shed_idle(1);
        if let Some(more) = process().error_log.once_a_second(limit) {
            tracing::warn!(limit, shed, more, "limit reached; accepting pauses");
        }
        pause(worker).await;
    }
}

fn limit_reached(worker: &Rc<Worker>, listener: u64) -> Option<&'static str> {
    let p = process();
    let max = p.max_sessions.load(Relaxed);
    if max != 0 && p.sessions.load(Relaxed) >= max {
        return Some("max_connections");
    }
    if buffers::is_full() {
        return Some("memory_limit");
    }
    let generation = worker.current()?;
    let plan = generation.listener(listener).cloned()?;
    (plan.max_connections != 0 && plan.stats.now() >= plan.max_connections).then_some("max_connections of the server")
}

async fn pause(worker: &Rc<Worker>) {
    worker.paused.set(true);
    tokio::select! {
        () = worker.room.notified() => {}
        () = tokio::time::sleep(PAUSE) => timers::tick(),
    }
}

async fn failed(worker: &Rc<Worker>, listener: u64, e: &io::Error) {
    // A client that gave up while it waited in the queue is no failure of ours.
    if matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted) {
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

/// Without reuseport: accepts on the process's loop and hands connections round.
///
/// # Errors
/// When the socket cannot be registered.
pub fn share(listener: u64, socket: socket2::Socket) -> io::Result<AbortHandle> {
    let socket = Socket::new(socket)?;
    // On the process's loop, which is one thread: streams are handed on as descriptors.
    let task = tasks::spawn_local(async move {
        let mut next = 0_u32;
        loop {
            shared_room().await;
            match socket.accept().await {
                Ok((stream, peer, local)) => {
                    let Ok(raw) = stream.take_raw() else { continue };
                    next = next.wrapping_add(1);
                    hand_to(next % crate::control::worker_count().max(1), listener, raw.fd, peer, local);
                }
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(e) => {
                    if let Some(more) = process().error_log.once_a_second("accept") {
                        tracing::error!(more, "accept: {e}; accepting pauses");
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    Ok(task)
}

async fn shared_room() {
    let p = process();
    loop {
        let max = p.max_sessions.load(Relaxed);
        if (max == 0 || p.sessions.load(Relaxed) < max) && !buffers::is_full() {
            return;
        }
        if let Some(more) = p.error_log.once_a_second("max_connections") {
            tracing::warn!(more, "limit reached; accepting pauses");
        }
        for n in 0..crate::control::worker_count() {
            if let Some(mailbox) = crate::control::worker_mailbox(n) {
                // A worker that has ended sheds nothing.
                let _ = mailbox.send(Box::new(|w| {
                    w.shed_idle(1);
                }));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn hand_to(worker: u32, listener: u64, fd: i64, peer: Addr, local: Addr) {
    let Some(mailbox) = crate::control::worker_mailbox(worker) else {
        drop(crate::services::platform::socket_from_raw_fd(fd));
        return;
    };
    let begin_there = move |w: &Rc<Worker>| match stream::adopt_with(fd, peer, local) {
        Ok(stream) => begin(w, listener, stream, peer, local),
        Err(e) => tracing::warn!("a connection was lost between threads: {e}"),
    };
    // A worker that has ended drops the message; its successor is asked for the next one.
    let _ = mailbox.send(Box::new(begin_there));
}
