//! Clients and servers of other people: Python's `websockets`, and node's own client.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use harness::{program, skip};

use crate::support::*;

/// A Python that has `websockets`: the system's, or one in a virtual environment that is made once.
fn python() -> Option<&'static Path> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOUND.get_or_init(find_python) {
        Ok(python) => Some(python),
        Err(why) => {
            skip(why);
            None
        }
    }
}

fn find_python() -> Result<PathBuf, String> {
    let has = |python: &Path| {
        let import = "import websockets.sync.client, websockets.sync.server";
        Command::new(python).args(["-c", import]).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    let system = program("python3").ok_or("python3 is not installed")?;
    if has(&system) {
        return Ok(system);
    }
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("websockets");
    let python = dir.join("bin/python3");
    if has(&python) {
        return Ok(python);
    }
    let run = |command: &mut Command| {
        let out = command.output().map_err(|e| e.to_string())?;
        let said = String::from_utf8_lossy(&out.stderr);
        if out.status.success() { Ok(()) } else { Err(said.lines().last().unwrap_or("it fails").to_owned()) }
    };
    let made = run(Command::new(system).args(["-m", "venv"]).arg(&dir)).and_then(|()| {
        run(Command::new(&python).args([
            "-m",
            "pip",
            "install",
            "-q",
            "--retries",
            "0",
            "--timeout",
            "15",
            "websockets",
        ]))
    });
    made.map_err(|why| format!("Python's websockets is not installed and cannot be: {why}"))?;
    if has(&python) { Ok(python) } else { Err("this version of Python's websockets has no websockets.sync".to_owned()) }
}

#[track_caller]
fn succeeds(mut command: Command) {
    let out = command.output().expect("it runs");
    let (said, error) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success() && said.trim_end().ends_with("well"), "{said}\n{error}");
}

/// What is sent comes back: texts, bytes, fragments, pings; the close is in order.
const CLIENT: &str = r#"
import sys, os
from websockets.sync.client import connect
with connect(sys.argv[1], proxy=None, max_size=None, subprotocols=["b", "a"], origin="https://a.test") as ws:
    assert ws.subprotocol == sys.argv[2], ws.subprotocol
    for text in ["", "hello", "größer €", "x" * 300000]:
        ws.send(text)
        assert ws.recv(timeout=20) == text
    for size in [0, 1, 125, 126, 65535, 65536, 1 << 20]:
        data = os.urandom(size)
        ws.send(data)
        assert ws.recv(timeout=20) == data
    ws.send(iter(["one ", "two ", "", "three"]))
    assert ws.recv(timeout=20) == "one two three"
    assert ws.ping().wait(20)
    ws.send([b"\xff", b"\x00"])
    assert ws.recv(timeout=20) == b"\xff\x00"
assert ws.close_code == 1000, ws.close_code
print("well")
"#;

const SERVER: &str = r#"
from websockets.sync.server import serve
def echo(ws):
    for message in ws:
        ws.send(message)
with serve(echo, "127.0.0.1", 0, subprotocols=["a"], max_size=None) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
"#;

/// A server in Python, killed when dropped.
struct Server(Child, u16);

impl Server {
    fn start(python: &Path) -> Self {
        let mut child = Command::new(python).args(["-c", SERVER]).stdout(Stdio::piped()).spawn().expect("it runs");
        let mut line = String::new();
        let said = BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line);
        let port = said.ok().and_then(|_| line.trim().parse().ok());
        Self(child, port.unwrap_or_else(|| panic!("no port in {line:?}")))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pythons_client_gets_its_echo() {
    let Some(python) = python() else { return };
    let proxy = server("websocket_protocols \"a\" \"b\"; websocket_origins \"a.test\"; local { websocket_echo; }");
    let mut client = Command::new(python);
    client.args(["-c", CLIENT, &format!("ws://{}/", proxy.addr(0)), "a"]);
    succeeds(client);
    await_count(&proxy, "/closed/1000", 1);
}

#[test]
fn pythons_client_hears_texts_and_their_end() {
    let Some(python) = python() else { return };
    let proxy = server(
        "local { rule \"${path}\" text=\"/once\"; websocket_static \"at ${path}\"; }\nlocal { websocket_static \"t\" interval=\"10ms\"; }",
    );
    let listen = r#"
import sys
from websockets.sync.client import connect
with connect(sys.argv[1] + "once", proxy=None) as ws:
    assert list(ws) == ["at /once"]
assert ws.close_code == 1000, ws.close_code
with connect(sys.argv[1], proxy=None) as ws:
    for _ in range(10):
        assert ws.recv(timeout=20) == "t"
print("well")
"#;
    let mut client = Command::new(python);
    client.args(["-c", listen, &format!("ws://{}/", proxy.addr(0))]);
    succeeds(client);
}

#[test]
fn pythons_client_and_server_meet_through_the_proxy() {
    let Some(python) = python() else { return };
    let behind = Server::start(python);
    let proxy = server(&format!("local {{ websocket_proxy; proxy_pass_tcp \"127.0.0.1:{}\"; }}", behind.1));
    let mut client = Command::new(python);
    // With permessage-deflate, which both of them speak.
    client.args(["-c", CLIENT, &format!("ws://{}/", proxy.addr(0)), "a"]);
    succeeds(client);
    await_count(&proxy, "/proxied", 1);
}

#[test]
fn and_over_http2_between_two_of_them() {
    let Some(python) = python() else { return };
    let behind = Server::start(python);
    let pass = format!("local {{ websocket_proxy; proxy_pass_tcp \"127.0.0.1:{}\"; }}", behind.1);
    let inner = server(&format!(
        "local {{ rule \"${{path}}\" text=\"/own\"; websocket_protocols \"a\"; websocket_echo; }}\n{pass}"
    ));
    for more in ["", "websocket_proxy;"] {
        let to = format!("http_proxy version=\"2\"; proxy_pass_tcp \"{}\"", inner.addr(0));
        let proxy = server(&format!("local {{ {more} {to}; }}"));
        for path in ["", "own"] {
            let mut client = Command::new(python);
            client.args(["-c", CLIENT, &format!("ws://{}/{path}", proxy.addr(0)), "a"]);
            succeeds(client);
        }
    }
    await_count(&inner, "/closed/1000", 2);
    await_count(&inner, "/proxied", 2);
}

#[test]
fn nodes_client_gets_its_echo() {
    let Some(node) = program("node") else {
        return skip("node is not installed");
    };
    let script = r#"
if (typeof WebSocket === "undefined") { console.log("none, which is well"); process.exit(0); }
const texts = ["", "hello", "größer €", "x".repeat(200000)];
const ws = new WebSocket(process.argv[1], ["v1"]);
let n = 0;
ws.onopen = () => { if (ws.protocol !== "v1") throw ws.protocol; ws.send(texts[0]); };
ws.onmessage = (e) => {
    if (e.data !== texts[n]) throw new Error("message " + n);
    if (++n === texts.length) ws.close(3000, "done"); else ws.send(texts[n]);
};
ws.onclose = (e) => { if (e.code !== 3000 || !e.wasClean || e.reason !== "done") throw new Error(e.code); console.log("well"); };
"#;
    let proxy = server("websocket_protocols \"v1\"; local { websocket_echo; }");
    let mut client = Command::new(node);
    client.args(["--no-warnings", "--experimental-websocket", "-e", script, &format!("ws://{}/", proxy.addr(0))]);
    succeeds(client);
}
