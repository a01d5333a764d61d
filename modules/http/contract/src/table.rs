//! The functions as they cross, and their fingerprint.

use crate::{Body, Bytes, FilePart, Upgraded};
use anyproxy_module_api::{
    SessionShared, Sink, Slice, Str,
    abi::{error::Outcome, task::LocalFuture},
};
use std::mem::offset_of;

/// Name of the contract.
pub const ID: &str = "http";
/// Version: major and minor.
pub const VERSION: (u16, u16) = (1, 0);

/// Which head of an exchange.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The request's.
    Request,
    /// The answer's. Empty until somebody answers.
    Response,
}

/// What becomes of a header.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadOp {
    /// A line in place of those of its name.
    Set,
    /// One more line.
    Add,
    /// No line of the name.
    Remove,
}

/// What a hook or handler makes of an exchange.
#[repr(C)]
#[derive(Debug)]
pub struct RawAnswer {
    /// 0: it goes on with `body`, 1: this is the answer, with `body`; status and headers are set. 2: the same, and the
    /// connection goes on with `upgraded`.
    pub kind: u32,
    /// The request's body to go on with, or the answer's.
    pub body: Body,
    /// For 2.
    pub upgraded: Upgraded,
}

/// A hook or handler as it is registered. Copied by the provider.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawHook<'a> {
    /// Size as its author knows it.
    pub size: usize,
    /// Its name, for the order of others and for messages.
    pub name: Str<'a>,
    /// See `HookStage`; of a handler: not looked at.
    pub stage: u32,
    /// Hooks of the stage that it comes before and after.
    pub before: Slice<'a, Str<'a>>,
    /// The same after.
    pub after: Slice<'a, Str<'a>>,
    /// The author's object of this generation.
    pub module: *const (),
    /// Whether it has a part in the exchanges of the block that this one is in.
    pub applies: unsafe extern "C" fn(module: *const (), *const HttpTable, *const SessionShared) -> bool,
    /// Runs it. The exchange is alive until the future is dropped.
    pub run: unsafe extern "C" fn(
        module: *const (),
        *const HttpTable,
        *const SessionShared,
        Body,
    ) -> LocalFuture<Outcome<RawAnswer>>,
}

// SAFETY: functions, texts of the author's image and an object that is `Sync`.
unsafe impl Send for RawHook<'_> {}
// SAFETY: as above.
unsafe impl Sync for RawHook<'_> {}

/// A request of a module's own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RawRequest<'a> {
    /// Method.
    pub method: Str<'a>,
    /// Path and query.
    pub target: Slice<'a, u8>,
    /// Header lines, each with its CRLF, `Host` among them or not.
    pub headers: Slice<'a, u8>,
    /// See `Speaks`; 0: the peers of the exchange's local are asked, as it says.
    pub speaks: u32,
    /// Else: the number of the upstream that is asked.
    pub upstream: u32,
}

/// Its answer.
#[repr(C)]
#[derive(Debug)]
pub struct RawResponse {
    /// Status.
    pub status: u32,
    /// Header lines, each with its CRLF.
    pub headers: Bytes,
    /// Body.
    pub body: Body,
}

