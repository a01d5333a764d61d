//! What systemd wants to know (sd_notify(3)): ready, reloading, stopping, alive. Without NOTIFY_SOCKET nothing happens.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

/// Where the service manager listens.
#[cfg(unix)]
fn manager() -> Option<&'static (std::os::unix::net::UnixDatagram, std::ffi::OsString)> {
    use std::os::unix::net::UnixDatagram;
    static SOCKET: OnceLock<Option<(UnixDatagram, std::ffi::OsString)>> = OnceLock::new();
    let socket = SOCKET.get_or_init(|| {
        let path = std::env::var_os("NOTIFY_SOCKET")?;
        let socket = UnixDatagram::unbound().ok()?;
        // A service manager that reads no more must not hold everything up.
        socket.set_write_timeout(Some(Duration::from_millis(100))).ok()?;
        Some((socket, path))
    });
    socket.as_ref()
}

#[cfg(unix)]
fn notify(text: &str) {
    // Whoever started us may not listen any more.
    let _ = send(text, &[]);
}

#[cfg(unix)]
fn send(text: &str, descriptors: &[std::os::fd::BorrowedFd<'_>]) -> std::io::Result<()> {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, sendmsg_addr};
    use std::os::unix::ffi::OsStrExt;
    let Some((socket, path)) = manager() else { return Ok(()) };
    let bytes = path.as_bytes();
    let to = match bytes.strip_prefix(b"@") {
        // An abstract name.
        #[cfg(target_os = "linux")]
        Some(name) => SocketAddrUnix::new_abstract_name(name)?,
        _ => SocketAddrUnix::new(bytes)?,
    };
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    sendmsg_addr(socket, &to, &[std::io::IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Sockets in one message: the system takes 253 at most.
#[cfg(unix)]
const BATCH: usize = 128;

#[cfg(not(unix))]
fn notify(_: &str) {}

/// Serving; also after a reload, well or failed.
pub fn ready() {
    notify("READY=1\n");
}

/// This process took over from another: it is the main one now.
pub fn main_pid() {
    notify(&format!("MAINPID={}\n", std::process::id()));
}

/// A reload began.
#[cfg(unix)]
pub fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let usec = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n"));
}

/// Elsewhere there is nobody to tell.
#[cfg(not(unix))]
pub fn reloading() {}

/// The process is ending.
pub fn stopping() {
    notify("STOPPING=1\n");
}

/// The loop turns: keeps WATCHDOG_USEC content.
pub fn alive() {
    static EVERY: OnceLock<Option<Duration>> = OnceLock::new();
    static LAST: std::sync::Mutex<Option<Instant>> = std::sync::Mutex::new(None);
    let every = EVERY.get_or_init(|| {
        let usec: u64 = std::env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
        Some(Duration::from_micros(usec) / 3)
    });
    let Some(every) = every else { return };
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if last.is_none_or(|l| l.elapsed() >= *every) {
        *last = Some(Instant::now());
        notify("WATCHDOG=1\n");
    }
}

/// Listeners whose sockets the service manager keeps (sd_notify(3), FDSTORE).
#[cfg(unix)]
static STORED: std::sync::Mutex<std::collections::BTreeSet<u64>> =
    std::sync::Mutex::new(std::collections::BTreeSet::new());

#[cfg(unix)]
const PREFIX: &str = "anyproxy-";

/// The name under which a listener's sockets are kept.
#[cfg(unix)]
fn name_of(key: u64) -> String {
    format!("{PREFIX}{key:016x}")
}

/// The listener whose sockets are kept under this name.
#[cfg(unix)]
pub fn key_of(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()
}

/// These sockets came back from the service manager, which goes on keeping them.
#[cfg(unix)]
pub fn came_back(key: u64) {
    STORED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(key);
}

/// The service manager need not keep these any more.
#[cfg(unix)]
pub fn forget(key: u64) {
    STORED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(&key);
    notify(&format!("FDSTOREREMOVE=1\nFDNAME={}\n", name_of(key)));
}

/// Lets the service manager keep the listening sockets, so that they survive a crash: new ones are sent, those that left
/// are taken back. Only where it says by `FDSTORE` how many it keeps; more are not sent.
#[cfg(unix)]
pub fn store(sockets: &crate::cycle::bound::Sockets) {
    use std::os::fd::AsFd;
    let room: usize = std::env::var("FDSTORE").ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    if room == 0 {
        return;
    }
    let stored = STORED.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    stored.iter().filter(|key| !sockets.contains_key(key)).for_each(|key| forget(*key));
    let (kept, new): (Vec<_>, Vec<_>) = sockets.iter().partition(|(key, _)| stored.contains(key));
    let mut used: usize = kept.iter().map(|(_, b)| b.sockets.len()).sum();
    for (key, bound) in new {
        used += bound.sockets.len();
        if used > room {
            tracing::warn!(room, "FDSTORE: the service manager keeps fewer sockets than there are");
            return;
        }
        let descriptors: Vec<_> = bound.sockets.iter().map(|s| s.as_fd()).collect();
        let text = format!("FDSTORE=1\nFDNAME={}\n", name_of(*key));
        match descriptors.chunks(BATCH).try_for_each(|some| send(&text, some)) {
            Ok(()) => came_back(*key),
            Err(e) => tracing::warn!(listener = bound.label, "FDSTORE: {e}"),
        }
    }
}

/// Elsewhere there is no service manager that keeps sockets.
#[cfg(not(unix))]
pub fn forget(_: u64) {}

/// Elsewhere nobody keeps them.
#[cfg(not(unix))]
pub fn store(_: &crate::cycle::bound::Sockets) {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_listener() {
        for key in [0, 1, 0xe127_fafb_6a54_ca67, u64::MAX] {
            assert_eq!(key_of(&name_of(key)), Some(key));
        }
        for other in ["", "anyproxy-", "anyproxy.socket", "stored", "anyproxy-x", "connection"] {
            assert_eq!(key_of(other), None, "{other}");
        }
    }
}
