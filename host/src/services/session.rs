//! Sessions as modules see them: the functions of the table that take a session's pointer, and the slots that modules
//! keep in it.

use super::current::enter_on;
use crate::{
    session::{Session, Texts},
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    bytes::{Sink, Slice, Str},
    module::{Phase, Place, Verdict},
    session::SessionShared,
    stream::Stream,
    task::LocalFuture,
};
use std::{cell::RefCell, ptr, rc::Rc};

/// The session behind the pointer that modules hold.
///
/// # Safety
/// The pointer came from `Session::shared_ptr` and the session is alive on this thread.
unsafe fn of<'a>(shared: *const SessionShared) -> &'a Session {
    // SAFETY: `shared` is the first field of a `repr(C)` structure.
    unsafe { &*shared.cast::<Session>() }
}

/// Holds a session by its pointer.
pub(super) fn hold(shared: *const SessionShared) -> Rc<Session> {
    // SAFETY: by contract of the table's functions: alive, of this thread; every session lives in an `Rc`.
    unsafe {
        let p = shared.cast::<Session>();
        Rc::increment_strong_count(p);
        Rc::from_raw(p)
    }
}

/// One module's private value in a session.
#[derive(Debug)]
pub struct Slot {
    module: *const (),
    data: *mut (),
    drop: unsafe extern "C" fn(*mut ()),
}

/// The private values of all modules in one session. Modules borrow them for as long as they hold the session.
#[derive(Debug, Default)]
pub struct Slots(RefCell<Vec<Slot>>);

impl Slots {
    /// Gives all values up, in their modules' names, once nobody holds the session but the caller. Nor does it run any
    /// more: nothing in here could come by it again.
    pub fn clear(&self, generation: &WorkerGen) {
        // One by one: the list's memory is for the next exchange.
        while let Some(slot) = { self.0.borrow_mut().pop() } {
            let module = generation.cycle.module_of(slot.module);
            let _who = enter_on(generation, module);
            // SAFETY: given up once; the function belongs to the value.
            unsafe { (slot.drop)(slot.data) }
        }
    }
}

pub(super) unsafe extern "C" fn retain(s: *const SessionShared) {
    // SAFETY: see `hold`.
    unsafe { Rc::increment_strong_count(s.cast::<Session>()) }
}

pub(super) unsafe extern "C" fn release(s: *const SessionShared) {
    // SAFETY: gives back what `retain` took.
    unsafe { Rc::decrement_strong_count(s.cast::<Session>()) }
}

/// Sets a text. The one before stays where it is until the session ends: a module may hold it.
fn replace(texts: &Texts, to: &RefCell<String>, text: Str<'_>) {
    let mut now = to.borrow_mut();
    if now.is_empty() {
        // Nobody holds what is not there, and its memory may be that of an exchange before.
        now.push_str(text.as_str());
    } else {
        texts.replaced.borrow_mut().push(std::mem::replace(&mut now, text.as_str().to_owned()));
    }
}

pub(super) unsafe extern "C" fn domain(s: *const SessionShared) -> Str<'static> {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    // The text stays until the session ends, see `replace`.
    // SAFETY: as `replace` keeps it; the caller reads it while it holds the session.
    s.peek(|texts| unsafe { Str::new(texts.domain.borrow().as_str()).unbound() })
}

pub(super) unsafe extern "C" fn set_domain(s: *const SessionShared, domain: Str<'_>) {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    replace(s.texts(), &s.texts().domain, domain);
}

pub(super) unsafe extern "C" fn request_id(s: *const SessionShared) -> Str<'static> {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    s.ensure_request_id();
    // SAFETY: as in `domain`.
    unsafe { Str::new(s.texts().request_id.borrow().as_str()).unbound() }
}

pub(super) unsafe extern "C" fn set_request_id(s: *const SessionShared, id: Str<'_>) {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    replace(s.texts(), &s.texts().request_id, id);
}

pub(super) unsafe extern "C" fn capture(s: *const SessionShared, name: Str<'_>, value: Slice<'_, u8>) {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    // Borrowed while rules are tried, which ask modules for values and nothing else.
    if let (Some(slot), Ok(mut captures)) =
        (s.worker.cycle.captures.slot(name.as_str()), s.texts().captures.try_borrow_mut())
    {
        captures.set(slot, value.as_slice());
    }
}

