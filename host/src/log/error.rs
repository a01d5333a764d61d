//! The error log: records by level to several targets, `time [level] [module] [session] message key=value`. Knows neither who
//! calls nor what a session is beyond its id and the client's address.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use super::file::Target;
use super::limit::RateLimit;
use super::time::LocalTime;
use super::writer::{Channel, Writer};

/// Longest record, in bytes; the rest of it is cut off.
pub const MAX_RECORD: usize = 16 * 1024;
/// Most client addresses with a level of their own.
pub const MAX_CLIENTS: usize = 64;

/// How grave a record is, gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Something failed that should not.
    Error = 1,
    /// Something will fail unless looked after.
    Warn,
    /// What an operator wants to know of a healthy process.
    Info,
    /// What a developer of a module wants to know.
    Debug,
    /// Everything.
    Trace,
}

const LEVELS: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

impl Level {
    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = LEVELS.into_iter().find(|level| level.name() == name);
        known.ok_or_else(|| format!("unknown log level {name:?}; known are error, warn, info, debug, trace"))
    }
}

/// Whom a record is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Session<'a> {
    /// Its id, as in the access log. Empty: written as `-`.
    pub id: &'a str,
    /// For a level of this client's own.
    pub client: Option<IpAddr>,
}

/// The error log of the process. Clones are the same log.
#[derive(Clone)]
pub struct ErrorLog {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Arc<Writer>,
    outputs: RwLock<Vec<(Arc<Channel>, Level)>>,
    clients: RwLock<HashMap<IpAddr, Level>>,
    /// Levels of modules, by the name that their records carry.
    modules: RwLock<HashMap<String, Level>>,
    /// The most verbose level that anybody gets: what is above is dropped without a lock.
    most: AtomicU8,
    time: Mutex<LocalTime>,
    limit: RateLimit,
}

impl ErrorLog {
    /// Opens the targets, each with its level. The writer tells this log of lines that it loses, if it is the first.
    pub fn new(writer: &Arc<Writer>, targets: &[(Target, Level)]) -> io::Result<Self> {
        let inner = Arc::new(Inner {
            writer: writer.clone(),
            outputs: RwLock::default(),
            clients: RwLock::default(),
            modules: RwLock::default(),
            most: AtomicU8::new(0),
            time: Mutex::default(),
            limit: RateLimit::default(),
        });
        let log = Self { inner };
        log.set_targets(targets)?;
        let weak = Arc::downgrade(&log.inner);
        writer.report_to(Box::new(move |target, lost, cause| {
            if let Some(inner) = weak.upgrade() {
                Self { inner }.lost(target, lost, cause);
            }
        }));
        Ok(log)
    }

    /// Replaces the targets. When one cannot be opened nothing changes.
    pub fn set_targets(&self, targets: &[(Target, Level)]) -> io::Result<()> {
        let open = |(target, level): &(Target, Level)| {
            let channel = self.inner.writer.channel(target.clone());
            channel
                .map(|channel| (channel, *level))
                .map_err(|error| io::Error::new(error.kind(), format!("{target}: {error}")))
        };
        let outputs = targets.iter().map(open).collect::<io::Result<Vec<_>>>()?;
        let old = std::mem::replace(&mut *self.inner.outputs.write().unwrap_or_else(PoisonError::into_inner), outputs);
        drop(old);
        self.settle();
        Ok(())
    }

