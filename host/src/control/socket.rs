//! The control socket, which its owner alone can use: one JSON object a line in each direction.
//!
//! `{"cmd":"status"}` → `{"ok":true,"result":{…}}` or `{"ok":false,"error":"…"}`.

use super::{
    Options, ask,
    channel::{self, Listener, Stream},
    commands,
};
use crate::{cycle::settings::Settings, log::Target};
use serde_json::{Value, json};
use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    sync::Notify,
    task::JoinHandle,
};

/// Longest line taken.
const LINE: u64 = 1 << 20;
/// As many times that is read of one, at most.
const THROWN: usize = 16;
/// A client that says nothing for so long is let go.
const SILENCE: Duration = Duration::from_secs(300);

/// Where the socket is: as said, else beside the pid file, else beside the configuration.
pub fn path(options: &Options, settings: &Settings) -> PathBuf {
    if let Some(p) = options.control.clone().or_else(|| settings.control.clone()) {
        return p;
    }
    beside(settings.pid.as_deref().unwrap_or(&options.config))
}

/// Where it is beside the pid file, or the configuration.
pub fn beside(path: &Path) -> PathBuf {
    path.parent().unwrap_or_else(|| Path::new(".")).join("anyproxy.sock")
}

/// Makes the socket; one that nobody answers on is replaced. Clients wait until [`serve`].
///
/// # Errors
/// When the path cannot be used, or another process answers there.
pub fn bind(path: &Path) -> io::Result<Listener> {
    if channel::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another anyproxy answers there"));
    }
    Listener::bind(path)
}

/// Whether the socket could be made, unless another process answers there by then. Makes nothing.
///
/// # Errors
/// What [`bind`] would say.
pub fn check(path: &Path) -> io::Result<()> {
    if channel::may_replace(path)? { Ok(()) } else { Target::File(path.to_owned()).check() }
}

/// Answers clients from now on, until the task is aborted; those that were accepted go on.
pub fn serve(mut listener: Listener) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok(stream) => {
                    tokio::spawn(converse(stream));
                }
                Err(e) => {
                    if let Some(more) = crate::process::process().error_log.once_a_second("control") {
                        tracing::warn!(more, "control socket: {e}");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    })
}

/// Answers that are being given.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);
static GIVEN: Notify = Notify::const_new();

struct Answering;

impl Answering {
    fn new() -> Self {
        UNDER_WAY.fetch_add(1, Relaxed);
        Self
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Relaxed);
        GIVEN.notify_waiters();
    }
}

/// Waits, for a moment, until nobody is being answered.
pub async fn answered() {
    let all = async {
        loop {
            let given = GIVEN.notified();
            if UNDER_WAY.load(Relaxed) == 0 {
                return;
            }
            given.await;
        }
    };
    // A client that does not read its answer is not waited for longer.
    let _ = tokio::time::timeout(Duration::from_secs(1), all).await;
}

async fn converse(stream: Stream) {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let Ok(Ok(read)) = tokio::time::timeout(SILENCE, next_line(&mut stream, &mut line)).await else { return };
        if matches!(read, Line::End) {
            return;
        }
        if str::from_utf8(&line).is_ok_and(crate::upgrade::is_request) {
            crate::upgrade::hand_over(stream.into_inner()).await;
            return;
        }
        let _answering = Answering::new();
        let mut answer = match read {
            Line::TooLong => failed(&format!("a line is longer than {} MiB", LINE >> 20)),
            _ => answer(&line).await,
        }
        .to_string();
        answer.push('\n');
        if stream.get_mut().write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What came next.
enum Line {
    Whole,
    /// It was read to its end, so that its client gets an answer and no reset, and thrown away.
    TooLong,
    End,
}

async fn next_line(stream: &mut BufReader<Stream>, line: &mut Vec<u8>) -> io::Result<Line> {
    stream.take(LINE).read_until(b'\n', line).await?;
    if line.ends_with(b"\n") {
        return Ok(Line::Whole);
    }
    if (line.len() as u64) < LINE {
        return Ok(Line::End);
    }
    for _ in 1..THROWN {
        line.clear();
        stream.take(LINE).read_until(b'\n', line).await?;
        if line.ends_with(b"\n") {
            line.clear();
            return Ok(Line::TooLong);
        }
    }
    Ok(Line::End)
}

async fn answer(line: &[u8]) -> Value {
    let request = match serde_json::from_slice(line) {
        Ok(v) => commands::Request::parse(&v),
        Err(e) => Err(format!("not a JSON object: {e}")),
    };
    let result = match request {
        Ok(r) => ask(r).await,
        Err(e) => Err(e),
    };
    match result {
        Ok(v) => json!({ "ok": true, "result": v }),
        Err(e) => failed(&e),
    }
}

fn failed(why: &str) -> Value {
    json!({ "ok": false, "error": why })
}
