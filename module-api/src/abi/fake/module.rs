//! Calls a module's table as the host does, with pointers of its own making: the safe face is `testing::ModuleUnderTest`.

use crate::abi::{
    bytes::{Buf, Sink, Slice, Str},
    conf::ScopeView,
    error::Outcome,
    export::{Module, init},
    host::Report,
    module::{ConnectRequest, Look, LookOut, ModuleDesc, Place, Route, Verdict},
    net::{Addr, SocketOptions},
    stream::Stream,
    task::{LocalFuture, SendFuture},
};
use crate::{abi::conf::Span, testing::Problem};
use std::{
    any::{TypeId, type_name},
    collections::HashMap,
    marker::PhantomData,
    ptr,
    rc::Rc,
    sync::{Mutex, OnceLock, PoisonError},
};

use super::{
    SessionObject, TABLE, interned,
    objects::{BalancerObject, EndpointObject},
};

/// One generation of module `M` on one worker, as the host drives it.
pub(crate) struct Driver<M: Module> {
    pub(crate) desc: &'static ModuleDesc,
    inst: *mut (),
    worker: *mut (),
    confs: Vec<*mut ()>,
    module: PhantomData<M>,
}

/// The module's table; made once a type.
fn describe<M: Module>() -> &'static ModuleDesc {
    static ALL: Mutex<Option<HashMap<TypeId, &'static ModuleDesc>>> = Mutex::new(None);
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.get_or_insert_default().entry(TypeId::of::<M>()).or_insert_with(|| {
        let path = type_name::<M>();
        let krate: &'static str = path.split_once("::").map_or(path, |p| p.0);
        let id = interned(krate.strip_prefix("anyproxy_").unwrap_or(krate));
        let desc: &'static OnceLock<ModuleDesc> = Box::leak(Box::default());
        // SAFETY: the fake host's table; `desc` is made for `M` here.
        unsafe { init::<M>(ptr::from_ref(&TABLE).cast(), id, "0.0.0", krate, desc).as_ref() }
            .expect("Module::register does not panic")
    })
}

/// Runs `f` with a report that collects into `to`.
fn with_report<R>(to: &mut Vec<Problem>, f: impl FnOnce(*mut Report) -> R) -> R {
    unsafe extern "C" fn push(data: *mut (), span: *const Span<'_>, message: Str<'_>, help: Str<'_>, warning: bool) {
        // SAFETY: the vector below; span and texts are lent for the call.
        let (to, span) = unsafe { (&mut *data.cast::<Vec<Problem>>(), span.as_ref()) };
        to.push(Problem {
            line: span.map(|s| s.line),
            message: message.as_str().to_owned(),
            help: help.as_str().to_owned(),
            warning,
        });
    }
    let mut report = Report { data: ptr::from_mut(to).cast(), push };
    f(&raw mut report)
}

/// Finds a point by name.
macro_rules! point {
    ($self:ident . $list:ident, $name:expr) => {
        $self.desc.$list.as_slice().iter().find(|p| p.name.as_str() == $name).unwrap_or_else(|| {
            let have: Vec<_> = $self.desc.$list.as_slice().iter().map(|p| p.name.as_str()).collect();
            panic!("{:?} is none of the module's {}: {have:?}", $name, stringify!($list))
        })
    };
}

// SAFETY of every call below: the table is `M`'s own, the objects were made by it and are held by this driver, sessions and
// streams are alive, and everything else is lent for the call.
impl<M: Module> Driver<M> {
    /// A new generation.
    pub(crate) fn create() -> Self {
        let desc = describe::<M>();
        // SAFETY: see above.
        let inst = unsafe { (desc.life.create)() };
        assert!(!inst.is_null(), "Module::create panicked");
        Self { desc, inst, worker: ptr::null_mut(), confs: Vec::new(), module: PhantomData }
    }

    /// The object of one block; `None`: a problem was reported.
    pub(crate) fn conf(&mut self, view: &ScopeView<'_>, problems: &mut Vec<Problem>) -> Option<*const ()> {
        // SAFETY: see above.
        let c = with_report(problems, |r| unsafe { (self.desc.life.conf)(self.inst, ptr::from_ref(view), r) });
        if c.is_null() {
            return None;
        }
        self.confs.push(c);
        Some(c)
    }

    pub(crate) fn prepare(&self, problems: &mut Vec<Problem>) -> bool {
        // SAFETY: see above.
        with_report(problems, |r| unsafe { (self.desc.life.prepare)(self.inst, r) })
    }

    pub(crate) fn settle(&self, problems: &mut Vec<Problem>) -> bool {
        // SAFETY: see above.
        with_report(problems, |r| unsafe { (self.desc.life.settle)(self.inst, r) })
    }

    /// The instance and the worker's object, as pointers.
    pub(crate) const fn objects(&self) -> (*const (), *const ()) {
        (self.inst, self.worker)
    }

    pub(crate) fn abort(&self) {
        // SAFETY: see above.
        unsafe { (self.desc.life.abort)(self.inst) }
    }

