//! Calls into modules: the raw tables of one module in one generation, behind safe methods that set who is running.

use super::{
    current::{Current, enter},
    net::interned,
};
use crate::{cycle::Cycle, loader::Image};
use anyproxy_module_api::abi::{
    bytes::{Buf, Sink, Str},
    conf::{ScopeView, Span},
    error::Error,
    host::Report,
    module::{ActionPoint, HookPoint, Life, ModuleDesc, Place, ProvidePoint},
};
use std::{future::Future, ptr, sync::Arc};

/// A problem that a module reported.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Where; `None`: nowhere in particular.
    pub span: Option<Span<'static>>,
    /// What is wrong.
    pub message: String,
    /// What to do; empty: nothing to say.
    pub help: String,
    /// Only a warning.
    pub warning: bool,
}

fn with_report<R>(out: &mut Vec<Problem>, f: impl FnOnce(*mut Report) -> R) -> R {
    unsafe extern "C" fn push(data: *mut (), span: *const Span<'_>, message: Str<'_>, help: Str<'_>, warning: bool) {
        // SAFETY: `data` is the vector below; the span is null or lent for the call.
        let (out, span) = unsafe { (&mut *data.cast::<Vec<Problem>>(), span.as_ref()) };
        // Its file is a text of the module's own, perhaps; there are no more of them than files of the configuration.
        let span = span.map(|&Span { file, line, column, offset, len }| {
            let file = interned(file);
            Span { file, line, column, offset, len }
        });
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
        // Made only if there is one: it is given back when it is dropped.
        (!object.is_null()).then(|| Self { image, object })
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
    pub fn conf(&self, view: &ScopeView<'static>, problems: &mut Vec<Problem>) -> Option<Conf> {
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

    /// Runs an action that answers later, on this loop; `None`: it answers at once ([`Instance::action`]).
    pub fn action_later(
        &self,
        cycle: &Arc<Cycle>,
        module: u16,
        point: &ActionPoint,
        args: &str,
    ) -> Option<impl Future<Output = Result<String, String>> + Send + use<>> {
        let _who = enter(Current::on_cycle(cycle, module));
        // SAFETY: the module's own point and object, which the generation holds that goes along.
        let future = point.later.map(|later| unsafe { later(self.object, Str::new(args)) })?;
        let answer = super::tasks::in_name_of(Arc::clone(cycle), module, future);
        Some(async move {
            match answer.await.map(Result::<Buf, Error>::from) {
                Some(Ok(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
                Some(Err(e)) => Err(e.to_string()),
                None => Err("the module panicked".to_owned()),
            }
        })
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
