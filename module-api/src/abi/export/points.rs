//! Extension points: for each a trait its author writes, and the method of `Registry` that takes it.

use super::{At, Module, Registry, Session};
use crate::abi::{
    bytes::{Sink, Slice, Str},
    error::{Error, ErrorKind, Outcome},
    host::Received,
    module::*,
    net::{Addr, SocketOptions},
    session::SessionShared,
    stream::Stream,
    task::{LocalFuture, guard},
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};
use std::{
    fmt::Write,
    future::Future,
    pin::Pin,
    ptr,
    task::{Context, Poll},
};

fn panicked<T>() -> LocalFuture<Outcome<T>>
where
    T: 'static,
{
    LocalFuture::new(std::future::ready(Outcome::Err(Error::bare(ErrorKind::Panicked))))
}

/// A future whose result crosses. A type of its own: an `async` block around it would hold it twice, once as what it
/// captured and once as what it awaits.
struct Crossing<F>(F);

impl<T, F: Future<Output = Result<T, Error>>> Future for Crossing<F> {
    type Output = Outcome<T>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        // SAFETY: the only field, pinned with the whole.
        unsafe { self.map_unchecked_mut(|s| &mut s.0) }.poll(cx).map(Into::into)
    }
}

/// Boxes the future that `make` gives; a panic in `make` is a failed future.
pub(super) fn future<T: 'static, F: Future<Output = Result<T, Error>> + 'static>(
    make: impl FnOnce() -> F,
) -> LocalFuture<Outcome<T>> {
    guard(|| LocalFuture::new(Crossing(make()))).unwrap_or_else(panicked)
}

/// A kind of listener over stream sockets.
pub trait Listener<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Adjusts the socket before it is bound.
    fn options(_at: At<M>, _options: &mut SocketOptions) {}
    /// The protocol's own handshake. Not called for a listener registered as plain.
    fn accept(_session: Session<M>, stream: Stream) -> impl Future<Output = Result<Stream, Error>> + 'static {
        async move { Ok(stream) }
    }
}

/// A kind of listener over datagrams.
pub trait DatagramListener<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// What serves one listener on one worker.
    type Endpoint: DatagramEndpoint;
    /// Who owns this datagram?
    fn route(module: &M, datagram: &[u8]) -> Route;
    /// Starts on this worker.
    fn start(at: At<M>, listener: u32, local: Addr) -> Self::Endpoint;
}

/// Serves the datagrams of one listener on one worker.
pub trait DatagramEndpoint: 'static {
    /// One datagram, or a run of equal ones.
    fn deliver(&self, meta: &Received, bytes: &[u8]);
}

/// What a connector is asked.
pub type Connect = ConnectRequest;

/// A way to reach a peer.
pub trait Connector<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Adjusts the socket, by the block of the peer's line. Asked once for each line and generation.
    fn options(_at: At<M>, _options: &mut SocketOptions) {}
    /// Connects. Not called for a connector registered as plain.
    fn connect(_at: At<M>, _request: Connect) -> impl Future<Output = Result<Stream, Error>> + 'static {
        async { Err(Error::bare(ErrorKind::Unsupported)) }
    }
}

/// What goes to a peer in front of a session's bytes.
pub trait Greeting<M: Module> {
    /// Name.
    const NAME: &'static str;
    /// Lower is sent first.
    const ORDER: i32;
    /// Writes it; false: the peer cannot be used.
    fn write(at: At<M>, session: &Session<M>, request: &Connect, out: &mut Sink) -> bool;
}

/// Takes an accepted stream and its session to the end.
pub trait Handler<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Serves locals that name peers and no handler.
    const FOR_PEERS: bool = false;
    /// Named by a server it takes all of its sessions, before a local is chosen: see [`Session::exchange`].
    const EXCHANGES: bool = false;
    /// Runs it.
    fn handle(session: Session<M>, stream: Stream) -> impl Future<Output = Result<(), Error>> + 'static;
}

