//! Misbehaves as it is told, for tests of the edge between host and module. In every mode its handler echoes besides.
//! Owns the directive `faulty`; nothing in it grows without bound.

mod kept;
mod mode;
mod worker;

use anyproxy_module_api::*;
use mode::{MODES, Mode};
use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Wake},
    thread,
    time::Duration,
};

directive! {
    /// Echoes, and misbehaves in one way.
    /// Absent: the local has another handler, and the module does nothing wrong.
    "faulty", Contexts::LOCAL,
    .args(&[ArgDesc::new("mode", Kind::Choice, "What goes wrong.").choices(MODES).required()])
    .role(Role::Handler, "faulty")
    .inherit(Inherit::Never)
    .example("faulty \"panic\"")
}

directive! {
    /// Heartbeats ask nothing, and misbehave in one way: in `hold` there is never an answer.
    "faulty_heartbeat", Contexts::UPSTREAM.or(Contexts::PEER),
    .args(&[ArgDesc::new("mode", Kind::Choice, "What goes wrong.").choices(MODES).required()])
    .role(Role::Probe, "faulty")
    .default("the module asks no peer")
    .example("faulty_heartbeat \"panic\"")
}

directive! {
    /// Passes to a peer as `proxy_pass_tcp` does.
    /// Absent: the block has other peers.
    "proxy_pass_faulty", Contexts::LOCAL.or(Contexts::UPSTREAM),
    .args(&[ArgDesc::new("address", Kind::Address, "Whom to connect to.").required()])
    .role(Role::Peer, "faulty")
    .append()
    .inherit(Inherit::Never)
    .example("proxy_pass_faulty \"127.0.0.1:10002\"")
}

directive! {
    /// Misbehaves in one way while it connects: in `panic` and `block`.
    /// Absent: connects.
    "faulty_connect", Contexts::PEER,
    .args(&[ArgDesc::new("mode", Kind::Choice, "What goes wrong.").choices(MODES).required()])
    .example("faulty_connect \"panic\"")
}

export_module!(Faulty);

/// The next generation's `create` panics.
static CREATE_PANICS: AtomicBool = AtomicBool::new(false);

const FOR_EVER: Duration = Duration::from_secs(1 << 32);
const BLOCK: Duration = Duration::from_millis(50);
const SLOW: Duration = Duration::from_millis(500);
/// The host waits three seconds for a worker.
const STUCK: Duration = Duration::from_secs(4);

/// The module: the modes that this generation's configuration asks for, one bit each.
#[derive(Debug, Default)]
pub struct Faulty {
    modes: AtomicU32,
}

impl Faulty {
    fn has(&self, mode: Mode) -> bool {
        self.modes.load(Relaxed) & mode.bit() != 0
    }
}

impl Module for Faulty {
    type Conf = Option<Mode>;
    type Worker = Held;

    fn register(registry: &mut Registry<Self>) {
        registry
            .handler::<Misbehave>()
            .probe::<Ask>()
            .connector::<Dial>()
            .balancer::<Far>("faulty_far", "Chooses a peer that is not there.")
            .action_later::<worker::Worker>();
    }

    fn create() -> Self {
        assert!(!CREATE_PANICS.swap(false, Relaxed), "told to panic in create");
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, Self::Conf>, _: &mut Problems<'_>) -> Self::Conf {
        let mode = scope
            .node("faulty")
            .or_else(|| scope.node("faulty_heartbeat"))
            .or_else(|| scope.node("faulty_connect"))
            .and_then(|node| node.arg(0))
            .and_then(|arg| Mode::of(arg.num));
        self.modes.fetch_or(mode.map_or(0, Mode::bit), Relaxed);
        mode
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        assert!(!self.has(Mode::PanicPrepare), "told to panic in prepare");
        if self.has(Mode::ErrorPrepare) {
            problems.fail("faulty: told to fail in prepare");
            return false;
        }
        if self.has(Mode::SlowPrepare) {
            tracing::info!("waits in prepare");
            thread::sleep(SLOW);
        }
        tracing::info!("prepared");
        true
    }

    fn commit(&self) {
        CREATE_PANICS.store(self.has(Mode::PanicCreate), Relaxed);
    }

    fn abort(&self) {
        tracing::info!("undone");
    }

