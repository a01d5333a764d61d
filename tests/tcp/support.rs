//! What the scenarios of layer 4 share: the configuration around one server, and reading what the proxy wrote about it.

#![allow(dead_code, reason = "each test target uses its part")]

use std::net::SocketAddr;
use std::time::Duration;

use harness::Builder;
use harness::client::End;
use harness::{LIMIT, Proxy, client, eventually};
use serde_json::{Value, json};

/// Format of the access log: `name=value`, one space between, no spaces in values but the last one's.
pub(crate) const FORMAT: &str = "client=${client_addr} up=${upstream_addr} tries=${upstream_tries} reason=${close_reason} \
status=${status} in=${client_bytes_received} out=${client_bytes_sent} domain=${remote_domain} id=${request_id} \
splice=${open_sendfile} cache=${buffer_cache} hello=${is_proxy_protocol_hello} connect=${upstream_connect_time} \
times=${stream_work_times}";

/// One worker, one server on a port of the system's choice; `server` is the text inside its block.
pub(crate) fn server(server: &str) -> Builder {
    net("", &format!("server {{\nport_listen_tcp \"127.0.0.1:0\"\n{server}\n}}"))
}

/// The same with a local that holds `local`.
pub(crate) fn local(text: &str) -> Builder {
    server(&format!("local {{\n{text}\n}}"))
}

/// One worker, `top` at the top level and `net` inside the net block. Sessions are logged in `access.log`.
pub(crate) fn net(top: &str, net: &str) -> Builder {
    Proxy::builder().config(&config(top, net))
}

/// The text of [`net`], for reloads.
pub(crate) fn config(top: &str, net: &str) -> String {
    let common = if top.contains("common {") { "" } else { "common { worker_threads 1; }\n" };
    format!(
        "load_module \"tcp\" \"balancer\"\n{common}{top}\nnet {{\naccess_log \"access.log\" flush=0 format=\"{FORMAT}\"\n{net}\n}}\n"
    )
}

/// An upstream `o` with these lines, and one server that uses it.
pub(crate) fn upstream(lines: &str) -> Builder {
    net(&format!("upstream \"o\" {{\n{lines}\n}}"), USER)
}

/// A server that goes to the upstream `o`.
pub(crate) const USER: &str = "server {\nport_listen_tcp \"127.0.0.1:0\"\nlocal { proxy_pass_upstream \"o\"; }\n}";

/// The value of a field in a line of the access log.
#[track_caller]
pub(crate) fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = format!("{name}=");
    let found = line.split(' ').find_map(|part| part.strip_prefix(start.as_str()));
    found.unwrap_or_else(|| panic!("no {name} in {line:?}"))
}

/// Waits for line number `n` of the access log, from 0.
#[track_caller]
pub(crate) fn logged(proxy: &Proxy, n: usize) -> String {
    eventually(&format!("line {n} of the access log"), || {
        let text = proxy.read("access.log");
        let lines: Vec<_> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).collect();
        lines.get(n).map(|line| line.trim_end().to_owned())
    })
}

/// Every line of the access log.
pub(crate) fn lines(proxy: &Proxy) -> Vec<String> {
    proxy.read("access.log").lines().map(str::to_owned).collect()
}

/// Waits until a session is logged with this close reason; its line.
#[track_caller]
pub(crate) fn await_reason(proxy: &Proxy, reason: &str) -> String {
    proxy.await_line("access.log", &format!("reason={reason} "), LIMIT)
}

/// The sum of a metric over its labels; 0 when there is none.
#[track_caller]
pub(crate) fn metric(proxy: &Proxy, name: &str) -> u64 {
    let text = proxy.control(&json!({ "cmd": "metrics" })).unwrap_or_else(|error| panic!("metrics: {error}"));
    let text = text.as_str().expect("text");
    let of = |line: &str| {
        let rest = line.strip_prefix(name)?;
        let value = rest.strip_prefix('{').map_or(Some(rest), |r| r.split_once('}').map(|(_, v)| v))?;
        value.trim().parse::<f64>().ok()
    };
    text.lines().filter_map(of).sum::<f64>() as u64
}

/// Counters of listener number `n`.
pub(crate) fn traffic(proxy: &Proxy, n: usize) -> Value {
    proxy.status()["listeners"][n]["traffic"].clone()
}

/// A peer of the upstream `o` in the status tree.
#[track_caller]
pub(crate) fn peer(proxy: &Proxy, addr: SocketAddr) -> Value {
    let all = peers(proxy);
    let found = all.iter().find(|peer| peer["address"] == addr.to_string());
    found.unwrap_or_else(|| panic!("no peer {addr} in {all:?}")).clone()
}

/// All peers of the upstream `o`.
#[track_caller]
pub(crate) fn peers(proxy: &Proxy) -> Vec<Value> {
    pool(proxy)["peers"].as_array().expect("peers").clone()
}

/// The upstream `o` in the status tree.
#[track_caller]
pub(crate) fn pool(proxy: &Proxy) -> Value {
    let status = proxy.status();
    let all = status["upstreams"].as_array().unwrap_or_else(|| panic!("no upstreams in {status}"));
    all.iter().find(|pool| pool["name"] == "o").unwrap_or_else(|| panic!("no upstream o in {all:?}")).clone()
}

/// Waits until the condition of a peer is this word.
#[track_caller]
pub(crate) fn await_condition(proxy: &Proxy, addr: SocketAddr, word: &str) {
    let text = addr.to_string();
    let is = |peer: &Value| peer["address"] == text.as_str() && peer["condition"] == word;
    eventually(&format!("{addr} is {word}"), || peers(proxy).iter().any(is).then_some(()));
}

/// What one connection is answered, as text: [`harness::Origin::named`] says its name.
#[track_caller]
pub(crate) fn ask(addr: SocketAddr) -> String {
    String::from_utf8_lossy(&client::exchange(addr, b"")).trim_end().to_owned()
}

/// Whether a connection is cut without a byte, with FIN or RST.
#[track_caller]
pub(crate) fn is_cut(addr: SocketAddr, first: &[u8]) -> bool {
    match client::try_exchange(addr, first) {
        Ok(answer) => answer.is_empty(),
        Err(error) => {
            use std::io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
            assert!(matches!(error.kind(), ConnectionReset | BrokenPipe | NotConnected), "{error}");
            true
        }
    }
}

/// The same for an IPv4 client of another loopback address.
#[track_caller]
pub(crate) fn is_cut_from(client: [u8; 4], port: u16) -> bool {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
    bind(&socket, &SocketAddr::from((client, 0))).expect("bind");
    connect(&socket, &SocketAddr::from(([127, 0, 0, 1], port))).expect("connect");
    let stream = std::net::TcpStream::from(socket);
    stream.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
    let mut all = Vec::new();
    // A reset is one way to be cut.
    let _ = std::io::Read::read_to_end(&mut &stream, &mut all);
    all.is_empty()
}

/// Waits until `probe` gives the same value for a while: something that has come to rest.
#[track_caller]
pub(crate) fn settled(what: &str, mut probe: impl FnMut() -> u64) -> u64 {
    let mut last = (probe(), std::time::Instant::now());
    eventually(what, || {
        let now = probe();
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(400)).then_some(now)
    })
}

/// Either way of ending that is no clean end after all bytes.
pub(crate) fn is_reset(end: End) -> bool {
    end == End::Reset
}
