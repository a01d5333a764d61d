//! HAProxy on both sides: what it sends (`send-proxy`, `send-proxy-v2`) is understood, and it understands what is sent.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use harness::{Origin, Proxy, TempDir, client, eventually, program, skip};

use crate::support::{field, local, logged, server};

struct Haproxy(Child, SocketAddr);

impl Haproxy {
    /// Listens by `bind`'s options and sends to `server` with its options.
    fn start(bind: &str, to: SocketAddr, server: &str) -> Option<Self> {
        let binary = program("haproxy")?;
        let (dir, port) = (TempDir::new(), client::free_port());
        let config = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
             listen l\n bind 127.0.0.1:{port} {bind}\n server s {to} {server}\n"
        );
        let child = Command::new(binary)
            .arg("-f")
            .arg(dir.write("haproxy.cfg", config))
            .arg("-db")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("haproxy");
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let mut this = Self(child, addr);
        let up = eventually("haproxy listens", || match this.0.try_wait() {
            Ok(None) => listens(addr).then_some(true),
            _ => Some(false),
        });
        assert!(up, "haproxy ended");
        Some(this)
    }
}

/// Asked of the system: a connection would be passed on.
fn listens(addr: SocketAddr) -> bool {
    let port = format!(":{:04X} 00000000:0000 0A", addr.port());
    std::fs::read_to_string("/proc/net/tcp").is_ok_and(|text| text.contains(&port))
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn accepting(origin: &Origin) -> Proxy {
    let text = "proxy_protocol_accept \"127.0.0.1\"\nlocal { proxy_pass_tcp \"@ORIGIN@\"; }";
    server(text).set("ORIGIN", origin.addr()).start()
}

#[test]
fn its_headers_are_understood() {
    for option in ["send-proxy", "send-proxy-v2"] {
        let origin = Origin::echo();
        let proxy = accepting(&origin);
        let Some(front) = Haproxy::start("", proxy.addr(0), option) else { return skip("haproxy is not installed") };
        let mut stream = client::connect(front.1);
        let own = stream.local_addr().expect("address").to_string();
        stream.write_all(b"x").expect("write");
        assert_eq!(client::read_exact(&stream, 1), b"x");
        drop(stream);
        let line = logged(&proxy, 0);
        assert_eq!(field(&line, "client"), own, "{option}: {line}");
    }
}

#[test]
fn it_understands_ours() {
    for version in [1, 2] {
        let origin = Origin::echo();
        let last = accepting(&origin);
        // It passes on the client that it was told of.
        let Some(middle) = Haproxy::start("accept-proxy", last.addr(0), "send-proxy-v2") else {
            return skip("haproxy is not installed");
        };
        let text = format!("proxy_protocol version={version}\nproxy_pass_tcp \"@NEXT@\"");
        let first = local(&text).set("NEXT", middle.1).start();
        let mut stream = client::connect(first.addr(0));
        let own = stream.local_addr().expect("address").to_string();
        stream.write_all(b"x").expect("write");
        assert_eq!(client::read_exact(&stream, 1), b"x");
        drop(stream);
        let line = logged(&last, 0);
        assert_eq!(field(&line, "client"), own, "version {version}: {line}");
    }
}
