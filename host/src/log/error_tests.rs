//! Behaviour of the error log and of the subscriber in front of it.

use super::super::Subscriber;
use super::super::test_support::Dir;
use super::*;

struct Log {
    dir: Dir,
    writer: Arc<Writer>,
    log: ErrorLog,
}

impl Log {
    fn new(levels: &[Level]) -> Self {
        let dir = Dir::new();
        let writer = Writer::start().expect("starts");
        let targets: Vec<_> =
            levels.iter().enumerate().map(|(n, level)| (Target::File(dir.path(&n.to_string())), *level)).collect();
        let log = ErrorLog::new(&writer, &targets).expect("opens");
        Self { dir, writer, log }
    }

    /// The records of a target, without their times.
    fn records(&self, target: usize) -> Vec<String> {
        assert!(self.writer.flush(Duration::from_secs(20)));
        let text = std::fs::read_to_string(self.dir.path(&target.to_string())).expect("log");
        text.lines().map(|line| line.split_once(' ').expect("time first").1.to_owned()).collect()
    }

    fn say(&self, level: Level, message: &str, session: Option<Session<'_>>) {
        self.log.log_record(level, "tcp", message, &[], session);
    }
}

#[test]
fn record_has_time_level_module_session_message_and_fields() {
    let log = Log::new(&[Level::Info]);
    let session = Session { id: "7f3a", client: None };
    let fields = [("peer", "10.0.0.1:80"), ("cause", "connection \"refused\""), ("empty", "")];
    log.log.log_record(Level::Warn, "tcp", "connect failed", &fields, Some(session));
    log.say(Level::Info, "no session", None);
    let want = r#"[warn] [tcp] [7f3a] connect failed peer=10.0.0.1:80 cause="connection \"refused\"" empty="""#;
    assert_eq!(log.records(0), [want, "[info] [tcp] [-] no session"]);
    let text = std::fs::read_to_string(log.dir.path("0")).expect("log");
    let time = text.split(' ').next().expect("time");
    assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == 29, "{time}");
}

#[test]
fn each_target_has_its_level() {
    let log = Log::new(&[Level::Error, Level::Debug]);
    for level in LEVELS {
        log.say(level, level.name(), None);
    }
    assert_eq!(log.records(0), ["[error] [tcp] [-] error"]);
    assert_eq!(log.records(1).len(), 4);
    assert!(log.log.enabled(Level::Debug) && !log.log.enabled(Level::Trace));
    log.log.set_level(Level::Trace);
    log.say(Level::Trace, "now", None);
    assert_eq!((log.records(0).len(), log.records(1).len()), (2, 5));
}

#[test]
fn client_with_a_level_of_its_own_is_logged_by_it() {
    let log = Log::new(&[Level::Warn]);
    let session = |client: &str| Some(Session { id: "s", client: Some(client.parse().expect("address")) });
    assert!(log.log.set_client_level("192.0.2.1".parse().expect("address"), Some(Level::Debug)));
    log.say(Level::Debug, "its own", session("192.0.2.1"));
    log.say(Level::Debug, "mapped", session("::ffff:192.0.2.1"));
    log.say(Level::Debug, "another", session("192.0.2.2"));
    log.say(Level::Debug, "nobody", None);
    assert!(log.log.set_client_level("192.0.2.1".parse().expect("address"), None));
    assert!(!log.log.enabled(Level::Debug));
    log.say(Level::Debug, "taken back", session("192.0.2.1"));
    assert_eq!(log.records(0), ["[debug] [tcp] [s] its own", "[debug] [tcp] [s] mapped"]);
}

#[test]
fn module_with_a_level_of_its_own_is_logged_by_it() {
    let log = Log::new(&[Level::Warn]);
    let record = |level: Level, target: &str, client: Option<&str>| {
        let client = client.map(|c| c.parse().expect("address"));
        log.log.log_record(level, target, level.name(), &[], Some(Session { id: "s", client }));
    };
    log.log.set_module_levels([("hyper".to_owned(), Level::Debug), ("host".to_owned(), Level::Error)]);
    assert!(log.log.enabled(Level::Debug) && !log.log.enabled(Level::Trace));
    record(Level::Debug, "hyper::proto", None);
    record(Level::Trace, "hyper", None);
    record(Level::Debug, "hyperbole", None);
    record(Level::Warn, "host", None);
    record(Level::Warn, "tcp", None);
    assert!(log.log.set_client_level("192.0.2.1".parse().expect("address"), Some(Level::Info)));
    record(Level::Info, "host", Some("192.0.2.1"));
    log.log.set_module_levels([]);
    record(Level::Debug, "hyper", None);
    assert_eq!(log.records(0), ["[debug] [hyper::proto] [s] debug", "[warn] [tcp] [s] warn", "[info] [host] [s] info"]);
}

