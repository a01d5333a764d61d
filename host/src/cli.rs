//! The command line: what to do, and the client side of the control socket.

mod ctl;
pub mod output;
mod reference;

use self::output::{err, out};
use crate::{
    config::{self, diagnostic::Style, dump, include},
    control::{self, Options, exit},
    cycle::{build, settings::Settings},
    process,
};
use serde_json::{Value, json};
use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    time::Duration,
};

const HELP: &str = "\
anyproxy: a proxy whose protocols are modules

  anyproxy -c FILE                 serve (in the foreground)
  anyproxy -c FILE -t [--json]     check the configuration
  anyproxy -c FILE -T              print the effective configuration, with the origin of each value
  anyproxy -c FILE -V              versions: host, ABI, modules that FILE loads
  anyproxy -c FILE -s WHAT         reload, reinit, reopen, quit, stop, check: asks the running process and waits
  anyproxy -c FILE --hot PIDFILE   take over the sockets of the process in PIDFILE
  anyproxy ctl COMMAND             status, metrics [--json], sessions [show|kill ID], dump,
                                   peer ready|drain|maint|weight PEER [N] [--upstream NAME],
                                   log-level [LEVEL] [--client ADDRESS] (default: a client
                                   has none of its own any more), MODULE ACTION [JSON]
  anyproxy directives [NAME]       every directive of the host and of the modules [--json | --markdown DIR]
  anyproxy variables [NAME]        every variable of the host and of the modules [--json]

  -c FILE          configuration (default: conf/main.kdl)
  --control PATH   control socket (default: as the configuration says)
  -h, --help       this text

Exit codes: 0 well, 1 configuration or refused request, 2 command line, 3 a socket cannot be bound, 4 failed while running.
";

#[derive(Debug, Default)]
struct Args {
    config: Option<PathBuf>,
    control: Option<PathBuf>,
    hot: Option<PathBuf>,
    signal: Option<String>,
    markdown: Option<PathBuf>,
    upstream: Option<String>,
    client: Option<String>,
    check: bool,
    dump: bool,
    version: bool,
    json: bool,
    help: bool,
    words: Vec<String>,
}

fn parse(args: impl Iterator<Item = OsString>) -> Result<Args, lexopt::Error> {
    use lexopt::prelude::{Long, Short, Value, ValueExt};
    let mut parser = lexopt::Parser::from_args(args);
    let mut a = Args::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Short('c') | Long("config") => a.config = Some(parser.value()?.into()),
            Long("control") => a.control = Some(parser.value()?.into()),
            Long("hot") => a.hot = Some(parser.value()?.into()),
            Short('s') | Long("signal") => a.signal = Some(parser.value()?.string()?),
            Long("markdown") => a.markdown = Some(parser.value()?.into()),
            Long("upstream") => a.upstream = Some(parser.value()?.string()?),
            Long("client") => a.client = Some(parser.value()?.string()?),
            Short('t') => a.check = true,
            Short('T') => a.dump = true,
            Short('V') | Long("version") => a.version = true,
            Long("json") => a.json = true,
            Short('h') | Long("help") => a.help = true,
            Value(word) => a.words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    Ok(a)
}

/// Does what the command line says; the exit code.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    let a = match parse(args) {
        Ok(a) => a,
        Err(e) => return usage(&e.to_string()),
    };
    if a.help {
        out(HELP);
        return 0;
    }
    let config = a.config.clone().unwrap_or_else(|| "conf/main.kdl".into());
    match a.words.split_first() {
        None => {}
        Some((word, rest)) if word == "ctl" => return ctl::ask(&a, rest, &config),
        Some((word, rest)) if word == "directives" => return reference::directives(&a, rest, &config),
        Some((word, rest)) if word == "variables" => return reference::variables(&a, rest, &config),
        Some((word, _)) => return usage(&format!("there is no command \"{word}\"")),
    }
    if let Some(what) = &a.signal {
        if !["reload", "reinit", "reopen", "quit", "stop", "check"].contains(&what.as_str()) {
            return usage(&format!("-s {what}: there are reload, reinit, reopen, quit, stop and check"));
        }
        let show: fn(&Value) -> String = if what == "check" { changes } else { |_| String::new() };
        return request(&a, &config, &json!({ "cmd": what }), show);
    }
    if let Err(e) = setup() {
        err(format_args!("anyproxy: cannot start: {e}\n"));
        return exit::RUNNING;
    }
    if a.version {
        return version(a.config.as_deref());
    }
    if a.check || a.dump {
        return check(&a, config);
    }
    control::run(Options { config, control: a.control, hot: a.hot })
}

/// What the running process finds on a check, for people.
fn changes(result: &Value) -> String {
    let list = result.get("changes").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let word = |change: &Value, key: &str| change.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
    let lines = list.iter().map(|c| match c.get("module") {
        Some(_) => format!("the file of module {} needs {}", word(c, "module"), word(c, "needs")),
        None => format!("{} needs {}", word(c, "directive"), word(c, "needs")),
    });
    let head = if list.is_empty() {
        "the configuration is well; nothing changed"
    } else {
        "the configuration is well; changed:"
    };
    std::iter::once(head.to_owned()).chain(lines).collect::<Vec<_>>().join("\n")
}

