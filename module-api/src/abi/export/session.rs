//! A module's own view of a session.

use super::{At, Exchange, Module};
use crate::abi::{
    bytes::{Sink, Slice, Str},
    error::Error,
    host::HostVtable,
    module::Place,
    recycled::Recycled,
    services::{Connecting, Lease, Upstream, connect_session, has, host, pick, pick_instead, pick_now},
    session::{CloseReason, SessionShared},
    stream::Stream,
    task::Answer,
};
use std::{
    any::TypeId,
    fmt,
    future::{Future, poll_fn},
    mem::{ManuallyDrop, offset_of},
    ops::Deref,
    pin::pin,
    task::Poll,
};

/// A module's value in a session, with its type.
#[repr(C)]
struct Slot<T> {
    of: TypeId,
    value: T,
}

/// A session held by a module: its open fields by `Deref`, the rest by methods. Stays on its worker.
pub struct Session<M> {
    pub(super) raw: *const SessionShared,
    /// Its objects are there for as long as the session is held: nobody is given it, or them, for longer.
    at: At<'static, M>,
}

impl<M: Module> Session<M> {
    /// # Safety
    /// `raw` is a live session of this worker, `place` holds objects of `M`.
    pub(crate) unsafe fn new(raw: *const SessionShared, place: Place) -> Self {
        // SAFETY: a live session.
        unsafe { (host().session_retain)(raw) };
        Self {
            raw,
            // SAFETY: by contract.
            at: unsafe { At::new(place) },
        }
    }

    /// One without a hold of its own, for the length of a call that is lent the session.
    ///
    /// # Safety
    /// As `new`; it is not used after the call.
    pub(super) const unsafe fn lent(raw: *const SessionShared, place: Place) -> ManuallyDrop<Self> {
        // SAFETY: by contract.
        ManuallyDrop::new(Self { raw, at: unsafe { At::new(place) } })
    }

    /// The session that another module's call concerns, as this module sees it: in a function of a contract.
    ///
    /// # Safety
    /// `raw` is a live session of this worker, and `module` the object of a generation.
    ///
    /// # Panics
    /// When the session is of another generation.
    pub unsafe fn of(raw: *const SessionShared, module: &M) -> Self {
        // SAFETY: by contract.
        let place = unsafe { (host().session_place)(raw, std::ptr::from_ref(module).cast()) };
        assert!(!place.inst.is_null(), "the session is of another generation than the module");
        // SAFETY: by contract; the objects are the module's.
        unsafe { Self::new(raw, place) }
    }

