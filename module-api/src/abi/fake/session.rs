//! Sessions of the fake host: made by the test, counted as the host counts them.

use super::here;
use crate::abi::{
    bytes::{Sink, Slice, Str},
    module::{Place, Verdict},
    net::Addr,
    session::SessionShared,
    stream::Stream,
    task::LocalFuture,
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    rc::Rc,
};

/// A slot's data and what gives it up.
type Slot = (*const (), *mut (), unsafe extern "C" fn(*mut ()));

/// One session. The open part is first: its address is the session's.
#[repr(C)]
pub(crate) struct SessionObject {
    pub(crate) shared: SessionShared,
    /// Every text ever set, the present one last: a text handed out stays valid until the session ends.
    domains: RefCell<Vec<Box<str>>>,
    request_ids: RefCell<Vec<Box<str>>>,
    pub(crate) stages: RefCell<Vec<String>>,
    pub(crate) captures: RefCell<BTreeMap<String, Vec<u8>>>,
    slots: RefCell<Vec<Slot>>,
    retained: Cell<usize>,
    /// The waker of the session's task, for the deadline.
    pub(crate) waker: RefCell<Option<std::task::Waker>>,
}

impl SessionObject {
    /// A session of `client`, accepted on `local` now.
    pub(crate) fn new(client: Addr, local: Addr) -> Rc<Self> {
        let state = here();
        let mut all = state.sessions.borrow_mut();
        all.retain(|s| s.strong_count() > 0);
        let s = Rc::new(Self {
            shared: SessionShared {
                id: state.next_session.replace(state.next_session.get() + 1) + 1,
                started_ms: state.now_ns.get() / 1_000_000,
                deadline_ms: Cell::new(0),
                client_received: Cell::new(0),
                client_sent: Cell::new(0),
                upstream_received: Cell::new(0),
                upstream_sent: Cell::new(0),
                close_reason: Cell::new(0),
                status: Cell::new(0),
                fired: Cell::new(0),
                kill: Cell::new(0),
                draining: Cell::new(0),
                idle: Cell::new(0),
                reserved: [0; 4],
                client: Cell::new(client),
                remote: client,
                local,
            },
            domains: RefCell::default(),
            request_ids: RefCell::default(),
            stages: RefCell::default(),
            captures: RefCell::default(),
            slots: RefCell::default(),
            retained: Cell::new(0),
            waker: RefCell::default(),
        });
        all.push(Rc::downgrade(&s));
        s
    }

    /// Wakes the session's task.
    pub(crate) fn wake(&self) {
        let w = self.waker.borrow().clone();
        if let Some(w) = w {
            w.wake();
        }
    }

    /// The present task is the session's.
    pub(crate) fn note_waker(self: &Rc<Self>) -> impl Future<Output = ()> + use<> {
        let s = Rc::clone(self);
        std::future::poll_fn(move |cx| {
            s.waker.replace(Some(cx.waker().clone()));
            std::task::Poll::Ready(())
        })
    }

    /// Holds that modules have.
    pub(crate) fn module_holds(&self) -> usize {
        self.retained.get()
    }

    /// As modules name it.
    pub(crate) fn pointer(self: &Rc<Self>) -> *const SessionShared {
        Rc::as_ptr(self).cast()
    }

    pub(crate) fn domain(&self) -> &str {
        last(&self.domains)
    }

    pub(crate) fn set_domain(&self, text: &str) {
        self.domains.borrow_mut().push(text.into());
    }

    pub(crate) fn request_id(&self) -> &str {
        if self.request_ids.borrow().is_empty() {
            let id = format!("{:016x}", self.shared.id);
            self.request_ids.borrow_mut().push(id.into());
        }
        last(&self.request_ids)
    }
}

fn last(texts: &RefCell<Vec<Box<str>>>) -> &str {
    let texts = texts.borrow();
    // SAFETY: texts are boxed and never removed before the session ends, which the result borrows.
    texts.last().map_or("", |t| unsafe { &*std::ptr::from_ref::<str>(t) })
}

impl Drop for SessionObject {
    fn drop(&mut self) {
        for (_, data, drop) in self.slots.take() {
            // SAFETY: set by the module with its drop, given up once.
            unsafe { drop(data) }
        }
    }
}

/// The session behind a module's pointer.
///
/// # Safety
/// Of `SessionObject::pointer`, retained.
unsafe fn session(s: *const SessionShared) -> Rc<SessionObject> {
    let p = s.cast::<SessionObject>();
    // SAFETY: by contract; the open part is first.
    unsafe {
        Rc::increment_strong_count(p);
        Rc::from_raw(p)
    }
}

// SAFETY of every call below: the caller holds the session, and lends texts and sinks for the call.

