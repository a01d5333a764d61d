//! One module on the fake host: its life from a configuration to its end, and every extension point as a call.

use super::{
    Block, FakeBalancer, FakeEndpoint, FakeHost, FakeSession, Peer, Running,
    conf::compile,
    state::{Conf, State},
};
use crate::{
    Addr, Buf, Error, Look, LookOut, Module, Route, ScopeKind, Slice, SocketOptions, Str, Stream, Verdict,
    abi::{
        conf::ScopeView,
        error::Outcome,
        fake::{Driver, SessionObject},
        task::LocalFuture,
    },
};
use std::rc::Rc;

/// What a module said of its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Blocks and directives of the test, counted in order from 1 (the top level); `None`: no place was given.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What would help; may be empty.
    pub help: String,
    /// Whether the configuration is taken all the same.
    pub warning: bool,
}

/// A module between `worker_start` and `drain`, on a fake host of its own.
pub struct ModuleUnderTest<M: Module> {
    driver: Rc<Driver<M>>,
    host: FakeHost,
    blocks: Vec<(ScopeKind, *const ())>,
    at: usize,
    warnings: Vec<Problem>,
}

impl<M: Module> std::fmt::Debug for ModuleUnderTest<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModuleUnderTest({}, block {})", self.driver.desc.id, self.at)
    }
}

impl<M: Module> ModuleUnderTest<M> {
    /// Takes the module through create, conf, prepare, worker_start and commit. Calls stand in the last block of `config`
    /// until `select` says otherwise.
    ///
    /// # Panics
    /// When the configuration is refused: with what is wrong.
    pub fn start(config: &[Block]) -> Self {
        Self::start_on(FakeHost::new(), config)
    }

    /// As `start`, on a host that was told something before.
    ///
    /// # Panics
    /// As `start`.
    pub fn start_on(host: FakeHost, config: &[Block]) -> Self {
        match Self::try_start_on(host, config) {
            Ok(m) => m,
            Err(problems) => panic!("the configuration is refused: {problems:#?}"),
        }
    }

    /// As `start`, for configurations that are to be refused.
    ///
    /// # Errors
    /// Everything that the table and the module said, warnings included. The module was taken down again.
    pub fn try_start(config: &[Block]) -> Result<Self, Vec<Problem>> {
        Self::try_start_on(FakeHost::new(), config)
    }

    /// As `try_start`, on a host that was told something before.
    ///
    /// # Errors
    /// As `try_start`.
    pub fn try_start_on(host: FakeHost, config: &[Block]) -> Result<Self, Vec<Problem>> {
        // But for `worker_start` a generation is made off the workers.
        let worker = host.state.worker.take();
        let mut driver = Driver::<M>::create();
        let mut problems = Vec::new();
        let blocks = configure(&mut driver, &host.state, config, &mut problems)?;
        if problems.iter().any(|p| !p.warning) {
            return Err(problems);
        }
        if !driver.prepare(&mut problems) || !driver.settle(&mut problems) {
            driver.abort();
            return Err(problems);
        }
        host.state.worker.set(worker);
        driver.worker_start(worker.unwrap_or(0));
        host.state.worker.take();
        driver.commit();
        host.state.worker.set(worker);
        let mut m = Self { driver: Rc::new(driver), host, at: blocks.len() - 1, blocks, warnings: problems };
        m.select(m.at);
        Ok(m)
    }

    /// Retires the generation: drain, the end of its tasks, worker_stop, stop. Sessions end before: drop what `handle` gave.
    ///
    /// # Panics
    /// When the module holds something of the host's after its end: with what.
    pub fn stop(self) {
        self.host.state.sessions.borrow().iter().filter_map(std::rc::Weak::upgrade).for_each(|s| {
            s.shared.draining.set(1);
            s.wake();
        });
        self.driver.drain();
        self.host.run_until_stalled();
        self.host.abort_tasks();
        self.host.run_until_stalled();
        self.host.state.module_variable.replace(None);
        self.host.state.module_function.replace(None);
        let Self { driver, host, .. } = self;
        let mut driver = Rc::into_inner(driver).expect("balancers and endpoints of the test are dropped before stop");
        driver.worker_stop();
        drop(driver);
        host.run_until_stalled();
        let held = host.held();
        assert!(held.is_empty(), "the module was stopped and still holds: {held}");
        let sessions: usize =
            host.state.sessions.borrow().iter().filter_map(std::rc::Weak::upgrade).map(|s| s.module_holds()).sum();
        assert_eq!(sessions, 0, "the module was stopped and still holds sessions");
    }

    /// The host.
    pub const fn host(&self) -> &FakeHost {
        &self.host
    }

    /// The generation's object.
    pub fn module(&self) -> &M {
        self.driver.module()
    }