    pub(crate) fn commit(&self) {
        // SAFETY: see above.
        unsafe { (self.desc.life.commit)(self.inst) }
    }

    pub(crate) fn worker_start(&mut self, worker: u32) {
        // SAFETY: see above.
        self.worker = unsafe { (self.desc.life.worker_start)(self.inst, worker) };
        assert!(!self.worker.is_null(), "Module::worker_start panicked");
    }

    pub(crate) fn drain(&self) {
        // SAFETY: see above.
        unsafe { (self.desc.life.drain)(self.inst, self.worker) }
    }

    pub(crate) fn worker_stop(&mut self) {
        let worker = std::mem::replace(&mut self.worker, ptr::null_mut());
        if !worker.is_null() {
            // SAFETY: see above; given up once.
            unsafe { (self.desc.life.worker_stop)(self.inst, worker) }
        }
    }

    pub(crate) fn module(&self) -> &M {
        // SAFETY: see above.
        unsafe { &*self.inst.cast::<M>() }
    }

    pub(crate) fn worker(&self) -> &M::Worker {
        // SAFETY: see above.
        unsafe { self.worker.cast::<M::Worker>().as_ref() }.expect("the worker was started")
    }

    /// A block's object, of this driver's `conf`.
    pub(crate) fn conf_ref(&self, conf: *const ()) -> &M::Conf {
        assert!(self.confs.iter().any(|c| ptr::eq(*c, conf)), "the block's object is this generation's");
        // SAFETY: made by `conf` and dropped with the driver.
        unsafe { &*conf.cast::<M::Conf>() }
    }

    const fn place(&self, conf: *const ()) -> Place {
        Place { inst: self.inst, worker: self.worker, conf }
    }

    pub(crate) fn handle(
        &self,
        name: &str,
        conf: *const (),
        s: &Rc<SessionObject>,
        stream: Stream,
    ) -> LocalFuture<Outcome<()>> {
        let p = point!(self.handlers, name);
        // SAFETY: see above.
        unsafe { (p.handle)(self.place(conf), s.pointer(), stream) }
    }

    pub(crate) fn accept(
        &self,
        name: &str,
        conf: *const (),
        s: &Rc<SessionObject>,
        stream: Stream,
    ) -> LocalFuture<Outcome<Stream>> {
        let p = point!(self.listeners, name);
        match p.accept {
            // SAFETY: see above.
            Some(f) => unsafe { f(self.place(conf), s.pointer(), stream) },
            None => LocalFuture::new(std::future::ready(Outcome::Ok(stream))),
        }
    }

    pub(crate) fn listener_options(&self, name: &str, conf: *const ()) -> SocketOptions {
        let mut o = SocketOptions::default();
        // SAFETY: see above.
        unsafe { (point!(self.listeners, name).options)(self.place(conf), &raw mut o) };
        o
    }

    pub(crate) fn connector_options(&self, name: &str, conf: *const ()) -> SocketOptions {
        let mut o = SocketOptions::default();
        // SAFETY: see above.
        unsafe { (point!(self.connectors, name).options)(self.place(conf), &raw mut o) };
        o
    }

    /// Connects; `None`: the connector is a plain socket, which the host connects.
    pub(crate) fn connect(
        &self,
        name: &str,
        conf: *const (),
        r: &ConnectRequest<'_>,
    ) -> Option<LocalFuture<Outcome<Stream>>> {
        // SAFETY: see above.
        point!(self.connectors, name).connect.map(|f| unsafe { f(self.place(conf), ptr::from_ref(r)) })
    }

