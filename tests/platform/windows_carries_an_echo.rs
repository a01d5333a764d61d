//! The host and the tcp module, built for Windows by mingw, carry an echo under wine.
//!
//! Runs where wine, mingw and the target are installed. `ANYPROXY_TEST_WINDOWS=0`: not even there; the build takes minutes.

use harness::{Origin, TempDir, client, eventually, program, skip};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

const TARGET: &str = "x86_64-pc-windows-gnu";

#[test]
fn windows_carries_an_echo() {
    if let Some(why) = missing() {
        skip(&why);
        return;
    }
    let wine = Wine::with(build());
    let origin = Origin::echo();
    let config = format!(
        r#"
        load_module "tcp"
        common {{ worker_threads 2; }}
        net {{ server {{ port_listen_tcp "127.0.0.1:0"; local {{ proxy_pass_tcp "{}"; }} }} }}
        "#,
        origin.addr()
    );
    wine.dir.write("main.kdl", config);

    let checked = wine.run(&["-c", "main.kdl", "-t"]);
    assert!(checked.status.success(), "{checked:?}");
    // Nobody answers on the pipe yet.
    assert_eq!(wine.run(&["ctl", "-c", "main.kdl", "status"]).status.code(), Some(1));

    let mut proxy = wine.serve();
    let addr = eventually("the proxy tells its address on the control pipe", || {
        assert!(proxy.0.try_wait().expect("it is our child").is_none(), "ended: {}", proxy.rest());
        let status = wine.run(&["ctl", "-c", "main.kdl", "status"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        status["listeners"][0]["address"].as_str()?.parse().ok()
    });
    for size in [5, 100_000] {
        let sent: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
        assert!(client::exchange(addr, &sent) == sent, "{size} bytes came back as others");
    }
    // The same answer as elsewhere to a file that changed, and to one that is wrong.
    let reloaded = wine.run(&["-c", "main.kdl", "-s", "reload"]);
    assert!(reloaded.status.success(), "{reloaded:?}");
    assert_eq!(client::exchange(addr, b"after a reload"), b"after a reload");
    wine.dir.write("main.kdl", "net { no_such_directive }");
    assert_eq!(wine.run(&["-c", "main.kdl", "-s", "reload"]).status.code(), Some(1));
    assert_eq!(client::exchange(addr, b"after a failed one"), b"after a failed one");

    let quit = wine.run(&["-c", "main.kdl", "-s", "quit"]);
    assert!(quit.status.success(), "{quit:?}");
    let ended = proxy.0.wait().expect("it is our child");
    assert!(ended.success(), "{ended}: {}", proxy.rest());
}

/// What keeps this test from running here.
fn missing() -> Option<String> {
    if std::env::var_os("ANYPROXY_TEST_WINDOWS").is_some_and(|v| v == "0") {
        return Some("ANYPROXY_TEST_WINDOWS is 0".to_owned());
    }
    let needed = ["wine", "wineserver", "x86_64-w64-mingw32-gcc", "timeout"];
    if let Some(name) = needed.into_iter().find(|name| find(name).is_none()) {
        return Some(format!("{name} is not installed (.ci/need.sh windows)"));
    }
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    let library = sysroot.join("lib/rustlib").join(TARGET);
    (!library.is_dir())
        .then(|| format!("the standard library for {TARGET} is not installed (rustup target add {TARGET})"))
}

/// Debian keeps the server of wine beside its library.
fn find(name: &str) -> Option<PathBuf> {
    program(name).or_else(|| Some(Path::new("/usr/lib/wine").join(name)).filter(|p| p.is_file()))
}

/// Builds the host and the module, and the library that older versions of wine lack; the directory with both.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let built = Command::new("timeout")
        .args(["1500", "cargo", "build", "--locked", "--target", TARGET])
        .args(["-p", "anyproxy-host", "-p", "anyproxy-tcp-dylib"])
        .current_dir(&root)
        // What is set for this machine's linker is nothing for another one.
        .env_remove("RUSTFLAGS")
        .env("CARGO_TARGET_DIR", &target)
        .output()
        .expect("cargo runs tests, so it is there");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let built = target.join(TARGET).join("debug");
    let linked = Command::new("x86_64-w64-mingw32-gcc")
        .args(["-shared", "-O1", "-o"])
        .arg(built.join("bcryptprimitives.dll"))
        .arg(root.join("tests/platform/bcryptprimitives.c"))
        .arg("-ladvapi32")
        .output()
        .expect("it was looked for");
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    built
}

/// A Windows of its own below the target directory, kept: it takes long to make.
struct Wine {
    dir: TempDir,
    built: PathBuf,
    prefix: PathBuf,
}

impl Wine {
    fn with(built: PathBuf) -> Self {
        let prefix = built.join("wine");
        std::fs::create_dir_all(&prefix).expect("the target directory can be written");
        let wine = Self { dir: TempDir::new(), built, prefix };
        // The first start makes the prefix; it is no part of what is tested.
        let mut start = wine.command("120");
        start.args(["wine", "cmd", "/c", "ver"]).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(start.status().expect("timeout is there").success(), "wine does not start");
        wine
    }

    /// `timeout SECONDS`, with the environment that wine is to have.
    fn command(&self, seconds: &str) -> Command {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", seconds]);
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all").env_remove("DISPLAY");
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    fn anyproxy(&self, seconds: &str, args: &[&str]) -> Command {
        let mut command = self.command(seconds);
        command.arg("wine").arg(self.built.join("anyproxy.exe")).args(args);
        command
    }

    /// Runs it to its end. Into files: wine's own services, which the first program starts, inherit what it writes to, and
    /// a pipe would end only with them.
    fn run(&self, args: &[&str]) -> Output {
        let [out, err] = ["stdout", "stderr"].map(|name| self.dir.path().join(name));
        let file = |path| std::fs::File::create(path).expect("the directory is ours");
        let mut command = self.anyproxy("60", args);
        let status = command.stdout(file(&out)).stderr(file(&err)).status().expect("timeout is there");
        let read = |path| std::fs::read(path).expect("it was made a moment ago");
        Output { status, stdout: read(&out), stderr: read(&err) }
    }

    fn serve(&self) -> Running {
        let log = self.dir.path().join("log");
        let file = std::fs::File::create(&log).expect("the directory is ours");
        let mut command = self.anyproxy("300", &["-c", "main.kdl"]);
        Running(command.stderr(file).stdout(Stdio::null()).spawn().expect("timeout is there"), log)
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        // Ends what a failed test left running in this prefix, and nothing else.
        if let Some(server) = find("wineserver") {
            let _ = self.command("20").arg(server).arg("-k").output();
        }
    }
}

/// The proxy. `timeout` ends it if nothing else does.
struct Running(Child, PathBuf);

impl Running {
    /// Its log.
    fn rest(&self) -> String {
        std::fs::read_to_string(&self.1).unwrap_or_default()
    }
}
