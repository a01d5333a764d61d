//! A running proxy: its process, log, control socket and notifications. Killed and reaped when dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde_json::{Value, json};

pub use crate::builder::{Builder, Output, binary, check, command};
use crate::notify::{NotNotified, Notify};
use crate::{ControlError, LIMIT, TempDir, control, procfs, wait};

/// A process that said `READY=1`.
#[derive(Debug)]
pub struct Proxy {
    child: Child,
    exit: OwnedFd,
    notify: Notify,
    dir: TempDir,
    binary: std::path::PathBuf,
    ended: Option<Option<i32>>,
}

impl Proxy {
    /// Starts with this text as `main.kdl`. Panics, with the log, when the process is not ready within [`LIMIT`].
    #[track_caller]
    pub fn start(config: &str) -> Self {
        Self::builder().config(config).start()
    }

    /// For a start that needs more than a configuration.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn launch(builder: Builder) -> Result<Self, Output> {
        let Builder { dir, binary, args, envs, limit, .. } = builder;
        let notify = Notify::bind(dir.join("notify.sock"));
        let log = |name: &str| File::create(dir.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut child = Command::new(&binary)
            .args(["-c", "main.kdl", "--control", "control.sock"])
            .args(args)
            .env("NOTIFY_SOCKET", notify.path())
            .env("RUST_BACKTRACE", "1")
            .envs(envs)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(log("stdout.log"))
            .stderr(log("stderr.log"))
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be run: {error}; build it first: cargo build", binary.display()));
        let exit = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap_or_else(|error| {
            let _ = child.kill();
            panic!("pidfd_open: {error}")
        });
        let mut proxy = Self { child, exit, notify, dir, binary, ended: None };
        match proxy.notify.wait(0, "READY=1", proxy.exit.as_fd(), limit) {
            Ok(_) => Ok(proxy),
            Err(why) => {
                let reason = match why {
                    NotNotified::Exited => "ended before READY=1",
                    NotNotified::TimedOut => "not ready in time",
                };
                let code = if why == NotNotified::Exited { proxy.wait_exit(LIMIT) } else { None };
                let (stdout, stderr) = (proxy.read("stdout.log"), proxy.log());
                Err(Output { code, reason: reason.to_owned(), stdout, stderr })
            }
        }
    }

    /// Where listener number `n` really listens, counted in the order of the configuration.
    #[track_caller]
    pub fn addr(&self, n: usize) -> SocketAddr {
        let status = self.status();
        let address = status["listeners"][n]["address"].as_str();
        let address = address.unwrap_or_else(|| panic!("no listener {n} in {}", status["listeners"]));
        address.parse().unwrap_or_else(|error| panic!("listener {n}: {address:?}: {error}"))
    }

    /// The status tree. Panics when the process does not answer.
    #[track_caller]
    pub fn status(&self) -> Value {
        self.control(&json!({ "cmd": "status" })).unwrap_or_else(|error| panic!("status: {error}\n{}", self.log_tail()))
    }

    /// One command to the control socket, as the JSON object that goes over it; its `result`.
    pub fn control(&self, command: &Value) -> Result<Value, ControlError> {
        control::request(&self.dir.join("control.sock"), command)
    }

    /// Runs `anyproxy ctl <args> --control PATH` in the directory.
    pub fn ctl(&self, args: &[&str]) -> Output {
        self.run_beside(std::iter::once("ctl").chain(args.iter().copied()).chain(["--control", "control.sock"]))
    }

    /// Runs `anyproxy -c main.kdl -s <name> --control PATH`: waits for the outcome, as a user's shell would.
    pub fn send(&self, name: &str) -> Output {
        self.run_beside(["-c", "main.kdl", "-s", name, "--control", "control.sock"])
    }

    /// Reloads and waits for the outcome; a failed reload is code 1 with the diagnostics.
    pub fn reload(&self) -> Output {
        self.send("reload")
    }

    /// Replaces `main.kdl` (no `@NAME@` is replaced) and reloads.
    pub fn reload_with(&self, config: &str) -> Output {
        self.dir.write("main.kdl", config);
        self.reload()
    }

