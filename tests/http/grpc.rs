//! gRPC passes, from a real client to a real server: both are those of Python, where they are there or can be had.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use harness::{LIMIT, Proxy, eventually, program, skip};

use crate::support::server;

/// How long an installation may take.
const INSTALLS: Duration = Duration::from_secs(120);

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("http/grpc_peer.py")
}

/// A Python that has gRPC: the one that `ANYPROXY_GRPC_PYTHON` names, the system's, or one with it installed for these tests.
fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find) {
        Ok(path) => Some(path),
        Err(why) => {
            skip(why);
            None
        }
    }
}

fn find() -> Result<PathBuf, String> {
    let has = |python: &Path| {
        let out = Command::new(python).args(["-c", "import grpc"]).stderr(Stdio::null()).status();
        out.is_ok_and(|s| s.success())
    };
    if let Some(path) = std::env::var_os("ANYPROXY_GRPC_PYTHON") {
        return Ok(path.into());
    }
    let system = program("python3").ok_or("python3 is not installed")?;
    let dir = harness::binary().with_file_name("grpc-python");
    let own = dir.join("bin/python3");
    if let Some(python) = [&system, &own].into_iter().find(|p| has(p)) {
        return Ok(python.clone());
    }
    let bounded = |program: &Path, args: &[&str]| {
        let mut child = Command::new(program)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        if let Some(Ok(status)) = harness::within(INSTALLS, || child.try_wait().transpose()) {
            return if status.success() { Ok(()) } else { Err(format!("{args:?} fails")) };
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(format!("{args:?} takes too long"))
    };
    bounded(&system, &["-m", "venv", &dir.display().to_string()])
        .and_then(|()| bounded(&own, &["-m", "pip", "install", "-q", "grpcio"]))
        .map_err(|why| format!("grpcio cannot be installed: {why}"))?;
    if has(&own) { Ok(own) } else { Err("grpcio does not work here".to_owned()) }
}

/// A running server.
struct Server {
    child: Child,
    /// Its end is the server's.
    _input: Option<ChildStdin>,
    port: u16,
    lines: Receiver<String>,
}

impl Server {
    fn start(python: &Path) -> Self {
        let mut child = Command::new(python)
            .arg(script())
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python runs");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let port = lines.recv_timeout(LIMIT).expect("a port").parse().expect("a number");
        Self { child, _input: input, port, lines }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn all_calls_work(python: &Path, proxy: &Proxy) {
    prints(python, "ask", proxy, &["unary", "down", "up", "both", "many", "status", "deadline"]);
}

#[track_caller]
fn prints(python: &Path, what: &str, proxy: &Proxy, lines: &[&str]) {
    let out = Command::new(python).arg(script()).args([what, &proxy.addr(0).to_string()]).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stdout);
    let good: Vec<_> = text.lines().collect();
    assert!(good == lines, "{good:?}\n{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn calls_of_each_kind_pass() {
    let Some(python) = python() else { return };
    let peer = Server::start(python);
    let proxy =
        server(&format!("local {{ http_proxy version=\"2\"; proxy_pass_tcp \"127.0.0.1:{}\"; }}", peer.port)).start();
    all_calls_work(python, &proxy);
    // The deadline of a call is heard of by the server.
    assert_eq!(peer.lines.recv_timeout(LIMIT).as_deref(), Ok("cancelled"));
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
}

#[test]
fn and_through_two_of_them() {
    let Some(python) = python() else { return };
    let peer = Server::start(python);
    let at = |port: u16| {
        server(&format!(
            "http2_streams 1000\nlocal {{ http_proxy version=\"2\"; proxy_pass_tcp \"127.0.0.1:{port}\"; }}"
        ))
        .start()
    };
    let behind = at(peer.port);
    let proxy = at(behind.addr(0).port());
    all_calls_work(python, &proxy);
    assert_eq!(peer.lines.recv_timeout(LIMIT).as_deref(), Ok("cancelled"));
}

#[test]
fn a_silent_stream_lasts_where_its_local_sets_no_limit() {
    let Some(python) = python() else { return };
    let peer = Server::start(python);
    let to = format!("http_proxy version=\"2\"; proxy_pass_tcp \"127.0.0.1:{}\"", peer.port);
    let proxy = server(&format!(
        "http_body_timeout \"300ms\"\nlocal {{ rule \"${{path}}\" text=\"/test.Echo/Quiet\"; http_body_timeout 0; {to}; }}\nlocal {{ {to}; }}"
    ))
    .start();
    prints(python, "silent", &proxy, &["silent"]);
    let log = proxy.read("access.log");
    let line = log.lines().find(|l| l.contains("path=/test.Echo/Cut"));
    assert!(line.is_some_and(|l| l.contains("reason=upstream_transfer_timeout")), "{log}");
}