pub(super) unsafe extern "C" fn stage(s: *const SessionShared, name: Str<'static>) {
    // SAFETY: see `of`.
    unsafe { of(s) }.stage(name);
}

pub(super) unsafe extern "C" fn slot(s: *const SessionShared, module: *const ()) -> *mut () {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    s.slots.0.borrow().iter().find(|x| x.module == module).map_or(ptr::null_mut(), |x| x.data)
}

pub(super) unsafe extern "C" fn set_slot(
    s: *const SessionShared,
    module: *const (),
    data: *mut (),
    drop: unsafe extern "C" fn(*mut ()),
) -> *mut () {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    let mut slots = s.slots.0.borrow_mut();
    if let Some(kept) = slots.iter().find(|x| x.module == module) {
        return kept.data;
    }
    // Most sessions have one or two: growing by doubling would give them four.
    slots.reserve_exact(1);
    slots.push(Slot { module, data, drop });
    data
}

pub(super) unsafe extern "C" fn render(
    s: *const SessionShared,
    template: u32,
    absent: bool,
    out: *mut Sink<'_>,
) -> bool {
    // SAFETY: see `of`; the sink is lent for the call.
    let (s, out) = unsafe { (of(s), &mut *out) };
    let mut text = Vec::new();
    let known = s.render(template, absent, &mut text);
    out.push(&text);
    known
}

pub(super) unsafe extern "C" fn variable(s: *const SessionShared, name: Str<'_>, out: *mut Sink<'_>) -> bool {
    // SAFETY: see `of`; the sink is lent for the call.
    let (s, out) = unsafe { (of(s), &mut *out) };
    let mut text = Vec::new();
    let has = s.variable(name.as_str(), &mut text);
    out.push(&text);
    has
}

pub(super) unsafe extern "C" fn place(s: *const SessionShared, module: *const ()) -> Place {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    match s.worker.cycle.module_of(module) {
        // A pointer that is no module's of this generation has no objects in it.
        0 => Place { inst: ptr::null(), worker: ptr::null(), conf: ptr::null() },
        module => s.worker.place(module, s.worker.cycle.conf(s.scope.get(), module)),
    }
}

pub(super) unsafe extern "C" fn exchanges(s: *const SessionShared) -> bool {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    match s.user() {
        Some(user) => user.server.exchanges.is_some(),
        None => s.listener.users.iter().any(|u| u.server.exchanges.is_some()),
    }
}

pub(super) unsafe extern "C" fn exchange_begin(s: *const SessionShared) -> *const SessionShared {
    Rc::into_raw(Session::exchange(&hold(s))).cast()
}

pub(super) unsafe extern "C" fn exchange_route(s: *const SessionShared) -> i32 {
    // SAFETY: see `of`.
    let s = unsafe { of(s) };
    match s.choose_again() {
        Some(Some(local)) => local as i32,
        Some(None) => -1,
        None => -2,
    }
}

pub(super) unsafe extern "C" fn exchange_hooks(s: *const SessionShared, later: *mut LocalFuture<bool>) -> Verdict {
    // SAFETY: see `of`.
    let Some(first) = unsafe { of(s) }.first_to_ask(Phase::Routed) else { return Verdict::Deny };
    if first == Session::NOBODY {
        return Verdict::Pass;
    }
    let exchange = hold(s);
    let scope = exchange.scope.get();
    let wait = async move { exchange.hooks_from(Phase::Routed, scope, first).await.is_ok() };
    // SAFETY: the caller's, written once.
    unsafe { later.write(LocalFuture::new(wait)) };
    Verdict::Ask
}

pub(super) unsafe extern "C" fn exchange_end(s: *const SessionShared) {
    // SAFETY: gives back what `exchange_begin` gave.
    let exchange = unsafe { Rc::from_raw(s.cast::<Session>()) };
    exchange.end_exchange();
    exchange.park();
}

pub(super) unsafe extern "C" fn renew(s: *const SessionShared, stream: Stream) -> bool {
    crate::session::renew(&hold(s), stream)
}