/// Looks at the first bytes of a stream.
pub trait Preread<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Headers in front of the stream come before domains.
    const HEADER: bool;
    /// Runs on every domain listener without a directive.
    const ON_DOMAIN: bool;
    /// Most bytes it may ask for.
    const MAX: u32;
    /// Whether this listener's configuration wants it.
    fn wanted(at: At<M>) -> bool;
    /// Looks; may set the session's domain, client address and request id.
    fn look(session: &Session<M>, bytes: &[u8], out: &mut LookOut) -> Look;
}

/// A step in a phase.
pub trait Hook<M: Module> {
    /// `module.name`.
    const NAME: &'static str;
    /// The phase.
    const PHASE: Phase;
    /// Runs before these.
    const BEFORE: &'static [Str] = &[];
    /// Runs after these.
    const AFTER: &'static [Str] = &[];
    /// Whether it has anything to do in this block: where not, it costs no session anything. Asked once for each block of a
    /// configuration, where there is no worker yet.
    fn applies(_at: At<M>) -> bool {
        true
    }
    /// Decides at once, or asks for `run`.
    fn check(at: At<M>, session: &Session<M>) -> Verdict;
    /// Decides in its own time. True: pass.
    fn run(_session: Session<M>) -> impl Future<Output = bool> + 'static {
        async { true }
    }
}

/// Carries bytes between two streams to the end of both.
pub trait Relay<M: Module> {
    /// Name.
    const NAME: &'static str;
    /// Higher is asked first.
    const PRIORITY: i32;
    /// Whether it takes these two.
    fn takes(at: At<M>, session: &Session<M>, client: &Stream, upstream: &Stream) -> bool;
    /// Runs it.
    fn run(session: Session<M>, client: Stream, upstream: Stream) -> impl Future<Output = Result<(), Error>> + 'static;
}

/// An algorithm that picks peers. One value a worker and upstream.
pub trait BalancerImpl: 'static {
    /// Picks.
    fn pick(&mut self, cx: &PickCx) -> Pick;
    /// A use ended.
    fn done(&mut self, _peer: u32, _outcome: &PeerOutcome) {}
}

/// A variable or a family of them.
pub trait Variable<M: Module> {
    /// Name, or what a family's names begin with.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Whether it is a family.
    const PREFIX: bool = false;
    /// Writes the value; false: it has none.
    fn write(session: &Session<M>, rest: &str, out: &mut Sink) -> bool;
}

/// A function for templates.
pub trait Function {
    /// Name.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Number of arguments.
    const ARITY: u8;
    /// Writes the result; false: it has none.
    fn call(args: &[Str], out: &mut Sink) -> bool;
}

/// An action of the control socket; with an empty name the module's entry in status.
pub trait Action<M: Module> {
    /// Name.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Takes and gives JSON text.
    ///
    /// # Errors
    /// What is shown to whoever asked.
    fn run(module: &M, args: &str) -> Result<String, String>;
}

/// A contract offered to other modules.
pub trait ContractTable<M: Module> {
    /// Name, `module.subject`.
    const ID: &'static str;
    /// Version.
    const VERSION: (u16, u16);
    /// Fingerprint of the table's released part.
    const LAYOUT: u64;
    /// The table for this generation, valid as long as `module`.
    fn table(module: &M) -> *const ();
}

impl<M: Module> Registry<M> {
    /// A listener whose sessions start with the socket's own stream.
    pub fn plain_listener<L: Listener<M>>(&mut self) -> &mut Self {
        self.listeners.push(ListenerPoint { name: Str::new(L::NAME), options: listener_options::<M, L>, accept: None });
        self
    }