fn usage(text: &str) -> i32 {
    err(format_args!("anyproxy: {text}\nTry anyproxy --help.\n"));
    exit::USAGE
}

/// What every use of modules needs.
fn setup() -> std::io::Result<()> {
    crate::services::crash::install();
    let p = process::start()?;
    let subscriber = crate::log::Subscriber::new(p.error_log.clone(), crate::services::log::current_session);
    // Only a second call could fail.
    let _ = tracing::subscriber::set_global_default(subscriber);
    std::panic::set_hook(Box::new(|info| {
        let at = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic");
        tracing::error!("panic at {at}: {text}");
        process::process().error_log.flush(Duration::from_secs(1));
    }));
    Ok(())
}

fn check(a: &Args, config: PathBuf) -> i32 {
    let options = Options { config, control: a.control.clone(), hot: None };
    let checked = if a.dump {
        build::build(&options.config).map(|built| out(format_args!("{}", dump::dump(&built.cycle.tree))))
    } else {
        control::check::run(&options).map(|warnings| {
            if a.json {
                return out(format_args!("{}\n", warnings.to_json()));
            }
            let text = warnings.render(Style::of_stderr());
            err(format_args!("{text}{}: the configuration is well\n", options.config.display()));
        })
    };
    let Err(d) = checked else { return 0 };
    if a.json {
        out(format_args!("{}\n", d.to_json()));
    } else {
        err(format_args!("{}", d.render(Style::of_stderr())));
    }
    exit::CONFIG
}

fn version(config: Option<&Path>) -> i32 {
    use anyproxy_module_api::abi::note::{ABI_MAJOR, ABI_MINOR, RUSTC, TARGET};
    out(format_args!(
        "anyproxy {} (ABI {ABI_MAJOR}.{ABI_MINOR}, rustc {RUSTC}, {TARGET})\n",
        env!("CARGO_PKG_VERSION")
    ));
    let Some(config) = config else { return 0 };
    match include::load(config).and_then(|d| build::images(&d)) {
        Ok(images) => {
            for i in images {
                let f = &i.facts;
                out(format_args!(
                    "  {} {} (ABI {}.{}, module-api {}, rustc {}, {} KiB, {:016x}) {}\n",
                    f.id,
                    f.version,
                    f.abi.0,
                    f.abi.1,
                    f.api,
                    f.rustc,
                    i.size / 1024,
                    i.hash,
                    i.path.display()
                ));
            }
            0
        }
        Err(d) => {
            err(format_args!("{}", d.render(Style::of_stderr())));
            exit::CONFIG
        }
    }
}

/// Where the running process listens, and whether that is a guess: the configuration on disk may be broken.
fn control_path(a: &Args, config: &Path) -> (PathBuf, bool) {
    if let Some(p) = &a.control {
        return (p.clone(), false);
    }
    let options = Options { config: config.to_owned(), control: None, hot: None };
    let settings = include::load(config)
        .ok()
        .and_then(|d| config::load(&config::common_only(&d, &["control", "pid"]), &[]).ok())
        .map(|(tree, _)| Settings::of(&tree));
    match settings {
        Some(s) => (control::socket::path(&options, &s), false),
        None => {
            let [control, pid] = include::rough::paths(config, ["control", "pid"]);
            (control.unwrap_or_else(|| control::socket::beside(pid.as_deref().unwrap_or(config))), true)
        }
    }
}

fn request(a: &Args, config: &Path, request: &Value, show: impl Fn(&Value) -> String) -> i32 {
    let (path, guessed) = control_path(a, config);
    let fail = |e: std::io::Error| {
        let (path, config) = (path.display(), config.display());
        let guess = if guessed { format!("{config} cannot be read, so that this is a guess; ") } else { String::new() };
        err(format_args!("anyproxy: {path}: {e}; is it running? {guess}--control names its control socket\n"));
        exit::CONFIG
    };
    let stream = match control::channel::connect(&path) {
        Ok(s) => s,
        Err(e) => return fail(e),
    };
    let mut line = String::new();
    let asked = (&stream).write_all(format!("{request}\n").as_bytes());
    if let Err(e) = asked.and_then(|()| BufReader::new(&stream).read_line(&mut line)) {
        return fail(e);
    }
    let answer: Value = serde_json::from_str(&line).unwrap_or_default();
    if answer.get("ok") == Some(&Value::Bool(true)) {
        let result = answer.get("result").unwrap_or(&Value::Null);
        for key in ["warnings", "not_applied"] {
            match result.get(key) {
                Some(Value::String(t)) if !t.is_empty() => err(format_args!("{t}")),
                Some(Value::Array(list)) => list
                    .iter()
                    .filter_map(Value::as_str)
                    .for_each(|t| err(format_args!("anyproxy: not applied: {t}\n"))),
                _ => {}
            }
        }
        let text = show(result);
        if !text.is_empty() {
            out(format_args!("{text}\n"));
        }
        return 0;
    }
    match answer.get("error").and_then(Value::as_str) {
        Some(e) => err(format_args!("{}\n", e.trim_end())),
        None => err(format_args!("anyproxy: the running process ended before it answered\n")),
    }
    exit::CONFIG
}
