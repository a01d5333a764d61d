//! The life of a module: the trait its author writes, and the thunks that the host calls.

use super::{Declared, Registry, leak};
use crate::abi::{
    bytes::Str,
    conf::{Node, ScopeKind, ScopeView, Span},
    host::{HostVtable, Report},
    module::{Life, ModuleDesc},
    services::attach,
    task::guard,
};
use std::{any::TypeId, cell::Cell, fmt, marker::PhantomData, ptr, sync::OnceLock};

/// A module. One value a generation of the configuration, shared by all workers.
///
/// `create → conf (each block) → prepare → settle → worker_start (each worker) → commit → … → drain → worker_stop → drop`. If any
/// module's `prepare` fails, `abort` is called on those before it, in reverse, and nothing has changed; if a `worker_start` panics, on
/// all, and those that had started are told to `worker_stop`. Where a configuration is only checked, all are told to `abort`.
pub trait Module: Send + Sync + Sized + 'static {
    /// Its object for one block of the configuration.
    type Conf: Send + Sync + 'static;
    /// Its object on one worker; `()` for most.
    type Worker: 'static;

    /// Registers its extension points. Once an image.
    fn register(registry: &mut Registry<Self>);

    /// A new generation. No side effects.
    fn create() -> Self;

    /// The object for one block, from its effective directives. Reports what a table cannot check.
    fn conf(&self, scope: &Scope<'_, Self::Conf>, problems: &mut Problems<'_>) -> Self::Conf;

    /// What can fail: binds, opens, compiles, takes zones and contracts. Off the workers; may block. False (or a reported
    /// problem): the generation is given up.
    fn prepare(&self, _problems: &mut Problems<'_>) -> bool {
        true
    }

    /// Every module has prepared: what users of this module's contract have brought is complete, and may be checked.
    /// False: as for `prepare`.
    fn settle(&self, _problems: &mut Problems<'_>) -> bool {
        true
    }

    /// Undoes `prepare`.
    fn abort(&self) {}

    /// The generation goes live.
    fn commit(&self) {}

    /// Makes this worker's object, before the worker serves the generation. A panic refuses the start or the reload.
    fn worker_start(&self, worker: u32) -> Self::Worker;

    /// The generation is retired: no new sessions will come.
    fn drain(&self, _worker: &Self::Worker) {}

    /// After this worker's last session and task of the generation.
    fn worker_stop(&self, _worker: Self::Worker) {}
}

/// One block of the configuration as its module sees it.
#[derive(Clone, Copy)]
pub struct Scope<'a, C> {
    view: &'a ScopeView<'a>,
    parent: PhantomData<&'a C>,
}

impl<C> fmt::Debug for Scope<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.view.fmt(f)
    }
}

impl<'a, C> Scope<'a, C> {
    /// Which block.
    pub const fn kind(&self) -> ScopeKind {
        self.view.kind
    }

    /// The block's name, else empty.
    pub const fn name(&self) -> &'a str {
        self.view.name.as_str()
    }

    /// Its number, for shared data.
    pub const fn id(&self) -> u32 {
        self.view.id
    }

    /// Where it starts.
    pub const fn span(&self) -> &'a Span<'a> {
        &self.view.span
    }

    /// The module's object for the enclosing block.
    pub const fn parent(&self) -> Option<&'a C> {
        // SAFETY: null or an object that this module made, which outlives the block's.
        unsafe { self.view.parent.cast::<C>().as_ref() }
    }

    /// Every effective directive, parents first.
    pub const fn nodes(&self) -> &'a [Node<'a>] {
        self.view.nodes.as_slice()
    }

    /// The effective directive `name` (the innermost, of several).
    pub fn node(&self, name: &str) -> Option<&'a Node<'a>> {
        self.nodes().iter().rev().find(|n| n.name.as_str() == name)
    }

    /// All effective directives `name`, parents first.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a Node<'a>> + 's {
        self.nodes().iter().filter(move |n| n.name.as_str() == name)
    }
}