    /// The worker's object.
    pub fn worker(&self) -> &M::Worker {
        self.driver.worker()
    }

    /// The object of the selected block.
    pub fn conf(&self) -> &M::Conf {
        self.driver.conf_ref(self.block())
    }

    /// What the module warned of.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Following calls stand in block `n`: 0 is the top level, the others follow in the order of the configuration.
    ///
    /// # Panics
    /// When there is no such block.
    pub fn select(&mut self, n: usize) {
        assert!(n < self.blocks.len(), "there are {} blocks", self.blocks.len());
        self.at = n;
        let conf = self.block();
        self.host.state.conf.set(Conf(conf));
        self.host.state.worker_object.set(Conf(self.driver.objects().1));
        let driver = Rc::downgrade(&self.driver);
        let call = move |name: &str, args: &[&str]| driver.upgrade()?.function(name, args);
        self.host.state.module_function.replace(Some(Rc::new(call)));
        let driver = Rc::downgrade(&self.driver);
        self.host
            .state
            .module_variable
            .replace(Some(Rc::new(move |s, name| driver.upgrade()?.variable(name, conf, s))));
    }

    /// `Session::peer_conf` gives the object of block `n` from now on.
    pub fn select_peer(&self, n: usize) {
        self.host.state.peer_conf.set(Conf(self.blocks[n].1));
    }

    fn block(&self) -> *const () {
        self.blocks[self.at].1
    }

    /// A new session on a new stream, and the handler `name` on it.
    pub fn handle(&self, name: &str) -> Running<()> {
        let (stream, client) = self.host.stream();
        self.handle_with(name, self.host.session(), stream, client)
    }

    /// The handler `name` on a session and stream of the test's making; `client` is the stream's other end.
    pub fn handle_with(&self, name: &str, session: FakeSession, stream: Stream, client: Peer) -> Running<()> {
        let f = self.driver.handle(name, self.block(), &session.0, stream);
        Running::new(f, session, client)
    }

    /// The handshake of listener `name` on a new stream.
    pub fn accept(&self, name: &str) -> Running<Stream> {
        let (stream, client) = self.host.stream();
        let session = self.host.session();
        let f = self.driver.accept(name, self.block(), &session.0, stream);
        Running::new(f, session, client)
    }

    /// The socket options that listener `name` wants.
    pub fn listener_options(&self, name: &str) -> SocketOptions {
        self.driver.listener_options(name, self.block())
    }

    /// The socket options that connector `name` wants.
    pub fn connector_options(&self, name: &str) -> SocketOptions {
        self.driver.connector_options(name, self.block())
    }

    /// Connects by connector `name`, to the end of it. Where it takes names as they are: `Addr::NONE`, and `host` with its port.
    ///
    /// # Errors
    /// The connector's.
    ///
    /// # Panics
    /// When it waits for what nothing in the test will do.
    pub fn connect(
        &self,
        name: &str,
        session: &FakeSession,
        addr: impl Into<Addr>,
        host: &str,
    ) -> Result<Stream, Error> {
        self.host.run(self.begin(name, &session.0, addr.into(), host)).into()
    }

    /// The same, to be stepped: it goes on in `FakeHost::run_until_stalled` and `advance`, so that a test plays what the connector
    /// speaks to (`FakeHost::server`), or lets it wait. `Running::client` is nobody's.
    pub fn connecting(&self, name: &str, session: &FakeSession, addr: impl Into<Addr>, host: &str) -> Running<Stream> {
        let (_, client) = self.host.stream();
        let session = Rc::clone(&session.0);
        Running::new(self.begin(name, &session, addr.into(), host), FakeSession(session), client)
    }

    fn begin(&self, name: &str, session: &Rc<SessionObject>, addr: Addr, host: &str) -> LocalFuture<Outcome<Stream>> {
        let options = self.connector_options(name);
        let r = Driver::<M>::request(Some(session), addr, host, options);
        self.driver
            .connect(name, self.block(), &r)
            .unwrap_or_else(|| LocalFuture::new(async move { crate::connect(addr, &options).await.into() }))
    }

    /// Probe `name` on a new stream to this peer, whose part the test plays as `client`. It has no session; the one that
    /// comes along is nobody's.
    pub fn probe(&self, name: &str, addr: impl Into<Addr>, host: &str) -> Running<()> {
        let (stream, peer) = self.host.stream();
        let session = self.host.session();
        let r = Driver::<M>::request(None, addr.into(), host, SocketOptions::default());
        let f = self.driver.probe(name, self.block(), &r, stream);
        Running::new(f, session, peer)
    }

