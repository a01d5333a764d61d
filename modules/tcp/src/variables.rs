//! Variables of sessions at layer 4: what the module's headers and relays saw.

use crate::{
    Tcp,
    session::{State, known},
};
use anyproxy_module_api::{Registry, Session, Sink, Variable};
use std::fmt::Write;

pub(crate) fn register(registry: &mut Registry<Tcp>) {
    registry
        .variable::<IsHello>()
        .variable::<ClientHelloSize>()
        .variable::<UpstreamHelloSize>()
        .variable::<OpenSplice>()
        .variable::<BufferCache>()
        .variable::<WriteMaxBlockTime>()
        .variable::<StreamStreamInfo>();
}

/// Writes a value; writing to the host's sink does not fail.
fn put(out: &mut Sink<'_>, value: std::fmt::Arguments<'_>) -> bool {
    out.write_fmt(value).is_ok()
}

macro_rules! variable {
    ($type:ident, $name:literal, $doc:literal, |$session:ident, $out:ident| $body:expr) => {
        struct $type;

        impl Variable<Tcp> for $type {
            const NAME: &'static str = $name;
            const DOC: &'static str = $doc;

            fn write($session: &Session<Tcp>, _: &str, $out: &mut Sink<'_>) -> bool {
                $body
            }
        }
    };
}

variable!(
    IsHello,
    "is_proxy_protocol_hello",
    "`true` when a hello header came with the session or went to its peer, else `false`.",
    |session, out| put(
        out,
        format_args!("{}", known(session).is_some_and(|s| s.hello_received.get() + s.hello_sent.get() > 0))
    )
);

variable!(
    ClientHelloSize,
    "client_protocol_hello_size",
    "Bytes of the hello header that came with the session; 0: none came.",
    |session, out| put(out, format_args!("{}", known(session).map_or(0, |s| s.hello_received.get())))
);

variable!(
    UpstreamHelloSize,
    "upstream_protocol_hello_size",
    "Bytes of the hello header that went to the peer; 0: none went.",
    |session, out| put(out, format_args!("{}", known(session).map_or(0, |s| s.hello_sent.get())))
);

variable!(
    OpenSplice,
    "open_sendfile",
    "Directions that the kernel carried by itself: `upload`, `download`, `both` or `none`.",
    |session, out| {
        let [up, down] = known(session).map_or([0; 2], |s| s.spliced.each_ref().map(std::cell::Cell::get));
        put(
            out,
            format_args!(
                "{}",
                match (up > 0, down > 0) {
                    (true, true) => "both",
                    (true, false) => "upload",
                    (false, true) => "download",
                    (false, false) => "none",
                }
            ),
        )
    }
);

variable!(
    BufferCache,
    "buffer_cache",
    "Where bytes had to wait for a slow side: `none`, `memory`, or `file` (a temporary one).",
    |session, out| {
        let place = |s: &State| match s.spilled.iter().any(|n| n.get() > 0) {
            true => "file",
            false if s.write_blocked_ms.get() > 0 => "memory",
            false => "none",
        };
        put(out, format_args!("{}", known(session).map_or("none", place)))
    }
);

variable!(
    WriteMaxBlockTime,
    "write_max_block_time",
    "Longest time in seconds for which a side took none of the bytes that waited for it.",
    |session, out| {
        let ms = known(session).map_or(0, |s| s.write_blocked_ms.get());
        put(out, format_args!("{}.{:03}", ms / 1000, ms % 1000))
    }
);

variable!(
    StreamStreamInfo,
    "stream_stream_info",
    "The relay and what it did: `splice up=120 down=9000000 spliced=0/8000000 spilled=0/0` (upload/download, bytes).",
    |session, out| {
        let Some(s) = known(session).filter(|s| !s.relay.get().is_empty()) else { return false };
        let [[a, b], [c, d]] = [&s.spliced, &s.spilled].map(|p| p.each_ref().map(std::cell::Cell::get));
        let (up, down) = (session.upstream_sent.get(), session.client_sent.get());
        put(out, format_args!("{} up={up} down={down} spliced={a}/{b} spilled={c}/{d}", s.relay.get()))
    }
);