#[test]
fn number_of_clients_with_a_level_is_bounded() {
    let log = Log::new(&[]);
    let client = |n: usize| IpAddr::from([10, 0, 0, n as u8]);
    assert!((0..MAX_CLIENTS).all(|n| log.log.set_client_level(client(n), Some(Level::Debug))));
    assert!(!log.log.set_client_level(client(MAX_CLIENTS), Some(Level::Debug)));
    assert!(log.log.set_client_level(client(0), Some(Level::Info)), "one that is there");
    assert_eq!(log.log.client_levels().len(), MAX_CLIENTS);
}

#[test]
fn what_a_peer_sent_stays_on_its_line() {
    let log = Log::new(&[Level::Info]);
    log.log.log_record(Level::Info, "tcp", "bad\n2026 [error]\u{1b}[0m\u{202e} \u{4e2d}", &[("v", "a\r\nb")], None);
    let records = log.records(0);
    assert_eq!(records, ["[info] [tcp] [-] bad\\n2026 [error]\\u{1b}[0m\\u{202e} \u{4e2d} v=\"a\\u{d}\\nb\""]);
}

#[test]
fn overlong_record_is_cut_at_a_character() {
    let log = Log::new(&[Level::Info]);
    log.say(Level::Info, &"\u{4e2d}".repeat(MAX_RECORD), None);
    log.say(Level::Info, "next", None);
    let records = log.records(0);
    assert!(records[0].len() < MAX_RECORD + 8 && records[0].ends_with('…'));
    assert_eq!(records.len(), 2);
}

#[test]
fn targets_change_as_a_whole_or_not_at_all() {
    let log = Log::new(&[Level::Info]);
    let missing = Target::File(log.dir.path("missing").join("x"));
    let more = Target::File(log.dir.path("1"));
    let error = log.log.set_targets(&[(more.clone(), Level::Info), (missing, Level::Info)]).expect_err("cannot open");
    assert!(error.to_string().contains("missing"), "{error}");
    log.say(Level::Info, "before", None);
    log.log.set_targets(&[(more, Level::Info)]).expect("opens");
    log.say(Level::Info, "after", None);
    assert_eq!(log.records(0), ["[info] [tcp] [-] before"]);
    assert_eq!(log.records(1), ["[info] [tcp] [-] after"]);
}

#[test]
fn levels_are_read_by_name() {
    for level in LEVELS {
        assert_eq!(level.name().parse(), Ok(level));
    }
    assert!("warning".parse::<Level>().expect_err("unknown").contains("warn, info"));
}

#[test]
fn tracing_events_of_the_host_become_records_of_the_running_session() {
    let log = Log::new(&[Level::Info]);
    let session: super::super::subscriber::CurrentSession =
        |each| each(Session { id: "abcd", client: Some(IpAddr::from([192, 0, 2, 9])) });
    tracing::subscriber::with_default(Subscriber::new(log.log.clone(), session), || {
        tracing::info!(peer = "p q", n = 3, "accepted {}", "one");
        tracing::debug!("unseen");
        log.log.set_client_level(IpAddr::from([192, 0, 2, 9]), Some(Level::Debug));
        tracing::debug!(target: "balancer", "seen now");
        let _span = tracing::error_span!("ignored").entered();
        tracing::error!(error = &io::Error::other("why") as &dyn std::error::Error);
    });
    tracing::subscriber::with_default(Subscriber::new(log.log.clone(), |_| {}), || tracing::warn!("nobody's"));
    assert_eq!(
        log.records(0).join("\n"),
        "[info] [host] [abcd] accepted one peer=\"p q\" n=3\n\
         [debug] [balancer] [abcd] seen now\n\
         [error] [host] [abcd]  error=why\n\
         [warn] [host] [-] nobody's"
    );
}
