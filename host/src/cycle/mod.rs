//! A generation: one configuration with its module instances, immutable once built. Workers and sessions hold it; when
//! the last lets go, modules stop in reverse order of their contracts.

pub mod access_log;
pub mod bound;
pub mod build;
pub mod check;
pub mod holder;
pub mod hooks;
mod json_line;
pub mod listener;
pub mod listener_stats;
pub mod local_stats;
pub mod prepare;
pub mod settings;
pub mod shared;
pub mod sockopts;
pub mod vars;

use crate::{
    config::tree::{ScopeId, Tree},
    matcher::CaptureNames,
    metrics,
    services::{
        current::current,
        instance::{Conf, Instance},
    },
    template::Template,
    upstream::pool::Pool,
};
use anyproxy_module_api::abi::module::{ConnectorPoint, GreetingPoint, HookPoint, Phase, RelayPoint};
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicBool, AtomicU64},
};

/// Counters of a generation.
#[derive(Debug, Default)]
pub struct CycleStats {
    /// Panics of modules that were stopped.
    pub panics: AtomicU64,
}

/// A generation.
pub struct Cycle {
    /// Its number in this process, from 1.
    pub epoch: u32,
    /// Hash of its configuration.
    pub hash: u64,
    /// Its configuration.
    pub tree: Arc<Tree>,
    /// What `common` says.
    pub settings: settings::Settings,
    /// Compiled templates, by number.
    pub templates: Vec<Template>,
    /// Variables.
    pub vars: vars::VarTable,
    /// Names of groups of regular expressions.
    pub captures: CaptureNames,
    /// Listeners, in the order of the file.
    pub listeners: Vec<Arc<listener::Listener>>,
    /// Upstreams, by number.
    pub pools: Vec<Arc<Pool>>,
    /// Greetings to peers, in order.
    pub greetings: Vec<(u16, GreetingPoint)>,
    /// Relays, the most wanted first.
    pub relays: Vec<(u16, RelayPoint)>,
    /// Access logs, by scope.
    pub logs: access_log::Plans,
    /// Whether any text shows `${stream_work_times}`: stages are noted only then.
    pub notes_stages: bool,
    /// What modules lend each other.
    pub published: shared::Published,
    /// Owner of the metrics that modules register.
    pub metrics_owner: metrics::Owner,
    /// Counters.
    pub stats: CycleStats,
    /// It will not go live: what its modules ask for is not taken from a generation that serves.
    pub only_checked: AtomicBool,
    hooks: hooks::Hooks,
    start_order: Vec<u16>,
    confs: Vec<Conf>,
    owned: Vec<(u16, Conf)>,
    process_tasks: Mutex<Vec<tokio::task::AbortHandle>>,
    me: Weak<Self>,
    // Dropped last, in the order of `stop`.
    pub(crate) instances: Vec<Option<Instance>>,
}

impl std::fmt::Debug for Cycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cycle({})", self.epoch)
    }
}

impl Cycle {
    /// Connectors that are plain sockets, each with its module, in the order of loading.
    pub fn plain_connectors(&self) -> impl Iterator<Item = (u16, &ConnectorPoint)> {
        let modules = self.instances.iter().enumerate().filter_map(|(n, i)| Some((n as u16, i.as_ref()?)));
        let all = modules.flat_map(|(n, i)| i.desc().connectors.iter().map(move |c| (n, c)));
        all.filter(|(_, c)| c.connect.is_none())
    }

    /// A module by number. Number 0 is the host itself and has no instance.
    ///
    /// # Panics
    /// On a number that no module has: numbers come from the tree.
    pub fn instance(&self, module: u16) -> &Instance {
        self.instances[usize::from(module)].as_ref().expect("numbers from 1 are modules")
    }

    /// A module's id.
    pub fn module_id(&self, module: u16) -> &str {
        &self.tree.modules[usize::from(module)]
    }

    /// The number of the module whose instance this is; 0: none.
    pub fn module_of(&self, instance: *const ()) -> u16 {
        let is = |i: &Option<Instance>| i.as_ref().is_some_and(|i| std::ptr::eq(i.as_ptr(), instance));
        // Mostly it asks for itself.
        let runs = current().module;
        if self.instances.get(usize::from(runs)).is_some_and(is) {
            return runs;
        }
        let at = self.instances.iter().position(is);
        at.unwrap_or(0) as u16
    }

    /// Modules by number, with their numbers.
    pub fn modules(&self) -> impl Iterator<Item = (u16, &Instance)> {
        self.instances.iter().enumerate().filter_map(|(n, i)| i.as_ref().map(|i| (n as u16, i)))
    }

    /// Modules whose file is another one than in `before`.
    pub fn exchanged(&self, before: &Self) -> impl Iterator<Item = &str> {
        let differs = |(n, new): &(u16, &Instance)| {
            let (id, mut old) = (self.module_id(*n), before.modules());
            old.any(|(m, old)| before.module_id(m) == id && !Arc::ptr_eq(&old.image, &new.image))
        };
        self.modules().filter(differs).map(|(n, _)| self.module_id(n))
    }

    /// A module's object for a block.
    #[inline]
    pub fn conf(&self, scope: ScopeId, module: u16) -> Conf {
        self.confs[scope.0 as usize * self.instances.len() + usize::from(module)]
    }

    /// Hooks of a phase that have something to do in a block, in order.
    #[inline]
    pub fn hooks(&self, phase: Phase, scope: ScopeId) -> &[(u16, HookPoint)] {
        self.hooks.of(phase, scope)
    }

    /// Modules in the order of start: providers of contracts before those that need them.
    pub fn start_order(&self) -> &[u16] {
        &self.start_order
    }

    /// Whether a text may name a variable that begins with `name`.
    pub fn names(&self, name: &str) -> bool {
        self.tree.templates.iter().any(|t| t.text.as_str().contains(name))
    }

    /// Another hold on it.
    pub fn shared(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// A task on the process's loop that ends with it.
    pub fn note_process_task(&self, task: tokio::task::AbortHandle) {
        let mut tasks = self.process_tasks.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.retain(|t| !t.is_finished());
        tasks.push(task);
    }

    /// Ends its tasks on the process's loop: called when the last worker has left it.
    pub fn end_process_tasks(&self) {
        for task in self.process_tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

impl Drop for Cycle {
    fn drop(&mut self) {
        for (module, conf) in self.owned.drain(..).rev() {
            if let Some(i) = &self.instances[usize::from(module)] {
                i.drop_conf(conf);
            }
        }
        for module in self.start_order.iter().rev() {
            self.instances[usize::from(*module)] = None;
        }
    }
}