    pub(super) fn vt(&self) -> &'static HostVtable {
        host()
    }

    /// The generation's object.
    pub fn module(&self) -> &M {
        self.at.module()
    }

    /// This worker's object.
    pub fn worker(&self) -> &M::Worker {
        self.at.worker()
    }

    /// The object of the block that the handler was chosen in.
    pub fn conf(&self) -> &M::Conf {
        self.at.conf()
    }

    /// As `conf`, where the module may have none.
    pub fn try_conf(&self) -> Option<&M::Conf> {
        self.at.try_conf()
    }

    /// This module's object for the block that the session is in now, whatever block the call concerns: the local once
    /// it is chosen, for a connector or greeting beside the peer's own.
    pub fn block(&self) -> Option<&M::Conf> {
        // SAFETY: a retained session; the result is this module's and lives as long as the generation.
        unsafe { (self.vt().session_place)(self.raw, self.at.place.inst).conf.cast::<M::Conf>().as_ref() }
    }

    /// The pointer, for functions of contracts.
    pub const fn as_ptr(&self) -> *const SessionShared {
        self.raw
    }

    /// The domain asked for; empty: none.
    pub fn domain(&self) -> &str {
        // SAFETY: a retained session; the text lives as long as the session: one that is set anew leaves it in place.
        unsafe { (self.vt().session_domain)(self.raw) }.as_str()
    }

    /// Sets the domain asked for.
    pub fn set_domain(&self, domain: &str) {
        // SAFETY: a retained session; the text is copied.
        unsafe { (self.vt().session_set_domain)(self.raw, Str::new(domain)) }
    }

    /// The request id; made when first asked for.
    pub fn request_id(&self) -> &str {
        // SAFETY: as in `domain`.
        unsafe { (self.vt().session_request_id)(self.raw) }.as_str()
    }

    /// Takes over a request id from a trusted sender.
    pub fn set_request_id(&self, id: &str) {
        // SAFETY: as in `set_domain`.
        unsafe { (self.vt().session_set_request_id)(self.raw, Str::new(id)) }
    }

    /// What a named group matched of a regular expression that a directive of this module holds (`Kind::Regex`): the value of
    /// `${re.name}` from now on. A host without captures of modules' own has none.
    pub fn set_capture(&self, name: &str, value: &[u8]) {
        if has(self.vt(), offset_of!(HostVtable, session_capture) + size_of::<usize>()) {
            // SAFETY: a retained session; name and value are copied.
            unsafe { (self.vt().session_capture)(self.raw, Str::new(name), Slice::new(value)) }
        }
    }

    /// Ready when the session is to begin nothing more: it was killed (`kill`, `CloseReason` says by whom) or its generation is retired
    /// (`draining`); then the handler finishes what is under way and returns. To be awaited in the session's own task, its
    /// handler's future: that alone is woken.
    pub fn draining(&self) -> impl Future<Output = ()> + '_ {
        poll_fn(|_| if self.kill.get() | self.draining.get() == 0 { Poll::Pending } else { Poll::Ready(()) })
    }

    /// What `work` comes to; `None`: [`Session::draining`] came first, and `work` is dropped.
    pub async fn unless_draining<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.kill.get() | self.draining.get() != 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// Notes a stage for `${stream_work_times}`.
    pub fn stage(&self, name: &'static str) {
        // SAFETY: a retained session; a static text.
        unsafe { (self.vt().session_stage)(self.raw, Str::new(name)) }
    }

    /// Notes why it ended, unless that is known already.
    pub fn close(&self, reason: CloseReason) {
        if self.close_reason.get() == 0 {
            self.close_reason.set(reason.code());
        }
    }

    /// A template of the configuration (`Kind::Template`) with this session's values.
    pub fn render(&self, template: u32, out: &mut Vec<u8>) -> bool {
        let mut sink = Sink::to_vec(out);
        // SAFETY: a retained session; the sink is borrowed for the call.
        unsafe { (self.vt().session_render)(self.raw, template, false, &raw mut sink) }
    }

    /// The value of a variable by name; false: it has none.
    pub fn variable(&self, name: &str, out: &mut Vec<u8>) -> bool {
        let mut sink = Sink::to_vec(out);
        // SAFETY: as above.
        unsafe { (self.vt().session_variable)(self.raw, Str::new(name), &raw mut sink) }
    }

    /// Chooses a peer of the session's upstream and connects, with the upstream's retries.
    ///
    /// # Errors
    /// The last attempt's, or `NoPeer`.
    pub fn connect_upstream(&self) -> Connecting {
        connect_session(self.raw, Upstream::OWN)
    }

    /// The same of an upstream that a directive of the module names: with the limits, retries and counters of that one.
    ///
    /// # Errors
    /// As [`Session::connect_upstream`].
    pub fn connect_to(&self, upstream: Upstream) -> Connecting {
        connect_session(self.raw, upstream)
    }

    /// Chooses a peer only: for a module that keeps connections itself. `key`: what balancers hash (see `PickCx::key`) where the
    /// upstream's block has no `balancer_key`; empty: the client's address.
    ///
    /// # Errors
    /// `NoPeer`, or `TimedOut` in the upstream's queue.
    pub async fn pick_peer(&self, key: &str) -> Result<Lease, Error> {
        pick(self.raw, Upstream::OWN, key, &[]).await
    }

    /// The same of an upstream that a directive of the module names. `tried`: peers of it (`PeerInfo::id`) that failed this
    /// session, as for [`Session::pick_another`].
    ///
    /// # Errors
    /// As [`Session::pick_peer`], and as [`Session::pick_another`] where some were tried.
    pub async fn pick_peer_of(&self, upstream: Upstream, key: &str, tried: &[u64]) -> Result<Lease, Error> {
        pick(self.raw, upstream, key, tried).await
    }

    /// The same where it takes no waiting: `None` is no error, and [`Session::pick_peer`] tells more.
    pub fn pick_peer_now(&self) -> Option<Lease> {
        pick_now(self.raw)
    }

    /// Chooses another peer than those (`PeerInfo::id`) that failed this session, or one of them where there is no other.
    ///
    /// # Errors
    /// `Limit`: the upstream's budget of retries is used up; else as [`Session::pick_peer`].
    pub async fn pick_another(&self, tried: &[u64]) -> Result<Lease, Error> {
        pick(self.raw, Upstream::OWN, "", tried).await
    }

    /// The same in place of `held`, which is still in use: its places, of the upstream and of the peer, are the new lease's.
    /// Nothing is waited for; the same peer may be chosen again where the others have no room.
    ///
    /// # Errors
    /// `Limit`, `NoPeer`; `Invalid` where `held` is of another generation than the session. `held` is as it was.
    pub async fn pick_instead(&self, held: &mut Lease, tried: &[u64]) -> Result<Lease, Error> {
        pick_instead(self.raw, held, tried).await
    }

    /// This module's object for the block of the lease's peer.
    pub fn peer_conf(&self, lease: &Lease) -> Option<&M::Conf> {
        // SAFETY: the host's object; the result is this module's and lives as long as the generation.
        unsafe { (self.vt().lease_conf)(lease.raw(), self.at.place.inst).cast::<M::Conf>().as_ref() }
    }

    /// Joins two streams by the best relay that takes them, to the end of both.
    ///
    /// # Errors
    /// What ended them, if not in order.
    pub fn relay(&self, client: Stream, upstream: Stream) -> impl Future<Output = Result<(), Error>> + use<M> {
        // SAFETY: a retained session; the streams are given away.
        Answer(unsafe { (self.vt().relay)(self.raw, client, upstream) })
    }

    /// Whether it carries exchanges, each with a client of its own and judged by the hooks of `Phase::Routed`: its server has
    /// a handler with `EXCHANGES`, or, before a server is chosen (`Phase::Access`), one that may be chosen has.
    pub fn has_exchanges(&self) -> bool {
        let vt = self.vt();
        let known = vt.size >= offset_of!(HostVtable, session_exchanges) + size_of::<usize>();
        // SAFETY: a retained session.
        known && unsafe { (vt.session_exchanges)(self.raw) }
    }

    /// An exchange of this session: a session of its own for one request and its answer, of which there may be many, one
    /// after the other or at a time. Only for a handler with `EXCHANGES`.
    pub fn exchange(&self) -> Exchange<M> {
        // SAFETY: a retained session; one reference is given to us, which `Exchange` gives back.
        let raw = unsafe { (self.vt().exchange_begin)(self.raw) };
        Exchange { session: ManuallyDrop::new(Self { raw, at: self.at }) }
    }

    /// Gives the stream to the generation that serves now, where this one is retired and nothing is under way on it. False:
    /// no server there has this handler, and the stream is closed.
    pub fn renew(&self, stream: Stream) -> bool {
        // SAFETY: a retained session; the stream is given away.
        unsafe { (self.vt().session_renew)(self.raw, stream) }
    }

    /// This module's private value in the session, if `slot` made one. `T` is the type that `slot` is used with.
    ///
    /// # Panics
    /// When the module keeps a value of another type there.
    pub fn slot_if_made<T: 'static>(&self) -> Option<&T> {
        // SAFETY: a retained session.
        let p = unsafe { (self.vt().session_slot)(self.raw, self.at.place.inst) };
        // SAFETY: made by `fill_slot` of this image; the session is retained.
        (!p.is_null()).then(|| unsafe { Self::slot_at(p) })
    }

    /// This module's private value in the session, made by `make` when first asked for. It ends when nobody holds the session
    /// any more, which for one that is kept is later than its end: a value that holds its own session never ends. So does a
    /// [`Lease`](crate::Lease) or a [`Connecting`](crate::Connecting) of it: what is kept of a peer here is kept without.
    ///
    /// # Panics
    /// When the module already keeps a value of another type there.
    pub fn slot<T: 'static>(&self, make: impl FnOnce() -> T) -> &T {
        match self.slot_if_made() {
            Some(kept) => kept,
            None => self.fill_slot(make()),
        }
    }

    /// The same where there most likely is none yet: `value`, or the one that is kept already.
    ///
    /// # Panics
    /// As [`Session::slot`].
    pub fn fill_slot<T: 'static>(&self, value: T) -> &T {
        unsafe extern "C" fn drop_slot<T>(data: *mut ()) {
            // SAFETY: the box made below, given up once.
            crate::abi::task::guard(|| drop(unsafe { Recycled::from_raw(data.cast::<Slot<T>>()) }));
        }
        let made: *mut () = Recycled::into_raw(Recycled::new(Slot { of: TypeId::of::<T>(), value })).cast();
        // SAFETY: a retained session; the slot is this module's own.
        let kept = unsafe { (self.vt().session_set_slot)(self.raw, self.at.place.inst, made, drop_slot::<T>) };
        if kept != made {
            // SAFETY: the box made above, which nobody else has.
            unsafe { drop_slot::<T>(made) };
        }
        // SAFETY: as in `slot_if_made`.
        unsafe { Self::slot_at(kept) }
    }

    /// The value behind what the host keeps.
    ///
    /// # Safety
    /// Made by `fill_slot` of this image (an instance is of one image), of a session that is retained for `'a`.
    unsafe fn slot_at<'a, T: 'static>(kept: *const ()) -> &'a T {
        // SAFETY: its type comes first, whatever the value.
        let of = unsafe { *kept.cast::<TypeId>() };
        assert_eq!(of, TypeId::of::<T>(), "a module keeps one type in its slot");
        // SAFETY: of this type; lives as long as the session.
        &unsafe { &*kept.cast::<Slot<T>>() }.value
    }
}

impl<M> Deref for Session<M> {
    type Target = SessionShared;
    fn deref(&self) -> &SessionShared {
        // SAFETY: a retained session.
        unsafe { &*self.raw }
    }
}

impl<M: Module> Clone for Session<M> {
    fn clone(&self) -> Self {
        // SAFETY: this one holds it.
        unsafe { Self::new(self.raw, self.at.place) }
    }
}

impl<M> Drop for Session<M> {
    fn drop(&mut self) {
        // SAFETY: given back once.
        unsafe { (host().session_release)(self.raw) }
    }
}

impl<M> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({})", self.id)
    }
}
