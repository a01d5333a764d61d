//! The names by which others find the process: its control socket and its pid file. Who takes over has a socket beside the
//! one of the process before and moves it there last of all; should it not come up after that, the process before makes
//! its names again.

use super::{
    channel::{self, Listener},
    socket,
};
use crate::{
    log::file::{Target, is_pipe},
    services::socket_file::SocketFile,
};
use anyproxy_module_api::read_regular;
use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tokio::task::JoinHandle;

/// The names that are in use, whatever the configuration says since. Dropped, those are removed that are still ours: also where a
/// start ends early.
#[derive(Debug)]
pub(super) struct Names {
    control: SocketFile,
    /// With the file itself: the user that the process became may not be able to remove it.
    pid: Option<(PathBuf, File)>,
    /// Answers clients of the control socket.
    serving: Option<AbortOnDrop>,
    /// That they cannot be made again was said.
    lost: bool,
}

impl Names {
    /// Makes them. Clients of the control socket wait until it is served.
    ///
    /// # Errors
    /// In words; then nothing is changed.
    pub(super) fn take(control: PathBuf, pid: Option<PathBuf>) -> Result<(Self, Listener), String> {
        let failed = |e| format!("control socket {}: {e}", control.display());
        let beside = crate::upgrade::is_hot().then(|| control.with_file_name(format!(".{:x}", std::process::id())));
        if beside.is_some() {
            channel::may_replace(&control).map_err(failed)?;
        }
        let made = beside.as_deref().unwrap_or(&control);
        let listener = socket::bind(made).map_err(failed)?;
        let remove = |text: String| {
            let _ = std::fs::remove_file(made);
            text
        };
        let pid = pid.map(|path| write(&path).map(|file| (path, file))).transpose().map_err(remove)?;
        if let Some(made) = &beside {
            std::fs::rename(made, &control).map_err(|e| remove(failed(e)))?;
        }
        Ok((Self { control: SocketFile::of(&control), pid, serving: None, lost: false }, listener))
    }

    /// Answers clients from now on.
    pub(super) fn serve(&mut self, listener: Listener) {
        self.serving = Some(AbortOnDrop(socket::serve(listener)));
    }

    /// Makes again what another process, which did not take over after all, has put in their places.
    pub(super) fn restore(&mut self) {
        let ours = self.pid.as_ref().is_none_or(|(path, _)| names_this_process(path));
        if let Err(e) = self.make(self.control.is_lost(), !ours) {
            tracing::error!("{e}");
        }
    }

    /// Makes again what somebody removed: without its socket nobody can ask the process for anything. What is there is left alone, it
    /// may be another process's.
    pub(super) fn keep(&mut self) {
        let no_pid = self.pid.as_ref().is_some_and(|(path, _)| is_gone(path));
        if !self.control.is_gone() && !no_pid {
            self.lost = false;
            return;
        }
        match self.make(self.control.is_gone(), no_pid) {
            Ok(()) => tracing::warn!("the control socket or the pid file was removed, and is made again"),
            Err(e) if !self.lost => {
                self.lost = true;
                tracing::error!("{e}");
            }
            Err(_) => {}
        }
    }

    fn make(&mut self, control: bool, pid: bool) -> Result<(), String> {
        if control {
            let path = self.control.path();
            let bound = Listener::bind(path)
                .map_err(|e| format!("control socket {}: {e}; only signals are heard now", path.display()))?;
            self.control = SocketFile::of(path);
            self.serve(bound);
        }
        if let Some((path, file)) = self.pid.as_mut().filter(|_| pid) {
            *file = write(path)?;
        }
        Ok(())
    }

    /// Where they are.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.control.path()).chain(self.pid.as_ref().map(|(path, _)| path.as_path()))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if let Err(e) = self.control.remove() {
            tracing::warn!("control socket {}: it stays: {e}", self.control.path().display());
        }
        let Some((path, file)) = self.pid.as_ref().filter(|(path, _)| names_this_process(path)) else { return };
        if let Err(e) = std::fs::remove_file(path) {
            tracing::warn!("pid {}: it stays, empty: {e}", path.display());
            // What names no process misleads nobody.
            let _ = file.set_len(0);
        }
    }
}

/// A task of the loop that ends with whoever began it.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn is_gone(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Whether the pid file could be written.
///
/// # Errors
/// What writing it would say.
pub fn check(pid_file: &Path) -> io::Result<()> {
    no_pipe(pid_file)?;
    Target::File(pid_file.to_owned()).check()
}

/// One would be waited for until somebody reads.
fn no_pipe(pid_file: &Path) -> io::Result<()> {
    if is_pipe(pid_file) { Err(io::Error::other("is a named pipe")) } else { Ok(()) }
}

fn write(pid_file: &Path) -> Result<File, String> {
    let written = || {
        no_pipe(pid_file)?;
        let mut file = File::create(pid_file)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(file)
    };
    written().map_err(|e: io::Error| format!("pid {}: {e}", pid_file.display()))
}

/// Whether a pid file is ours: who took over has written its own number there.
fn names_this_process(pid_file: &Path) -> bool {
    read_regular(pid_file, 64).is_ok_and(|text| text.trim_ascii() == std::process::id().to_string().as_bytes())
}
