//! Behaviour of access-log plans: what each block writes, what is opened, when a line is due.

use super::*;
use crate::{
    config::{ModuleDirectives, include, load},
    template::VarRef,
};
use anyproxy_module_api::abi::{
    conf::{ArgDesc, Contexts, DirectiveDesc, Kind, Role},
    session::{Cause, CloseReason, Stage, Who},
};
use std::path::{Path, PathBuf};

const ADDRESS: &[ArgDesc] = &[ArgDesc::new("address", Kind::Listen, "where").required().repeated()];

static DIRECTIVES: [DirectiveDesc; 2] = [
    DirectiveDesc::new("port_listen_x", "Listens.", Contexts::SERVER).args(ADDRESS).role(Role::ListenPort, "x"),
    DirectiveDesc::new("takes", "Handles.", Contexts::SERVER.or(Contexts::LOCAL)).role(Role::Handler, "takes"),
];

fn tree(text: &str, file: &Path) -> Tree {
    let document = include::load_text(file.to_str().expect("UTF-8"), text).expect("the text is KDL");
    match load(&document, &[ModuleDirectives::new("x", &DIRECTIVES)]) {
        Ok((tree, _)) => tree,
        Err(wrong) => panic!("{wrong}"),
    }
}

/// Every name is a variable.
struct Any;

impl Resolver for Any {
    fn variable(&self, _: &str) -> Option<VarRef> {
        Some(VarRef::new(0, 0))
    }
}

struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("anyproxy-access-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary directory");
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BLOCKS: &str = r#"
net {
    access_log "a.log"
    access_log "b.log" format="${status}" errors_only=#true buffer="4KiB" flush="2s"
    server { port_listen_x "127.0.0.1:1"; local { takes; access_log "off"; } }
    server { port_listen_x "127.0.0.1:2"
        access_log "a.log"
        access_log "a.log"
        local { takes; access_log "c.log" interval="10s"; }
    }
}
"#;