    fn worker_start(&self, worker: u32) -> Held {
        if worker != 0 && self.has(Mode::LateWorkerStart) {
            tracing::info!("waits in worker_start");
            thread::sleep(STUCK);
            panic!("told to panic in worker_start, late");
        }
        assert!(worker == 0 || !self.has(Mode::PanicWorkerStart), "told to panic in worker_start");
        Held::new(self.has(Mode::Hold) || self.has(Mode::PanicWorkerStart))
    }

    fn worker_stop(&self, _: Held) {
        tracing::info!("stopped on a worker");
        assert!(!self.has(Mode::PanicWorkerStop), "told to panic in worker_stop");
    }
}

/// What a worker holds on to although its generation ends.
#[derive(Debug, Default)]
pub struct Held {
    _tasks: Vec<Task>,
    _timers: Vec<Sleep>,
    _jobs: Vec<JobHandle<()>>,
}

impl Held {
    fn new(hold: bool) -> Self {
        if !hold {
            return Self::default();
        }
        Self {
            _tasks: vec![spawn(pending())],
            _timers: vec![sleep(FOR_EVER)],
            _jobs: vec![run(Pool::Blocking, |cancel| {
                while !cancel.is_cancelled() {
                    thread::sleep(Duration::from_millis(5));
                }
            })],
        }
    }
}

struct Misbehave;

impl Handler<Faulty> for Misbehave {
    const NAME: &'static str = "faulty";

    async fn handle(session: Session<Faulty>, mut stream: Stream) -> Result<(), Error> {
        let mode = *session.conf();
        let _bomb = (mode == Some(Mode::PanicDrop)).then(|| Bomb);
        let _held = Held::new(mode == Some(Mode::Hold));
        if let Some(late @ (Mode::KeepSlot | Mode::LateSlot)) = mode {
            kept::beyond_the_end(&session, late == Mode::LateSlot);
        }
        let mut piece = [0; 4096];
        loop {
            let n = match stream.read(&mut piece).await? {
                0 => return stream.shutdown().await,
                n => n,
            };
            match mode {
                Some(Mode::Panic) => panic!("told to panic in the handler"),
                Some(Mode::PanicWaker) => wake_a_bomb().await,
                Some(Mode::Block) => thread::sleep(BLOCK),
                _ => {}
            }
            stream.write_all(&piece[..n]).await?;
            stream.flush().await?;
        }
    }
}

struct Ask;

impl Probe<Faulty> for Ask {
    const NAME: &'static str = "faulty";

    async fn ask(at: At<'_, Faulty>, _: Connect<'_>, _stream: Stream) -> Result<(), Error> {
        let mode = *at.conf();
        let _bomb = (mode == Some(Mode::PanicDrop)).then(|| Bomb);
        match mode {
            Some(Mode::Panic) => panic!("told to panic in a health check"),
            Some(Mode::PanicDrop | Mode::Hold) => pending().await,
            _ => Ok(()),
        }
    }
}

struct Dial;

impl Connector<Faulty> for Dial {
    const NAME: &'static str = "faulty";

    async fn connect(at: At<'_, Faulty>, _: Option<&Session<Faulty>>, request: Connect<'_>) -> Result<Stream, Error> {
        let options = SocketOptions { connect_timeout_ms: request.timeout_ms, ..SocketOptions::default() };
        let stream = connect(request.addr, &options).await?;
        match *at.conf() {
            Some(Mode::Panic) => panic!("told to panic in a connector"),
            Some(Mode::Block) => thread::sleep(BLOCK),
            _ => {}
        }
        Ok(stream)
    }
}

/// A balancer that cannot count.
struct Far;

impl BalancerImpl<Faulty> for Far {
    fn create(_: At<'_, Faulty>, _: u64) -> Self {
        Self
    }

    fn pick(&mut self, _: &PickCx<'_>) -> Pick {
        Pick::Peer(77)
    }
}

/// Panics when it is dropped: with the future in mid-session, or at its end.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        // A second panic while one unwinds ends the process in any Rust program; that is not what is tested.
        assert!(thread::panicking(), "told to panic in Drop");
    }
}

/// Gives the host a waker that panics, and waits until it was called.
async fn wake_a_bomb() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("told to panic in a waker");
        }
    }
    let waker = Arc::new(Panics).into();
    let mut timer = pin!(sleep(Duration::from_millis(1)));
    if Future::poll(Pin::as_mut(&mut timer), &mut Context::from_waker(&waker)).is_pending() {
        sleep(Duration::from_millis(20)).await;
    }
}

#[cfg(test)]
mod tests;
