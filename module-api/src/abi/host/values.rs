//! What the functions of the host's table take and give: jobs, datagrams, names, metrics, zones, peers.

use super::Object;
use crate::abi::{
    bytes::{Sink, Slice, Str},
    net::Addr,
    stream::Stream,
};
use std::sync::atomic::AtomicU8;

/// Where a job runs.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pool {
    /// Waits for files and the like: many threads.
    Blocking = 0,
    /// Computes: at most one thread a core, at low priority.
    Compute = 1,
}

/// Work for a pool: called once with a token that reads 1 when the result is not wanted any more.
#[repr(C)]
#[derive(Debug)]
pub struct Job {
    /// The work's own data.
    pub data: *mut (),
    /// Runs it (`run`), or only gives `data` up. False: it panicked.
    pub finish: unsafe extern "C" fn(data: *mut (), run: bool, cancelled: *const AtomicU8) -> bool,
}

// SAFETY: made of a `Send` function by the SDK.
unsafe impl Send for Job {}

/// One datagram to send, or a run of equal ones (GSO).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Transmit<'a> {
    /// Where to.
    pub to: Addr,
    /// Address to send from, of which the port is not looked at; `Addr::NONE`: the socket's.
    pub from: Addr,
    /// The datagram, or all of them.
    pub bytes: Slice<'a, u8>,
    /// Bytes a datagram; 0: one datagram.
    pub segment: usize,
    /// ECN bits.
    pub ecn: u8,
}

impl<'a> Transmit<'a> {
    /// One datagram.
    pub const fn new(to: Addr, bytes: &'a [u8]) -> Self {
        Self { to, from: Addr::NONE, bytes: Slice::new(bytes), segment: 0, ecn: 0 }
    }
    /// A run of datagrams of `size` bytes (the last may be shorter).
    #[must_use]
    pub const fn segment(mut self, size: usize) -> Self {
        self.segment = size;
        self
    }
    /// Sent from this address of the machine.
    #[must_use]
    pub const fn from(mut self, addr: Addr) -> Self {
        self.from = addr;
        self
    }
    /// With these ECN bits.
    #[must_use]
    pub const fn ecn(mut self, bits: u8) -> Self {
        self.ecn = bits;
        self
    }
}

/// What was received into one buffer: a datagram or a run of equal ones (GRO).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Received {
    /// Who sent it.
    pub from: Addr,
    /// Which of this machine's addresses it was sent to (port 0: unknown).
    pub to: Addr,
    /// Bytes in all.
    pub len: usize,
    /// Bytes a datagram.
    pub segment: usize,
    /// ECN bits.
    pub ecn: u8,
}

/// One buffer of a batched receive.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RecvBuf {
    /// First byte.
    pub ptr: *mut u8,
    /// Room.
    pub len: usize,
}

/// An address of a name, with the seconds it may be kept.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Resolved {
    /// The address, port filled in.
    pub addr: Addr,
    /// Time to live, seconds.
    pub ttl_s: u32,
}

/// Kind of a metric.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MetricKind {
    /// Only grows.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Distribution of observations.
    Histogram = 2,
}

/// A metric to register.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MetricDesc<'a> {
    /// Name without prefix; the host puts the module's id in front.
    pub name: Str<'a>,
    /// One line of help.
    pub help: Str<'a>,
    /// `key=value,key=value`; empty: none.
    pub labels: Str<'a>,
    /// `bytes`, `seconds`, or empty.
    pub unit: Str<'a>,
    /// Kind.
    pub kind: MetricKind,
}

/// State that outlives a generation: one owner at a time, carried from image to image as bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ZoneDesc<'a> {
    /// Name within the module.
    pub name: Str<'a>,
    /// Version of the exported form.
    pub schema: u32,
    /// Makes an empty one.
    pub create: unsafe extern "C" fn() -> *mut (),
    /// Writes it out; after this the giver bypasses it. False: it panicked, the giver uses it on.
    pub export: unsafe extern "C" fn(*mut (), *mut Sink<'_>) -> bool,
    /// Reads what `export` wrote; null: not understood, an empty one is made.
    pub import: unsafe extern "C" fn(schema: u32, *const u8, usize) -> *mut (),
    /// Gives it up.
    pub drop: unsafe extern "C" fn(*mut ()),
}

impl ZoneDesc<'_> {
    /// The functions, to be kept: the name is lent for a call.
    pub const fn nameless(&self) -> ZoneDesc<'static> {
        let Self { schema, create, export, import, drop, .. } = *self;
        ZoneDesc { name: Str::EMPTY, schema, create, export, import, drop }
    }
}

/// A zone as handed to a generation.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Zone {
    /// What `create` or `import` made.
    pub data: *mut (),
    /// 1 once it moved to another image: do not touch it any more.
    pub frozen: *const AtomicU8,
    /// The host's handle, for `zone_drop`.
    pub handle: Object,
}

/// What a peer is, for logs and options.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerInfo<'a> {
    /// The upstream's name.
    pub upstream: Str<'a>,
    /// The peer as written.
    pub host: Str<'a>,
    /// Its address.
    pub addr: Addr,
    /// The connector's name.
    pub connector: Str<'a>,
    /// Identity across reloads.
    pub id: u64,
    /// Time the connect took, nanoseconds; 0: not connected yet.
    pub connect_ns: u64,
    /// Index of the peer among those of its upstream when it was chosen; `u32::MAX`: it is none of them.
    pub index: u32,
    /// 1: its connections begin with a greeting (PROXY protocol and the like) that speaks for one client, and are that
    /// client's alone.
    pub greeted: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

/// Which peer it is, and what whoever keeps connections must know of it: what is asked of every request.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerKey {
    /// [`PeerInfo::id`].
    pub id: u64,
    /// [`PeerInfo::greeted`], as 0 or 1.
    pub greeted: u64,
}

/// A connected peer: the stream, and the lease that counts it.
#[repr(C)]
#[derive(Debug)]
pub struct Connected {
    /// The stream.
    pub stream: Stream,
    /// To be given back by `lease_done`.
    pub lease: Object,
}