/// Collects what is wrong with a configuration.
pub struct Problems<'a> {
    report: &'a mut Report,
    errors: usize,
}

impl fmt::Debug for Problems<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Problems({})", self.errors)
    }
}

impl Problems<'_> {
    fn push(&mut self, span: Option<&Span<'_>>, message: &str, help: &str, warning: bool) {
        let span = span.map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the host's collection, borrowed for the call.
        unsafe { (self.report.push)(self.report.data, span, Str::new(message), Str::new(help), warning) }
    }

    /// An error at a place; `help` may be empty.
    pub fn error(&mut self, span: &Span<'_>, message: &str, help: &str) {
        self.errors += 1;
        self.push(Some(span), message, help, false);
    }

    /// An error without a place.
    pub fn fail(&mut self, message: &str) {
        self.errors += 1;
        self.push(None, message, "", false);
    }

    /// A warning at a place.
    pub fn warn(&mut self, span: &Span<'_>, message: &str, help: &str) {
        self.push(Some(span), message, help, true);
    }
}

thread_local! {
    /// Type and object of the module whose `prepare` runs on this thread. No destructor.
    static PREPARING: Cell<Option<(TypeId, *const ())>> = const { Cell::new(None) };
}

/// Whether `module` is the object of a generation whose `prepare` runs now, and not another value of its type: for contracts,
/// which keep it.
pub fn is_preparing<M: Module>(module: &M) -> bool {
    PREPARING.get() == Some((TypeId::of::<M>(), ptr::from_ref(module).cast()))
}

struct Thunks<M>(M);

/// A generation's object as it is allocated: with an address of its own, by which the host knows the module, though `M`
/// may be of no size.
#[repr(C)]
struct Instance<M> {
    module: M,
    address: u8,
}

impl<M: Module> Thunks<M> {
    const LIFE: Life = Life {
        create: Self::create,
        conf: Self::conf,
        conf_drop: Self::conf_drop,
        prepare: Self::prepare,
        settle: Self::settle,
        commit: Self::commit,
        abort: Self::abort,
        worker_start: Self::worker_start,
        drain: Self::drain,
        worker_stop: Self::worker_stop,
        stop: Self::stop,
    };

