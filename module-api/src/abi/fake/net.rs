//! Sockets, datagrams, readiness and names of the fake host: tables in memory.

use super::{give, give_shared, here, lend, lend_shared, take, take_shared};
use crate::abi::{
    bytes::{Slice, Str},
    error::{Error, ErrorKind, Outcome},
    host::{Object, Received, RecvBuf, Resolved, Transmit},
    net::{Addr, SocketOptions},
    stream::Stream,
    task::{FfiContext, LocalFuture},
};
use crate::testing::{
    live::{Kind, Token, Waiters},
    state::{Listening, Sent, Site, State},
    wire::ends,
};
use std::{
    cell::RefCell,
    collections::VecDeque,
    future::{pending, poll_fn},
    net::SocketAddr,
    rc::Rc,
    slice,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

// ---- streams

fn dial(state: &State, to: Addr, from: Addr) -> Option<Outcome<Stream>> {
    let sites = state.sites.borrow();
    let open = match sites.get(&to.to_string()) {
        Some(Site::Open(l)) => Rc::clone(l),
        Some(Site::Refuse(kind)) => return Some(Outcome::Err(Error::bare(*kind))),
        Some(Site::Stall) => return None,
        None => return Some(Outcome::Err(Error::bare(ErrorKind::Refused))),
    };
    drop(sites);
    let from = if from == Addr::NONE { SocketAddr::from(([127, 0, 0, 1], state.port())).into() } else { from };
    let (here, there) = ends(from, to);
    open.push(there);
    Some(Outcome::Ok(here.counted(&state.live)))
}

impl Listening {
    pub(crate) fn push(&self, end: crate::testing::wire::End) {
        self.backlog.borrow_mut().push_back(end);
        self.waiters.wake();
    }
}

pub(super) unsafe extern "C" fn connect(to: Addr, options: *const SocketOptions) -> LocalFuture<Outcome<Stream>> {
    // SAFETY: lent for the call.
    let o = unsafe { *options };
    LocalFuture::new(async move {
        if let Some(r) = dial(&here(), to, o.source) {
            return r;
        }
        if o.connect_timeout_ms == 0 {
            pending::<()>().await;
        }
        crate::sleep(Duration::from_millis(o.connect_timeout_ms.into())).await;
        Outcome::Err(Error::bare(ErrorKind::TimedOut))
    })
}

pub(super) unsafe extern "C" fn adopt(fd: i64) -> Outcome<Stream> {
    // SAFETY: given up by the caller.
    drop(unsafe { crate::abi::fd::taken(fd) });
    let state = here();
    let end = state.adoptable.borrow_mut().remove(&fd);
    end.map_or(Outcome::Err(Error::bare(ErrorKind::Invalid)), |e| Outcome::Ok(e.counted(&state.live)))
}

type Held = (Rc<Listening>, Token);

pub(super) unsafe extern "C" fn listen(addr: Addr, _: *const SocketOptions) -> Outcome<Object> {
    let state = here();
    let addr = state.bound(addr);
    let mut sites = state.sites.borrow_mut();
    if sites.contains_key(&addr.to_string()) {
        return Outcome::Err(Error::bare(ErrorKind::AddrInUse));
    }
    let l = Rc::new(Listening { addr, backlog: RefCell::default(), waiters: Waiters::default() });
    sites.insert(addr.to_string(), Site::Open(Rc::clone(&l)));
    Outcome::Ok(give(Rc::new((l, state.live.token(Kind::Listener)))))
}
pub(super) unsafe extern "C" fn listener_accept(l: Object) -> LocalFuture<Outcome<Stream>> {
    // SAFETY: a handle of `listen`, held by the caller.
    let l = Rc::clone(&unsafe { lend::<Held>(l) }.0);
    LocalFuture::new(poll_fn(move |cx| {
        let end = l.backlog.borrow_mut().pop_front();
        if let Some(end) = end {
            return Poll::Ready(Outcome::Ok(end.counted(&here().live)));
        }
        l.waiters.note(cx);
        Poll::Pending
    }))
}
pub(super) unsafe extern "C" fn listener_addr(l: Object) -> Addr {
    // SAFETY: as above.
    unsafe { lend::<Held>(l) }.0.addr
}
pub(super) unsafe extern "C" fn listener_drop(l: Object) {
    // SAFETY: as above; given back.
    let l = unsafe { take::<Held>(l) };
    here().sites.borrow_mut().remove(&l.0.addr.to_string());
    // Who waits in the queue sees the end of its stream.
    let queue = std::mem::take(&mut *l.0.backlog.borrow_mut());
    drop(queue);
}

// ---- datagrams

/// Datagrams kept for one socket: more are lost, as a system loses them.
const QUEUE: usize = 1024;

/// A datagram socket in memory.
pub(crate) struct DatagramSocket {
    addr: Addr,
    queue: Mutex<VecDeque<(Received, Vec<u8>)>>,
    readers: Waiters,
    _token: Token,
}

impl DatagramSocket {
    /// Queues one; false: it is lost.
    pub(crate) fn push(&self, meta: Received, bytes: &[u8]) -> bool {
        let mut q = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if q.len() == QUEUE {
            return false;
        }
        q.push_back((meta, bytes.to_vec()));
        drop(q);
        self.readers.wake();
        true
    }
}

pub(super) unsafe extern "C" fn udp(addr: Addr, _: *const SocketOptions) -> Outcome<Object> {
    let state = here();
    let addr = state.bound(addr);
    let mut sockets = state.sockets.borrow_mut();
    if sockets.get(&addr.to_string()).is_some_and(|s| s.strong_count() > 0) {
        return Outcome::Err(Error::bare(ErrorKind::AddrInUse));
    }
    let s = Arc::new(DatagramSocket {
        addr,
        queue: Mutex::default(),
        readers: Waiters::default(),
        _token: state.live.token(Kind::Udp),
    });
    sockets.insert(addr.to_string(), Arc::downgrade(&s));
    Outcome::Ok(give_shared(s))
}
pub(super) unsafe extern "C" fn udp_addr(s: Object) -> Addr {
    // SAFETY: a handle of `udp`, held by the caller.
    unsafe { lend_shared::<DatagramSocket>(s) }.addr
}
pub(super) unsafe extern "C" fn udp_segments(_: Object, receive: bool) -> u32 {
    if receive { 1 } else { here().segments.get() }
}
pub(super) unsafe extern "C" fn udp_recv(
    s: Object,
    cx: &FfiContext<'_>,
    bufs: *mut RecvBuf,
    meta: *mut Received,
    n: usize,
) -> isize {
    // SAFETY: as above; `n` buffers and metas are lent for the call.
    let (s, bufs, metas) = unsafe {
        (lend_shared::<DatagramSocket>(s), slice::from_raw_parts(bufs, n), slice::from_raw_parts_mut(meta, n))
    };
    let mut filled = 0;
    for (buf, meta) in bufs.iter().zip(metas) {
        let Some((mut m, bytes)) = s.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else { break };
        // What does not fit is cut off, as a system does.
        m.len = bytes.len().min(buf.len);
        m.segment = m.len;
        // SAFETY: the buffer has `len` bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), buf.ptr, m.len) };
        *meta = m;
        filled += 1;
    }
    if filled == 0 && n > 0 {
        cx.with_context(|cx| s.readers.note(cx));
        return crate::abi::stream::PENDING;
    }
    filled
}

/// Sends: to a socket of this host, or into the record.
fn transmit(state: &State, listener: Option<u32>, from: Addr, t: &Transmit<'_>, cx: &FfiContext<'_>) -> isize {
    if state.send_blocked.get() {
        cx.with_context(|cx| state.blocked.note(cx));
        return crate::abi::stream::PENDING;
    }
    let from = if t.from == Addr::NONE { from } else { t.from };
    let size = if t.segment == 0 { t.bytes.len().max(1) } else { t.segment };
    for piece in t.bytes.chunks(size) {
        if !state.deliver(from, t.to, piece, t.ecn) {
            state.sent.borrow_mut().push(Sent { listener, from, to: t.to, bytes: piece.to_vec() });
        }
    }
    t.bytes.len().cast_signed()
}

pub(super) unsafe extern "C" fn udp_send(s: Object, cx: &FfiContext<'_>, t: *const Transmit<'_>) -> isize {
    // SAFETY: a handle of `udp`; the transmit is lent for the call.
    let (s, t) = unsafe { (lend_shared::<DatagramSocket>(s), &*t) };
    transmit(&here(), None, s.addr, t, cx)
}
pub(super) unsafe extern "C" fn datagram_send(listener: u32, cx: &FfiContext<'_>, t: *const Transmit<'_>) -> isize {
    // SAFETY: lent for the call.
    transmit(&here(), Some(listener), Addr::NONE, unsafe { &*t }, cx)
}
pub(super) unsafe extern "C" fn udp_writable(_: Object, cx: &FfiContext<'_>) -> u8 {
    let state = here();
    if state.send_blocked.get() {
        cx.with_context(|cx| state.blocked.note(cx));
        return 0;
    }
    1
}
pub(super) unsafe extern "C" fn last_error() -> Error {
    here().last_error.take().unwrap_or(Error::bare(ErrorKind::Other))
}
pub(super) unsafe extern "C" fn udp_drop(s: Object) {
    // SAFETY: as above; given back.
    drop(unsafe { take_shared::<DatagramSocket>(s) });
}

// ---- readiness

/// A descriptor watched; the test says when it is ready.
pub(crate) struct FakeWatch {
    pub(crate) fd: i64,
    ready: AtomicU8,
    waiters: Waiters,
    _token: Token,
}

impl FakeWatch {
    /// The bits that hold from now on, until the module clears them.
    pub(crate) fn set(&self, bits: u8) {
        self.ready.fetch_or(bits, SeqCst);
        self.waiters.wake();
    }
}

pub(super) unsafe extern "C" fn watch(fd: i64, _: u8) -> Outcome<Object> {
    if fd < 0 {
        return Outcome::Err(Error::bare(ErrorKind::Invalid));
    }
    let state = here();
    let w = Arc::new(FakeWatch {
        fd,
        ready: AtomicU8::new(0),
        waiters: Waiters::default(),
        _token: state.live.token(Kind::Watch),
    });
    state.watches.borrow_mut().push(Arc::downgrade(&w));
    Outcome::Ok(give_shared(w))
}
pub(super) unsafe extern "C" fn watch_poll(w: Object, cx: &FfiContext<'_>, bits: u8) -> u8 {
    // SAFETY: a handle of `watch`, held by the caller.
    let w = unsafe { lend_shared::<FakeWatch>(w) };
    let now = w.ready.load(SeqCst) & bits;
    if now == 0 {
        cx.with_context(|cx| w.waiters.note(cx));
    }
    now
}
pub(super) unsafe extern "C" fn watch_clear(w: Object, bits: u8) {
    // SAFETY: as above.
    let w = unsafe { lend_shared::<FakeWatch>(w) };
    w.ready.fetch_and(!bits, SeqCst);
}
pub(super) unsafe extern "C" fn watch_drop(w: Object) {
    // SAFETY: as above; given back.
    drop(unsafe { take_shared::<FakeWatch>(w) });
}

// ---- names

type Answer = (Vec<Resolved>, Token);

pub(super) unsafe extern "C" fn resolve(host: Str<'_>, port: u16) -> LocalFuture<Outcome<Object>> {
    let name = host.as_str().to_owned();
    LocalFuture::new(async move {
        let state = here();
        let literal = name.parse().map(|ip| (vec![ip], 60));
        let found = literal.ok().or_else(|| state.names.borrow().get(&name).cloned());
        let Some((ips, ttl_s)) = found else {
            return Outcome::Err(Error::new(ErrorKind::NotFound, format!("{name}: not in the fake host's table")));
        };
        let to = |ip| Resolved { addr: SocketAddr::new(ip, port).into(), ttl_s };
        let list: Vec<_> = ips.into_iter().map(to).collect();
        Outcome::Ok(give(Rc::new((list, state.live.token(Kind::Resolved)))))
    })
}
pub(super) unsafe extern "C" fn resolved(list: Object) -> Slice<'static, Resolved> {
    // SAFETY: a handle of `resolve`, held by the caller, whose list does not change.
    Slice::new(&unsafe { &*list.cast_const().cast::<Answer>() }.0)
}
pub(super) unsafe extern "C" fn resolved_drop(list: Object) {
    // SAFETY: as above; given back.
    drop(unsafe { take::<Answer>(list) });
}
