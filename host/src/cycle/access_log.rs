//! Access logs: which lines a session of each block writes, and the buffers in which a worker gathers them. Owns plans
//! and buffers; files belong to [`crate::log`], values to the variables.
//!
//! `compile` reads the configuration and touches nothing; `Unopened::open` opens the files, in `prepare`. A session
//! writes by the plans of its own generation, so logs of a retired one keep working to its last session.

use crate::{
    config::{
        core,
        tree::{ScopeId, Tree},
    },
    log::{AccessLog, Buffer, Buffering, Target, Writer},
    process::process,
    session::Session,
    template::{Absent, Escape, Resolver, Template},
    worker::{Worker, here},
};
use anyproxy_module_api::abi::conf::{Node, Span};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::vars::outcome;

/// How often open sessions are looked at for `interval=`: no interval is shorter.
const SCAN: Duration = Duration::from_secs(1);
/// A buffer that was not used for so long is given up, and its file with it when nobody else has it.
const IDLE: Duration = Duration::from_secs(60);

/// The lines of one directive, or of several that say the same.
#[derive(Debug)]
struct Spec {
    target: Target,
    format: Template,
    errors_only: bool,
    interval: Option<Duration>,
    buffering: Buffering,
    span: Span,
}

/// Which plans each block has.
#[derive(Debug, Default)]
struct Scopes {
    lists: Vec<Box<[u32]>>,
    /// By block: into `lists`.
    of: Vec<u32>,
}

/// The access logs of a configuration, before their files are open.
#[derive(Debug)]
pub struct Unopened {
    specs: Vec<Spec>,
    scopes: Scopes,
}

/// The access logs of a generation.
#[derive(Default)]
pub struct Plans {
    plans: Vec<LogPlan>,
    scopes: Scopes,
    intervals: bool,
}

/// One access log.
pub struct LogPlan {
    format: Template,
    errors_only: bool,
    /// Sessions still open are logged this often too.
    pub interval: Option<Duration>,
    log: AccessLog,
    key: Arc<Key>,
}

/// Lines of one target with the same buffering share a buffer.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    target: Target,
    size: usize,
    flush: Option<Duration>,
}

/// Reads `access_log` of every block. Equal ones become one plan. `templates` are those of the tree, compiled;
/// `resolver` compiles the format of those that give none, which the directive's table documents.
///
/// # Errors
/// The documented format does not compile.
pub fn compile(tree: &Tree, templates: &[Template], resolver: &dyn Resolver) -> Result<Unopened, String> {
    let mut specs = Vec::new();
    let mut known = HashMap::new();
    let mut scopes = Scopes::default();
    let mut lists: HashMap<Box<[u32]>, u32> = HashMap::new();
    let mut default = None;
    for (id, scope) in tree.scopes() {
        if let Some(parent) = scope.parent.filter(|_| tree.view(id, 0).same_as_parent) {
            scopes.of.push(scopes.of[parent.0 as usize]);
            continue;
        }
        let nodes: Vec<_> = tree.nodes(id, 0).iter().filter(|n| n.name.as_str() == "access_log").collect();
        // `off` stands for the block as a whole.
        let off = nodes.iter().any(|n| word(n) == "off");
        let mut list = Vec::new();
        for node in nodes.into_iter().filter(|_| !off) {
            let format = match node.prop("format").and_then(|v| templates.get(v.num as usize)) {
                Some(t) => t.clone(),
                None => match &default {
                    Some(t) => Template::clone(t),
                    None => default.insert(default_format(resolver)?).clone(),
                },
            };
            let spec = Spec::of(node, format);
            let buffering = (spec.buffering.size, spec.buffering.flush);
            let key = (spec.target.clone(), spec.format.text().to_owned(), spec.errors_only, spec.interval, buffering);
            let n = *known.entry(key).or_insert_with(|| {
                specs.push(spec);
                specs.len() as u32 - 1
            });
            if !list.contains(&n) {
                list.push(n);
            }
        }
        let list: Box<[u32]> = list.into();
        let n = *lists.entry(list.clone()).or_insert_with(|| {
            scopes.lists.push(list);
            scopes.lists.len() as u32 - 1
        });
        scopes.of.push(n);
    }
    Ok(Unopened { specs, scopes })
}

fn word(node: &Node) -> &str {
    node.arg(0).map_or("", |v| v.text.as_str())
}

/// As the table of directives documents it: one place says what it is.
fn default_format(resolver: &dyn Resolver) -> Result<Template, String> {
    let table = core::directives();
    let desc = table.iter().find(|d| d.name.as_str() == "access_log");
    let prop = desc.and_then(|d| d.props.as_slice().iter().find(|p| p.name.as_str() == "format"));
    let text = prop.map_or("", |p| p.default.as_str());
    Template::compile(text, resolver).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        format!("the default format of access_log: {}", errors.join("; "))
    })
}

impl Spec {
    fn of(node: &Node, format: Template) -> Self {
        let default = Buffering::default();
        Self {
            target: Target::new(word(node)),
            format,
            errors_only: node.prop("errors_only").is_some_and(|v| v.bool()),
            interval: node.prop("interval").map(|v| v.time()),
            buffering: Buffering {
                size: node.prop("buffer").map_or(default.size, |v| v.size() as usize),
                flush: node.prop("flush").map_or(default.flush, |v| Some(v.time())),
            },
            span: node.span,
        }
    }
}

