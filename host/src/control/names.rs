//! The names by which others find the process: its control socket and its pid file. Who takes over has a socket beside the
//! one of the process before and moves it there last of all; should it not come up after that, the process before makes
//! its names again.

use super::{
    channel::{self, Listener},
    socket,
};
use crate::log::file::{Target, is_pipe};
use anyproxy_module_api::read_regular;
use std::{
    io,
    path::{Path, PathBuf},
};

/// The names that are in use, whatever the configuration says since.
#[derive(Debug)]
pub(super) struct Names {
    control: PathBuf,
    /// Which file the control socket is, where files have numbers.
    id: Option<(u64, u64)>,
    pid: Option<PathBuf>,
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
        if let Some(path) = &pid {
            write(path).map_err(remove)?;
        }
        if let Some(made) = &beside {
            std::fs::rename(made, &control).map_err(|e| remove(failed(e)))?;
        }
        let id = channel::id(&control);
        Ok((Self { control, id, pid }, listener))
    }

    /// Makes again what another process, which did not take over after all, has put in their places.
    pub(super) fn restore(&mut self) {
        if channel::id(&self.control) != self.id {
            match Listener::bind(&self.control) {
                Ok(listener) => {
                    self.id = channel::id(&self.control);
                    socket::serve(listener);
                }
                Err(e) => tracing::error!("control socket {}: {e}; only signals are heard now", self.control.display()),
            }
        }
        if let Some(path) = &self.pid
            && !names_this_process(path)
            && let Err(e) = write(path)
        {
            tracing::error!("{e}");
        }
    }

    /// Removes those that are still ours.
    pub(super) fn remove(&self) {
        if channel::id(&self.control) == self.id {
            let _ = std::fs::remove_file(&self.control);
        }
        if let Some(path) = self.pid.as_deref().filter(|p| names_this_process(p)) {
            let _ = std::fs::remove_file(path);
        }
    }
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

fn write(pid_file: &Path) -> Result<(), String> {
    let number = format!("{}\n", std::process::id());
    let written = no_pipe(pid_file).and_then(|()| std::fs::write(pid_file, number));
    written.map_err(|e| format!("pid {}: {e}", pid_file.display()))
}

/// Whether a pid file is ours: who took over has written its own number there.
fn names_this_process(pid_file: &Path) -> bool {
    read_regular(pid_file, 64).is_ok_and(|text| text.trim_ascii() == std::process::id().to_string().as_bytes())
}
