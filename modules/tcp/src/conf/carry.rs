//! How bytes are carried: limits of time, buffers, rates, joining of small writes, and how streams end.

use super::{Conf, header::on};
use anyproxy_module_api::*;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
const MOST_RATE: i64 = 1 << 40;

directive! {
    /// Ends a session in which no byte has moved, in either direction, for so long.
    /// Looked at ten times a second. Long-lived protocols that are silent (WebSocket, SSH) need more, or their own
    /// keep-alive.
    "idle_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, DAY)])
    .default("10m")
    .example("idle_timeout \"1h\"")
}

directive! {
    /// Ends a session when one side, from which the proxy waits for bytes, has sent none for so long.
    /// Each side counts alone: in a long download the client is silent and this ends it. A side that ended its stream
    /// need not send any more.
    "recv_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, DAY)])
    .default("recv_timeout of the socket profile, else no limit: idle_timeout alone holds")
    .example("recv_timeout \"60s\"")
}

directive! {
    /// Ends a session when bytes wait for a side that has taken none of them for so long.
    "send_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, DAY)])
    .default("send_timeout of the socket profile, else 60s")
    .example("send_timeout \"30s\"")
}

directive! {
    /// Size of the buffer of one direction at first. It is held only while there are bytes in it.
    "read_buffer", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required().bounds(4 << 10, 1 << 20)])
    .default("16KiB")
    .example("read_buffer \"32KiB\"")
}

directive! {
    /// Size that the buffer of one direction grows to once reads fill it, and in which `stream_delay` joins.
    /// Never less than `read_buffer`.
    "write_buffer", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required().bounds(4 << 10, 4 << 20)])
    .default("64KiB")
    .example("write_buffer \"128KiB\"")
}

directive! {
    /// Whether the kernel moves the bytes of long transfers by itself (Linux, between plain sockets).
    /// A direction changes to it once it proved long, and back when the other one answers. Where it cannot, bytes are
    /// copied. Not together with rate limits, stream_delay and temporary files.
    "splice", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .default("#true")
    .example("splice #false")
}

directive! {
    /// Bytes that a direction carries in one go, while the other is silent, before it is spliced.
    /// Of what is shorter copying costs less.
    "splice_after", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "0: from the first byte").required().bounds(0, 1 << 40)])
    .default("64KiB")
    .example("splice_after \"4MiB\"")
}

directive! {
    /// Most bytes a second to one client, a session each.
    /// The peer is slowed by back-pressure, or its bytes are kept in a temporary file, where there is one.
    "download_limit_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "0: no limit").required().bounds(0, MOST_RATE)])
    .default("no limit")
    .example("download_limit_rate \"1MiB/s\"")
}

directive! {
    /// Bytes to the client that `download_limit_rate` lets through before it begins to count.
    "download_limit_rate_after", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required()])
    .default("0")
    .example("download_limit_rate_after \"10MiB\"")
}

directive! {
    /// Most bytes a second from one client, a session each.
    "upload_limit_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "0: no limit").required().bounds(0, MOST_RATE)])
    .default("no limit")
    .example("upload_limit_rate \"512KiB/s\"")
}

directive! {
    /// Bytes from the client that `upload_limit_rate` lets through before it begins to count.
    "upload_limit_rate_after", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required()])
    .default("0")
    .example("upload_limit_rate_after \"1MiB\"")
}

directive! {
    /// Joins small writes: bytes wait so long for more, in both directions.
    /// A full segment goes at once, and so does what is held when a side ends.
    "stream_delay", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: nothing waits").required().bounds(0, 10 * SECOND)])
    .default("0")
    .example("stream_delay \"20ms\"")
}

directive! {
    /// Bytes from the beginning of a direction that `stream_delay` does not hold: a handshake, a first answer.
    "stream_nodelay_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required()])
    .default("0")
    .example("stream_nodelay_size \"4KiB\"")
}

directive! {
    /// With `stream_delay`: wait for a full buffer, where otherwise a full segment ends the wait.
    "stream_nopush", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .default("#false")
    .example("stream_nopush #true")
}

directive! {
    /// How a session ends.
    /// `shutdown`: the end of one side is passed on and the other goes on until it ends too. `fast`: when one side ended
    /// and its bytes were passed on, both are closed; see `stream_so_linger_time`. A reset is passed on as one by both.
    "close_type", Contexts::MSL,
    .args(&[ArgDesc::new("how", Kind::Choice, "`shutdown` or `fast`").required()
        .choices(&[Str::new("shutdown"), Str::new("fast")])])
    .default("shutdown")
    .example("close_type \"fast\"")
}

directive! {
    /// With `close_type "fast"`: how long the side that did not end may take to end too, while what it sends is thrown
    /// away. Without such a wait bytes on their way to it may be lost, as it sees a reset.
    "stream_so_linger_time", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: both are reset at once").required().bounds(0, 600 * SECOND)])
    .default("both are closed at once")
    .example("stream_so_linger_time \"2s\"")
}

/// Limits in milliseconds; 0: none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// No byte moved at all.
    pub(crate) idle_ms: u64,
    /// None came from a side.
    pub(crate) recv_ms: u64,
    /// None was taken by a side.
    pub(crate) send_ms: u64,
}

impl Default for Times {
    fn default() -> Self {
        Self { idle_ms: 600_000, recv_ms: 0, send_ms: 60_000 }
    }
}

/// How streams end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Close {
    /// The first end is the session's.
    pub(crate) fast: bool,
    /// With `fast`: wait for the other side, milliseconds. 0: reset.
    pub(crate) linger_ms: Option<u64>,
}

/// Takes a directive of this file; false: it is another's.
pub(super) fn set(c: &mut Conf, name: &str, node: &Node<'_>) -> bool {
    let ms = || node.arg(0).map_or(0, |v| u64::try_from(v.time().as_millis()).unwrap_or(u64::MAX));
    // What is under a millisecond is not "none".
    let ms = || if node.arg(0).is_some_and(|v| v.num > 0) { ms().max(1) } else { 0 };
    let size = || node.arg(0).map_or(0, Value::size);
    let bytes = || usize::try_from(size()).unwrap_or(usize::MAX);
    match name {
        "idle_timeout" => c.times.idle_ms = ms(),
        "recv_timeout" => c.times.recv_ms = ms(),
        "send_timeout" => c.times.send_ms = ms(),
        "read_buffer" => c.read_buffer = bytes(),
        "write_buffer" => c.write_buffer = bytes(),
        "splice" => c.splice = on(node),
        "splice_after" => c.splice_after = size(),
        "download_limit_rate" => c.download.limit.rate = size(),
        "download_limit_rate_after" => c.download.limit.after = size(),
        "upload_limit_rate" => c.upload.limit.rate = size(),
        "upload_limit_rate_after" => c.upload.limit.after = size(),
        "stream_delay" => c.delay.delay_ms = ms(),
        "stream_nodelay_size" => c.delay.nodelay_size = size(),
        "stream_nopush" => c.delay.nopush = on(node),
        "close_type" => c.close.fast = node.arg(0).is_some_and(|v| v.text.as_str() == "fast"),
        "stream_so_linger_time" => c.close.linger_ms = Some(ms()),
        _ => return false,
    }
    true
}
