//! A module with one of each extension point, taken through its life and called as the host calls it.
#![cfg(feature = "testing")]

mod all;

use all::{All, life};
use anyproxy_module_api::{
    testing::{Block, Directive, FakeHost, ModuleUnderTest},
    *,
};
use std::{net::SocketAddr, time::Duration};

fn addr(text: &str) -> Addr {
    text.parse::<SocketAddr>().expect("an address").into()
}

fn word(text: &str) -> Directive {
    Directive::new("all_word").arg(text)
}

#[test]
fn a_life_is_lived_in_order_and_undone_when_prepare_fails() {
    let m = ModuleUnderTest::<All>::start(&[]);
    assert_eq!(m.worker().get(), 0);
    m.stop();
    assert_eq!(life(), ["create", "prepare", "worker_start", "commit", "drain", "worker_stop", "stop"]);

    let fail = [Block::main().with(Directive::new("all_fail"))];
    let problems = ModuleUnderTest::<All>::try_start(&fail).expect_err("prepare fails");
    assert_eq!(problems[0].message, "it cannot be");
    assert_eq!(life(), ["create", "prepare", "abort", "stop"]);
}

#[test]
fn blocks_inherit_as_the_table_says_and_know_their_parents_object() {
    let config = [
        Block::main().with(Directive::new("all_time").arg("2s")),
        Block::net().with(word("net")).with(Directive::new("all_time").arg(Duration::from_millis(1500))).block(
            Block::server()
                .with(word("server").arg("again").prop("size", "8KiB").prop("how", "b"))
                .block(Block::local())
                .block(
                    Block::local().with(word("alone").prop("inherit", false)).with(Directive::new("all_time").arg("0")),
                ),
        ),
    ];
    let mut m = ModuleUnderTest::<All>::start(&config);
    let mut of = |n: usize| {
        m.select(n);
        let c = m.conf();
        (c.kind, c.outer, c.time.as_millis(), c.words.join(" "))
    };
    assert_eq!(of(0), (0, None, 2000, String::new()));
    assert_eq!(of(1), (1, Some(0), 1500, "net".to_owned()));
    assert_eq!(of(2), (2, Some(1), 1500, "net server again".to_owned()));
    assert_eq!(of(3), (2, Some(1), 1500, "net server again".to_owned()), "it says nothing: its parent's object");
    assert_eq!(of(4), (3, Some(2), 0, "alone".to_owned()));
    m.stop();
}

#[test]
fn a_configuration_is_checked_as_the_host_checks_it() {
    let refused = |local: Block| match ModuleUnderTest::<All>::try_start(&[local]) {
        Ok(_) => panic!("it should be refused"),
        Err(problems) => problems.into_iter().map(|p| p.message).collect::<Vec<_>>().join("; "),
    };
    let time = |v: &str| Block::local().with(Directive::new("all_time").arg(v));
    assert!(refused(time("5")).contains("a time needs a unit"));
    assert!(refused(time("2m")).contains("not within"));
    assert!(refused(time("1s").with(Directive::new("all_time").arg("1s"))).contains("twice"));
    assert!(refused(Block::local().with(word("a").prop("how", "c"))).contains("not one of"));
    assert!(refused(Block::local().with(word("a").prop("colour", "c"))).contains("no property"));
    assert!(refused(Block::local().with(Directive::new("all_none"))).contains("no directive"));
    assert!(refused(Block::peer().with(word("a"))).contains("no directive"));
    let bad = [Block::local().with(Directive::new("all_bad"))];
    let problems = ModuleUnderTest::<All>::try_start(&bad).expect_err("the module says no");
    assert_eq!((problems[0].line, problems[0].help.as_str()), (Some(3), "leave it out"));
}

#[test]
fn a_session_ends_by_its_deadline_or_when_it_is_killed() {
    let m = ModuleUnderTest::<All>::start(&[]);
    let mut run = m.handle("wait");
    m.host().advance(Duration::from_millis(499));
    assert!(run.result().is_none());
    assert_eq!((run.session.holds(), run.session.stages()), (1, vec!["waiting".to_owned()]));
    m.host().advance(Duration::from_millis(1));
    assert!(run.result().expect("it ended").is_ok());
    assert_eq!((run.session.closed().as_str(), run.session.holds()), ("proxy_transfer_timeout", 0));
    let killed = m.handle("wait");
    m.host().run_until_stalled();
    killed.session.kill_now();
    m.host().run_until_stalled();
    assert_eq!(killed.session.closed(), "proxy_transfer_killed");
    drop((run, killed));
    m.stop();
}

