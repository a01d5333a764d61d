//! What a test tells the fake host, and what the host tells the test: sockets, names, files, records.

use super::{
    Attempt, FakeHost, LogRecord, Metric, Peer, Sent,
    state::{Listening, Site},
    wire::ends,
};
use crate::{Addr, ErrorKind, Outcome, Stream};
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    rc::Rc,
    sync::{
        Weak,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

/// A server of the test, which the module may connect to.
#[derive(Clone)]
pub struct Server(Rc<Listening>);

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.0.addr)
    }
}

impl Server {
    /// Where it is.
    pub fn addr(&self) -> Addr {
        self.0.addr
    }

    /// The oldest connection that nobody took.
    pub fn accept(&self) -> Option<Peer> {
        self.0.backlog.borrow_mut().pop_front().map(Peer::new)
    }
}

/// Streams and datagrams.
impl FakeHost {
    /// A server at `addr` (port 0: some port). `connect` of the module reaches it.
    ///
    /// # Panics
    /// When there is one.
    pub fn server(&self, addr: impl Into<Addr>) -> Server {
        let addr = self.state.bound(addr.into());
        let l = Rc::new(Listening { addr, backlog: Default::default(), waiters: Default::default() });
        let old = self.state.sites.borrow_mut().insert(addr.to_string(), Site::Open(Rc::clone(&l)));
        assert!(old.is_none(), "{addr} is taken");
        Server(l)
    }

    /// Connects to `addr` fail with `kind` from now on. (Where nothing was said they are refused.)
    pub fn refuse(&self, addr: impl Into<Addr>, kind: ErrorKind) {
        self.state.sites.borrow_mut().insert(addr.into().to_string(), Site::Refuse(kind));
    }

    /// Connects to `addr` do not end, unless by their own time limit.
    pub fn stall(&self, addr: impl Into<Addr>) {
        self.state.sites.borrow_mut().insert(addr.into().to_string(), Site::Stall);
    }

    /// Connects to a listener of the module's own; `None`: nothing listens there.
    pub fn dial(&self, addr: impl Into<Addr>) -> Option<Peer> {
        let to = addr.into();
        let l = match self.state.sites.borrow().get(&to.to_string()) {
            Some(Site::Open(l)) => Rc::clone(l),
            _ => return None,
        };
        let from = SocketAddr::from(([192, 0, 2, 1], self.state.port())).into();
        let (ours, theirs) = ends(from, to);
        l.push(theirs);
        Some(Peer::new(ours))
    }

    /// A stream of the host's, and the test's end of it, as an accepted connection is.
    pub fn stream(&self) -> (Stream, Peer) {
        self.stream_named("", "")
    }

    /// As `stream`, after a handshake that agreed on a server name and an application protocol.
    pub fn stream_named(&self, server_name: &str, alpn: &str) -> (Stream, Peer) {
        let client = SocketAddr::from(([192, 0, 2, 1], self.state.port()));
        let (ours, theirs) = ends(SocketAddr::from(([203, 0, 113, 1], 80)).into(), client.into());
        (ours.named(server_name, alpn).counted(&self.state.live), Peer::new(theirs))
    }

    /// The stream that `adopt` will make of the socket with this number, which it closes.
    pub fn adoptable(&self, fd: i64) -> Peer {
        let (ours, theirs) = ends(Addr::NONE, Addr::NONE);
        self.state.adoptable.borrow_mut().insert(fd, ours);
        Peer::new(theirs)
    }

    /// A connection that the module itself put into listener `listener` as a session.
    pub fn accepted(&self) -> Option<(u32, Stream)> {
        self.state.accepted.borrow_mut().pop_front()
    }

    /// Sends a datagram to a socket of the module; false: nobody is bound there, or its queue is full.
    pub fn send_datagram(&self, from: impl Into<Addr>, to: impl Into<Addr>, bytes: &[u8]) -> bool {
        self.state.deliver(from.into(), to.into(), bytes, 0)
    }

    /// The datagrams that the module sent where none of its own sockets is, since the last call.
    pub fn sent(&self) -> Vec<Sent> {
        self.state.sent.take()
    }

    /// Sockets take runs of `n` datagrams (GSO) from now on.
    pub fn segments(&self, n: u32) {
        self.state.segments.set(n.max(1));
    }

    /// Sends of datagrams would block while `on`.
    pub fn block_sends(&self, on: bool) {
        self.state.send_blocked.set(on);
        if !on {
            self.state.blocked.wake();
        }
    }

    /// A watched descriptor is ready (bits of `ready`) until the module clears them.
    pub fn set_ready(&self, fd: i64, bits: u8) {
        let all: Vec<_> = self.state.watches.borrow().iter().filter_map(Weak::upgrade).collect();
        all.iter().filter(|w| w.fd == fd).for_each(|w| w.set(bits));
    }

