//! Datagrams on their way to an owner elsewhere: another worker, an older generation's worker, the process before this one.
//! Every queue is bounded, and what does not fit is dropped and counted, as a network would.

use super::{COUNTS, newest, of_epoch};
use crate::{
    services::{buffers, rt},
    worker::{self, generation::WorkerGen},
};
use anyproxy_module_api::abi::{bytes::Buf, host::Received, module::Route, net::Addr};
use std::{
    cell::RefCell,
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};
use tokio::{sync::mpsc, task::AbortHandle};

/// Datagrams (or runs) that may wait for one worker.
const MOST_WAITING: usize = 1024;
/// Largest frame between processes: head and a run of datagrams.
const FRAME: usize = HEAD + (64 << 10);
/// Bytes of a frame's head.
const HEAD: usize = 8 + 4 + 4 + 4 + 1 + 2 * ADDR;
/// Bytes of an address in it.
const ADDR: usize = 1 + 16 + 2 + 4;

/// A datagram or a run for a worker.
struct Passed {
    listener: u64,
    /// `None`: new, for whatever generation is current there.
    epoch: Option<u32>,
    meta: Received,
    bytes: Buf,
}

/// A generation on a worker.
struct Link {
    to: mpsc::Sender<Passed>,
    listeners: Vec<u64>,
}

/// Who can be reached, by epoch and worker.
static LINKS: RwLock<Option<HashMap<(u32, u32), Link>>> = RwLock::new(None);

thread_local! {
    /// This worker's queue.
    static QUEUE: RefCell<Option<mpsc::Sender<Passed>>> = const { RefCell::new(None) };
}

/// From now on a generation on this worker gets what others read for it.
pub(super) fn join(generation: &Rc<WorkerGen>) {
    let to = QUEUE.with_borrow_mut(|q| {
        q.get_or_insert_with(|| {
            let (to, from) = mpsc::channel(MOST_WAITING);
            rt::spawn(take(from));
            to
        })
        .clone()
    });
    let datagram = generation.cycle.listeners.iter().filter(|l| l.datagram.is_some());
    let link = Link { to, listeners: datagram.map(|l| l.key).collect() };
    let mut links = LINKS.write().unwrap_or_else(PoisonError::into_inner);
    links.get_or_insert_default().insert((generation.cycle.epoch, generation.worker), link);
}

/// A generation on this worker gets nothing more.
pub(super) fn leave(epoch: u32, worker: u32) {
    if let Some(links) = LINKS.write().unwrap_or_else(PoisonError::into_inner).as_mut() {
        links.remove(&(epoch, worker));
    }
}

/// Delivers what comes for this worker.
async fn take(mut from: mpsc::Receiver<Passed>) {
    while let Some(p) = from.recv().await {
        let endpoint = match p.epoch {
            Some(epoch) => of_epoch(p.listener, epoch),
            None => worker::here().and_then(|w| newest(&w, p.listener)),
        };
        match endpoint {
            Some(e) => e.deliver(&p.meta, &p.bytes),
            None => {
                COUNTS.no_owner.fetch_add(1, Relaxed);
            }
        }
    }
}

fn pass(to: &mpsc::Sender<Passed>, listener: u64, epoch: Option<u32>, meta: &Received, bytes: &[u8]) {
    let Ok(place) = to.try_reserve() else {
        COUNTS.full.fetch_add(1, Relaxed);
        return;
    };
    let mut copy = buffers::take(bytes.len());
    if copy.push(bytes) < bytes.len() {
        COUNTS.full.fetch_add(1, Relaxed);
        return;
    }
    COUNTS.passed.fetch_add(1, Relaxed);
    place.send(Passed { listener, epoch, meta: *meta, bytes: copy });
}

fn link(epoch: u32, worker: u32) -> Option<mpsc::Sender<Passed>> {
    LINKS.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&(epoch, worker)).map(|l| l.to.clone())
}

