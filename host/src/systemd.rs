//! What systemd wants to know (sd_notify(3)): ready, reloading, stopping, alive. Without NOTIFY_SOCKET nothing happens.

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

#[cfg(unix)]
fn notify(text: &str) {
    use std::os::unix::net::UnixDatagram;
    static SOCKET: OnceLock<Option<(UnixDatagram, std::ffi::OsString)>> = OnceLock::new();
    let socket = SOCKET.get_or_init(|| {
        let path = std::env::var_os("NOTIFY_SOCKET")?;
        let socket = UnixDatagram::unbound().ok()?;
        // A service manager that reads no more must not hold everything up.
        socket.set_write_timeout(Some(Duration::from_millis(100))).ok()?;
        Some((socket, path))
    });
    let Some((socket, path)) = socket else { return };
    // A name that starts with @ is an abstract socket.
    #[cfg(target_os = "linux")]
    if let Some(name) = path.to_str().and_then(|p| p.strip_prefix('@')) {
        use std::os::linux::net::SocketAddrExt;
        if let Ok(addr) = std::os::unix::net::SocketAddr::from_abstract_name(name) {
            let _ = socket.send_to_addr(text.as_bytes(), &addr);
        }
        return;
    }
    // Whoever started us may not listen any more.
    let _ = socket.send_to(text.as_bytes(), path);
}

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
pub fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let usec = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={usec}\n"));
}

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
