//! A test's configuration is read as the host reads one: units, shapes, defaults, peers.
#![cfg(feature = "testing")]

use anyproxy_module_api::{
    testing::{Block, Directive, ModuleUnderTest},
    *,
};

directive! {
    /// One of each.
    "fc_all", Contexts::LOCAL,
    .args(&[ArgDesc::new("on", Kind::Bool, "A switch.").default("#true")])
    .props(&[
        ArgDesc::new("time", Kind::Time, "A time.").default("5s"),
        ArgDesc::new("rate", Kind::Rate, "A rate."),
        ArgDesc::new("text", Kind::Template, "A text."),
        ArgDesc::new("to", Kind::Address, "An address."),
        ArgDesc::new("from", Kind::Cidr, "A network."),
        ArgDesc::new("like", Kind::Regex, "An expression."),
        ArgDesc::new("how", Kind::Choice, "A word.").choices(&[Str::new("a"), Str::new("b")]).default("b"),
    ])
    .inherit(Inherit::Never)
}

directive! {
    /// A peer.
    "fc_pass", Contexts::LOCAL,
    .args(&[ArgDesc::new("address", Kind::Address, "Whom.").required()])
    .role(Role::Peer, "fc")
    .append()
    .inherit(Inherit::Never)
}

directive! {
    /// How a peer is reached.
    "fc_by", Contexts::LOCAL.or(Contexts::PEER),
    .args(&[ArgDesc::new("word", Kind::Text, "A word.").required()])
    .inherit(Inherit::Replace)
}

struct Shows;

impl Module for Shows {
    type Conf = String;
    type Worker = ();
    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Renders>().function::<Joined>();
    }
    fn create() -> Self {
        Self
    }
    fn conf(&self, scope: &Scope<'_, String>, _: &mut Problems<'_>) -> String {
        let names: Vec<_> = scope.nodes().iter().map(|n| n.name.as_str()).collect();
        let all = scope.node("fc_all").map(|n| {
            let num = |name| n.prop(name).map(|v| v.num);
            let on = n.arg(0).map(Value::bool);
            format!(" {on:?} {:?} {:?} {:?}", num("time"), num("rate"), n.prop("how").map(|v| v.text))
        });
        let pass = scope.node("fc_pass").map(|n| {
            let [weight, most, backup] =
                ["weight", "max_connections", "backup"].map(|name| n.prop(name).map(|v| v.num));
            format!(" {weight:?} {most:?} {backup:?} ")
        });
        let by = scope.node("fc_by").and_then(|n| n.arg(0)).map(|v| v.text);
        let more = all.or(pass).unwrap_or_default();
        format!("{:?} {names:?}{more}{by:?}", scope.kind())
    }
    fn worker_start(&self, _: u32) {}
}

/// Says the configuration's first template.
struct Renders;

impl Handler<Shows> for Renders {
    const NAME: &'static str = "renders";
    async fn handle(session: Session<Shows>, mut stream: Stream) -> Result<(), Error> {
        let mut text = Vec::new();
        session.render(0, &mut text);
        stream.write_all(&text).await
    }
}

struct Joined;

impl Function for Joined {
    const NAME: &'static str = "joined";
    const DOC: &'static str = "Its arguments with `+` between.";
    const ARITY: std::ops::RangeInclusive<u8> = 1..=3;
    fn call(args: &[Str<'_>], out: &mut Sink<'_>) -> bool {
        let args: Vec<_> = args.iter().map(|a| a.as_str()).collect();
        out.push(args.join("+").as_bytes());
        true
    }
}

#[test]
fn functions_of_templates_are_called() {
    let text = "a ${joined(\"x\", joined(7), domain)} ${domain} $${";
    let m = ModuleUnderTest::<Shows>::start(&[Block::local().with(Directive::new("fc_all").prop("text", text))]);
    let (session, (stream, client)) = (m.host().session(), m.host().stream());
    session.set_domain("d.test");
    let run = m.handle_with("renders", session, stream, client);
    m.host().run_until_stalled();
    assert_eq!(run.client.received_text(), "a x+7+d.test d.test ${");
    drop(run);
    m.stop();
}

fn shown(directives: &[Directive]) -> Vec<String> {
    let local = directives.iter().fold(Block::local(), |local, d| local.with(d.clone()));
    let mut m = ModuleUnderTest::<Shows>::start(&[local]);
    let all = (1..=directives.len()).map(|n| {
        m.select(n);
        m.conf().clone()
    });
    let all = all.collect();
    m.stop();
    all
}

#[test]
fn units_are_the_hosts_and_what_is_left_out_has_its_default() {
    let all = |d: Directive| shown(&[d]).remove(0);
    assert_eq!(all(Directive::new("fc_all")), "Local [\"fc_all\"] Some(true) Some(5000000000) None Some(\"b\")None");
    let d = Directive::new("fc_all").arg(false).prop("time", "1h30m").prop("rate", "600/m").prop("how", "a");
    assert_eq!(all(d), "Local [\"fc_all\"] Some(false) Some(5400000000000) Some(10) Some(\"a\")None");
    let d = Directive::new("fc_all").prop("time", "7us");
    assert_eq!(all(d), "Local [\"fc_all\"] Some(true) Some(7000) None Some(\"b\")None");
}

#[test]
fn shapes_are_checked() {
    for (name, bad) in
        [("to", "10.0.0.1"), ("to", "http://a:1"), ("from", "10.0.0.1/8"), ("like", "~("), ("time", "5"), ("rate", "5")]
    {
        let config = [Block::local().with(Directive::new("fc_all").prop(name, bad))];
        assert!(ModuleUnderTest::<Shows>::try_start(&config).is_err(), "{name}={bad}");
    }
}

#[test]
fn a_peer_has_a_block_of_its_own() {
    let by = |word: &str| Directive::new("fc_by").arg(word);
    let pass = |address: &str| Directive::new("fc_pass").arg(address);
    let all = shown(&[by("x"), pass("a:1").prop("weight", 5), pass("b:1").child(by("y"))]);
    assert_eq!(
        all,
        [
            "Local [\"fc_by\"]Some(\"x\")",
            "Peer [\"fc_by\", \"fc_pass\"] Some(5) Some(0) Some(0) Some(\"x\")",
            "Peer [\"fc_by\", \"fc_pass\"] Some(1) Some(0) Some(0) Some(\"y\")"
        ]
    );
    for (name, bad) in [("weight", 0), ("max_connections", -1)] {
        let config = [Block::local().with(pass("a:1").prop(name, bad))];
        assert!(ModuleUnderTest::<Shows>::try_start(&config).is_err(), "{name}={bad}");
    }
}
