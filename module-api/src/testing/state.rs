//! What one fake host knows: its clock, queues, tables and records. One a thread; no `unsafe` in here.

use super::{
    live::{Live, Waiters},
    wire::{End, Peer},
};
use crate::{
    Addr, ErrorKind, Outcome, Received, Stream,
    abi::{
        fake::{DatagramSocket, FakeJob, FakeTask, FakeTimer, FakeWatch, FileChange, Memory, SessionObject, ZoneEntry},
        host::Clock,
        task::Closure,
    },
};
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    path::PathBuf,
    rc::{Rc, Weak},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// A log record that the module wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// 1 error … 5 trace.
    pub level: u8,
    /// The module's id, or a library's own target.
    pub target: String,
    /// The message.
    pub message: String,
    /// `key=value key=value`.
    pub fields: String,
}

/// A registered metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name without the module's prefix.
    pub name: String,
    /// One line of help.
    pub help: String,
    /// `key=value,key=value`.
    pub labels: String,
    /// `bytes`, `seconds`, or empty.
    pub unit: String,
    /// Sum of a counter or gauge (wrapping, as the cell is).
    pub value: u64,
    /// Observations of a histogram.
    pub observed: Vec<u64>,
}

/// A datagram that the module sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Number of the datagram listener, or `None` for a socket of the module's own.
    pub listener: Option<u32>,
    /// Where from.
    pub from: Addr,
    /// Where to.
    pub to: Addr,
    /// Its bytes; a run of equal ones is several of these.
    pub bytes: Vec<u8>,
}

/// What the next connect to the session's upstream does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It succeeds: `FakeHost::upstream` gives the other end.
    Accept,
    /// It fails.
    Fail(ErrorKind),
    /// It never ends.
    Stall,
}

/// Name and arguments of a function to its result.
pub(crate) type ModuleFunction = dyn Fn(&str, &[&str]) -> Option<Vec<u8>>;

pub(crate) enum Site {
    Open(Rc<Listening>),
    Refuse(ErrorKind),
    Stall,
}

pub(crate) struct Listening {
    pub(crate) addr: Addr,
    pub(crate) backlog: RefCell<VecDeque<End>>,
    pub(crate) waiters: Waiters,
}

/// What a module lent to others under a key.
pub(crate) struct Lent {
    pub(crate) kind: String,
    pub(crate) data: *const (),
}

