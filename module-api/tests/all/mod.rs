//! A module with one of each extension point.

use anyproxy_module_api::*;
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    task::Poll,
    time::Duration,
};

directive! {
    /// A time.
    "all_time", Contexts::MSL.or(Contexts::MAIN),
    .args(&[ArgDesc::new("time", Kind::Time, "How long.").required().bounds(0, 60_000_000_000)])
}
directive! {
    /// Words, parents first.
    "all_word", Contexts::MSL.or(Contexts::UPSTREAM),
    .args(&[ArgDesc::new("word", Kind::Text, "A word.").required().repeated()])
    .props(&[ArgDesc::new("size", Kind::Size, "A size."), ArgDesc::new("how", Kind::Choice, "How.").choices(&[Str::new("a"), Str::new("b")])])
    .append()
    .inherit(Inherit::Append)
}
directive! {
    /// Refused by the module.
    "all_bad", Contexts::LOCAL
}
directive! {
    /// Fails in `prepare`.
    "all_fail", Contexts::MAIN
}

thread_local! {
    static LIFE: RefCell<Vec<&'static str>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn note(step: &'static str) {
    LIFE.with(|l| l.borrow_mut().push(step));
}

pub(crate) fn life() -> Vec<&'static str> {
    LIFE.take()
}

#[derive(Default)]
pub(crate) struct All {
    fail: std::sync::atomic::AtomicBool,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Conf {
    pub(crate) kind: u8,
    pub(crate) outer: Option<u8>,
    pub(crate) time: Duration,
    pub(crate) words: Vec<String>,
}

impl Module for All {
    type Conf = Conf;
    type Worker = Cell<u32>;
    fn register(r: &mut Registry<Self>) {
        r.handler::<Wait>()
            .preread::<Hello>()
            .hook::<Gate>()
            .variable::<Word>()
            .variable::<Family>()
            .function::<Upper>();
        r.action::<Status>()
            .action_later::<Slow>()
            .greeting::<Line>()
            .balancer::<Last>("last", "The last one.")
            .datagram_listener::<Drops>();
        r.listener::<Shake>().connector::<Dial>().connector::<Relayed>().probe::<Ping>();
    }
    fn create() -> Self {
        note("create");
        Self::default()
    }
    fn conf(&self, scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
        if let Some(bad) = scope.node("all_bad") {
            problems.error(&bad.span, "bad as it is", "leave it out");
        }
        if scope.node("all_fail").is_some() {
            self.fail.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        let words = scope.all("all_word").flat_map(|n| n.args.as_slice());
        Conf {
            kind: scope.kind() as u8,
            outer: scope.parent().map(|p| p.kind),
            time: scope.node("all_time").and_then(|n| n.arg(0)).map_or(Duration::ZERO, Value::time),
            words: words.map(|w| w.text.as_str().to_owned()).collect(),
        }
    }
    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        note("prepare");
        assert_eq!(worker(), None, "off the workers");
        if self.fail.load(std::sync::atomic::Ordering::Relaxed) {
            problems.fail("it cannot be");
        }
        true
    }
    fn abort(&self) {
        note("abort");
    }
    fn commit(&self) {
        note("commit");
    }
    fn worker_start(&self, worker: u32) -> Cell<u32> {
        note("worker_start");
        Cell::new(worker)
    }
    fn drain(&self, _: &Cell<u32>) {
        note("drain");
    }
    fn worker_stop(&self, _: Cell<u32>) {
        note("worker_stop");
    }
}

impl Drop for All {
    fn drop(&mut self) {
        note("stop");
    }
}

/// Ends by deadline or kill; keeps a slot.
pub(crate) struct Wait;
impl Handler<All> for Wait {
    const NAME: &'static str = "wait";
    async fn handle(session: Session<All>, _stream: Stream) -> Result<(), Error> {
        session.slot(|| Cell::new(1)).set(2);
        session.stage("waiting");
        session.deadline_ms.set(now_ms() + 500);
        poll_fn(|_| match (session.fired.get(), session.kill.get()) {
            (0, 0) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        let cause = if session.kill.get() != 0 { Cause::Killed } else { Cause::Timeout };
        session.close(CloseReason::new(Who::Proxy, Stage::Transfer, cause));
        session.close(CloseReason::new(Who::Client, Stage::Accept, Cause::Done));
        assert_eq!(session.slot(|| Cell::new(1)).get(), 2);
        Ok(())
    }
}

pub(crate) struct Hello;
impl Preread<All> for Hello {
    const NAME: &'static str = "hello";
    const HEADER: bool = false;
    const ON_DOMAIN: bool = true;
    const MAX: u32 = 64;
    fn wanted(at: At<'_, All>) -> bool {
        !at.conf().words.is_empty()
    }
    fn look(session: &Session<All>, bytes: &[u8], out: &mut LookOut) -> Look {
        match bytes.iter().position(|b| *b == b'\n') {
            Some(n) => {
                session.set_domain(&String::from_utf8_lossy(&bytes[..n]));
                out.consumed = n + 1;
                Look::Found
            }
            None => Look::More,
        }
    }
}

pub(crate) struct Gate;
impl Hook<All> for Gate {
    const NAME: &'static str = "all.gate";
    const PHASE: Phase = Phase::Access;
    fn check(_: At<'_, All>, session: &Session<All>) -> Verdict {
        match session.status.get() {
            0 => Verdict::Pass,
            1 => Verdict::Deny,
            2 => Verdict::Ask,
            _ => panic!("as a hook may"),
        }
    }
    async fn run(session: Session<All>) -> bool {
        session.domain() == "good"
    }
}

pub(crate) struct Word;
impl Variable<All> for Word {
    const NAME: &'static str = "all_first";
    const DOC: &'static str = "The first word.";
    fn write(session: &Session<All>, _: &str, out: &mut Sink<'_>) -> bool {
        session.conf().words.first().is_some_and(|w| {
            out.push(w.as_bytes());
            true
        })
    }
}

pub(crate) struct Family;
impl Variable<All> for Family {
    const NAME: &'static str = "all_x_";
    const DOC: &'static str = "Its own name.";
    const PREFIX: bool = true;
    fn write(_: &Session<All>, rest: &str, out: &mut Sink<'_>) -> bool {
        out.push(rest.as_bytes());
        !rest.is_empty()
    }
}

pub(crate) struct Upper;
impl Function for Upper {
    const NAME: &'static str = "upper";
    const DOC: &'static str = "Upper case.";
    const ARITY: std::ops::RangeInclusive<u8> = 1..=2;
    fn call(args: &[Str<'_>], out: &mut Sink<'_>) -> bool {
        out.push(args[0].to_uppercase().as_bytes());
        out.push(args.get(1).map_or("", |more| more.as_str()).as_bytes());
        true
    }
}

pub(crate) struct Status;
impl Action<All> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "Status.";
    fn run(_: &All, args: &str) -> Result<String, String> {
        if args.is_empty() { Ok("{}".to_owned()) } else { Err(format!("what is {args}")) }
    }
}

pub(crate) struct Slow;
impl ActionLater<All> for Slow {
    const NAME: &'static str = "slow";
    const DOC: &'static str = "Answers when others had their turn.";
    async fn run(module: &All, args: String) -> Result<String, String> {
        yield_now().await;
        let failed = module.fail.load(std::sync::atomic::Ordering::Relaxed);
        if args.is_empty() { Err("of what?".to_owned()) } else { Ok(format!("{args} {failed}")) }
    }
}

pub(crate) struct Line;
impl Greeting<All> for Line {
    const NAME: &'static str = "line";
    const ORDER: i32 = 0;
    fn write(_: At<'_, All>, session: &Session<All>, request: &Connect<'_>, out: &mut Sink<'_>) -> bool {
        out.push(format!("{} to {}\n", session.client.get(), request.host).as_bytes());
        request.host.as_str() != "nobody"
    }
}

pub(crate) struct Last {
    done: u32,
    /// Peers of this number and above are not for it: as many as its upstream's block has words, if any.
    most: usize,
}
impl BalancerImpl<All> for Last {
    fn create(at: At<'_, All>, _: u64) -> Self {
        let most = if at.conf().words.is_empty() { usize::MAX } else { at.conf().words.len() };
        Self { done: 0, most }
    }
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        assert!(self.done < 2, "as a balancer may");
        (0..cx.peers.len().min(self.most)).rev().find(|n| cx.can_pick(*n)).map_or(Pick::None, |n| Pick::Peer(n as u32))
    }
    fn done(&mut self, _: u32, _: &Outcome) {
        self.done += 1;
    }
}

pub(crate) struct Drops;
pub(crate) struct Endpoint(u32);
impl DatagramListener<All> for Drops {
    const NAME: &'static str = "drops";
    type Endpoint = Endpoint;
    fn route(_: &All, datagram: &[u8]) -> Route {
        if datagram.is_empty() { Route::DROP } else { Route::owner(1, datagram[0].into()) }
    }
    fn start(_: At<'_, All>, listener: u32, _: Addr) -> Endpoint {
        Endpoint(listener)
    }
}
impl DatagramEndpoint for Endpoint {
    fn deliver(&self, meta: &Received, bytes: &[u8]) {
        // A refusal is lost, as a datagram may be.
        let _ = DatagramSocket(self.0).try_send(&Transmit::new(meta.from, bytes));
    }
}

pub(crate) struct Shake;
impl Listener<All> for Shake {
    const NAME: &'static str = "shake";
    fn options(_: At<'_, All>, options: &mut SocketOptions) {
        options.backlog = 7;
    }
    async fn accept(_: Session<All>, mut stream: Stream) -> Result<Stream, Error> {
        let mut b = [0; 2];
        stream.read_exact(&mut b).await?;
        if &b == b"hi" { Ok(stream) } else { Err(Error::bare(ErrorKind::Invalid)) }
    }
}

pub(crate) struct Dial;
impl Connector<All> for Dial {
    const NAME: &'static str = "dial";
    fn options(_: At<'_, All>, options: &mut SocketOptions) {
        options.backlog = 9;
    }
    async fn connect(_: At<'_, All>, session: Option<&Session<All>>, request: Connect<'_>) -> Result<Stream, Error> {
        assert_eq!(request.options.backlog, 9, "as `options` says");
        let mut s = connect(request.addr, request.options).await?;
        session.expect("it is for a session").stage("connected");
        s.write_all(request.host.as_bytes()).await?;
        Ok(s)
    }
}

/// Takes names as they are: says the peer's to a proxy and waits for a word.
pub(crate) struct Relayed;
impl Connector<All> for Relayed {
    const NAME: &'static str = "relayed";
    const RESOLVES: bool = false;
    async fn connect(at: At<'_, All>, _: Option<&Session<All>>, request: Connect<'_>) -> Result<Stream, Error> {
        let proxy = at.conf().words[0].parse::<std::net::SocketAddr>().expect("an address").into();
        let mut s = connect(proxy, request.options).await?;
        s.write_all(format!("{}:{}\n", request.host, request.port).as_bytes()).await?;
        timeout(Duration::from_secs(5), s.read_exact(&mut [0; 2])).await?;
        Ok(s)
    }
}

/// Says the block's words and expects an answer.
struct Ping;

impl Probe<All> for Ping {
    const NAME: &'static str = "ping";
    async fn ask(at: At<'_, All>, request: Connect<'_>, mut stream: Stream) -> Result<(), Error> {
        assert_ne!(request.host.as_str(), "panic");
        let said = format!("{} {}", at.conf().words.join(" "), request.host);
        stream.write_all(said.as_bytes()).await?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await?;
        if &answer == b"pong" {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Other, format!("it says {}", String::from_utf8_lossy(&answer))))
    }
}
