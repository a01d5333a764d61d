//! What several of these files need.

use std::fs;
use std::path::Path;

use harness::{Builder, Origin, Proxy};

/// One server that relays to an origin.
pub(crate) const RELAY: &str = r#"
load_module "tcp" "balancer"
common {
    worker_threads 2
    @COMMON@
}
net { server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_tcp "@ORIGIN@"; }; } }
"#;

/// One server that says a word.
pub(crate) const HELLO: &str = r#"
load_module "tcp" "hello"
common {
    worker_threads 2
    @COMMON@
}
net { server { port_listen_tcp "127.0.0.1:0"; local { hello "good day\n"; }; } }
"#;

/// A relay to `origin`, with these values of `common`.
pub(crate) fn relay(origin: &Origin, common: &str) -> Builder {
    Proxy::builder().config(RELAY).set("ORIGIN", origin.addr()).set("COMMON", common)
}

/// A server that says a word, with these values of `common`.
pub(crate) fn hello(common: &str) -> Builder {
    Proxy::builder().config(HELLO).set("COMMON", common)
}

/// Runs the proxy by a script of the shell, as `"$ANYPROXY" "$@"`.
pub(crate) fn by_shell(builder: Builder, shell: &str, script: &str) -> Builder {
    use std::os::unix::fs::PermissionsExt;
    let path = builder.dir().write("start", format!("#!{shell}\n{script}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("own file");
    builder.env("ANYPROXY", harness::binary()).binary(path)
}

/// CPU time that a process used, in clock ticks (a hundredth of a second on Linux).
pub(crate) fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    // The name in parentheses may contain anything; user and system time are fields 14 and 15 (proc(5)).
    let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    [fields[11], fields[12]].iter().map(|field| field.parse::<u64>().expect("a number")).sum()
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The mode of a file, without its kind.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}
