//! Access logs: which lines a session of each block writes, and the buffers in which a worker gathers them. Owns plans
//! and buffers; files belong to [`crate::log`], values to the variables.
//!
//! [`Plans::of`] reads the configuration and touches nothing; [`Plans::open`] opens the files, in `prepare`. A session
//! writes by the plans of its own generation, so logs of a retired one keep working to its last session.

use super::json_line::{self, Field, JsonLine};
use crate::{
    config::{
        core,
        tree::{ScopeId, Tree},
    },
    cycle::vars::outcome,
    log::{AccessLog, Buffer, Buffering, Target, Writer},
    process::process,
    services::timers,
    session::Session,
    template::{Absent, Escape, Resolver, Template},
    worker::Worker,
};
use anyproxy_module_api::abi::conf::{Node, Span};
use std::{
    collections::HashMap,
    io,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// How often open sessions are looked at for `interval=`: no interval is shorter.
const SCAN: Duration = Duration::from_secs(1);
/// A buffer that was not used for so long is given up, and its file with it when nobody else has it.
const IDLE: Duration = Duration::from_secs(60);

/// What one directive says, or several that say the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Spec {
    key: Arc<Key>,
    format: Format,
    errors_only: bool,
    interval: Option<Duration>,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Format {
    Default,
    /// Number of the template.
    Template(u32),
    Json(Vec<Field>),
}

/// Lines of one target with the same buffering share a buffer.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    target: Target,
    size: usize,
    flush: Option<Duration>,
}

/// The access logs of a generation, by block.
#[derive(Default)]
pub struct Plans {
    /// With the first directive that says it.
    specs: Vec<(Spec, Span<'static>)>,
    /// Different lists of plans.
    lists: Vec<Box<[u32]>>,
    /// By block: into `lists`.
    scopes: Vec<u32>,
    open: OnceLock<Vec<LogPlan>>,
}

/// One open access log.
pub struct LogPlan {
    /// Its place among the generation's.
    number: usize,
    spec: Spec,
    line: Line,
    log: AccessLog,
}

/// How a plan's lines are written.
enum Line {
    Default(Template),
    /// One of the configuration's.
    Template(u32),
    Json(JsonLine),
}

impl Line {
    fn new(format: &Format, resolver: &dyn Resolver) -> Result<Self, String> {
        match format {
            Format::Default => default_format(resolver).map(Self::Default),
            Format::Template(n) => Ok(Self::Template(*n)),
            Format::Json(fields) => JsonLine::new(fields, resolver).map(Self::Json),
        }
    }
}

impl Plans {
    /// Reads `access_log` of every block. Equal ones become one plan. Writes nothing until it is opened.
    pub fn of(tree: &Tree) -> Self {
        let mut plans = Self::default();
        let mut known: HashMap<Spec, u32> = HashMap::new();
        let mut lists: HashMap<Box<[u32]>, u32> = HashMap::new();
        for (id, scope) in tree.scopes() {
            if let Some(parent) = scope.parent.filter(|_| tree.view(id, 0).same_as_parent) {
                let list = plans.scopes[parent.0 as usize];
                plans.scopes.push(list);
                continue;
            }
            let nodes: Vec<_> = tree.nodes(id, 0).iter().filter(|n| n.name.as_str() == "access_log").collect();
            // `off` stands for the block as a whole.
            let off = nodes.iter().any(|n| word(n) == "off");
            let mut list = Vec::new();
            for node in nodes.into_iter().filter(|_| !off) {
                let spec = Spec::of(node);
                let n = *known.entry(spec.clone()).or_insert_with(|| {
                    plans.specs.push((spec, node.span));
                    plans.specs.len() as u32 - 1
                });
                if !list.contains(&n) {
                    list.push(n);
                }
            }
            let list: Box<[u32]> = list.into();
            let n = *lists.entry(list.clone()).or_insert_with(|| {
                plans.lists.push(list);
                plans.lists.len() as u32 - 1
            });
            plans.scopes.push(n);
        }
        plans
    }

