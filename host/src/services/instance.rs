//! Calls into modules: the raw tables of one module in one generation, behind safe methods that set who is running.

use super::current::{Current, enter};
use crate::{cycle::Cycle, loader::Image, session::Session, upstream::turns::Turns, worker::generation::WorkerGen};
use anyproxy_module_api::abi::{
    bytes::{Sink, Slice, Str},
    conf::{ScopeView, Span},
    error::Outcome,
    host::Report,
    module::{
        ActionPoint, BalancerPoint, ConnectRequest, ConnectorPoint, GreetingPoint, HandlerPoint, HookPoint, Life,
        ListenerPoint, Look, LookOut, ModuleDesc, Place, PrereadPoint, ProbePoint, ProvidePoint, RelayPoint,
        VariablePoint, Verdict,
    },
    net::SocketOptions,
    stream::Stream,
    task::LocalFuture,
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};
use std::{ptr, sync::Arc};

/// A problem that a module reported.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where; `None`: nowhere in particular.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What to do; empty: nothing to say.
    pub help: String,
    /// Only a warning.
    pub warning: bool,
}

fn with_report<R>(out: &mut Vec<Problem>, f: impl FnOnce(*mut Report) -> R) -> R {
    unsafe extern "C" fn push(data: *mut (), span: *const Span, message: Str, help: Str, warning: bool) {
        // SAFETY: `data` is the vector below; the span is null or lent for the call.
        let (out, span) = unsafe { (&mut *data.cast::<Vec<Problem>>(), span.as_ref().copied()) };
        // A module may not flood the host with problems.
        if out.len() < 1000 {
            out.push(Problem { span, message: message.as_str().to_owned(), help: help.as_str().to_owned(), warning });
        }
    }
    let mut report = Report { data: ptr::from_mut(out).cast(), push };
    f(&raw mut report)
}

/// One module in one generation.
#[derive(Debug)]
pub struct Instance {
    /// Its code.
    pub image: Arc<Image>,
    object: *mut (),
}

// SAFETY: a module's object is `Send + Sync` by the contract of `Life::create`.
unsafe impl Send for Instance {}
// SAFETY: as above.
unsafe impl Sync for Instance {}

/// A module's object for one block. Given back by `Instance::drop_conf`.
#[derive(Clone, Copy, Debug)]
pub struct Conf(*mut ());

// SAFETY: `Send + Sync` by the contract of `Life::conf`.
unsafe impl Send for Conf {}
// SAFETY: as above.
unsafe impl Sync for Conf {}

impl Conf {
    /// No object.
    pub const NONE: Self = Self(ptr::null_mut());

    /// The pointer, as a module sees it.
    pub const fn as_ptr(self) -> *const () {
        self.0
    }
}

/// A module's object on one worker.
#[derive(Clone, Copy, Debug)]
pub struct WorkerObject(*mut ());

impl WorkerObject {
    /// No object.
    pub const NONE: Self = Self(ptr::null_mut());

    /// The pointer, as a module sees it.
    pub const fn as_ptr(self) -> *const () {
        self.0
    }
}

impl Instance {
    /// A new generation of the module; `None`: it panicked.
    pub fn create(image: Arc<Image>) -> Option<Self> {
        // SAFETY: the image's own table.
        let object = unsafe { (image.desc.life.create)() };
        (!object.is_null()).then_some(Self { image, object })
    }

