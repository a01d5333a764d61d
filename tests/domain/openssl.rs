//! A real TLS server and client for tests: `openssl s_server` and `s_client`. Nothing is left running.

use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

use harness::{TempDir, client, eventually, program};

/// `s_server` with a certificate for one name; it says the name in its certificate's subject.
pub(crate) struct Server {
    child: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

impl Server {
    /// `None` when openssl is not installed.
    pub(crate) fn start(name: &str) -> Option<Self> {
        let binary = program("openssl")?;
        let (dir, port) = (TempDir::new(), client::free_port());
        let run = |args: &str| {
            let mut command = Command::new(&binary);
            command.args(args.split(' ')).current_dir(dir.path());
            // At the end of its input the server would close what it has accepted.
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let made = run(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout k.pem -out c.pem"
        ));
        assert!({ made }.status().is_ok_and(|status| status.success()));
        let child = run(&format!("s_server -accept 127.0.0.1:{port} -key k.pem -cert c.pem -rev")).spawn().ok()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        eventually("s_server listens", || client::try_connect(addr).ok());
        Some(Self { child, addr, _dir: dir })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `s_client` with this server name and sends a line; its output.
pub(crate) fn connect(addr: SocketAddr, name: &str, line: &str, more: &[&str]) -> Output {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &addr.to_string(), "-servername", name, "-ign_eof"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may have ended already, refused.
    let _ = std::io::Write::write_all(&mut stdin, format!("{line}\nCLOSE\n").as_bytes());
    drop(stdin);
    child.wait_with_output().expect("output")
}

/// Both outputs as text.
pub(crate) fn text(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}
