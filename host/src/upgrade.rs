//! `--hot`: a new process takes over the listening sockets and zones of a running one by its control socket, and tells it
//! to end once it is ready itself. Also LISTEN_FDS of systemd.
//!
//! ```text
//! new → old   {"cmd":"hot"}
//! old → new   one line of JSON, and the sockets as ancillary data, in the order of the line
//! new → old   {"taken":true}       only when the new one serves; anything else: the old one goes on
//! ```

mod wire;

use self::wire::{from_hex, receive, send, to_hex};
use crate::{
    control::{Event, Options, ask, commands::Request, tell, worker_count, worker_mailbox},
    cycle::{
        Cycle,
        bound::{Bound, Sockets},
        settings::Settings,
    },
    process::process,
    services::{
        datagram::{self, forward},
        platform,
    },
    upstream::identity::{Entry, Override},
};
use anyproxy_module_api::read_regular;
use serde_json::{Value, json};
use std::{
    io,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};

static HOT: AtomicBool = AtomicBool::new(false);
static TAKEN: AtomicBool = AtomicBool::new(false);
/// To one process at a time: two would both serve.
static HANDING_OVER: AtomicBool = AtomicBool::new(false);
/// The connection to the process before, kept until this one is ready.
static BEFORE: Mutex<Option<UnixStream>> = Mutex::new(None);
/// The sockets of this process as they would be handed over: kept in step by the loop.
static OFFER: Mutex<Vec<Offered>> = Mutex::new(Vec::new());
/// The generation that goes with them.
static OFFERED_EPOCH: AtomicU32 = AtomicU32::new(0);

/// A listener's sockets, to be handed over.
#[derive(Debug)]
pub struct Offered {
    /// The listener's key.
    pub key: u64,
    /// For messages.
    pub label: String,
    /// The actual address.
    pub address: String,
    /// Descriptors of its sockets.
    pub sockets: Vec<socket2::Socket>,
}

/// Whether this process takes over from another.
pub fn is_hot() -> bool {
    HOT.load(Relaxed)
}

/// Whether another process took over from this one.
pub fn was_taken_over() -> bool {
    TAKEN.load(Relaxed)
}

/// Whether a line on the control socket asks for a take-over.
pub fn is_request(line: &str) -> bool {
    line.trim() == "{\"cmd\":\"hot\"}"
}

/// What would be handed over from now on: the sockets of generation `epoch`.
pub fn offer(sockets: &Sockets, epoch: u32) {
    OFFERED_EPOCH.store(epoch, Relaxed);
    let offered = sockets.iter().map(|(key, b)| Offered {
        key: *key,
        label: b.label.clone(),
        address: b.address.clone(),
        sockets: b.sockets.iter().filter_map(|s| s.try_clone().ok()).collect(),
    });
    *OFFER.lock().unwrap_or_else(PoisonError::into_inner) = offered.collect();
}

/// Sockets that would be handed over, of those that `wanted` says by their key, at any address with this port.
pub fn offered(port: u16, wanted: impl Fn(u64) -> bool) -> Vec<socket2::Socket> {
    let offer = OFFER.lock().unwrap_or_else(PoisonError::into_inner);
    let there = |o: &&Offered| o.address.parse::<std::net::SocketAddr>().is_ok_and(|a| a.port() == port);
    let sockets = offer.iter().filter(|o| wanted(o.key)).filter(there).flat_map(|o| &o.sockets);
    sockets.filter_map(|s| s.try_clone().ok()).collect()
}

// ---- the new process