    /// What it registers.
    pub fn desc(&self) -> &'static ModuleDesc {
        self.image.desc
    }

    fn life(&self) -> &Life {
        &self.image.desc.life
    }

    /// The pointer by which the module names itself to the host.
    pub const fn as_ptr(&self) -> *const () {
        self.object
    }

    /// The objects of a call that concerns no worker and no block.
    pub const fn place(&self) -> Place {
        Place { inst: self.object, worker: ptr::null(), conf: ptr::null() }
    }

    /// The module's object for one block; `None`: it reported problems, or panicked (reported too).
    pub fn conf(&self, view: &ScopeView, problems: &mut Vec<Problem>) -> Option<Conf> {
        let before = problems.len();
        // SAFETY: the module's own object; view and report are lent for the call.
        let conf = with_report(problems, |r| unsafe { (self.life().conf)(self.object, ptr::from_ref(view), r) });
        if conf.is_null() && problems.len() == before {
            let message = "the module panicked while it read this block".to_owned();
            problems.push(Problem { span: Some(view.span), message, help: String::new(), warning: false });
        }
        (!conf.is_null()).then_some(Conf(conf))
    }

    /// Gives a block's object up.
    pub fn drop_conf(&self, conf: Conf) {
        if !conf.0.is_null() {
            // SAFETY: made by `conf`, given up once by the cycle.
            unsafe { (self.life().conf_drop)(conf.0) }
        }
    }

    /// See `Life::prepare`.
    pub fn prepare(&self, cycle: &Cycle, module: u16, problems: &mut Vec<Problem>) -> bool {
        let _who = enter(Current::on_cycle(cycle, module));
        let before = problems.len();
        // SAFETY: the module's own object; the report is lent for the call.
        let well = with_report(problems, |r| unsafe { (self.life().prepare)(self.object, r) });
        if !well && problems.len() == before {
            let message = "the module could not prepare this configuration (it panicked or gave no reason)".to_owned();
            problems.push(Problem { span: None, message, help: String::new(), warning: false });
        }
        well
    }

    /// See `Life::settle`.
    pub fn settle(&self, cycle: &Cycle, module: u16, problems: &mut Vec<Problem>) -> bool {
        let _who = enter(Current::on_cycle(cycle, module));
        let before = problems.len();
        // SAFETY: the module's own object; the report is lent for the call.
        let well = with_report(problems, |r| unsafe { (self.life().settle)(self.object, r) });
        if !well && problems.len() == before {
            let message = "the module refused what others brought to it (it panicked or gave no reason)".to_owned();
            problems.push(Problem { span: None, message, help: String::new(), warning: false });
        }
        well
    }

    /// See `Life::commit`.
    pub fn commit(&self, cycle: &Cycle, module: u16) {
        let _who = enter(Current::on_cycle(cycle, module));
        // SAFETY: the module's own object.
        unsafe { (self.life().commit)(self.object) }
    }

    /// See `Life::abort`.
    pub fn abort(&self, cycle: &Cycle, module: u16) {
        let _who = enter(Current::on_cycle(cycle, module));
        // SAFETY: the module's own object.
        unsafe { (self.life().abort)(self.object) }
    }

    /// See `Life::worker_start`; `None`: it panicked.
    pub fn worker_start(&self, who: Current, worker: u32) -> Option<WorkerObject> {
        let _who = enter(who);
        // SAFETY: the module's own object.
        let object = unsafe { (self.life().worker_start)(self.object, worker) };
        (!object.is_null()).then_some(WorkerObject(object))
    }

    /// See `Life::drain`.
    pub fn drain(&self, who: Current, worker: WorkerObject) {
        let _who = enter(who);
        if !worker.0.is_null() {
            // SAFETY: the module's own objects.
            unsafe { (self.life().drain)(self.object, worker.0) }
        }
    }

    /// See `Life::worker_stop`.
    pub fn worker_stop(&self, who: Current, worker: WorkerObject) {
        let _who = enter(who);
        if !worker.0.is_null() {
            // SAFETY: the module's own objects, given up once.
            unsafe { (self.life().worker_stop)(self.object, worker.0) }
        }
    }

    /// Runs an action: JSON text in, JSON text or error out.
    ///
    /// # Errors
    /// What the module says.
    pub fn action(&self, cycle: &Cycle, module: u16, point: &ActionPoint, args: &str) -> Result<String, String> {
        let _who = enter(Current::on_cycle(cycle, module));
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: the module's own point and object; the sink is lent for the call.
        let well = unsafe { (point.run)(self.object, Str::new(args), &raw mut sink) };
        let text = String::from_utf8_lossy(&out).into_owned();
        if well { Ok(text) } else { Err(text) }
    }

    /// See `HookPoint::applies`.
    pub fn hook_applies(&self, point: &HookPoint, conf: Conf) -> bool {
        // SAFETY: the module's own point and objects.
        unsafe { (point.applies)(Place { conf: conf.as_ptr(), ..self.place() }) }
    }

    /// The table of a contract that the module provides.
    pub fn contract(&self, point: &ProvidePoint) -> *const () {
        // SAFETY: the module's own point and object.
        unsafe { (point.table)(self.object) }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // SAFETY: given up once; the cycle has dropped every block's object before.
        unsafe { (self.life().stop)(self.object) }
    }
}

