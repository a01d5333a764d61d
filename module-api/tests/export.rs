//! A module as its file shows it: the note, the root symbol, the table with its directives; and its `tracing` in the log.
#![cfg(feature = "testing")]

use anyproxy_module_api::{
    abi::{
        note::{self, Facts, Note},
        root::{LibHeader, RootRef},
    },
    testing::FakeHost,
    *,
};

directive! {
    /// Says something.
    ///
    /// At length.
    "sample_say", Contexts::LOCAL.or(Contexts::SERVER),
    .args(&[ArgDesc::new("text", Kind::Text, "What.").required()])
    .props(&[ArgDesc::new("often", Kind::Int, "How often.").bounds(1, 9).default("1")])
    .role(Role::Handler, "sample")
    .append()
    .inherit(Inherit::Append)
    .example("sample_say \"hello\"")
}

directive! {
    /// A switch.
    "sample_a", Contexts::MAIN
}

struct Sample;

impl Module for Sample {
    type Conf = ();
    type Worker = ();
    fn register(r: &mut Registry<Self>) {
        r.handler::<Say>().require("other.thing", 1, 2, true);
    }
    fn create() -> Self {
        Self
    }
    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
    fn worker_start(&self, _: u32) {}
}

struct Say;

impl Handler<Sample> for Say {
    const NAME: &'static str = "sample";
    const FOR_PEERS: bool = true;
    async fn handle(_: Session<Sample>, _: Stream) -> Result<(), Error> {
        Ok(())
    }
}

export_module!(Sample, id = "sample", requires = ["other.thing" 1.2]);

/// The module's table, by the symbol that a host looks for.
fn described() -> &'static abi::module::ModuleDesc {
    #[allow(improper_ctypes, reason = "Rust on both sides, as between a host and a module")]
    unsafe extern "C" {
        #[link_name = "_1as_0lib_1header_0root_bmodule_bloader"]
        safe static ROOT: LibHeader;
    }
    let root = ROOT.init_root_module::<RootRef>().unwrap_or_else(|e| panic!("{e}"));
    drop(FakeHost::new());
    // SAFETY: built with this crate; the fake host's table lives as long as the process.
    unsafe { root.start(host()) }.expect("Sample::register does not panic")
}

#[test]
fn the_files_note_says_who_it_is_and_what_it_needs() {
    let file = std::fs::read(std::env::current_exe().expect("a test has a file")).expect("it is readable");
    let mut head = note::TYPE.to_ne_bytes().to_vec();
    head.extend(note::OWNER);
    let at = file.windows(head.len()).enumerate().filter(|(_, w)| *w == head.as_slice()).map(|(n, _)| n - 8);
    let notes: Vec<_> = at.filter_map(|n| Facts::parse(file.get(n..n + size_of::<Note>())?).ok()).collect();
    let facts = notes.iter().find(|f| f.id == "sample").expect("the note is in the file");
    assert_eq!(facts.abi, (note::ABI_MAJOR, note::ABI_MINOR));
    assert_eq!(facts.version, env!("CARGO_PKG_VERSION"));
    assert!(facts.unwinds);
    assert_eq!((facts.requires[0].id.as_str(), facts.requires[0].version), ("other.thing", (1, 2)));
    assert!(facts.provides.is_empty());
}

#[test]
fn the_root_describes_directives_and_points() {
    let d = described();
    assert_eq!((d.id.as_str(), d.size), ("sample", size_of::<abi::module::ModuleDesc>()));
    let names: Vec<_> = d.directives.iter().map(|x| x.name.as_str()).collect();
    assert_eq!(names, ["sample_a", "sample_say"], "this crate's, sorted");
    let say = &d.directives[1];
    assert_eq!(say.doc.lines().map(str::trim).collect::<Vec<_>>(), ["Says something.", "", "At length."]);
    assert!(say.contexts.intersects(Contexts::SERVER) && !say.contexts.intersects(Contexts::NET));
    assert_eq!((say.role, say.point.as_str(), say.repeat), (Role::Handler, "sample", Repeat::Append));
    assert_eq!((say.args[0].required, say.props[0].max), (true, 9));
    assert_eq!((d.handlers[0].name.as_str(), d.handlers[0].for_peers), ("sample", true));
    assert_eq!((d.requires[0].id.as_str(), d.requires[0].minor), ("other.thing", 2));
    assert!(std::ptr::eq(d, described()), "one table an image");
}

#[test]
fn tracing_reaches_the_hosts_log_with_level_target_and_fields() {
    described();
    let host = FakeHost::new();
    host.logged();
    tracing::warn!(peer = "a b", count = 3, "the peer {} is slow", 7);
    tracing::debug!(target: "some_library", ready = true);
    let log = host.logged();
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!((log[0].level, log[0].message.as_str()), (2, "the peer 7 is slow"));
    assert_eq!(log[0].fields, "peer=\"a b\" count=3");
    assert_eq!((log[1].level, log[1].target.as_str(), log[1].message.as_str()), (4, "some_library", ""));
    assert_eq!(log[1].fields, "ready=true");

    host.log_level(2);
    tracing::info!("not wanted");
    tracing::error!("wanted");
    assert_eq!(host.logged().iter().map(|r| r.level).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_module_of_anyproxys_own_logs_under_its_id() {
    described();
    let host = FakeHost::new();
    host.logged();
    tracing::info!(target: "anyproxy_sample::inner", "here");
    assert_eq!(host.logged()[0].target, "sample");
}