/// To what another worker or generation began.
pub(super) fn to_owner(listener: u64, owner: Route, meta: &Received, bytes: &[u8]) {
    let epoch = inner(owner.epoch);
    if let Some(to) = link(epoch, owner.worker) {
        pass(&to, listener, Some(epoch), meta, bytes);
    } else if is_predecessors(owner.epoch) {
        forward_to_predecessor(listener, owner, meta, bytes);
    } else {
        COUNTS.no_owner.fetch_add(1, Relaxed);
    }
}

/// To the newest generation that has the listener, on some worker: read by one that has none any more.
pub(super) fn to_newest(listener: u64, meta: &Received, bytes: &[u8]) {
    let to = {
        let links = LINKS.read().unwrap_or_else(PoisonError::into_inner);
        let having = links.iter().flatten().filter(|(_, l)| l.listeners.contains(&listener));
        having.max_by_key(|((epoch, _), _)| *epoch).map(|(_, l)| l.to.clone())
    };
    match to {
        Some(to) => pass(&to, listener, None, meta, bytes),
        None => {
            COUNTS.no_owner.fetch_add(1, Relaxed);
        }
    }
}

// ---- between processes

/// The process before this one.
struct Predecessor {
    socket: Arc<socket2::Socket>,
    /// Epochs up to this one are its, or of the processes before it.
    last: u32,
}

/// Modules see the epochs of this process above those of the processes before it.
static BASE: AtomicU32 = AtomicU32::new(0);
/// Reloads of a process that its successor leaves numbers for: it may reload while it is taken over.
const RELOADS: u32 = 1000;

/// How modules see an epoch of this process.
pub(super) fn outer(epoch: u32) -> u32 {
    BASE.load(Relaxed).wrapping_add(epoch)
}

/// The epoch of this process behind what modules see; none has 0.
pub(super) fn inner(outer: u32) -> u32 {
    outer.saturating_sub(BASE.load(Relaxed))
}

/// The last number that a successor leaves to this process, whose generation is `epoch`.
pub fn last_epoch(epoch: u32) -> u32 {
    outer(epoch).saturating_add(RELOADS)
}

static PREDECESSOR: RwLock<Option<Predecessor>> = RwLock::new(None);

/// The two ends of a channel between two processes: the successor keeps the first, the predecessor the second.
///
/// # Errors
/// What the system says.
pub fn channel() -> io::Result<(socket2::Socket, socket2::Socket)> {
    let (a, b) = system::pair()?;
    for s in [&a, &b] {
        s.set_nonblocking(true)?;
        // Room for some runs of datagrams; the system may give less.
        let _ = s.set_send_buffer_size(4 << 20);
    }
    Ok((a, b))
}

/// In the successor, before its endpoints start: what belongs to an epoch up to `last` goes to the process before, by
/// `socket`; this one's epochs come after.
pub fn set_predecessor(socket: socket2::Socket, last: u32) {
    BASE.store(last, Relaxed);
    let p = Predecessor { socket: Arc::new(socket), last };
    *PREDECESSOR.write().unwrap_or_else(PoisonError::into_inner) = Some(p);
}

fn is_predecessors(epoch: u32) -> bool {
    PREDECESSOR.read().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(|p| epoch <= p.last)
}

/// Sends a datagram or a run to the process before. False: dropped.
pub fn forward_to_predecessor(listener: u64, owner: Route, meta: &Received, bytes: &[u8]) -> bool {
    let socket = match &*PREDECESSOR.read().unwrap_or_else(PoisonError::into_inner) {
        Some(p) => Arc::clone(&p.socket),
        None => return false,
    };
    let sent = encode(listener, owner, meta, bytes).is_some_and(|frame| socket.send(&frame).is_ok());
    let count = if sent { &COUNTS.to_predecessor } else { &COUNTS.full };
    count.fetch_add(1, Relaxed);
    sent
}

/// In the predecessor, on its loop: delivers what the successor reads for this process. Ends when the handle is aborted.
///
/// # Errors
/// When the socket cannot be registered.
pub fn serve_successor(socket: socket2::Socket) -> io::Result<AbortHandle> {
    let runtime = crate::control::runtime();
    let _in = runtime.enter();
    socket.set_nonblocking(true)?;
    let socket = system::register(socket)?;
    let task = async move {
        let mut frame = vec![0; FRAME];
        while let Ok(n) = socket.recv(&mut frame).await {
            COUNTS.from_successor.fetch_add(1, Relaxed);
            let Some((listener, owner, meta, bytes)) = decode(&frame[..n]) else { continue };
            // Not ours if it comes from further back: then the process before this one may have it.
            to_owner(listener, owner, &meta, bytes);
        }
    };
    Ok(runtime.spawn(task).abort_handle())
}