pub(super) unsafe extern "C" fn retain(s: *const SessionShared) {
    // SAFETY: see above.
    let s = unsafe { session(s) };
    s.retained.set(s.retained.get() + 1);
    std::mem::forget(s);
}
pub(super) unsafe extern "C" fn release(s: *const SessionShared) {
    // SAFETY: see above; one hold is given back.
    let s = unsafe { Rc::from_raw(s.cast::<SessionObject>()) };
    s.retained.set(s.retained.get() - 1);
}
pub(super) unsafe extern "C" fn domain(s: *const SessionShared) -> Str<'static> {
    // SAFETY: see above; the text lives as long as the session.
    unsafe { Str::new(session(s).domain()).unbound() }
}
pub(super) unsafe extern "C" fn set_domain(s: *const SessionShared, text: Str<'_>) {
    // SAFETY: see above.
    unsafe { session(s) }.set_domain(text.as_str());
}
pub(super) unsafe extern "C" fn request_id(s: *const SessionShared) -> Str<'static> {
    // SAFETY: see above; the text lives as long as the session.
    unsafe { Str::new(session(s).request_id()).unbound() }
}
pub(super) unsafe extern "C" fn set_request_id(s: *const SessionShared, text: Str<'_>) {
    // SAFETY: see above.
    unsafe { session(s) }.request_ids.borrow_mut().push(text.as_str().into());
}
pub(super) unsafe extern "C" fn capture(s: *const SessionShared, name: Str<'_>, value: Slice<'_, u8>) {
    // SAFETY: as in `session`; name and value are lent for the call.
    let s = unsafe { session(s) };
    s.captures.borrow_mut().insert(name.as_str().to_owned(), value.as_slice().to_vec());
}

pub(super) unsafe extern "C" fn stage(s: *const SessionShared, text: Str<'_>) {
    // SAFETY: see above.
    unsafe { session(s) }.stages.borrow_mut().push(text.as_str().to_owned());
}
pub(super) unsafe extern "C" fn slot(s: *const SessionShared, module: *const ()) -> *mut () {
    // SAFETY: see above.
    let s = unsafe { session(s) };
    let slots = s.slots.borrow();
    slots.iter().find(|x| x.0 == module).map_or(std::ptr::null_mut(), |x| x.1)
}
pub(super) unsafe extern "C" fn set_slot(
    s: *const SessionShared,
    module: *const (),
    data: *mut (),
    drop: unsafe extern "C" fn(*mut ()),
) -> *mut () {
    // SAFETY: see above.
    let s = unsafe { session(s) };
    let mut slots = s.slots.borrow_mut();
    if let Some(kept) = slots.iter().find(|x| x.0 == module) {
        return kept.1;
    }
    slots.push((module, data, drop));
    data
}
pub(super) unsafe extern "C" fn render(
    s: *const SessionShared,
    template: u32,
    absent: bool,
    out: *mut Sink<'_>,
) -> bool {
    // SAFETY: see above.
    let (s, out) = unsafe { (session(s), &mut *out) };
    let state = here();
    let text = state.templates.borrow().get(template as usize).cloned();
    if let Some(text) = &text {
        out.push(&state.render(&s, text, absent));
    }
    text.is_some()
}
pub(super) unsafe extern "C" fn variable(s: *const SessionShared, name: Str<'_>, out: *mut Sink<'_>) -> bool {
    // SAFETY: see above.
    let (s, out) = unsafe { (session(s), &mut *out) };
    let value = here().variable(&s, name.as_str());
    if let Some(v) = &value {
        out.push(v);
    }
    value.is_some()
}
pub(super) unsafe extern "C" fn place(_: *const SessionShared, module: *const ()) -> Place {
    let here = here();
    Place { inst: module, worker: here.worker_object.get().0, conf: here.conf.get().0 }
}
pub(super) unsafe extern "C" fn exchange_begin(s: *const SessionShared) -> *const SessionShared {
    // SAFETY: a live session.
    let of = unsafe { &*s };
    let exchange = SessionObject::new(of.client.get(), of.local);
    Rc::into_raw(exchange).cast()
}
pub(super) unsafe extern "C" fn exchange_route(_: *const SessionShared) -> i32 {
    here().routes.borrow_mut().pop_front().unwrap_or(0)
}
pub(super) unsafe extern "C" fn exchange_hooks(_: *const SessionShared, _: *mut LocalFuture<bool>) -> Verdict {
    Verdict::Pass
}
pub(super) unsafe extern "C" fn exchanges(_: *const SessionShared) -> bool {
    false
}
pub(super) unsafe extern "C" fn exchange_end(s: *const SessionShared) {
    // SAFETY: given back what `exchange_begin` gave.
    drop(unsafe { Rc::from_raw(s.cast::<SessionObject>()) });
}
pub(super) unsafe extern "C" fn renew(_: *const SessionShared, stream: Stream) -> bool {
    here().accepted.borrow_mut().push_back((0, stream));
    true
}
pub(super) unsafe extern "C" fn accept(listener: u32, stream: Stream, _: *const Addr) -> bool {
    here().accepted.borrow_mut().push_back((listener, stream));
    true
}
