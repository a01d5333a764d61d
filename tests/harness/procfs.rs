//! What Linux tells about a running process, for tests that look for leaks. Knows nothing of what the process does.

use std::collections::HashSet;
use std::fs;

/// Open descriptors.
pub(crate) fn descriptors(pid: u32) -> usize {
    entries(&format!("/proc/{pid}/fd"))
}

/// Pipes that some descriptor is an end of.
pub(crate) fn pipes(pid: u32) -> usize {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    let to = all.filter_map(|fd| Some(fs::read_link(fd.ok()?.path()).ok()?.to_string_lossy().into_owned()));
    to.filter(|to| to.starts_with("pipe:")).collect::<HashSet<_>>().len()
}

/// Whether every thread waits for something.
pub(crate) fn sleeps(pid: u32) -> bool {
    let all = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    let mut states = all.filter_map(|task| {
        let stat = fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    });
    states.all(|state| state == 'S')
}

/// Threads.
pub(crate) fn threads(pid: u32) -> usize {
    entries(&format!("/proc/{pid}/task"))
}

/// Resident memory in bytes; 0 when the process is gone.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

fn entries(dir: &str) -> usize {
    fs::read_dir(dir).map(Iterator::count).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::process::{Command, Stdio};

    #[test]
    fn sees_this_process() {
        let me = std::process::id();
        assert!(descriptors(me) > 2 && threads(me) > 0 && resident(me) > 100_000);
    }

    #[test]
    fn what_goes_round_and_round_does_not_sleep() {
        let run = |text: &str| Command::new("sh").args(["-c", text]).stdout(Stdio::piped()).spawn().expect("a shell");
        let mut spins = run("echo; while :; do :; done");
        // It has begun with it, but for a moment.
        let mut line = [0];
        spins.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("a line");
        let awake = (0..100).filter(|_| !sleeps(spins.id())).count();
        spins.kill().and_then(|()| spins.wait()).expect("it ran");
        assert!(awake > 90, "{awake}");
        let mut waits = run("exec sleep 1000");
        crate::eventually("it waits", || sleeps(waits.id()).then_some(()));
        waits.kill().and_then(|()| waits.wait()).expect("it ran");
    }

    #[test]
    fn an_absent_process_has_nothing() {
        // Above the kernel's largest process id.
        let none = 1 << 23;
        assert_eq!((descriptors(none), threads(none), resident(none)), (0, 0, 0));
    }
}