#[cfg(unix)]
mod system {
    use socket2::{Domain, Socket, Type};
    use std::{io, os::fd::OwnedFd, os::unix::net::UnixDatagram as Blocking};
    use tokio::net::UnixDatagram;

    /// Datagrams keep their boundaries, and a full one never blocks who reads the network.
    pub(super) fn pair() -> io::Result<(Socket, Socket)> {
        Socket::pair(Domain::UNIX, Type::DGRAM, None)
    }

    pub(super) fn register(socket: Socket) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(Blocking::from(OwnedFd::from(socket)))
    }
}

/// Elsewhere no process takes over from another.
#[cfg(not(unix))]
mod system {
    use socket2::Socket;
    use std::io;
    use tokio::net::UdpSocket;

    pub(super) fn pair() -> io::Result<(Socket, Socket)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn register(socket: Socket) -> io::Result<UdpSocket> {
        UdpSocket::from_std(socket.into())
    }
}

fn encode(listener: u64, owner: Route, meta: &Received, bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() > FRAME - HEAD {
        return None;
    }
    let mut out = Vec::with_capacity(HEAD + bytes.len());
    out.extend(listener.to_le_bytes());
    out.extend(owner.epoch.to_le_bytes());
    out.extend(owner.worker.to_le_bytes());
    out.extend(u32::try_from(meta.segment).ok()?.to_le_bytes());
    out.push(meta.ecn);
    for a in [meta.from, meta.to] {
        put_addr(&mut out, a);
    }
    out.extend(bytes);
    Some(out)
}

fn put_addr(out: &mut Vec<u8>, a: Addr) {
    let at = out.len();
    if let Some(s) = a.socket() {
        match s {
            SocketAddr::V4(v) => {
                out.push(4);
                out.extend(v.ip().octets());
                out.extend([0; 12]);
            }
            SocketAddr::V6(v) => {
                out.push(6);
                out.extend(v.ip().octets());
            }
        }
        out.extend(s.port().to_le_bytes());
        let scope = if let SocketAddr::V6(v) = s { v.scope_id() } else { 0 };
        out.extend(scope.to_le_bytes());
    }
    out.resize(at + ADDR, 0);
}

/// A frame's parts; `None`: no frame of ours.
fn decode(frame: &[u8]) -> Option<(u64, Route, Received, &[u8])> {
    let (head, bytes) = frame.split_at_checked(HEAD)?;
    let (listener, head) = head.split_first_chunk()?;
    let (epoch, head) = head.split_first_chunk()?;
    let (worker, head) = head.split_first_chunk()?;
    let (segment, head) = head.split_first_chunk()?;
    let (ecn, head) = head.split_first()?;
    let (from, to) = head.split_at_checked(ADDR)?;
    let meta = Received {
        from: addr(from)?,
        to: addr(to)?,
        len: bytes.len(),
        segment: (u32::from_le_bytes(*segment) as usize).min(bytes.len()),
        ecn: *ecn,
    };
    let owner = Route::owner(u32::from_le_bytes(*epoch), u32::from_le_bytes(*worker));
    Some((u64::from_le_bytes(*listener), owner, meta, bytes))
}

fn addr(bytes: &[u8]) -> Option<Addr> {
    let (family, rest) = bytes.split_first()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let (port, scope) = rest.split_first_chunk()?;
    let port = u16::from_le_bytes(*port);
    Some(match family {
        4 => SocketAddr::new(IpAddr::from(*ip.first_chunk::<4>()?), port).into(),
        6 => {
            let scope = u32::from_le_bytes(*scope.first_chunk()?);
            SocketAddr::V6(std::net::SocketAddrV6::new((*ip).into(), port, 0, scope)).into()
        }
        _ => Addr::NONE,
    })
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