    /// Sends a signal and returns at once.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap_or_else(|error| panic!("{signal:?}: {error}"));
    }

    /// Sends SIGHUP and waits until the reload has ended, well or not (`RELOADING=1`, then `READY=1`).
    #[track_caller]
    pub fn reload_by_signal(&mut self) {
        let seen = self.notify.lines().len();
        self.signal(Signal::HUP);
        let at = self.await_notify(seen, "RELOADING=1");
        self.await_notify(at, "READY=1");
    }

    /// Waits for a notification from number `from` on that starts with `prefix`; its number. Panics at [`LIMIT`].
    #[track_caller]
    pub fn await_notify(&mut self, from: usize, prefix: &str) -> usize {
        match self.notify.wait(from, prefix, self.exit.as_fd(), LIMIT) {
            Ok(at) => at,
            Err(why) => {
                let seen = self.notifications();
                panic!("no {prefix:?} ({why:?}) in {seen:?}\n{}", self.log_tail())
            }
        }
    }

    /// Every notification so far, a line each.
    pub fn notifications(&mut self) -> Vec<String> {
        self.notify.lines().to_vec()
    }

    /// The descriptors that came with notifications (FDSTORE) and were not taken yet, in order.
    pub fn stored_descriptors(&mut self) -> Vec<OwnedFd> {
        self.notify.take_descriptors()
    }

    /// Waits for the process to end; its exit code, `None` when a signal ended it. Panics, with the log, at the limit.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> Option<i32> {
        if let Some(code) = self.ended {
            return code;
        }
        assert!(self.exits_within(limit), "still running after {limit:?}\n{}", self.log_tail());
        let status = self.child.wait().unwrap_or_else(|error| panic!("wait: {error}"));
        self.ended = Some(status.code());
        status.code()
    }

    /// Whether the process has not ended.
    pub fn alive(&mut self) -> bool {
        self.ended.is_none() && !self.exits_within(Duration::ZERO)
    }

    /// Standard error so far: the error log, unless the configuration sends that elsewhere.
    pub fn log(&self) -> String {
        self.read("stderr.log")
    }

    /// Whether the log holds this text by now.
    pub fn log_contains(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    /// Waits until the log holds this text; the first line that does. Panics at the limit.
    #[track_caller]
    pub fn await_log(&self, text: &str, limit: Duration) -> String {
        self.await_line("stderr.log", text, limit)
    }

    /// The same for another file of the directory, such as an access log.
    #[track_caller]
    pub fn await_line(&self, file: &str, text: &str, limit: Duration) -> String {
        let line = || self.read(file).lines().find(|line| line.contains(text)).map(str::to_owned);
        wait::within(limit, line).unwrap_or_else(|| {
            panic!("no {text:?} in {file} within {limit:?}:\n{}\n{}", self.read(file), self.log_tail())
        })
    }

    /// A file of the directory as text; empty when it is not there.
    pub fn read(&self, file: &str) -> String {
        fs::read(self.dir.join(file)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The directory with `main.kdl`, logs and sockets.
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Descriptors that the process has open.
    pub fn descriptors(&self) -> usize {
        procfs::descriptors(self.pid())
    }

    /// Pipes that the process has.
    pub fn pipes(&self) -> usize {
        procfs::pipes(self.pid())
    }

    /// Waits until every thread of the process waits for something: one that goes round and round never does.
    pub fn await_sleep(&self) {
        crate::eventually("every thread waits", || procfs::sleeps(self.pid()).then_some(()));
    }

    /// Threads of the process.
    pub fn threads(&self) -> usize {
        procfs::threads(self.pid())
    }

    /// Resident memory, bytes.
    pub fn resident(&self) -> u64 {
        procfs::resident(self.pid())
    }

    fn run_beside<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let mut command = Command::new(&self.binary);
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Output::ended(output.status, text(&output.stdout), text(&output.stderr))
    }

    fn exits_within(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.exit, PollFlags::IN)];
            // Interrupted by a signal of the test process: waits for what is left.
            match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
                Ok(n) if n > 0 => return true,
                _ if left.is_zero() => return false,
                _ => {}
            }
        }
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let skipped = log.lines().count().saturating_sub(100);
        let lines: Vec<_> = log.lines().skip(skipped).collect();
        format!("--- log of the proxy, {skipped} lines left out\n{}\n---", lines.join("\n"))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_tail());
        }
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for the proxy: a shell script that gets `$0` = "-c main.kdl …" as any program would.
    fn script(text: &str) -> Option<Builder> {
        if crate::program("socat").is_none() {
            crate::skip("socat is not installed");
            return None;
        }
        let builder = Proxy::builder().file("fake", format!("#!/bin/sh\n{text}\n"));
        let path = builder.dir().join("fake");
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
        Some(builder.binary(path))
    }

    const READY: &str = "printf READY=1 | socat - UNIX-SENDTO:\"$NOTIFY_SOCKET\"";

    #[test]
    fn ready_then_log_then_exit_code() {
        let Some(builder) = script(&format!("{READY}; echo 'args:' \"$@\" >&2; exec sleep 1000")) else {
            return;
        };
        let mut proxy = builder.arg("--more").start();
        let line = proxy.await_log("args:", LIMIT);
        assert_eq!(line, "args: -c main.kdl --control control.sock --more");
        assert!(proxy.alive() && proxy.threads() == 1 && proxy.descriptors() > 0);
        proxy.signal(Signal::TERM);
        assert_eq!(proxy.wait_exit(LIMIT), None);
        assert_eq!(proxy.wait_exit(LIMIT), None, "asked again");
        assert!(!proxy.alive());
    }

    #[test]
    fn an_early_end_gives_code_and_log() {
        let Some(builder) = script("echo broken >&2; exit 3") else {
            return;
        };
        let output = builder.try_start().expect_err("it ends");
        output.assert(3, &["broken"]);
    }

    #[test]
    fn a_start_that_never_ends_is_killed() {
        let Some(builder) = script("echo $$ >pid; exec sleep 1000") else {
            return;
        };
        let failed = builder.limit(Duration::from_millis(300)).try_start().expect_err("not ready");
        assert_eq!((failed.code, failed.reason.as_str()), (None, "not ready in time"));
    }

    #[test]
    fn a_reload_is_awaited_through_notifications() {
        let text = format!(
            "trap 'printf \"RELOADING=1\\nREADY=1\" | socat - UNIX-SENDTO:\"$NOTIFY_SOCKET\"' HUP; {READY}; while :; do sleep 0.05; done"
        );
        let Some(builder) = script(&text) else { return };
        let mut proxy = builder.start();
        proxy.reload_by_signal();
        assert_eq!(proxy.notifications(), ["READY=1", "RELOADING=1", "READY=1"]);
    }
}