    /// What a connector, probe or greeting is asked, with these options; `s`: none for a health check. Kept for the process, as
    /// texts are.
    pub(crate) fn request(
        s: Option<&Rc<SessionObject>>,
        addr: Addr,
        host: &str,
        options: SocketOptions,
    ) -> ConnectRequest<'static> {
        let (name, port) = host.rsplit_once(':').filter(|_| addr.socket().is_none()).unwrap_or((host, ""));
        let port = port.parse().unwrap_or_else(|_| addr.port());
        let session = s.map_or(ptr::null(), SessionObject::pointer);
        ConnectRequest::new(addr, interned(name), port, session, Box::leak(Box::new(options)), 0)
    }

    pub(crate) fn probe(
        &self,
        name: &str,
        conf: *const (),
        r: &ConnectRequest<'_>,
        stream: Stream,
    ) -> LocalFuture<Outcome<()>> {
        // SAFETY: see above.
        unsafe { (point!(self.probes, name).ask)(self.place(conf), ptr::from_ref(r), stream) }
    }

    pub(crate) fn greet(&self, name: &str, conf: *const (), r: &ConnectRequest<'_>) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: see above.
        let ok = unsafe { (point!(self.greetings, name).write)(self.place(conf), ptr::from_ref(r), &raw mut sink) };
        ok.then_some(out)
    }

    pub(crate) fn wanted(&self, name: &str, conf: *const ()) -> bool {
        // SAFETY: see above.
        unsafe { (point!(self.prereads, name).wanted)(self.place(conf)) }
    }

    pub(crate) fn look(&self, name: &str, conf: *const (), s: &Rc<SessionObject>, bytes: &[u8]) -> (Look, LookOut) {
        let mut out = LookOut::default();
        let p = point!(self.prereads, name);
        // SAFETY: see above.
        let look = unsafe { (p.look)(self.place(conf), s.pointer(), bytes.as_ptr(), bytes.len(), &raw mut out) };
        (look, out)
    }

    pub(crate) fn check(&self, name: &str, conf: *const (), s: &Rc<SessionObject>) -> Verdict {
        let point = point!(self.hooks, name);
        // SAFETY: see above.
        if unsafe { !(point.applies)(self.place(conf)) } {
            return Verdict::Pass;
        }
        // SAFETY: see above.
        unsafe { (point.check)(self.place(conf), s.pointer()) }
    }

    pub(crate) fn hook(&self, name: &str, conf: *const (), s: &Rc<SessionObject>) -> LocalFuture<bool> {
        match point!(self.hooks, name).run {
            // SAFETY: see above.
            Some(f) => unsafe { f(self.place(conf), s.pointer()) },
            None => LocalFuture::new(std::future::ready(true)),
        }
    }

    pub(crate) fn relay(
        &self,
        name: &str,
        conf: *const (),
        s: &Rc<SessionObject>,
        client: Stream,
        upstream: Stream,
    ) -> Option<LocalFuture<Outcome<()>>> {
        let p = point!(self.relays, name);
        // SAFETY: see above.
        unsafe {
            let takes = (p.takes)(self.place(conf), s.pointer(), &client, &upstream);
            takes.then(|| (p.run)(self.place(conf), s.pointer(), client, upstream))
        }
    }

    pub(crate) fn variable(&self, name: &str, conf: *const (), s: &Rc<SessionObject>) -> Option<Vec<u8>> {
        let all = self.desc.variables.as_slice();
        let exact = all.iter().find(|v| !v.prefix && v.name.as_str() == name);
        let v = exact.or_else(|| all.iter().find(|v| v.prefix && name.starts_with(v.name.as_str())))?;
        let rest = if v.prefix { &name[v.name.len()..] } else { "" };
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: see above.
        let has = unsafe { (v.write)(self.place(conf), s.pointer(), Str::new(rest), &raw mut sink) };
        has.then_some(out)
    }

    pub(crate) fn function(&self, name: &str, args: &[&str]) -> Option<Vec<u8>> {
        let p = point!(self.functions, name);
        let takes = p.arity_min..=p.arity_max;
        assert!(u8::try_from(args.len()).is_ok_and(|n| takes.contains(&n)), "{name} takes {takes:?} arguments");
        let args: Vec<_> = args.iter().map(|a| Str::new(a)).collect();
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: see above.
        unsafe { (p.call)(Slice::new(&args), &raw mut sink) }.then_some(out)
    }

    /// An action that answers in its own time; `None`: it is one that answers at once.
    pub(crate) fn action_later(&self, name: &str, args: &str) -> Option<SendFuture<Outcome<Buf>>> {
        // SAFETY: see above.
        point!(self.actions, name).later.map(|later| unsafe { later(self.inst, Str::new(args)) })
    }

    pub(crate) fn action(&self, name: &str, args: &str) -> Result<Vec<u8>, Vec<u8>> {
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: see above.
        let ok = unsafe { (point!(self.actions, name).run)(self.inst, Str::new(args), &raw mut sink) };
        if ok { Ok(out) } else { Err(out) }
    }

    pub(crate) fn balancer(&self, name: &str, conf: *const (), seed: u64) -> BalancerObject {
        let p = *point!(self.balancers, name);
        // SAFETY: see above.
        let data = unsafe { (p.create)(self.place(conf), seed) };
        assert!(!data.is_null(), "the balancer's making panicked");
        BalancerObject { data, point: p }
    }

    pub(crate) fn datagrams(&self, name: &str, conf: *const (), listener: u32, local: Addr) -> EndpointObject {
        let p = *point!(self.datagrams, name);
        // SAFETY: see above.
        let data = unsafe { (p.start)(self.place(conf), listener, local) };
        assert!(!data.is_null(), "the endpoint's start panicked");
        EndpointObject { data, point: p }
    }

    pub(crate) fn route(&self, name: &str, bytes: &[u8]) -> Route {
        // SAFETY: see above.
        unsafe { (point!(self.datagrams, name).route)(self.inst, bytes.as_ptr(), bytes.len()) }
    }
}

impl<M: Module> Drop for Driver<M> {
    fn drop(&mut self) {
        self.worker_stop();
        // Inner blocks first: they may look at the outer.
        for conf in self.confs.drain(..).rev() {
            // SAFETY: made by `conf`, given up once.
            unsafe { (self.desc.life.conf_drop)(conf) }
        }
        // SAFETY: made by `create`, given up once.
        unsafe { (self.desc.life.stop)(self.inst) }
    }
}