    /// Opens every file; `resolver` compiles the default format. From now on sessions write. A second call changes
    /// nothing. All failures come together, and then nothing is open.
    ///
    /// # Errors
    /// For each log that cannot be opened: its directive and one line.
    pub fn open(&self, writer: &Writer, resolver: &dyn Resolver) -> Result<(), Vec<(Span<'_>, String)>> {
        let mut open = Vec::new();
        let mut errors = Vec::new();
        for (spec, span) in &self.specs {
            let line = Line::new(&spec.format, resolver);
            let log = AccessLog::open(writer, spec.key.target.clone()).map_err(|e| unopened(&spec.key.target, &e));
            match (line, log) {
                (Ok(line), Ok(log)) => open.push(LogPlan { number: open.len(), spec: spec.clone(), line, log }),
                (Err(text), _) | (_, Err(text)) => errors.push((*span, text)),
            }
        }
        if errors.is_empty() {
            self.open.get_or_init(|| open);
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// What `open` would say; makes no file.
    pub fn check(&self, writer: &Writer, resolver: &dyn Resolver) -> Vec<(Span<'_>, String)> {
        let wrong = |spec: &Spec| {
            Line::new(&spec.format, resolver)?;
            writer.check(&spec.key.target).map_err(|e| unopened(&spec.key.target, &e))
        };
        self.specs.iter().filter_map(|(spec, span)| Some((*span, wrong(spec).err()?))).collect()
    }

    /// Those that are open and whose files are gone for good, each with why it cannot be opened.
    pub fn gone(&self, writer: &Writer) -> Vec<(Span<'_>, String)> {
        let why = |target: &Target| writer.check_open(target).err().map(|e| unopened(target, &e));
        self.specs.iter().filter_map(|(spec, span)| Some((*span, why(&spec.key.target)?))).collect()
    }

    /// The plans of a block; none before `open`.
    fn in_scope(&self, scope: ScopeId) -> impl Iterator<Item = &LogPlan> {
        let list = self.scopes.get(scope.0 as usize).and_then(|n| self.lists.get(*n as usize));
        let (list, all) = (list.map_or(&[][..], |list| list), self.all());
        list.iter().filter_map(|n| all.get(*n as usize))
    }

    /// All of them, for status.
    pub fn all(&self) -> &[LogPlan] {
        self.open.get().map_or(&[], |open| open)
    }

    /// Whether any of them logs open sessions.
    fn has_intervals(&self) -> bool {
        self.specs.iter().any(|(spec, _)| spec.interval.is_some())
    }
}

fn unopened(target: &Target, e: &io::Error) -> String {
    format!("access log {target} cannot be opened: {e}")
}

fn word<'a>(node: &Node<'a>) -> &'a str {
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
    fn of(node: &Node<'_>) -> Self {
        let default = Buffering::default();
        Self {
            key: Arc::new(Key {
                target: Target::new(word(node)),
                size: node.prop("buffer").map_or(default.size, |v| v.size() as usize),
                flush: node.prop("flush").map_or(default.flush, |v| Some(v.time())),
            }),
            format: match (json_line::fields(node), node.written("format")) {
                (Some(fields), _) => Format::Json(fields),
                (None, Some(format)) => Format::Template(format.num as u32),
                (None, None) => Format::Default,
            },
            errors_only: node.prop("errors_only").is_some_and(|v| v.bool()),
            interval: node.prop("interval").map(|v| v.time()),
        }
    }
}

impl std::fmt::Debug for Plans {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.specs).finish()
    }
}

impl std::fmt::Debug for LogPlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogPlan({})", self.spec.key.target)
    }
}

impl LogPlan {
    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.spec.key.target
    }

    /// Lines lost since the target was opened.
    pub fn lost(&self) -> u64 {
        self.log.lost()
    }

    fn buffer(&self) -> Buffer {
        let Key { size, flush, .. } = *self.spec.key;
        self.log.buffer(Buffering { size, flush })
    }

    /// Whether a session that ended with this status and close reason, or is still open, is written.
    fn wants(&self, status: u32, close: u32, open: bool) -> bool {
        if open {
            return self.spec.interval.is_some() && !self.spec.errors_only;
        }
        !self.spec.errors_only || outcome::is_error(status, close)
    }

    fn render(&self, session: &Session, out: &mut Vec<u8>) {
        let templates = &session.worker.cycle.templates;
        let format = match &self.line {
            Line::Json(line) => return line.write(session, templates, out),
            Line::Default(format) => Some(format),
            Line::Template(n) => templates.get(*n as usize),
        };
        if let Some(format) = format {
            format.render_escaped(session, out, Absent::Dash, Escape::Log);
        }
    }
}