    /// What a name resolves to. (A literal address resolves to itself.)
    pub fn name(&self, name: &str, addresses: &[IpAddr], ttl_s: u32) {
        self.state.names.borrow_mut().insert(name.to_owned(), (addresses.to_vec(), ttl_s));
    }
}

/// Upstreams.
impl FakeHost {
    /// What the next connects to the session's upstream do, in order. After the last there is no peer.
    pub fn upstream_script(&self, attempts: &[Attempt]) {
        self.state.attempts.borrow_mut().extend(attempts);
    }

    /// The oldest connection to the upstream that nobody took.
    pub fn upstream(&self) -> Option<Peer> {
        self.state.upstreams.borrow_mut().pop_front()
    }

    /// What leases say of their peer.
    pub fn peer(&self, upstream: &str, host: &str, connector: &str, addr: impl Into<Addr>) {
        self.state.peer_name.replace((upstream.to_owned(), host.to_owned(), connector.to_owned()));
        self.state.peer_addr.set(addr.into());
    }

    /// How leases ended, since the last call.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.state.outcomes.take()
    }

    /// The upstreams that peers were picked of, since the last call; `None`: the session's own.
    pub fn picked_of(&self) -> Vec<Option<String>> {
        self.state.asked.take().into_iter().map(|number| self.upstream_name(number)).collect()
    }

    /// The name of the upstream that has a number (`Upstream::number`).
    pub fn upstream_name(&self, number: u32) -> Option<String> {
        self.state.named.borrow().get(number as usize).cloned()
    }

    /// The keys that peers were picked by, since the last call.
    pub fn pick_keys(&self) -> Vec<String> {
        self.state.lease_keys.take()
    }

    /// What the next calls of `Exchange::choose` give: a local, -1 or -2. Without: 0.
    pub fn routes(&self, locals: &[i32]) {
        self.state.routes.borrow_mut().extend(locals);
    }
}

/// Values, records, memory, files.
impl FakeHost {
    /// The value of `${name}` in every session. Known without: `client_addr`, `remote_addr`, `local_addr`, `domain`,
    /// `request_id`, `status`, and the module's own.
    pub fn variable(&self, name: &str, value: &str) {
        self.state.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// Records above this level are not kept (1 error … 5 trace; 5 at first).
    pub fn log_level(&self, level: u8) {
        self.state.log_level.set(level);
    }

    /// What was logged on this thread since the last call.
    pub fn logged(&self) -> Vec<LogRecord> {
        self.state.log.take()
    }

    /// A metric of the module by name and labels (`key=value`, or empty).
    pub fn metric(&self, name: &str, labels: &str) -> Option<Metric> {
        let all = self.state.metrics.borrow();
        let at = all.iter().position(|m| m.name == name && m.labels == labels)?;
        let mut m = all[at].clone();
        m.value = self.state.cells.borrow().get(&(at as u32)).map_or(0, |c| c.load(Relaxed));
        Some(m)
    }

    /// Limits the bytes of pooled buffers that may be out at a time; a greater limit wakes who waits.
    pub fn memory_limit(&self, bytes: usize) {
        self.state.memory.limit.store(bytes, SeqCst);
        self.state.memory.wake();
    }

    /// Bytes of pooled buffers that are out.
    pub fn memory_used(&self) -> usize {
        self.state.memory.used()
    }

    /// The temporary directory in which relative paths of the module lie; removed with the host.
    pub fn dir(&self) -> PathBuf {
        self.state.dir()
    }

    /// Files take so many bytes more, then writes fail with `StorageFull`.
    pub fn disk_room(&self, bytes: u64) {
        self.state.disk_room.set(bytes);
    }

    /// Whoever watches `path` (relative to `dir`, or absolute) sees a change.
    pub fn file_changed(&self, path: &str) {
        let path = self.state.dir().join(path);
        let all: Vec<_> = self.state.file_changes.borrow().iter().filter_map(Weak::upgrade).collect();
        all.iter().filter(|w| w.path == path).for_each(|w| w.fire());
    }

    /// This thread is worker `worker` of `workers` from now on; `None`: it is none.
    pub fn place(&self, worker: Option<u32>, workers: u32) {
        self.state.worker.set(worker);
        self.state.workers.set(workers);
    }
}

/// Zones and contracts.
impl FakeHost {
    /// What asks for a zone from now on is another image: the state reaches it as bytes.
    pub fn next_image(&self) {
        self.state.image.set(self.state.image.get() + 1);
    }

    /// Freezes a zone and takes its exported form, as `--hot` does: schema and bytes. `None`: there is none, or it panicked.
    pub fn export_zone(&self, name: &str) -> Option<(u32, Vec<u8>)> {
        let z = self.state.zones.borrow().get(name).and_then(Weak::upgrade);
        z?.export()
    }

    /// The exported form from which the zone will be made when it is next asked for.
    pub fn import_zone(&self, name: &str, schema: u32, bytes: &[u8]) {
        self.state.imports.borrow_mut().insert(name.to_owned(), (schema, bytes.to_vec()));
    }
}