/// The sockets that this process starts with: from the process before (`--hot`), or from systemd.
///
/// # Errors
/// In words, when `--hot` cannot be done.
pub async fn inherited(options: &Options, cycle: &Cycle) -> Result<Sockets, String> {
    let Some(pid_file) = &options.hot else { return Ok(from_systemd(cycle)) };
    HOT.store(true, Relaxed);
    let path = control_of(options, &cycle.settings, pid_file);
    let fail = |e: io::Error| format!("--hot {}: {}: {e}", pid_file.display(), path.display());
    let meant = number_in(pid_file).map_err(|e| format!("--hot {}: {e}", pid_file.display()))?;
    let mut stream = UnixStream::connect(&path).await.map_err(fail)?;
    // Of a process in another namespace the number is not known here.
    if let Some(there) = stream.peer_cred().ok().and_then(|c| c.pid()).filter(|n| *n > 0 && *n != meant) {
        let (file, path) = (pid_file.display(), path.display());
        return Err(format!("--hot {file}: process {meant} is meant, but {there} answers at {path}"));
    }
    stream.write_all(b"{\"cmd\":\"hot\"}\n").await.map_err(fail)?;
    let (line, descriptors) = receive(&stream).await.map_err(fail)?;
    let offer: Value =
        serde_json::from_str(&line).map_err(|e| format!("--hot: the running process answers strangely: {e}"))?;
    if let Some(e) = offer.get("error").and_then(Value::as_str) {
        return Err(format!("--hot: {e}"));
    }
    take_state(&offer);
    let wanted: Vec<u64> = cycle.listeners.iter().map(|l| l.key).collect();
    let mut descriptors = descriptors.into_iter();
    let mut sockets = Sockets::new();
    for s in offer.get("sockets").and_then(Value::as_array).into_iter().flatten() {
        let count = s.get("count").and_then(Value::as_u64).unwrap_or(0) as usize;
        let got: Vec<_> = descriptors.by_ref().take(count).map(socket2::Socket::from).collect();
        let key = s.get("key").and_then(Value::as_str).and_then(|k| k.parse().ok()).unwrap_or(0);
        let text = |k: &str| s.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
        // What the new configuration does not name is closed here; the old process drains its queue.
        if wanted.contains(&key) && !got.is_empty() {
            sockets.insert(key, Bound::new(text("label"), text("address"), got));
        }
    }
    // Last of all: the channel by which it gets the datagrams of its own flows.
    let last_epoch = offer.get("last_epoch").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    if let (Some(last), Some(channel)) = (last_epoch, descriptors.next()) {
        forward::set_predecessor(channel.into(), last);
    }
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    Ok(sockets)
}

/// The number of the process in its pid file.
fn number_in(pid_file: &std::path::Path) -> io::Result<i32> {
    let text = read_regular(pid_file, 64)?;
    let number = std::str::from_utf8(&text).ok().and_then(|t| t.trim().parse().ok());
    number.ok_or_else(|| io::Error::other("it holds no process's number"))
}

fn control_of(options: &Options, settings: &Settings, pid_file: &std::path::Path) -> PathBuf {
    let said = options.control.clone().or_else(|| settings.control.clone());
    said.unwrap_or_else(|| pid_file.parent().unwrap_or_else(|| std::path::Path::new(".")).join("anyproxy.sock"))
}

fn take_state(offer: &Value) {
    let mut zones = Vec::new();
    for z in offer.get("zones").and_then(Value::as_array).into_iter().flatten() {
        let text = |k: &str| z.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
        let schema = z.get("schema").and_then(Value::as_u64).unwrap_or(0) as u32;
        zones.push((text("module"), text("name"), schema, from_hex(&text("bytes"))));
    }
    process().zones.import(zones);
    let mut said = Vec::new();
    for p in offer.get("peers").and_then(Value::as_array).into_iter().flatten() {
        let hash = |k: &str| p.get(k).and_then(Value::as_str).and_then(|t| t.parse().ok()).unwrap_or(0);
        let number = |k: &str| p.get(k).and_then(Value::as_u64);
        let what = Override { admin: number("admin").map(|n| n as u8), weight: number("weight").map(|n| n as u32) };
        said.push(Entry { peer: hash("peer"), line: hash("line"), said: what });
    }
    process().peers.import_said(said);
}

/// This process serves: the one before may end.
pub async fn taken_over(_: &Options) {
    let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(mut stream) = before {
        crate::systemd::main_pid();
        if let Err(e) = stream.write_all(b"{\"taken\":true}\n").await {
            tracing::warn!("--hot: the process before does not hear that it may end: {e}");
        }
    }
}