    /// Sets the level of all targets.
    pub fn set_level(&self, level: Level) {
        for output in self.inner.outputs.write().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            output.1 = level;
        }
        self.settle();
    }

    /// Sets the level of records about one client, in place of the targets' own; None takes it back. False: there are
    /// [`MAX_CLIENTS`] already.
    pub fn set_client_level(&self, client: IpAddr, level: Option<Level>) -> bool {
        let mut clients = self.inner.clients.write().unwrap_or_else(PoisonError::into_inner);
        let client = client.to_canonical();
        match level {
            Some(_) if clients.len() >= MAX_CLIENTS && !clients.contains_key(&client) => {
                return false;
            }
            Some(level) => drop(clients.insert(client, level)),
            None => drop(clients.remove(&client)),
        }
        drop(clients);
        self.settle();
        true
    }

    /// Replaces the levels of modules. One holds for records of that target, or of what is below it (`hyper` for
    /// `hyper::proto`), in place of the outputs' own; a client's level holds over it.
    pub fn set_module_levels(&self, levels: impl IntoIterator<Item = (String, Level)>) {
        *self.inner.modules.write().unwrap_or_else(PoisonError::into_inner) = levels.into_iter().collect();
        self.settle();
    }

    /// Clients with a level of their own.
    pub fn client_levels(&self) -> Vec<(IpAddr, Level)> {
        let clients = self.inner.clients.read().unwrap_or_else(PoisonError::into_inner);
        let mut levels: Vec<_> = clients.iter().map(|(client, level)| (*client, *level)).collect();
        levels.sort();
        levels
    }

    /// Whether anybody could get a record of this level. One load.
    pub fn enabled(&self, level: Level) -> bool {
        level as u8 <= self.inner.most.load(Relaxed)
    }

    /// The most verbose level that anybody gets. None: there is no target.
    pub fn most_verbose(&self) -> Option<Level> {
        LEVELS.get(usize::from(self.inner.most.load(Relaxed)).checked_sub(1)?).copied()
    }

    /// Writes a record to each target whose level, or the client's own, lets it through. Never waits for a disk. `target` is
    /// the module's id. Control characters are escaped, so a record is one line.
    pub fn log_record(
        &self,
        level: Level,
        target: &str,
        message: &str,
        fields: &[(&str, &str)],
        session: Option<Session<'_>>,
    ) {
        if self.enabled(level) {
            self.write(level, target, message, fields, session, false);
        }
    }

    /// Whether to say something of this kind now; at most once a second. Some: with how often it was held back since. See
    /// [`RateLimit`].
    pub fn once_a_second(&self, key: &str) -> Option<u64> {
        self.inner.limit.once_a_second(key, Instant::now())
    }

    /// Says of each flood that was over before `now` what [`ErrorLog::once_a_second`] held back at its end. To be called
    /// about once a second.
    pub fn last_words(&self, now: Instant) {
        for (about, more) in self.inner.limit.held_back(now) {
            tracing::warn!(%about, more, "held back since the last line");
        }
    }

    /// All that is held back, before the process ends.
    pub fn all_last_words(&self) {
        self.last_words(Instant::now() + Duration::from_secs(3600));
    }

    /// Waits until everything logged so far is written: before an exit, and in the panic hook. False: not within `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.inner.writer.flush(timeout)
    }

    fn lost(&self, target: &Target, lines: u64, cause: &str) {
        let (file, lines) = (target.to_string(), lines.to_string());
        let fields = [("file", &*file), ("lines", &*lines), ("cause", cause)];
        let message = if lines == "0" { "log file trouble" } else { "lines lost" };
        self.write(Level::Error, "host", message, &fields, None, true);
        // Of the error log's own trouble nobody would hear there.
        if self.is_alone(target) {
            let mut line = Vec::new();
            self.inner.time.lock().unwrap_or_else(PoisonError::into_inner).write(SystemTime::now(), &mut line);
            line.extend_from_slice(render(Level::Error, "host", message, &fields, "-").as_bytes());
            let _ = io::stderr().write_all(&line);
        }
    }

    /// Whether it is a target of this log, and standard error is none.
    fn is_alone(&self, target: &Target) -> bool {
        let outputs = self.inner.outputs.read().unwrap_or_else(PoisonError::into_inner);
        let is = |wanted: &Target| outputs.iter().any(|(channel, _)| channel.target == *wanted);
        is(target) && !is(&Target::Stderr)
    }

    fn write(
        &self,
        level: Level,
        target: &str,
        message: &str,
        fields: &[(&str, &str)],
        session: Option<Session<'_>>,
        report: bool,
    ) {
        let own = session.and_then(|session| session.client).and_then(|client| self.client_level(client));
        let own = own.or_else(|| self.module_level(target));
        let outputs = self.inner.outputs.read().unwrap_or_else(PoisonError::into_inner);
        let mut line = Vec::new();
        for (channel, limit) in outputs.iter() {
            if level > own.unwrap_or(*limit) {
                continue;
            }
            if line.is_empty() {
                self.inner.time.lock().unwrap_or_else(PoisonError::into_inner).write(SystemTime::now(), &mut line);
                let id = session.map(|session| session.id).filter(|id| !id.is_empty()).unwrap_or("-");
                line.extend_from_slice(render(level, target, message, fields, id).as_bytes());
            }
            match report {
                true => channel.send_report(line.clone()),
                false => channel.send(line.clone(), 1, false),
            }
        }
    }

    fn client_level(&self, client: IpAddr) -> Option<Level> {
        let clients = self.inner.clients.read().unwrap_or_else(PoisonError::into_inner);
        if clients.is_empty() { None } else { clients.get(&client.to_canonical()).copied() }
    }

    fn module_level(&self, target: &str) -> Option<Level> {
        let modules = self.inner.modules.read().unwrap_or_else(PoisonError::into_inner);
        if modules.is_empty() {
            return None;
        }
        let above = || modules.get(target.split("::").next()?);
        modules.get(target).or_else(above).copied()
    }

    /// Recomputes the most verbose level and lets `tracing` know.
    fn settle(&self) {
        let outputs = self.inner.outputs.read().unwrap_or_else(PoisonError::into_inner);
        let clients = self.inner.clients.read().unwrap_or_else(PoisonError::into_inner);
        let modules = self.inner.modules.read().unwrap_or_else(PoisonError::into_inner);
        let own = clients.values().chain(modules.values()).copied();
        let most = outputs.iter().map(|(_, level)| *level).chain(own).max().filter(|_| !outputs.is_empty());
        self.inner.most.store(most.map_or(0, |level| level as u8), Relaxed);
        drop((outputs, clients, modules));
        tracing_core::callsite::rebuild_interest_cache();
    }
}

/// Everything of a record behind its time.
fn render(level: Level, target: &str, message: &str, fields: &[(&str, &str)], id: &str) -> String {
    let mut line = format!(" [{level}] [");
    escaped(&mut line, target, false);
    line.push_str("] [");
    escaped(&mut line, id, false);
    line.push_str("] ");
    escaped(&mut line, message, false);
    for (name, value) in fields {
        line.push(' ');
        escaped(&mut line, name, false);
        line.push('=');
        let bare = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\'));
        if bare {
            escaped(&mut line, value, false);
        } else {
            line.push('"');
            escaped(&mut line, value, true);
            line.push('"');
        }
    }
    if line.len() > MAX_RECORD {
        let cut = (0..=MAX_RECORD).rev().find(|&at| line.is_char_boundary(at)).unwrap_or(0);
        line.truncate(cut);
        line.push('…');
    }
    line.push('\n');
    line
}

/// Appends text without what ends a line or changes how a terminal shows it. Stops once the record is too long anyway.
fn escaped(line: &mut String, text: &str, quoted: bool) {
    for c in text.chars() {
        if line.len() > MAX_RECORD {
            return;
        }
        match c {
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            '"' | '\\' if quoted => line.extend(['\\', c]),
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                line.extend(c.escape_unicode())
            }
            _ if c.is_control() => line.extend(c.escape_unicode()),
            _ => line.push(c),
        }
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