#[test]
fn prereads_hooks_variables_functions_and_actions_answer() {
    let m = ModuleUnderTest::<All>::start(&[Block::local().with(word("one"))]);
    let s = m.host().session();
    assert!(m.wanted("hello"));
    assert_eq!(m.preread("hello", &s, b"goo").0, Look::More);
    let (look, out) = m.preread("hello", &s, b"good\nrest");
    assert_eq!((look, out.consumed, s.domain().as_str()), (Look::Found, 5, "good"));

    assert!(m.hook("all.gate", &s));
    s.status.set(2);
    assert!(m.hook("all.gate", &s), "it asks, and the domain is good");
    s.set_domain("bad");
    assert!(!m.hook("all.gate", &s));
    s.status.set(1);
    assert!(!m.hook("all.gate", &s));

    assert_eq!(m.variable("all_first", &s).as_deref(), Some("one"));
    assert_eq!(m.variable("all_x_abc", &s).as_deref(), Some("abc"));
    assert_eq!((m.variable("all_x_", &s), m.variable("none", &s)), (None, None));
    assert_eq!(m.function("upper", &["abc"]).as_deref(), Some("ABC"));
    assert_eq!(m.function("upper", &["abc", "d"]).as_deref(), Some("ABCd"), "what may be left out");
    assert_eq!(m.action("slow", "x"), Ok("x false".to_owned()));
    assert_eq!(m.action("slow", ""), Err("of what?".to_owned()));
    assert_eq!(m.action("", ""), Ok("{}".to_owned()));
    assert_eq!(m.action("", "x"), Err("what is x".to_owned()));
    m.stop();
}

#[test]
fn a_hook_that_panics_denies() {
    let m = ModuleUnderTest::<All>::start(&[]);
    let s = m.host().session();
    s.status.set(3);
    assert!(!m.hook("all.gate", &s));
    m.stop();
}

#[test]
fn listeners_connectors_and_greetings_meet_the_tests_ends() {
    let m = ModuleUnderTest::<All>::start(&[]);
    let s = m.host().session();
    assert_eq!(m.listener_options("shake").backlog, 7);
    let mut run = m.accept("shake");
    run.client.send(b"hi");
    m.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_ok());
    let mut wrong = m.accept("shake");
    wrong.client.send(b"no");
    m.host().run_until_stalled();
    assert_eq!(wrong.result().expect("it ended").expect_err("refused").kind, ErrorKind::Invalid);

    let server = m.host().server(addr("10.0.0.1:80"));
    drop(m.connect("dial", &s, addr("10.0.0.1:80"), "a.test").expect("there is a server"));
    assert_eq!(s.stages(), ["connected"], "a connector has the session");
    assert_eq!(server.accept().expect("it came").received_text(), "a.test");
    let said = m.greeting("line", &s, addr("10.0.0.1:80"), "a.test");
    assert_eq!(said.as_deref(), Some(&b"192.0.2.1:40000 to a.test\n"[..]));
    assert_eq!(m.greeting("line", &s, addr("10.0.0.1:80"), "nobody"), None);
    drop((run, wrong));
    m.stop();
}

#[test]
fn a_connector_is_stepped_against_a_proxy_that_is_silent_or_speaks() {
    let m = ModuleUnderTest::<All>::start(&[Block::local().with(word("10.0.0.2:1080"))]);
    let (s, server) = (m.host().session(), m.host().server(addr("10.0.0.2:1080")));
    let begin = || {
        let run = m.connecting("relayed", &s, Addr::NONE, "inside.example:80");
        m.host().run_until_stalled();
        let proxy = server.accept().expect("it connected");
        assert_eq!(proxy.received_text(), "inside.example:80\n", "a name as it is");
        (run, proxy)
    };
    let (mut speaks, proxy) = begin();
    proxy.send(b"ok");
    m.host().run_until_stalled();
    assert!(speaks.result().expect("it ended").is_ok());
    let (mut silent, _proxy) = begin();
    m.host().advance(Duration::from_secs(4));
    assert!(silent.result().is_none(), "it waits");
    m.host().advance(Duration::from_secs(1));
    assert_eq!(silent.result().expect("it ended").err().map(|e| e.kind), Some(ErrorKind::TimedOut));
    drop((speaks, silent));
    m.stop();
}

#[test]
fn a_probe_meets_the_tests_end_and_says_what_is_wrong() {
    let m = ModuleUnderTest::<All>::start(&[Block::local().with(word("ping"))]);
    let mut well = m.probe("ping", addr("10.0.0.1:80"), "a.test");
    m.host().run_until_stalled();
    assert_eq!(well.client.received_text(), "ping a.test");
    well.client.send(b"pong");
    let mut wrong = m.probe("ping", addr("10.0.0.1:80"), "a.test");
    wrong.client.send(b"gone");
    let mut ends = m.probe("ping", addr("10.0.0.1:80"), "panic");
    m.host().run_until_stalled();
    assert!(well.result().expect("it ended").is_ok());
    assert_eq!(wrong.result().expect("it ended").expect_err("not well").text(), "it says gone");
    assert_eq!(ends.result().expect("it ended").expect_err("not well").kind, ErrorKind::Panicked);
    drop((well, wrong, ends));
    m.stop();
}

