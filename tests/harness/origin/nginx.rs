//! nginx as an origin: a real HTTP server with files. Only for tests; skipped where it is not installed.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::{LIMIT, TempDir, program, wait};

/// A running nginx with one server on 127.0.0.1. Killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    addr: SocketAddr,
    dir: TempDir,
}

impl Nginx {
    /// Serves files of an empty directory, see [`Nginx::write`]. `None` when nginx is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with("location / { }")
    }

    /// The same with this text inside its `server` block.
    #[track_caller]
    pub fn start_with(server: &str) -> Option<Self> {
        Self::start_listening("", server)
    }

    /// The same, of HTTP/2 without TLS only.
    #[track_caller]
    pub fn start_http2(server: &str) -> Option<Self> {
        Self::start_listening(" http2", server)
    }

    #[track_caller]
    fn start_listening(how: &str, server: &str) -> Option<Self> {
        let binary = program("nginx")?;
        // nginx takes no port 0: one is looked up, and another one when somebody was quicker.
        for _ in 0..5 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?.local_addr().ok()?;
            let dir = TempDir::new();
            std::fs::create_dir(dir.join("html")).expect("a fresh directory");
            let path = dir.path().display();
            // One process, so that killing it leaves none behind.
            let config = format!(
                "daemon off; master_process off; pid {path}/nginx.pid; error_log {path}/error.log warn;\n\
                 events {{ worker_connections 1024; }}\n\
                 http {{ access_log off; default_type application/octet-stream; keepalive_requests 1000000;\n\
                 client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;\n\
                 uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;\n\
                 server {{ listen {free}{how}; root {path}/html; {server} }} }}\n"
            );
            let file = dir.write("nginx.conf", config);
            let child = Command::new(&binary)
                .arg("-c")
                .arg(file)
                .args(["-e", "error.log", "-p"])
                .arg(dir.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
            let mut nginx = Self { child, addr: free, dir };
            let up = wait::within(LIMIT, || match nginx.child.try_wait() {
                Ok(None) => TcpStream::connect(free).ok().map(|_| true),
                _ => Some(false),
            });
            if up == Some(true) {
                return Some(nginx);
            }
            let log = std::fs::read_to_string(nginx.dir.join("error.log")).unwrap_or_default();
            assert!(log.contains("Address already in use"), "nginx does not start:\n{log}");
        }
        panic!("no free port for nginx");
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Puts a file under its root.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        self.dir.write(std::path::Path::new("html").join(name), content);
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    #[test]
    fn serves_a_file() {
        let Some(nginx) = Nginx::start() else {
            return crate::skip("nginx is not installed");
        };
        nginx.write("a.txt", "content");
        let answer = client::http_get(&mut client::connect(nginx.addr()), "/a.txt");
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"content"[..]));
    }
}
