//! What a module is to the host: its directives, its life, and the extension points it registers.
//!
//! None of the functions unwinds. `inst` is the module's object for one generation (shared by all workers), `worker` its
//! object on this worker, `conf` its object for the block in question.

mod points;

pub use points::*;

use super::{
    bytes::{Slice, Str},
    conf::{DirectiveDesc, ScopeView},
    host::Report,
};

/// The module's objects that a call concerns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The generation's object.
    pub inst: *const (),
    /// This worker's object; null off the workers.
    pub worker: *const (),
    /// The block's object; null where there is none.
    pub conf: *const (),
}

/// The life of a generation, in order. See architecture: describe → create → conf … → prepare → settle →
/// worker_start → commit → serve → drain → worker_stop → stop; `abort` undoes `prepare`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// A new generation's object; null: it panicked.
    pub create: unsafe extern "C" fn() -> *mut (),
    /// The object for one block; null after a report. Not called for a block that says nothing new: the parent's serves.
    pub conf: unsafe extern "C" fn(inst: *const (), *const ScopeView<'_>, *mut Report) -> *mut (),
    /// Gives a block's object up.
    pub conf_drop: unsafe extern "C" fn(*mut ()),
    /// Binds, opens, compiles: what can fail, off the workers.
    pub prepare: unsafe extern "C" fn(inst: *const (), *mut Report) -> bool,
    /// Every module has prepared: what others brought to this one is complete.
    pub settle: unsafe extern "C" fn(inst: *const (), *mut Report) -> bool,
    /// The generation goes live.
    pub commit: unsafe extern "C" fn(inst: *const ()),
    /// `prepare` is to be undone.
    pub abort: unsafe extern "C" fn(inst: *const ()),
    /// On each worker, before it serves this generation. The worker's object; null: it panicked, and the generation is
    /// taken back.
    pub worker_start: unsafe extern "C" fn(inst: *const (), worker: u32) -> *mut (),
    /// On each worker: the generation is retired, finish.
    pub drain: unsafe extern "C" fn(inst: *const (), worker: *mut ()),
    /// On each worker, after its last session and task: gives the worker's object up.
    pub worker_stop: unsafe extern "C" fn(inst: *const (), worker: *mut ()),
    /// Gives the generation's object up.
    pub stop: unsafe extern "C" fn(inst: *mut ()),
}

/// Everything that a module registers. Lives as long as the image.
#[repr(C)]
#[derive(Debug)]
pub struct ModuleDesc {
    /// Size of this table as the module knows it.
    pub size: usize,
    /// Id: directive namespace, log target, metric prefix.
    pub id: Str<'static>,
    /// The module's version.
    pub version: Str<'static>,
    /// Its life.
    pub life: Life,
    /// Directives.
    pub directives: Slice<'static, DirectiveDesc>,
    /// Listeners over streams.
    pub listeners: Slice<'static, ListenerPoint>,
    /// Listeners over datagrams.
    pub datagrams: Slice<'static, DatagramPoint>,
    /// Connectors.
    pub connectors: Slice<'static, ConnectorPoint>,
    /// Greetings to peers.
    pub greetings: Slice<'static, GreetingPoint>,
    /// Stream handlers.
    pub handlers: Slice<'static, HandlerPoint>,
    /// Prereads.
    pub prereads: Slice<'static, PrereadPoint>,
    /// Phase hooks.
    pub hooks: Slice<'static, HookPoint>,
    /// Relays.
    pub relays: Slice<'static, RelayPoint>,
    /// Balancers.
    pub balancers: Slice<'static, BalancerPoint>,
    /// Variables.
    pub variables: Slice<'static, VariablePoint>,
    /// Functions.
    pub functions: Slice<'static, FunctionPoint>,
    /// Actions and status.
    pub actions: Slice<'static, ActionPoint>,
    /// Contracts offered.
    pub provides: Slice<'static, ProvidePoint>,
    /// Contracts needed.
    pub requires: Slice<'static, RequirePoint>,
    /// Questions of health checks. Read by `ModuleDesc::probes`.
    pub probes: Slice<'static, ProbePoint>,
}

impl ModuleDesc {
    /// Questions of health checks; none of a module that was built before there were any.
    pub fn probes(&self) -> &[ProbePoint] {
        let known = self.size >= std::mem::offset_of!(Self, probes) + size_of::<Slice<'_, ProbePoint>>();
        if known { self.probes.as_slice() } else { &[] }
    }
}

// SAFETY: tables that live as long as the image and are not written to.
unsafe impl Sync for ModuleDesc {}
// SAFETY: as above.
unsafe impl Send for ModuleDesc {}
