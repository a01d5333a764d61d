//! What a proxy is started with: a directory, a configuration, arguments. Also runs the binary for commands that end by
//! themselves, such as `-t`. Knows nothing of a running proxy.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::{LIMIT, Proxy, TempDir};

/// Describes a proxy before it is started. `main.kdl` is written in a temporary directory, which is also the working
/// directory of the process.
#[derive(Debug)]
pub struct Builder {
    pub(crate) dir: TempDir,
    pub(crate) binary: PathBuf,
    pub(crate) args: Vec<OsString>,
    pub(crate) envs: Vec<(OsString, OsString)>,
    pub(crate) limit: Duration,
    config: String,
    values: Vec<(String, String)>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            dir: TempDir::new(),
            binary: binary(),
            args: Vec::new(),
            envs: Vec::new(),
            limit: LIMIT,
            config: String::new(),
            values: Vec::new(),
        }
    }

    /// Text of `main.kdl`. `@NAME@` stands for a value given by [`Builder::set`].
    pub fn config(mut self, text: &str) -> Self {
        text.clone_into(&mut self.config);
        self
    }

    /// Puts `value` in place of every `@name@` of the configuration; the order of the calls does not matter.
    pub fn set(mut self, name: &str, value: impl Display) -> Self {
        self.values.push((format!("@{name}@"), value.to_string()));
        self
    }

    /// Writes one more file, relative to the directory.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.dir.write(name, content);
        self
    }

    /// One more argument, behind `-c main.kdl --control control.sock`.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// An environment variable of the process.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Another executable than [`binary`], such as a copy with its own modules beside it.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// How long the start may take. Default [`LIMIT`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The directory, for paths that go into the configuration.
    pub fn dir(&self) -> &TempDir {
        &self.dir
    }

    /// Starts the process and waits until it says `READY=1`. Panics, with its log, when it ends before or takes too long.
    #[track_caller]
    pub fn start(self) -> Proxy {
        match self.try_start() {
            Ok(proxy) => proxy,
            Err(failed) => panic!("the proxy did not start ({}):\n{}", failed.reason, failed.stderr),
        }
    }

    /// The same for a start that is expected to fail.
    pub fn try_start(self) -> Result<Proxy, Output> {
        self.write_config();
        Proxy::launch(self)
    }

    /// Runs `-t` on the configuration.
    pub fn check(self) -> Output {
        self.run(["-c", "main.kdl", "-t"])
    }

    /// Runs the binary with these arguments in the directory, `main.kdl` written.
    pub fn run<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Output {
        self.write_config();
        let mut command = Command::new(&self.binary);
        command.args(args).args(&self.args).envs(self.envs.iter().map(|(k, v)| (k, v))).current_dir(self.dir.path());
        Output::of(&mut command)
    }

    fn write_config(&self) {
        let text = self.values.iter().fold(self.config.clone(), |text, (name, value)| text.replace(name, value));
        self.dir.write("main.kdl", text);
    }
}

/// How a process ended, and what it printed.
#[derive(Debug)]
pub struct Output {
    /// Exit code; `None` when a signal ended the process, or it was killed at the limit.
    pub code: Option<i32>,
    /// Why it counts as ended, in words.
    pub reason: String,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Exit code 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Panics unless the code is `code` and every one of `texts` was printed to either stream.
    #[track_caller]
    pub fn assert(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.reason, self.stdout, self.stderr);
        for text in texts {
            let found = self.stdout.contains(text) || self.stderr.contains(text);
            assert!(found, "missing {text:?} in\n{}\n{}", self.stdout, self.stderr);
        }
    }

    pub(crate) fn ended(status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self { code: status.code(), reason: status.to_string(), stdout, stderr }
    }

    /// Runs a command to its end. Killed by the test run's own limit only: what is run here ends by itself.
    fn of(command: &mut Command) -> Self {
        let shown = format!("{command:?}");
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self::ended(output.status, text(output.stdout), text(output.stderr))
    }
}

/// The executable under test: `ANYPROXY_BIN`, else the one beside this test in the target directory.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ANYPROXY_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the system knows this executable");
    // target/<profile>/deps/<test>; an example or a binary sits one level higher.
    let dir = test.ancestors().skip(1).find(|dir| dir.file_name() != Some(OsStr::new("deps")));
    dir.map(|dir| dir.join("anyproxy")).expect("an executable has a directory")
}

/// Runs the binary with `args` in a directory of its own.
pub fn command<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    Builder::new().run(args)
}

/// Runs `-t` on a configuration. [`Builder::check`] is for one with more files.
pub fn check(config: &str) -> Output {
    Builder::new().config(config).check()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_go_into_the_configuration() {
        let builder = Builder::new().set("B", 2).config("a @A@ @B@ @A@ ${A} @").set("A", "127.0.0.1:1");
        builder.write_config();
        let text = std::fs::read_to_string(builder.dir().join("main.kdl")).expect("written");
        assert_eq!(text, "a 127.0.0.1:1 2 127.0.0.1:1 ${A} @");
    }

    #[test]
    fn a_command_gives_code_and_both_streams() {
        let output = Builder::new().binary("/bin/sh").run(["-c", "echo out; echo err >&2; exit 3"]);
        output.assert(3, &["out", "err"]);
        assert!(!output.ok());
    }

    #[test]
    fn the_executable_is_in_the_profile_directory() {
        assert!(binary().ends_with("anyproxy") || std::env::var_os("ANYPROXY_BIN").is_some());
        assert!(!binary().parent().is_some_and(|dir| dir.ends_with("deps")));
    }
}