impl Unopened {
    /// Opens every file. All failures come together; then nothing stays open.
    ///
    /// # Errors
    /// For each file that cannot be opened: the directive and one line.
    pub fn open(self, writer: &Writer) -> Result<Plans, Vec<(Span, String)>> {
        let mut plans = Vec::new();
        let mut keys: HashMap<Arc<Key>, AccessLog> = HashMap::new();
        let mut errors = Vec::new();
        for spec in self.specs {
            let Buffering { size, flush } = spec.buffering;
            let key = Arc::new(Key { target: spec.target.clone(), size, flush });
            if !keys.contains_key(&key) {
                match AccessLog::open(writer, spec.target.clone()) {
                    Ok(log) => {
                        keys.insert(Arc::clone(&key), log);
                    }
                    Err(e) => {
                        errors.push((spec.span, format!("access log {} cannot be opened: {e}", spec.target)));
                        continue;
                    }
                }
            }
            let Some((key, log)) = keys.get_key_value(&key) else { continue };
            plans.push(LogPlan {
                format: spec.format,
                errors_only: spec.errors_only,
                interval: spec.interval,
                log: log.clone(),
                key: Arc::clone(key),
            });
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let intervals = plans.iter().any(|p| p.interval.is_some());
        Ok(Plans { plans, scopes: self.scopes, intervals })
    }
}

impl Plans {
    /// The plans of a block.
    pub fn of(&self, scope: ScopeId) -> impl Iterator<Item = &LogPlan> {
        let list = self.scopes.of.get(scope.0 as usize).and_then(|n| self.scopes.lists.get(*n as usize));
        list.into_iter().flatten().filter_map(|n| self.plans.get(*n as usize))
    }

    /// All of them, for status.
    pub fn all(&self) -> &[LogPlan] {
        &self.plans
    }

    /// Whether any of them logs open sessions.
    pub fn has_intervals(&self) -> bool {
        self.intervals
    }
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.plans).finish()
    }
}

impl std::fmt::Debug for LogPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogPlan({})", self.key.target)
    }
}

impl LogPlan {
    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.key.target
    }

    /// Lines lost since the target was opened.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }

    fn buffer(&self) -> Buffer {
        self.log.buffer(Buffering { size: self.key.size, flush: self.key.flush })
    }

    fn wants(&self, session: &Session, open: bool) -> bool {
        if open {
            return self.interval.is_some() && !self.errors_only;
        }
        !self.errors_only || outcome::is_error(session.shared.status.get(), session.shared.close_reason.get())
    }
}

fn render(plan: &LogPlan, session: &Session, out: &mut Vec<u8>) {
    plan.format.render_escaped(session, out, Absent::Dash, Escape::Log);
}

/// Writes the session's lines: at its end, or while it is `open` those that have an interval. An open one shows `-` for
/// `${close_reason}`.
pub fn write(session: &Session, open: bool) {
    let worker = here();
    for plan in session.worker.cycle.logs.of(session.scope.get()).filter(|p| p.wants(session, open)) {
        let logs = worker.as_ref().and_then(|w| w.logs.try_borrow_mut().ok());
        match logs {
            Some(mut logs) => logs.line(plan, |out| render(plan, session, out)),
            // The worker is gone, or a variable of this very line ended another session: a buffer of its own, handed
            // over at once, so that nothing is lost.
            None => plan.buffer().line(Instant::now(), |out| render(plan, session, out)),
        }
    }
}

/// Whether a session that is `age` old passed a multiple of `interval` within the last `elapsed`.
fn is_due(interval: Duration, age: Duration, elapsed: Duration) -> bool {
    let turns = |t: Duration| t.as_nanos() / interval.as_nanos().max(1);
    turns(age) > turns(age.saturating_sub(elapsed))
}

/// The buffers of one worker. What they hold is handed over when they are dropped.
#[derive(Default)]
pub struct Buffers {
    open: HashMap<Arc<Key>, Slot>,
    scanned: Duration,
}

struct Slot {
    buffer: Buffer,
    used: Instant,
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.open.keys()).finish()
    }
}

impl Buffers {
    fn line(&mut self, plan: &LogPlan, render: impl FnOnce(&mut Vec<u8>)) {
        let now = Instant::now();
        if !self.open.contains_key(&plan.key) {
            self.open.insert(Arc::clone(&plan.key), Slot { buffer: plan.buffer(), used: now });
        }
        if let Some(slot) = self.open.get_mut(&plan.key) {
            slot.used = now;
            slot.buffer.line(now, render);
        }
    }

    /// Hands over what has waited long enough, and once a second writes the lines of sessions still open. To be called
    /// by the worker's clock.
    pub fn tick(&mut self, worker: &Worker) {
        self.flush_due(Instant::now());
        let clock = process().now();
        let elapsed = clock.saturating_sub(self.scanned);
        if elapsed < SCAN {
            return;
        }
        self.scanned = clock;
        if !worker.generations().iter().any(|g| g.cycle.logs.has_intervals()) {
            return;
        }
        worker.each_session(|session| {
            let age = session.age();
            for plan in session.worker.cycle.logs.of(session.scope.get()).filter(|p| p.wants(session, true)) {
                if plan.interval.is_some_and(|i| is_due(i, age, elapsed)) {
                    self.line(plan, |out| render(plan, session, out));
                }
            }
        });
    }

    fn flush_due(&mut self, now: Instant) {
        self.open.retain(|_, slot| {
            slot.buffer.tick(now);
            slot.buffer.deadline().is_some() || now.saturating_duration_since(slot.used) < IDLE
        });
    }

    /// Hands over everything.
    pub fn flush(&mut self) {
        for slot in self.open.values_mut() {
            slot.buffer.flush();
        }
    }
}

#[cfg(test)]
#[path = "access_log_tests.rs"]
mod tests;