// ---- extension points

/// See `ListenerPoint::options`.
pub fn listener_options(point: &ListenerPoint, place: Place, options: &mut SocketOptions) {
    // SAFETY: the point belongs to the module of the place; the options are lent for the call.
    unsafe { (point.options)(place, ptr::from_mut(options)) }
}

/// See `ConnectorPoint::options`.
pub fn connector_options(point: &ConnectorPoint, place: Place, options: &mut SocketOptions) {
    // SAFETY: as above.
    unsafe { (point.options)(place, ptr::from_mut(options)) }
}

/// See `ListenerPoint::accept`; `None`: a plain listener.
pub fn accept(
    point: &ListenerPoint,
    place: Place,
    session: &Session,
    stream: Stream,
) -> Result<LocalFuture<Outcome<Stream>>, Stream> {
    match point.accept {
        // SAFETY: as above; the session is alive.
        Some(accept) => Ok(unsafe { accept(place, session.shared_ptr(), stream) }),
        None => Err(stream),
    }
}

/// See `HandlerPoint::handle`.
pub fn handle(point: &HandlerPoint, place: Place, session: &Session, stream: Stream) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above.
    unsafe { (point.handle)(place, session.shared_ptr(), stream) }
}

/// See `PrereadPoint::wanted`.
pub fn preread_wanted(point: &PrereadPoint, place: Place) -> bool {
    // SAFETY: as above.
    unsafe { (point.wanted)(place) }
}

/// See `PrereadPoint::look`.
pub fn look(point: &PrereadPoint, place: Place, session: &Session, bytes: &[u8], out: &mut LookOut) -> Look {
    // SAFETY: as above; bytes and `out` are lent for the call.
    unsafe { (point.look)(place, session.shared_ptr(), bytes.as_ptr(), bytes.len(), ptr::from_mut(out)) }
}

/// See `HookPoint::check`.
pub fn check(point: &HookPoint, place: Place, session: &Session) -> Verdict {
    // SAFETY: as above.
    unsafe { (point.check)(place, session.shared_ptr()) }
}

/// See `HookPoint::run`.
pub fn run_hook(point: &HookPoint, place: Place, session: &Session) -> Option<LocalFuture<bool>> {
    // SAFETY: as above.
    point.run.map(|run| unsafe { run(place, session.shared_ptr()) })
}

/// See `RelayPoint::takes`.
pub fn relay_takes(point: &RelayPoint, place: Place, session: &Session, client: &Stream, upstream: &Stream) -> bool {
    // SAFETY: as above.
    unsafe { (point.takes)(place, session.shared_ptr(), client, upstream) }
}

/// See `RelayPoint::run`.
pub fn relay_run(
    point: &RelayPoint,
    place: Place,
    session: &Session,
    client: Stream,
    upstream: Stream,
) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above.
    unsafe { (point.run)(place, session.shared_ptr(), client, upstream) }
}