#[test]
fn a_balancer_is_asked_and_told() {
    let m = ModuleUnderTest::<All>::start(&[]);
    let states = [PeerState::new(1, 1), PeerState::new(2, 1)];
    let peers = states.each_ref().map(PeerRef::new);
    let cx = PickCx {
        peers: Slice::new(&peers),
        key: Slice::EMPTY,
        tried: Slice::new(&[0b10]),
        version: 1,
        random: 0,
        now_ms: 0,
    };
    let mut b = m.balancer("last", 0);
    assert_eq!(b.pick(&cx), Pick::Peer(0), "the last was tried");
    let well = Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: 0 };
    b.done(0, &well);
    b.done(0, &well);
    assert_eq!(b.pick(&cx), Pick::None, "a panic is no peer");
    drop(b);
    m.stop();
}

#[test]
fn a_balancer_is_made_for_the_block_of_its_upstream() {
    let mut m = ModuleUnderTest::<All>::start(&[
        Block::upstream("few").with(word("one").arg("two")),
        Block::upstream("fewer").with(word("one")),
    ]);
    let states = [1, 2, 3].map(|id| PeerState::new(id, 1));
    let peers = states.each_ref().map(PeerRef::new);
    for (block, last) in [(1, 1), (2, 0)] {
        m.select(block);
        let mut b = m.balancer("last", 0);
        let (key, tried) = (Slice::EMPTY, Slice::new(&[0]));
        let cx = PickCx { peers: Slice::new(&peers), key, tried, version: 1, random: 0, now_ms: 0 };
        assert_eq!(b.pick(&cx), Pick::Peer(last));
    }
    m.stop();
}

#[test]
fn datagrams_are_routed_delivered_and_answered() {
    let m = ModuleUnderTest::<All>::start(&[]);
    assert_eq!(m.route("drops", b""), Route::DROP);
    assert_eq!(m.route("drops", &[3]), Route::owner(1, 3));
    let e = m.datagrams("drops", 5, addr("203.0.113.1:443"));
    let meta = Received { from: addr("192.0.2.1:9"), len: 2, segment: 2, ..Received::default() };
    e.deliver(&meta, b"ab");
    let sent = m.host().sent();
    assert_eq!((sent[0].listener, sent[0].to, &sent[0].bytes[..]), (Some(5), meta.from, &b"ab"[..]));
    drop(e);
    m.stop();
}

#[test]
fn what_a_module_keeps_after_its_end_is_named() {
    struct Keeps;
    impl Module for Keeps {
        type Conf = ();
        type Worker = ();
        fn register(_: &mut Registry<Self>) {}
        fn create() -> Self {
            Self
        }
        fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
        fn worker_start(&self, _: u32) {
            std::mem::forget(sleep(Duration::from_secs(1)));
        }
    }
    let m = ModuleUnderTest::<Keeps>::start(&[]);
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| m.stop())).expect_err("it keeps a timer");
    let text = left.downcast_ref::<String>().map(String::as_str).unwrap_or_default();
    assert!(text.contains("1 timer"), "{text}");
}

#[test]
fn a_slot_has_one_type_and_a_domain_handed_out_stays() {
    struct Slots;
    impl Module for Slots {
        type Conf = ();
        type Worker = ();
        fn register(r: &mut Registry<Self>) {
            r.handler::<Two>();
        }
        fn create() -> Self {
            Self
        }
        fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
        fn worker_start(&self, _: u32) {}
    }
    struct Two;
    impl Handler<Slots> for Two {
        const NAME: &'static str = "two";
        async fn handle(session: Session<Slots>, _: Stream) -> Result<(), Error> {
            session.set_domain("first");
            let first = session.domain();
            session.set_domain("second");
            assert_eq!((first, session.domain()), ("first", "second"));
            let inner = session.slot(|| {
                session.slot(|| 1_u32);
                2_u32
            });
            assert_eq!(*inner, 1, "what the inner call was given stays");
            session.slot(|| 3_u64);
            Ok(())
        }
    }
    let m = ModuleUnderTest::<Slots>::start_on(FakeHost::new(), &[]);
    let mut run = m.handle("two");
    m.host().run_until_stalled();
    assert_eq!(run.session.domain(), "second");
    assert_eq!(run.result().expect("it ended").expect_err("another type").kind, ErrorKind::Panicked);
    drop(run);
    m.stop();
}