fn names(plans: &Plans, scope: ScopeId) -> Vec<String> {
    let name = |p: &LogPlan| match p.target() {
        Target::File(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        other => other.to_string(),
    };
    plans.in_scope(scope).map(name).collect()
}

#[test]
fn each_block_has_its_own_logs_or_those_around_it() {
    let dir = Dir::new("blocks");
    let tree = tree(BLOCKS, &dir.0.join("main.kdl"));
    let plans = Plans::of(&tree);
    assert!(plans.all().is_empty() && !dir.0.join("a.log").exists(), "reading the configuration touches nothing");
    let writer = Writer::start().expect("starts");
    plans.open(&writer, &Any).expect("opens");
    let net = &tree.nets[0];
    assert_eq!(names(&plans, Tree::MAIN), [""; 0]);
    assert_eq!(names(&plans, net.scope), ["a.log", "b.log"]);
    let (first, second) = (&net.servers[0], &net.servers[1]);
    assert_eq!(names(&plans, first.scope), ["a.log", "b.log"]);
    assert_eq!(names(&plans, first.locals[0].scope), [""; 0], "off");
    assert_eq!(names(&plans, second.scope), ["a.log"], "its own only, and twice the same is once");
    assert_eq!(names(&plans, second.locals[0].scope), ["c.log"]);
    assert_eq!(plans.all().len(), 3, "equal ones are one plan");
    assert!(plans.has_intervals());
    let b = &plans.all()[1].spec;
    assert_eq!((b.key.size, b.key.flush, b.errors_only), (4096, Some(Duration::from_secs(2)), true));
    let Format::Template(n) = b.format else { panic!("a format of its own") };
    assert_eq!(tree.templates[n as usize].text.as_str(), "${status}");
    assert!(matches!(plans.all()[0].line, Line::Default(_)), "without a format the documented one");
    writer.stop(Duration::from_secs(20));
}

#[test]
fn log_that_cannot_be_opened_is_told_with_its_directive_and_none_is_open() {
    let dir = Dir::new("fails");
    let text = "net {\n access_log \"ok.log\"\n access_log \"missing/x.log\"\n access_log \"missing/y.log\"\n}";
    let tree = tree(text, &dir.0.join("main.kdl"));
    let plans = Plans::of(&tree);
    let writer = Writer::start().expect("starts");
    let errors = plans.open(&writer, &Any).expect_err("two directories are missing");
    let lines: Vec<_> = errors.iter().map(|(span, _)| span.line).collect();
    assert_eq!(lines, [3, 4]);
    assert!(errors[0].1.contains("x.log cannot be opened"), "{}", errors[0].1);
    assert!(plans.all().is_empty());
    writer.stop(Duration::from_secs(20));
}

#[test]
fn documented_format_compiles_with_the_hosts_own_variables() {
    let vars = crate::cycle::vars::VarTable::new(&[]).expect("no clash");
    let format = default_format(&vars).expect("compiles");
    assert!(format.text().contains("${local_time}"));
}

#[test]
fn errors_only_leaves_out_what_ended_in_order_and_what_is_still_open() {
    let dir = Dir::new("errors");
    let text = "net { access_log \"e.log\" errors_only=#true interval=\"1s\"; access_log \"i.log\" interval=\"1s\"; }";
    let tree = tree(text, &dir.0.join("main.kdl"));
    let plans = Plans::of(&tree);
    let writer = Writer::start().expect("starts");
    plans.open(&writer, &Any).expect("opens");
    let [errors, all] = plans.all() else { panic!("two plans") };
    let done = CloseReason::new(Who::Client, Stage::Transfer, Cause::Done).code();
    let reset = CloseReason::new(Who::Upstream, Stage::Transfer, Cause::Reset).code();
    assert!(!errors.wants(0, done, false) && all.wants(0, done, false));
    assert!(errors.wants(0, reset, false) && errors.wants(502, done, false));
    assert!(!errors.wants(0, 0, true) && all.wants(0, 0, true));
    writer.stop(Duration::from_secs(20));
}

#[test]
fn open_session_is_due_once_an_interval_whenever_the_clock_looks() {
    let interval = Duration::from_secs(5);
    // A clock that looks every 1.3 s for two minutes.
    let step = Duration::from_millis(1300);
    let looks = (1..92).map(|n| step * n);
    let due = looks.filter(|age| is_due(interval, *age, step)).count();
    assert_eq!(due, (step * 91).as_secs() as usize / 5);
    assert!(!is_due(interval, Duration::from_secs(4), Duration::from_secs(60)), "younger than the interval");
    assert!(is_due(interval, Duration::from_secs(60), Duration::from_secs(60)), "several at once are one line");
    assert!(!is_due(Duration::ZERO, Duration::ZERO, step));
}

#[test]
fn buffers_keep_lines_until_due_and_forget_what_is_not_used() {
    let dir = Dir::new("buffers");
    let text = "net { access_log \"a.log\" flush=\"2s\"; access_log \"a.log\" errors_only=#true flush=\"2s\"; }";
    let tree = tree(text, &dir.0.join("main.kdl"));
    let plans = Plans::of(&tree);
    let writer = Writer::start().expect("starts");
    plans.open(&writer, &Any).expect("opens");
    let read = || {
        assert!(writer.flush(Duration::from_secs(20)));
        std::fs::read_to_string(dir.0.join("a.log")).expect("log")
    };
    let mut buffers = Buffers::default();
    let now = Instant::now();
    for plan in plans.all() {
        buffers.line(plan, now, |out| out.extend_from_slice(b"line"));
    }
    assert_eq!(buffers.open.len(), 1, "one buffer a target");
    assert_eq!(read(), "");
    buffers.flush_due(now + Duration::from_secs(3));
    assert_eq!(read(), "line\nline\n");
    buffers.flush_due(now + IDLE * 2);
    assert!(buffers.open.is_empty());
    buffers.line(&plans.all()[0], now, |out| out.extend_from_slice(b"last"));
    buffers.flush();
    assert_eq!(read(), "line\nline\nlast\n");
    writer.stop(Duration::from_secs(20));
}