fn from_systemd(cycle: &Cycle) -> Sockets {
    let number = |name: &str| std::env::var(name).ok().and_then(|t| t.parse::<u32>().ok());
    let mut sockets = Sockets::new();
    if number("LISTEN_PID") != Some(std::process::id()) {
        return sockets;
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    for fd in 3..3 + i64::from(number("LISTEN_FDS").unwrap_or(0).min(4096)) {
        let stored = crate::systemd::key_of(names.next().unwrap_or_default());
        let Ok(socket) = platform::socket_from_raw_fd(fd) else { continue };
        if let Some(key) = stored {
            from_store(cycle, key, socket, &mut sockets);
            continue;
        }
        let Ok(addr) = socket.local_addr() else { continue };
        let text = addr.as_socket().map_or_else(
            || format!("unix:{}", addr.as_pathname().unwrap_or_else(|| std::path::Path::new("")).display()),
            |a| a.to_string(),
        );
        match cycle.listeners.iter().find(|l| l.address.to_string() == text) {
            Some(l) => {
                let entry = Bound::new(l.label.clone(), text, Vec::new());
                sockets.entry(l.key).or_insert(entry).sockets.push(socket);
            }
            None => tracing::warn!(address = text, "LISTEN_FDS: no listener of the configuration has this address"),
        }
    }
    sockets
}

/// A socket that the process before left with the service manager.
fn from_store(cycle: &Cycle, key: u64, socket: socket2::Socket, sockets: &mut Sockets) {
    let unix = |addr: socket2::SockAddr| addr.as_pathname().map(std::path::Path::to_owned);
    let path = socket.local_addr().ok().and_then(unix);
    // One that ended in order removed the file: nobody finds the socket any more.
    let is_lost = path.as_ref().is_some_and(|p| !p.exists());
    let Some(l) = cycle.listeners.iter().find(|l| l.key == key).filter(|_| !is_lost) else {
        crate::systemd::forget(key);
        return;
    };
    let actual = socket.local_addr().ok().and_then(|a| a.as_socket());
    let address = actual.map_or_else(|| l.address.to_string(), |a| a.to_string());
    let entry = Bound::new(l.label.clone(), address, Vec::new());
    sockets.entry(key).or_insert(entry).sockets.push(socket);
    crate::systemd::came_back(key);
}

// ---- the process that is taken over

/// Hands everything over on a connection of the control socket, and ends when the other says that it serves.
pub async fn hand_over(mut stream: UnixStream) {
    if HANDING_OVER.swap(true, Relaxed) {
        let refusal = json!({ "error": "another process is taking over at this moment, or has done so" });
        if let Err(e) = send(&stream, &refusal.to_string(), &[]).await {
            tracing::warn!("--hot: {e}");
        }
        return;
    }
    if !handed_over(&mut stream).await {
        process().zones.thaw();
        HANDING_OVER.store(false, Relaxed);
        tell(Event::GoesOn);
        return;
    }
    // Sessions go on here until they end, or `shutdown_timeout`.
    if let Err(e) = ask(Request::Quit).await {
        tracing::error!("--hot: {e}");
    }
}

/// Whether another process serves now.
async fn handed_over(stream: &mut UnixStream) -> bool {
    let channel = match forward::channel() {
        Ok(ends) => Some(ends),
        Err(e) => {
            tracing::warn!("--hot: datagrams of flows that go on here will be lost: {e}");
            None
        }
    };
    let (theirs, ours) = channel.unzip();
    let (document, fds) = match document(theirs) {
        Ok(all) => all,
        Err(e) => {
            tracing::error!("--hot: {e}; this process goes on");
            // Who asked says it, or has gone.
            let _ = send(stream, &json!({ "error": e }).to_string(), &[]).await;
            return false;
        }
    };
    if let Err(e) = send(stream, &document, &fds).await {
        tracing::error!("--hot: handing over failed: {e}");
        return false;
    }
    drop(fds);
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    let taken = reader.read_line(&mut line).await.is_ok() && line.contains("\"taken\":true");
    if !taken {
        tracing::error!("--hot: the new process did not start; this one goes on");
        return false;
    }
    tracing::info!("--hot: another process took over");
    TAKEN.store(true, Relaxed);
    if let Some(Err(e)) = ours.map(forward::serve_successor) {
        tracing::error!("--hot: datagrams of flows that go on here are lost: {e}");
    }
    for n in 0..worker_count() {
        if let Some(worker) = worker_mailbox(n) {
            // A worker that has ended reads nothing.
            let _ = worker.send(Box::new(|_| datagram::stop_reading()));
        }
    }
    true
}

fn document(channel: Option<socket2::Socket>) -> Result<(String, Vec<socket2::Socket>), String> {
    let offer = OFFER.lock().unwrap_or_else(PoisonError::into_inner);
    let mut fds = Vec::new();
    let mut sockets = Vec::new();
    for o in offer.iter() {
        sockets.push(
            json!({ "key": o.key.to_string(), "label": o.label, "address": o.address, "count": o.sockets.len() }),
        );
        fds.extend(o.sockets.iter().filter_map(|s| s.try_clone().ok()));
    }
    let last_epoch = channel.is_some().then(|| forward::last_epoch(OFFERED_EPOCH.load(Relaxed)));
    fds.extend(channel);
    let zones: Vec<_> = process()
        .zones
        .export()?
        .into_iter()
        .map(|(module, name, schema, bytes)| json!({ "module": module, "name": name, "schema": schema, "bytes": to_hex(&bytes) }))
        .collect();
    let peers: Vec<_> = process()
        .peers
        .said()
        .into_iter()
        .map(|e| json!({ "peer": e.peer.to_string(), "line": e.line.to_string(), "admin": e.said.admin, "weight": e.said.weight }))
        .collect();
    let version = env!("CARGO_PKG_VERSION");
    Ok((
        json!({ "version": version, "last_epoch": last_epoch, "sockets": sockets, "zones": zones, "peers": peers })
            .to_string(),
        fds,
    ))
}