/// The contract as a table. `provider` is passed to each function; sessions are exchanges of `http`, alive and on their
/// worker.
#[repr(C)]
#[derive(Debug)]
pub struct HttpTable {
    /// Size as the provider knows it.
    pub size: usize,
    /// What the functions work on.
    pub provider: *const (),
    /// Registers a hook, in `prepare`. False: its stage is unknown, its name is taken, its order contradicts others', there are
    /// too many, or `prepare` is over.
    pub add_hook: unsafe extern "C" fn(provider: *const (), *const RawHook<'_>) -> bool,
    /// Registers what `http_router` calls by its name, in `prepare`. False: the name is taken, or `prepare` is over.
    pub add_handler: unsafe extern "C" fn(provider: *const (), *const RawHook<'_>) -> bool,
    /// Writes a part of the request (see `Part`). False: it has none.
    pub part: unsafe extern "C" fn(provider: *const (), *const SessionShared, part: u32, *mut Sink<'_>) -> bool,
    /// Writes a header's values, joined by commas. False: there is none.
    pub header: unsafe extern "C" fn(
        provider: *const (),
        *const SessionShared,
        which: u32,
        name: Str<'_>,
        *mut Sink<'_>,
    ) -> bool,
    /// Calls `each` with every header line, in order.
    pub headers: unsafe extern "C" fn(
        provider: *const (),
        *const SessionShared,
        which: u32,
        data: *mut (),
        each: unsafe extern "C" fn(data: *mut (), name: Str<'_>, value: Slice<'_, u8>),
    ),
    /// Changes a header. False: it would be no line, or frames the message, which is http's own to say.
    pub edit: unsafe extern "C" fn(
        provider: *const (),
        *const SessionShared,
        which: u32,
        op: u32,
        name: Str<'_>,
        value: Slice<'_, u8>,
    ) -> bool,
    /// The status of the answer; 0: there is none yet.
    pub status: unsafe extern "C" fn(provider: *const (), *const SessionShared) -> u32,
    /// Begins an answer with this status and no headers, in place of whatever was there. False: no status of a final answer, nor
    /// 101 where the client asks for another protocol.
    pub respond: unsafe extern "C" fn(provider: *const (), *const SessionShared, status: u32) -> bool,
    /// Changes path and query of the request: what handlers see and peers get. The local stays. False: malformed.
    pub set_target: unsafe extern "C" fn(provider: *const (), *const SessionShared, target: Slice<'_, u8>) -> bool,
    /// Asks the peers of the exchange's local something of the module's own. The exchange is alive until the future and
    /// the body of its answer are dropped.
    pub fetch: unsafe extern "C" fn(
        provider: *const (),
        *const SessionShared,
        *const RawRequest<'_>,
        Body,
    ) -> LocalFuture<Outcome<RawResponse>>,
}

// SAFETY: functions, and a provider that is `Sync`.
unsafe impl Send for HttpTable {}
// SAFETY: as above.
unsafe impl Sync for HttpTable {}

/// Fingerprint of the released part.
pub const LAYOUT: u64 = fingerprint(&[
    size_of::<HttpTable>(),
    offset_of!(HttpTable, fetch),
    size_of::<RawHook<'_>>(),
    offset_of!(RawHook<'_>, run),
    size_of::<RawAnswer>(),
    size_of::<RawRequest<'_>>(),
    size_of::<RawResponse>(),
    size_of::<Body>(),
    size_of::<Bytes>(),
    size_of::<FilePart>(),
    size_of::<Outcome<RawAnswer>>(),
    size_of::<Outcome<RawResponse>>(),
    size_of::<Sink<'_>>(),
]);

/// FNV-1a over the numbers that a change in place would change.
const fn fingerprint(numbers: &[usize]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < numbers.len() {
        hash = (hash ^ numbers[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is released never changes in place: sizes and offsets of 1.0.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_layout_is_as_it_was() {
        let now = [
            ("HttpTable", size_of::<HttpTable>()),
            ("HttpTable.add_hook", offset_of!(HttpTable, add_hook)),
            ("HttpTable.part", offset_of!(HttpTable, part)),
            ("HttpTable.edit", offset_of!(HttpTable, edit)),
            ("HttpTable.fetch", offset_of!(HttpTable, fetch)),
            ("RawHook", size_of::<RawHook<'_>>()),
            ("RawHook.module", offset_of!(RawHook<'_>, module)),
            ("RawHook.run", offset_of!(RawHook<'_>, run)),
            ("RawAnswer", size_of::<RawAnswer>()),
            ("RawRequest", size_of::<RawRequest<'_>>()),
            ("RawResponse", size_of::<RawResponse>()),
            ("Body", size_of::<Body>()),
            ("Bytes", size_of::<Bytes>()),
            ("FilePart", size_of::<FilePart>()),
        ];
        let golden = [
            ("HttpTable", 96),
            ("HttpTable.add_hook", 16),
            ("HttpTable.part", 32),
            ("HttpTable.edit", 56),
            ("HttpTable.fetch", 88),
            ("RawHook", 88),
            ("RawHook.module", 64),
            ("RawHook.run", 80),
            ("RawAnswer", 64),
            ("RawRequest", 56),
            ("RawResponse", 80),
            ("Body", 24),
            ("Bytes", 48),
            ("FilePart", 48),
        ];
        assert_eq!(now, golden);
    }
}
