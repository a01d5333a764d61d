//! What several of these files need.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use harness::{Builder, Origin, Proxy};

/// One server that relays to an origin; `@COMMON@` in `common`, `@MORE@` beside the server.
pub(crate) const RELAY: &str = r#"
load_module "tcp" "balancer" "hello"
common {
    worker_threads 2
    @COMMON@
}
net {
    server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_tcp "@ORIGIN@"; }; }
    @MORE@
}
"#;

/// The text with everything put in.
pub(crate) fn text(origin: &Origin, common: &str, more: &str) -> String {
    RELAY.replace("@ORIGIN@", &origin.addr().to_string()).replace("@COMMON@", common).replace("@MORE@", more)
}

/// A relay to `origin`, with these values of `common`.
pub(crate) fn relay(origin: &Origin, common: &str) -> Builder {
    Proxy::builder().config(&text(origin, common, ""))
}

/// A server that says a word, on an address of its own.
pub(crate) fn says(word: &str) -> String {
    format!("server {{ port_listen_tcp \"127.0.0.1:0\"; local {{ hello \"{word}\"; }}; }}")
}

/// Whether a byte comes back.
pub(crate) fn echoes(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok() && byte == *b"x"
}

/// Both ways of accepting, as a line of `common`.
pub(crate) const BOTH: [&str; 2] = ["reuseport #true", "reuseport #false"];

/// Sessions of the whole process.
pub(crate) fn sessions(proxy: &Proxy) -> u64 {
    proxy.status()["process"]["sessions"].as_u64().expect("a number")
}

/// The length of each listening socket's queue on this port, which stands where bytes to be sent stand of others (ss(8)); `None`:
/// there is no ss.
pub(crate) fn backlog(addr: SocketAddr) -> Option<Vec<String>> {
    let output = Command::new("ss").args(["-Hltn", &format!("sport = :{}", addr.port())]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(|line| line.split_ascii_whitespace().nth(2).map(str::to_owned)).collect()
}