/// See `VariablePoint::write`.
pub fn variable(point: &VariablePoint, place: Place, session: &Session, rest: &str, out: &mut Vec<u8>) -> bool {
    let mut sink = Sink::to_vec(out);
    // SAFETY: as above; the sink is lent for the call.
    unsafe { (point.write)(place, session.shared_ptr(), Str::new(rest), &raw mut sink) }
}

/// Calls a function that a module registered.
pub fn function(point: &anyproxy_module_api::abi::module::FunctionPoint, args: &[Str], out: &mut Vec<u8>) -> bool {
    let mut sink = Sink::to_vec(out);
    // SAFETY: the point's own function; arguments and sink are lent for the call.
    unsafe { (point.call)(Slice::new(args), &raw mut sink) }
}

/// See `ConnectorPoint::connect`; `None`: a plain socket.
pub fn connect(point: &ConnectorPoint, place: Place, request: &ConnectRequest) -> Option<LocalFuture<Outcome<Stream>>> {
    // SAFETY: as above; the request is copied by the callee.
    point.connect.map(|connect| unsafe { connect(place, ptr::from_ref(request)) })
}

/// See `ConnectorPoint::check`.
pub fn check_peer(point: &ConnectorPoint, place: Place, stream: Stream) -> Option<LocalFuture<Outcome<()>>> {
    // SAFETY: as above.
    point.check.map(|check| unsafe { check(place, stream) })
}

/// See `ProbePoint::ask`.
pub fn ask(point: &ProbePoint, place: Place, request: &ConnectRequest, stream: Stream) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above; the request is lent for the call.
    unsafe { (point.ask)(place, ptr::from_ref(request), stream) }
}

/// See `GreetingPoint::write`. False: the peer cannot be used.
pub fn greet(point: &GreetingPoint, place: Place, request: &ConnectRequest, out: &mut Vec<u8>) -> bool {
    let mut sink = Sink::to_vec(out);
    // SAFETY: as above; request and sink are lent for the call.
    unsafe { (point.write)(place, ptr::from_ref(request), &raw mut sink) }
}

/// What chooses the peers of one pool on one worker.
#[derive(Debug)]
pub enum Balancer {
    /// A module's.
    Module(Picker),
    /// The host's own.
    Turns(Turns),
}

/// A module's balancer's object.
#[derive(Debug)]
pub struct Picker {
    point: BalancerPoint,
    object: *mut (),
}

impl Picker {
    /// A new one; `None`: it panicked.
    pub fn create(point: &BalancerPoint, instance: &Instance, seed: u64) -> Option<Self> {
        // SAFETY: the point belongs to the instance's module.
        let object = unsafe { (point.create)(instance.as_ptr(), seed) };
        (!object.is_null()).then_some(Self { point: *point, object })
    }

    /// Picks.
    pub fn pick(&mut self, cx: &PickCx) -> Pick {
        // SAFETY: the object of `create`; the question is lent for the call.
        unsafe { (self.point.pick)(self.object, ptr::from_ref(cx)) }
    }

    /// A use ended.
    pub fn done(&mut self, peer: u32, outcome: &PeerOutcome) {
        // SAFETY: as above.
        unsafe { (self.point.done)(self.object, peer, ptr::from_ref(outcome)) }
    }
}

impl Drop for Picker {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.point.drop)(self.object) }
    }
}

/// The objects of a call on a worker.
pub fn place(worker: &WorkerGen, module: u16, conf: Conf) -> Place {
    let instance = worker.cycle.instance(module);
    Place { inst: instance.as_ptr(), worker: worker.object(module).as_ptr(), conf: conf.as_ptr() }
}

/// A listening point that changes nothing: for sessions that a datagram listener's module hands in.
pub fn plain_listener(name: Str) -> ListenerPoint {
    unsafe extern "C" fn no_options(_: Place, _: *mut SocketOptions) {}
    ListenerPoint { name, options: no_options, accept: None }
}