/// A contract that the test offers.
pub(crate) struct Offered {
    pub(crate) id: String,
    pub(crate) major: u16,
    pub(crate) minor: u16,
    pub(crate) layout: u64,
    pub(crate) table: *const (),
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) live: Live,
    pub(crate) now_ns: Cell<u64>,
    pub(crate) clock: PageClock,
    pub(crate) worker: Cell<Option<u32>>,
    pub(crate) workers: Cell<u32>,

    pub(crate) log_level: Cell<u8>,
    pub(crate) log: RefCell<Vec<LogRecord>>,
    pub(crate) memory: Arc<Memory>,

    pub(crate) tasks: RefCell<Vec<Rc<FakeTask>>>,
    pub(crate) timers: RefCell<Vec<std::sync::Weak<FakeTimer>>>,
    pub(crate) posts: RefCell<VecDeque<Closure>>,
    pub(crate) jobs: RefCell<VecDeque<Rc<FakeJob>>>,
    pub(crate) hold_jobs: Cell<bool>,
    pub(crate) disk_room: Cell<u64>,

    pub(crate) sites: RefCell<HashMap<String, Site>>,
    pub(crate) next_port: Cell<u16>,
    pub(crate) adoptable: RefCell<HashMap<i64, End>>,
    pub(crate) sockets: RefCell<HashMap<String, std::sync::Weak<DatagramSocket>>>,
    pub(crate) sent: RefCell<Vec<Sent>>,
    pub(crate) segments: Cell<u32>,
    pub(crate) send_blocked: Cell<bool>,
    pub(crate) blocked: Waiters,
    pub(crate) watches: RefCell<Vec<std::sync::Weak<FakeWatch>>>,
    pub(crate) last_error: RefCell<Option<crate::Error>>,
    pub(crate) names: RefCell<HashMap<String, (Vec<std::net::IpAddr>, u32)>>,

    pub(crate) dir: RefCell<Option<PathBuf>>,
    pub(crate) file_changes: RefCell<Vec<std::sync::Weak<FileChange>>>,

    pub(crate) metrics: RefCell<Vec<Metric>>,
    pub(crate) cells: RefCell<HashMap<u32, &'static AtomicU64>>,

    pub(crate) zones: RefCell<HashMap<String, std::sync::Weak<ZoneEntry>>>,
    pub(crate) imports: RefCell<HashMap<String, (u32, Vec<u8>)>>,
    pub(crate) image: Cell<u32>,
    pub(crate) published: RefCell<HashMap<(u32, String), Lent>>,
    pub(crate) scope_parents: RefCell<HashMap<u32, u32>>,
    pub(crate) contracts: RefCell<Vec<Offered>>,

    pub(crate) sessions: RefCell<Vec<Weak<SessionObject>>>,
    pub(crate) next_session: Cell<u64>,
    pub(crate) variables: RefCell<HashMap<String, String>>,
    pub(crate) templates: RefCell<Vec<String>>,
    pub(crate) routes: RefCell<VecDeque<i32>>,
    pub(crate) conf: Cell<Conf>,
    /// The worker's object of the module under test.
    pub(crate) worker_object: Cell<Conf>,
    pub(crate) peer_conf: Cell<Conf>,
    pub(crate) accepted: RefCell<VecDeque<(u32, Stream)>>,
    pub(crate) module_variable: RefCell<Option<Rc<ModuleVariable>>>,
    /// A function of the module for templates.
    pub(crate) module_function: RefCell<Option<Rc<ModuleFunction>>>,

    pub(crate) attempts: RefCell<VecDeque<Attempt>>,
    pub(crate) upstreams: RefCell<VecDeque<Peer>>,
    pub(crate) peer_name: RefCell<(String, String, String)>,
    pub(crate) peer_addr: Cell<Addr>,
    pub(crate) lease_keys: RefCell<Vec<String>>,
    /// Upstreams that directives name, by their numbers.
    pub(crate) named: RefCell<Vec<String>>,
    /// Numbers of those that were asked.
    pub(crate) asked: RefCell<Vec<u32>>,
    pub(crate) outcomes: RefCell<Vec<Outcome>>,
}

/// A variable of the module under test, by name.
pub(crate) type ModuleVariable = dyn Fn(&Rc<SessionObject>, &str) -> Option<Vec<u8>>;

/// A block's object of the module under test.
#[derive(Clone, Copy)]
pub(crate) struct Conf(pub(crate) *const ());

impl Default for Conf {
    fn default() -> Self {
        Self(std::ptr::null())
    }
}

/// The clock page, at its own address for as long as the state.
pub(crate) struct PageClock(pub(crate) Box<Clock>);

impl Default for PageClock {
    fn default() -> Self {
        Self(Box::new(Clock {
            now_ms: AtomicU64::new(0),
            unix_ms: AtomicU64::new(0),
            now_ns: AtomicU64::new(0),
            ready: AtomicU64::new(0),
        }))
    }
}

/// 2023-11-14T22:13:20Z: when every fake host begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
/// Monotonic time when it begins: not 0, which many fields read as "none".
const START_MS: u64 = 1_000;

impl State {
    pub(crate) fn fresh() -> Rc<Self> {
        let s = Self::default();
        s.worker.set(Some(0));
        s.workers.set(1);
        s.log_level.set(5);
        s.segments.set(1);
        s.disk_room.set(u64::MAX);
        s.next_port.set(40_000);
        s.set_now(START_MS * 1_000_000);
        s.peer_name.replace(("origin".to_owned(), "origin.test".to_owned(), "tcp".to_owned()));
        s.peer_addr.set(Addr::from(std::net::SocketAddr::from(([198, 51, 100, 1], 80))));
        Rc::new(s)
    }