/// Writes the session's lines: at its end, or while it is `open` those that have an interval. An open one shows `-` for
/// `${close_reason}`.
pub fn write(session: &Session, open: bool) {
    let (status, close) = (session.shared.status.get(), session.shared.close_reason.get());
    for plan in session.worker.cycle.logs.in_scope(session.scope.get()).filter(|p| p.wants(status, close, open)) {
        // As of this turn of the loop: a line a request is too often to ask the system.
        let now = process().instant(timers::now());
        let render = |out: &mut Vec<u8>| plan.render(session, out);
        match session.worker.books.logs.try_borrow_mut() {
            Ok(mut logs) => logs.line(plan, now, render),
            // A variable of this very line ended another session: a buffer of its own, handed over at once, so that nothing is lost.
            Err(_) => plan.buffer().line(now, render),
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
    open: Vec<Slot>,
    /// By the number of a plan: where its slot was found last. Another generation's plan may have the number too.
    places: Vec<usize>,
    scanned: Duration,
}

struct Slot {
    key: Arc<Key>,
    buffer: Buffer,
    used: Instant,
}

impl std::fmt::Debug for Buffers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.open.iter().map(|slot| &slot.key)).finish()
    }
}

impl Buffers {
    fn line(&mut self, plan: &LogPlan, now: Instant, render: impl FnOnce(&mut Vec<u8>)) {
        let place = self.places.get(plan.number).copied().filter(|&at| self.is_at(at, plan));
        let at = place.unwrap_or_else(|| self.find(plan, now));
        let slot = &mut self.open[at];
        slot.used = now;
        slot.buffer.line(now, render);
    }

    fn is_at(&self, at: usize, plan: &LogPlan) -> bool {
        self.open.get(at).is_some_and(|slot| slot.key == plan.spec.key)
    }

    /// Once a plan, and after others were given up.
    #[cold]
    fn find(&mut self, plan: &LogPlan, now: Instant) -> usize {
        let at = (0..self.open.len()).find(|&at| self.is_at(at, plan)).unwrap_or_else(|| {
            self.open.push(Slot { key: Arc::clone(&plan.spec.key), buffer: plan.buffer(), used: now });
            self.open.len() - 1
        });
        if self.places.len() <= plan.number {
            self.places.resize(plan.number + 1, 0);
        }
        self.places[plan.number] = at;
        at
    }

    /// Hands over what has waited long enough, and once a second writes the lines of sessions still open. To be called
    /// by the worker's clock.
    pub fn tick(&mut self, worker: &Worker) {
        let now = Instant::now();
        self.flush_due(now);
        let clock = process().now();
        let elapsed = clock.saturating_sub(self.scanned);
        if elapsed < SCAN {
            return;
        }
        self.scanned = clock;
        if !worker.generations().iter().any(|g| g.cycle.logs.has_intervals()) {
            return;
        }
        worker.each_with_exchanges(|session| {
            if session.is_logged_by_exchange() {
                return;
            }
            let age = session.age();
            for plan in session.worker.cycle.logs.in_scope(session.scope.get()).filter(|p| p.wants(0, 0, true)) {
                if plan.spec.interval.is_some_and(|i| is_due(i, age, elapsed)) {
                    self.line(plan, now, |out| plan.render(session, out));
                }
            }
        });
    }

    fn flush_due(&mut self, now: Instant) {
        self.open.retain_mut(|slot| {
            slot.buffer.tick(now);
            slot.buffer.deadline().is_some() || now.saturating_duration_since(slot.used) < IDLE
        });
    }

    /// Hands over everything.
    pub fn flush(&mut self) {
        for slot in &mut self.open {
            slot.buffer.flush();
        }
    }
}

#[cfg(test)]
#[path = "access_log_tests.rs"]
mod tests;