    /// What greeting `name` writes to a peer; `None`: the peer cannot be used.
    pub fn greeting(&self, name: &str, session: &FakeSession, addr: impl Into<Addr>, host: &str) -> Option<Vec<u8>> {
        let r = Driver::<M>::request(Some(&session.0), addr.into(), host, SocketOptions::default());
        self.driver.greet(name, self.block(), &r)
    }

    /// Whether preread `name` wants to run here.
    pub fn wanted(&self, name: &str) -> bool {
        self.driver.wanted(name, self.block())
    }

    /// What preread `name` says of the first bytes.
    pub fn preread(&self, name: &str, session: &FakeSession, bytes: &[u8]) -> (Look, LookOut) {
        self.driver.look(name, self.block(), &session.0, bytes)
    }

    /// Whether hook `name` lets the session pass; one that asks for time is run to its end.
    ///
    /// # Panics
    /// When it waits for what nothing in the test will do.
    pub fn hook(&self, name: &str, session: &FakeSession) -> bool {
        match self.driver.check(name, self.block(), &session.0) {
            Verdict::Pass => true,
            Verdict::Deny => false,
            Verdict::Ask => self.host.run(self.driver.hook(name, self.block(), &session.0)),
        }
    }

    /// The relay `name` between a client and an upstream, both ends of which are the test's; `None`: it does not take them.
    pub fn relay(&self, name: &str) -> Option<(Running<()>, Peer)> {
        let ((a, client), (b, upstream)) = (self.host.stream(), self.host.stream());
        let session = self.host.session();
        let f = self.driver.relay(name, self.block(), &session.0, a, b)?;
        Some((Running::new(f, session, client), upstream))
    }

    /// The value of `${name}`; `None`: it has none (or the module has no such variable).
    pub fn variable(&self, name: &str, session: &FakeSession) -> Option<String> {
        self.driver.variable(name, self.block(), &session.0).map(text)
    }

    /// The result of a function for templates.
    pub fn function(&self, name: &str, args: &[&str]) -> Option<String> {
        self.driver.function(name, args).map(text)
    }

    /// Runs an action (empty name: the module's entry in status), one that answers later to its end.
    ///
    /// # Errors
    /// What whoever asked is shown.
    pub fn action(&self, name: &str, args: &str) -> Result<String, String> {
        match self.driver.action_later(name, args) {
            Some(later) => {
                let answer: Result<Buf, Error> = self.host.run(later).into();
                answer.map(|bytes| text(bytes.to_vec())).map_err(|e| e.to_string())
            }
            None => self.driver.action(name, args).map(text).map_err(text),
        }
    }

    /// A new object of balancer `name`, for the selected block.
    pub fn balancer(&self, name: &str, seed: u64) -> FakeBalancer {
        FakeBalancer(self.driver.balancer(name, self.block(), seed))
    }

    /// Starts datagram listener `name`.
    pub fn datagrams(&self, name: &str, listener: u32, local: impl Into<Addr>) -> FakeEndpoint {
        FakeEndpoint(self.driver.datagrams(name, self.block(), listener, local.into()))
    }

    /// Whose datagram this is, to datagram listener `name`.
    pub fn route(&self, name: &str, bytes: &[u8]) -> Route {
        self.driver.route(name, bytes)
    }
}

/// Reads the configuration and makes the object of each block.
fn configure<M: Module>(
    driver: &mut Driver<M>,
    state: &State,
    config: &[Block],
    problems: &mut Vec<Problem>,
) -> Result<Vec<(ScopeKind, *const ())>, Vec<Problem>> {
    let compiled = compile(config, driver.desc.directives.as_slice(), state).map_err(|errors| {
        let to = |message| Problem { line: None, message, help: String::new(), warning: false };
        errors.into_iter().map(to).collect::<Vec<_>>()
    })?;
    let mut blocks: Vec<(ScopeKind, *const ())> = Vec::new();
    for (id, b) in compiled.iter().enumerate() {
        let parent = b.parent.map_or(std::ptr::null(), |p| blocks[p].1);
        if let Some(p) = b.parent {
            state.scope_parents.borrow_mut().insert(id as u32, p as u32);
        }
        let view = ScopeView {
            kind: b.kind,
            name: Str::new(b.name),
            nodes: Slice::new(&b.nodes),
            parent,
            span: b.span,
            id: id as u32,
        };
        // A block that says nothing new has its parent's object. After a problem the parent's serves too: all are found.
        let own = if b.own { driver.conf(&view, problems) } else { None };
        if b.own && own.is_none() && !problems.iter().any(|p| !p.warning) {
            panic!("Module::conf panicked");
        }
        blocks.push((b.kind, own.unwrap_or(parent)));
    }
    // The nodes are valid as long as the generation.
    for b in compiled {
        b.nodes.leak();
    }
    Ok(blocks)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