    pub(crate) fn set_now(&self, ns: u64) {
        self.now_ns.set(ns);
        let ms = ns / 1_000_000;
        self.clock.0.now_ms.store(ms, Relaxed);
        self.clock.0.now_ns.store(ns, Relaxed);
        self.clock.0.unix_ms.store(EPOCH_MS + ms - START_MS.min(ms), Relaxed);
    }

    pub(crate) fn port(&self) -> u16 {
        self.next_port.replace(self.next_port.get().wrapping_add(1).max(1024))
    }

    /// `addr`, with a port when it has none.
    pub(crate) fn bound(&self, addr: Addr) -> Addr {
        match addr.socket() {
            Some(mut s) if s.port() == 0 => {
                s.set_port(self.port());
                s.into()
            }
            _ => addr,
        }
    }

    /// The temporary directory, made when first asked for.
    pub(crate) fn dir(&self) -> PathBuf {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let made = || {
            let n = NEXT.fetch_add(1, Relaxed);
            let d = std::env::temp_dir().join(format!("anyproxy-fake-{}-{n}", std::process::id()));
            // A failure shows at the first file that is opened in it.
            let _ = std::fs::create_dir_all(&d);
            d
        };
        self.dir.borrow_mut().get_or_insert_with(made).clone()
    }

    /// Writes the value of one variable.
    pub(crate) fn variable(&self, session: &Rc<SessionObject>, name: &str) -> Option<Vec<u8>> {
        if let Some(v) = self.variables.borrow().get(name) {
            return Some(v.clone().into_bytes());
        }
        let s = &session.shared;
        let text = match name {
            "client_addr" => s.client.get().to_string(),
            "remote_addr" => s.remote.to_string(),
            "local_addr" => s.local.to_string(),
            "domain" => session.domain().to_owned(),
            "request_id" => session.request_id().to_owned(),
            "status" => s.status.get().to_string(),
            _ => {
                let module = self.module_variable.borrow().clone();
                return module.and_then(|f| f(session, name));
            }
        };
        (!text.is_empty()).then(|| text.into_bytes())
    }

    /// Expands `${name}`, `${function(name, "text")}` and `$${`. Functions are the module's own.
    pub(crate) fn render(&self, session: &Rc<SessionObject>, template: &str, absent: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            out.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at..];
            if let Some(literal) = rest.strip_prefix("$${") {
                out.extend_from_slice(b"${");
                rest = literal;
            } else if let Some((name, after)) = rest.strip_prefix("${").and_then(|r| r.split_once('}')) {
                match self.expression(session, name) {
                    Some(v) => out.extend(v),
                    None if absent => out.push(b'-'),
                    None => {}
                }
                rest = after;
            } else {
                out.push(b'$');
                rest = &rest[1..];
            }
        }
        out.extend_from_slice(rest.as_bytes());
        out
    }

    /// A name, a text in quotes, a number, or a call with such arguments; no text holds a comma or a parenthesis.
    fn expression(&self, session: &Rc<SessionObject>, text: &str) -> Option<Vec<u8>> {
        let text = text.trim();
        if let Some(literal) = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')) {
            return Some(literal.into());
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Some(text.into());
        }
        let Some((name, args)) = text.split_once('(').and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?)))
        else {
            return self.variable(session, text);
        };
        // Commas of inner calls are theirs.
        let mut depth = 0;
        let args = args.split(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && depth == 0
        });
        let values = args.map(|a| self.expression(session, a).unwrap_or_default());
        let values: Vec<_> = values.map(|v| String::from_utf8_lossy(&v).into_owned()).collect();
        let function = self.module_function.borrow().clone()?;
        function(name, &values.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Delivers a datagram to a socket of the module; false: nobody is bound there, or its queue is full.
    pub(crate) fn deliver(&self, from: Addr, to: Addr, bytes: &[u8], ecn: u8) -> bool {
        let socket = self.sockets.borrow().get(&to.to_string()).and_then(std::sync::Weak::upgrade);
        socket.is_some_and(|s| {
            let meta = Received { from, to, len: bytes.len(), segment: bytes.len(), ecn };
            s.push(meta, bytes)
        })
    }
}