    /// A listener with a handshake of its own.
    pub fn listener<L: Listener<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn accept<M: Module, L: Listener<M>>(
            p: Place,
            s: *const SessionShared,
            stream: Stream,
        ) -> LocalFuture<Outcome<Stream>> {
            future(|| {
                // SAFETY: here and in every thunk below the host passes this module's objects and a live session.
                L::accept(unsafe { Session::new(s, p) }, stream)
            })
        }
        self.listeners.push(ListenerPoint {
            name: Str::new(L::NAME),
            options: listener_options::<M, L>,
            accept: Some(accept::<M, L>),
        });
        self
    }

    /// A listener over datagrams.
    pub fn datagram_listener<L: DatagramListener<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn route<M: Module, L: DatagramListener<M>>(
            inst: *const (),
            ptr: *const u8,
            len: usize,
        ) -> Route {
            // SAFETY: this module's instance; `len` bytes lent for the call.
            guard(|| unsafe { L::route(&*inst.cast::<M>(), std::slice::from_raw_parts(ptr, len)) }).unwrap_or(Route {
                kind: 2,
                epoch: 0,
                worker: 0,
            })
        }
        unsafe extern "C" fn start<M: Module, L: DatagramListener<M>>(p: Place, listener: u32, local: Addr) -> *mut () {
            // SAFETY: see `listener`.
            guard(|| Box::into_raw(Box::new(L::start(unsafe { At::new(p) }, listener, local))).cast())
                .unwrap_or(ptr::null_mut())
        }
        unsafe extern "C" fn deliver<E: DatagramEndpoint>(e: *mut (), meta: *const Received, bytes: *const u8) {
            // SAFETY: the endpoint of `start`, null when that panicked.
            let Some(e) = (unsafe { e.cast::<E>().as_ref() }) else { return };
            // SAFETY: meta and bytes lent for the call.
            guard(|| unsafe { e.deliver(&*meta, std::slice::from_raw_parts(bytes, (*meta).len)) });
        }
        unsafe extern "C" fn stop<E>(e: *mut ()) {
            if e.is_null() {
                return;
            }
            // SAFETY: the endpoint of `start`, given up once.
            guard(|| drop(unsafe { Box::from_raw(e.cast::<E>()) }));
        }
        self.datagrams.push(DatagramPoint {
            name: Str::new(L::NAME),
            route: route::<M, L>,
            start: start::<M, L>,
            deliver: deliver::<L::Endpoint>,
            stop: stop::<L::Endpoint>,
        });
        self
    }

    /// A connector that is a plain socket, connected by the host.
    pub fn plain_connector<C: Connector<M>>(&mut self) -> &mut Self {
        self.connectors.push(ConnectorPoint {
            name: Str::new(C::NAME),
            options: connector_options::<M, C>,
            connect: None,
            check: None,
        });
        self
    }

    /// A connector of the module's own.
    pub fn connector<C: Connector<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn connect<M: Module, C: Connector<M>>(
            p: Place,
            request: *const ConnectRequest,
        ) -> LocalFuture<Outcome<Stream>> {
            // SAFETY: see `listener`; the request is copied.
            future(|| C::connect(unsafe { At::new(p) }, unsafe { *request }))
        }
        self.connectors.push(ConnectorPoint {
            name: Str::new(C::NAME),
            options: connector_options::<M, C>,
            connect: Some(connect::<M, C>),
            check: None,
        });
        self
    }

    /// A greeting.
    pub fn greeting<G: Greeting<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn write<M: Module, G: Greeting<M>>(
            p: Place,
            r: *const ConnectRequest,
            out: *mut Sink,
        ) -> bool {
            // SAFETY: lent for the call.
            let r = unsafe { &*r };
            if r.session.is_null() {
                // A health check: there is no client to speak of.
                return true;
            }
            // SAFETY: see `listener`; the request names a live session; the sink is lent for the call.
            guard(|| unsafe { G::write(At::new(p), &Session::lent(r.session, p), r, &mut *out) }).unwrap_or(false)
        }
        self.greetings.push(GreetingPoint { name: Str::new(G::NAME), order: G::ORDER, write: write::<M, G> });
        self
    }

    /// A stream handler.
    pub fn handler<H: Handler<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn handle<M: Module, H: Handler<M>>(
            p: Place,
            s: *const SessionShared,
            stream: Stream,
        ) -> LocalFuture<Outcome<()>> {
            // SAFETY: see `listener`.
            future(|| H::handle(unsafe { Session::new(s, p) }, stream))
        }
        self.handlers.push(HandlerPoint {
            name: Str::new(H::NAME),
            for_peers: H::FOR_PEERS,
            exchanges: H::EXCHANGES,
            handle: handle::<M, H>,
        });
        self
    }

    /// A preread.
    pub fn preread<R: Preread<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn wanted<M: Module, R: Preread<M>>(p: Place) -> bool {
            // SAFETY: see `listener`.
            guard(|| R::wanted(unsafe { At::new(p) })).unwrap_or(false)
        }
        unsafe extern "C" fn look<M: Module, R: Preread<M>>(
            p: Place,
            s: *const SessionShared,
            ptr: *const u8,
            len: usize,
            out: *mut LookOut,
        ) -> Look {
            // SAFETY: see `listener`; `len` bytes and `out` lent for the call.
            guard(|| unsafe { R::look(&Session::lent(s, p), std::slice::from_raw_parts(ptr, len), &mut *out) })
                .unwrap_or(Look::Malformed)
        }
        self.prereads.push(PrereadPoint {
            name: Str::new(R::NAME),
            header: R::HEADER,
            on_domain: R::ON_DOMAIN,
            max: R::MAX,
            wanted: wanted::<M, R>,
            look: look::<M, R>,
        });
        self
    }

    /// A hook.
    pub fn hook<H: Hook<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn applies<M: Module, H: Hook<M>>(p: Place) -> bool {
            // SAFETY: see `listener`. A hook that panics is asked: it may guard something.
            guard(|| unsafe { H::applies(At::new(p)) }).unwrap_or(true)
        }
        unsafe extern "C" fn check<M: Module, H: Hook<M>>(p: Place, s: *const SessionShared) -> Verdict {
            // SAFETY: see `listener`. A hook that panics closes: it may guard something.
            guard(|| unsafe { H::check(At::new(p), &Session::lent(s, p)) }).unwrap_or(Verdict::Deny)
        }
        unsafe extern "C" fn run<M: Module, H: Hook<M>>(p: Place, s: *const SessionShared) -> LocalFuture<bool> {
            // SAFETY: see `listener`.
            guard(|| LocalFuture::new(H::run(unsafe { Session::new(s, p) })))
                .unwrap_or_else(|| LocalFuture::new(std::future::ready(false)))
        }
        self.hooks.push(HookPoint {
            name: Str::new(H::NAME),
            phase: H::PHASE,
            before: Slice::new(H::BEFORE),
            after: Slice::new(H::AFTER),
            applies: applies::<M, H>,
            check: check::<M, H>,
            run: Some(run::<M, H>),
        });
        self
    }

    /// A relay.
    pub fn relay<R: Relay<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn takes<M: Module, R: Relay<M>>(
            p: Place,
            s: *const SessionShared,
            client: &Stream,
            upstream: &Stream,
        ) -> bool {
            // SAFETY: see `listener`.
            guard(|| unsafe { R::takes(At::new(p), &Session::lent(s, p), client, upstream) }).unwrap_or(false)
        }
        unsafe extern "C" fn run<M: Module, R: Relay<M>>(
            p: Place,
            s: *const SessionShared,
            client: Stream,
            upstream: Stream,
        ) -> LocalFuture<Outcome<()>> {
            // SAFETY: see `listener`.
            future(|| R::run(unsafe { Session::new(s, p) }, client, upstream))
        }
        self.relays.push(RelayPoint {
            name: Str::new(R::NAME),
            priority: R::PRIORITY,
            takes: takes::<M, R>,
            run: run::<M, R>,
        });
        self
    }

    /// A balancer, made by `B::default` seeded by `seed`.
    pub fn balancer<B: BalancerImpl + From<u64>>(&mut self, name: &'static str, doc: &'static str) -> &mut Self {
        unsafe extern "C" fn create<B: BalancerImpl + From<u64>>(_: *const (), seed: u64) -> *mut () {
            guard(|| Box::into_raw(Box::new(B::from(seed))).cast()).unwrap_or(ptr::null_mut())
        }
        unsafe extern "C" fn pick<B: BalancerImpl>(b: *mut (), cx: *const PickCx) -> Pick {
            // SAFETY: the object of `create`, used by its own worker only, null when that panicked; the question is lent
            // for the call.
            let (b, cx) = unsafe { (b.cast::<B>().as_mut(), &*cx) };
            b.and_then(|b| guard(|| b.pick(cx))).unwrap_or(Pick::None)
        }
        unsafe extern "C" fn done<B: BalancerImpl>(b: *mut (), peer: u32, outcome: *const PeerOutcome) {
            // SAFETY: as above.
            let (b, outcome) = unsafe { (b.cast::<B>().as_mut(), &*outcome) };
            b.and_then(|b| guard(|| b.done(peer, outcome)));
        }
        unsafe extern "C" fn drop_it<B>(b: *mut ()) {
            if b.is_null() {
                return;
            }
            // SAFETY: the object of `create`, given up once.
            guard(|| drop(unsafe { Box::from_raw(b.cast::<B>()) }));
        }
        self.balancers.push(BalancerPoint {
            name: Str::new(name),
            doc: Str::new(doc),
            create: create::<B>,
            pick: pick::<B>,
            done: done::<B>,
            drop: drop_it::<B>,
        });
        self
    }

    /// A variable.
    pub fn variable<V: Variable<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn write<M: Module, V: Variable<M>>(
            p: Place,
            s: *const SessionShared,
            rest: Str,
            out: *mut Sink,
        ) -> bool {
            // SAFETY: see `listener`; the sink is lent for the call.
            guard(|| unsafe { V::write(&Session::lent(s, p), rest.as_str(), &mut *out) }).unwrap_or(false)
        }
        self.variables.push(VariablePoint {
            name: Str::new(V::NAME),
            doc: Str::new(V::DOC),
            prefix: V::PREFIX,
            write: write::<M, V>,
        });
        self
    }

    /// A function for templates.
    pub fn function<F: Function>(&mut self) -> &mut Self {
        unsafe extern "C" fn call<F: Function>(args: Slice<Str>, out: *mut Sink) -> bool {
            // SAFETY: lent for the call.
            guard(|| F::call(args.as_slice(), unsafe { &mut *out })).unwrap_or(false)
        }
        self.functions.push(FunctionPoint {
            name: Str::new(F::NAME),
            doc: Str::new(F::DOC),
            arity: F::ARITY,
            call: call::<F>,
        });
        self
    }

    /// An action or the module's status.
    pub fn action<A: Action<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn run<M: Module, A: Action<M>>(inst: *const (), args: Str, out: *mut Sink) -> bool {
            // SAFETY: this module's instance; the sink is lent for the call.
            let (m, out) = unsafe { (&*inst.cast::<M>(), &mut *out) };
            let r = guard(|| A::run(m, args.as_str())).unwrap_or_else(|| Err("the module panicked".to_owned()));
            let ok = r.is_ok();
            // Writing to the host's sink does not fail.
            let _ = out.write_str(&r.unwrap_or_else(|e| e));
            ok
        }
        self.actions.push(ActionPoint { name: Str::new(A::NAME), doc: Str::new(A::DOC), run: run::<M, A> });
        self
    }

    /// A contract offered to other modules. The file's note must say the same: see `export_module!`.
    pub fn provide<C: ContractTable<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn table<M: Module, C: ContractTable<M>>(inst: *const ()) -> *const () {
            // SAFETY: this module's instance.
            guard(|| C::table(unsafe { &*inst.cast::<M>() })).unwrap_or(ptr::null())
        }
        self.provides.push(ProvidePoint {
            id: Str::new(C::ID),
            major: C::VERSION.0,
            minor: C::VERSION.1,
            layout: C::LAYOUT,
            table: table::<M, C>,
        });
        self
    }

    /// A contract needed. The file's note must say the same.
    pub fn require(&mut self, id: &'static str, major: u16, minor: u16, optional: bool) -> &mut Self {
        self.requires.push(RequirePoint { id: Str::new(id), major, minor, optional });
        self
    }
}

unsafe extern "C" fn listener_options<M: Module, L: Listener<M>>(p: Place, options: *mut SocketOptions) {
    // SAFETY: see `Registry::listener`; the options are lent for the call.
    guard(|| unsafe { L::options(At::new(p), &mut *options) });
}

unsafe extern "C" fn connector_options<M: Module, C: Connector<M>>(p: Place, options: *mut SocketOptions) {
    // SAFETY: as above.
    guard(|| unsafe { C::options(At::new(p), &mut *options) });
}