    unsafe extern "C" fn create() -> *mut () {
        guard(|| Box::into_raw(Box::new(Instance { module: M::create(), address: 0 })).cast())
            .unwrap_or(ptr::null_mut())
    }
    unsafe extern "C" fn conf(inst: *const (), view: *const ScopeView<'_>, report: *mut Report) -> *mut () {
        guard(|| {
            // SAFETY: the host passes this module's instance, and lends the rest for the call.
            let (m, view, report) = unsafe { (&*inst.cast::<M>(), &*view, &mut *report) };
            let mut problems = Problems { report, errors: 0 };
            let scope = Scope { view, parent: PhantomData };
            let conf = m.conf(&scope, &mut problems);
            if problems.errors > 0 {
                return ptr::null_mut();
            }
            Box::into_raw(Box::new(conf)).cast()
        })
        .unwrap_or(ptr::null_mut())
    }
    unsafe extern "C" fn conf_drop(conf: *mut ()) {
        // SAFETY: the box of `conf`, given up once.
        guard(|| drop(unsafe { Box::from_raw(conf.cast::<M::Conf>()) }));
    }
    unsafe extern "C" fn prepare(inst: *const (), report: *mut Report) -> bool {
        let before = PREPARING.replace(Some((TypeId::of::<M>(), inst)));
        let well = guard(|| {
            // SAFETY: see `conf`.
            let (m, report) = unsafe { (&*inst.cast::<M>(), &mut *report) };
            let mut problems = Problems { report, errors: 0 };
            m.prepare(&mut problems) && problems.errors == 0
        });
        PREPARING.set(before);
        well.unwrap_or(false)
    }
    unsafe extern "C" fn settle(inst: *const (), report: *mut Report) -> bool {
        guard(|| {
            // SAFETY: see `conf`.
            let (m, report) = unsafe { (&*inst.cast::<M>(), &mut *report) };
            let mut problems = Problems { report, errors: 0 };
            m.settle(&mut problems) && problems.errors == 0
        })
        .unwrap_or(false)
    }
    unsafe extern "C" fn commit(inst: *const ()) {
        // SAFETY: see `conf`.
        guard(|| unsafe { &*inst.cast::<M>() }.commit());
    }
    unsafe extern "C" fn abort(inst: *const ()) {
        // SAFETY: see `conf`.
        guard(|| unsafe { &*inst.cast::<M>() }.abort());
    }
    unsafe extern "C" fn worker_start(inst: *const (), worker: u32) -> *mut () {
        guard(|| {
            // SAFETY: see `conf`.
            let w = unsafe { &*inst.cast::<M>() }.worker_start(worker);
            Box::into_raw(Box::new(w)).cast()
        })
        .unwrap_or(ptr::null_mut())
    }
    // Null, what a panic in `create` or `worker_start` left, is nothing to end.
    unsafe extern "C" fn drain(inst: *const (), worker: *mut ()) {
        if !worker.is_null() {
            // SAFETY: see `conf`; the worker's object is this module's.
            guard(|| unsafe { (*inst.cast::<M>()).drain(&*worker.cast::<M::Worker>()) });
        }
    }
    unsafe extern "C" fn worker_stop(inst: *const (), worker: *mut ()) {
        if !worker.is_null() {
            // SAFETY: the box of `worker_start`, given up once.
            guard(|| unsafe { (*inst.cast::<M>()).worker_stop(*Box::from_raw(worker.cast::<M::Worker>())) });
        }
    }
    unsafe extern "C" fn stop(inst: *mut ()) {
        if !inst.is_null() {
            // SAFETY: the box of `create`, given up once.
            guard(|| drop(unsafe { Box::from_raw(inst.cast::<Instance<M>>()) }));
        }
    }
}

/// Initialises the image and describes module `M`: what `export_module!` exports as the root's `init`.
///
/// # Safety
/// `host` is null (the image keeps the one it has) or the host's table, and `desc` belongs to `M` alone.
pub unsafe fn init<M: Module>(
    host: *const (),
    id: &'static str,
    version: &'static str,
    krate: &'static str,
    desc: &'static OnceLock<ModuleDesc>,
) -> *const ModuleDesc {
    guard(|| {
        // SAFETY: by contract.
        if let Some(host) = unsafe { host.cast::<HostVtable>().as_ref() } {
            attach(host, id, version);
            crate::log::install(id);
        }
        ptr::from_ref(desc.get_or_init(|| describe::<M>(id, version, krate)))
    })
    .unwrap_or(ptr::null())
}

fn describe<M: Module>(id: &'static str, version: &'static str, krate: &'static str) -> ModuleDesc {
    let mut r = Registry::<M>::default();
    M::register(&mut r);
    let declared = inventory::iter::<Declared>.into_iter().filter(|d| d.krate == krate);
    let mut directives: Vec<_> = declared.map(|d| d.desc).collect();
    directives.sort_by_key(|d| d.name.as_str());
    ModuleDesc {
        size: size_of::<ModuleDesc>(),
        id: Str::new(id),
        version: Str::new(version),
        life: Thunks::<M>::LIFE,
        directives: leak(directives),
        listeners: leak(r.listeners),
        datagrams: leak(r.datagrams),
        connectors: leak(r.connectors),
        greetings: leak(r.greetings),
        handlers: leak(r.handlers),
        prereads: leak(r.prereads),
        hooks: leak(r.hooks),
        relays: leak(r.relays),
        balancers: leak(r.balancers),
        variables: leak(r.variables),
        functions: leak(r.functions),
        actions: leak(r.actions),
        provides: leak(r.provides),
        requires: leak(r.requires),
        probes: leak(r.probes),
    }
}
