//! The contract `sample.echo`: what `echo-provider` offers and `echo-consumer` needs. Neither links the other; both link
//! this crate, which holds the table, its fingerprint, and a safe face on either side.
//!
//! What is released never changes: a new function is a new trailing field and a new minor.

use anyproxy_module_api::{Owner, Sink, abi::task::guard};
use std::{mem::offset_of, slice};

/// Name of the contract.
pub const ID: &str = "sample.echo";
/// Version: major and minor.
pub const VERSION: (u16, u16) = (1, 0);
/// Fingerprint of the released part of `EchoTable`.
pub const LAYOUT: u64 = fingerprint(&[
    size_of::<EchoTable>(),
    align_of::<EchoTable>(),
    offset_of!(EchoTable, size),
    offset_of!(EchoTable, provider),
    offset_of!(EchoTable, answer),
    size_of::<Sink>(),
]);

/// The table as it crosses between the two modules.
#[repr(C)]
#[derive(Debug)]
pub struct EchoTable {
    /// Size as the provider knows it.
    size: usize,
    /// What `answer` works on.
    provider: *const (),
    /// Writes the answer to some bytes. False: it panicked.
    answer: unsafe extern "C" fn(provider: *const (), ptr: *const u8, len: usize, to: *mut Sink<'_>) -> bool,
}

// SAFETY: functions, and a provider that is `Sync`.
unsafe impl Send for EchoTable {}
// SAFETY: as above.
unsafe impl Sync for EchoTable {}

/// What a provider writes.
pub trait Provider: Sync + 'static {
    /// Writes the answer to `bytes`.
    fn answer(&self, bytes: &[u8], to: &mut Sink<'_>);
}

impl EchoTable {
    /// The table over a provider, which must outlive it and stay in its place: a field of the module over the module.
    pub const fn new<P: Provider>(provider: &P) -> Self {
        unsafe extern "C" fn answer<P: Provider>(
            provider: *const (),
            ptr: *const u8,
            len: usize,
            to: *mut Sink<'_>,
        ) -> bool {
            // SAFETY: the provider of `new`; bytes and sink are lent for the call.
            guard(|| unsafe { (*provider.cast::<P>()).answer(slice::from_raw_parts(ptr, len), &mut *to) }).is_some()
        }
        Self { size: size_of::<Self>(), provider: std::ptr::from_ref(provider).cast(), answer: answer::<P> }
    }
}

/// The contract as a consumer holds it: resolved in `prepare`, kept in the instance. The provider lives as long as their
/// generation: in another one, where a static would be used, there is no answer.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    table: *const EchoTable,
    epoch: u32,
}

// SAFETY: the table may be used by all threads, and is looked at in its own generation only.
unsafe impl Send for Echo {}
// SAFETY: as above.
unsafe impl Sync for Echo {}

impl Echo {
    /// The provider of this generation; `None`: there is none.
    pub fn resolve() -> Option<Self> {
        let table = anyproxy_module_api::contract(ID, VERSION.0, VERSION.1, LAYOUT)?.cast::<EchoTable>();
        // SAFETY: the host checked name, version and fingerprint; the generation that asks lives, and its provider.
        let size = unsafe { (*table).size };
        // A function of a later minor is there only if the provider's table is long enough.
        (size >= size_of::<EchoTable>()).then(|| Self { table, epoch: anyproxy_module_api::epoch() })
    }

    /// Appends the answer to `bytes`. False: the provider panicked, or is another generation's.
    pub fn answer(self, bytes: &[u8], to: &mut Vec<u8>) -> bool {
        if anyproxy_module_api::epoch() != self.epoch {
            return false;
        }
        // SAFETY: of the generation that runs, which stops the provider last.
        let EchoTable { provider, answer, .. } = unsafe { &*self.table };
        // What it does, and a panic, is the provider's and not of whoever asks.
        let _in = Owner::of(*provider).enter();
        let mut sink = Sink::to_vec(to);
        // SAFETY: the table's own provider; bytes and sink are borrowed for the call.
        unsafe { answer(*provider, bytes.as_ptr(), bytes.len(), &raw mut sink) }
    }
}

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
    use anyproxy_module_api::testing::FakeHost;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_released_layout_is_as_it_was() {
        assert_eq!(
            (size_of::<EchoTable>(), offset_of!(EchoTable, provider), offset_of!(EchoTable, answer)),
            (24, 8, 16)
        );
    }

    #[test]
    fn a_table_answers_by_its_provider() {
        struct Twice;
        impl Provider for Twice {
            fn answer(&self, bytes: &[u8], to: &mut Sink<'_>) {
                to.push(bytes);
                to.push(bytes);
            }
        }
        static TWICE: Twice = Twice;
        static TABLE: EchoTable = EchoTable::new(&TWICE);
        let host = FakeHost::new();
        // SAFETY: the table that these name, and it is a static.
        unsafe { host.provide(ID, VERSION, LAYOUT, (&raw const TABLE).cast()) };
        let echo = Echo::resolve().expect("it is offered");
        let mut out = Vec::new();
        // A generation that is over may have taken its provider along.
        assert!(!Echo { epoch: echo.epoch + 1, ..echo }.answer(b"ab", &mut out));
        assert!(echo.answer(b"ab", &mut out));
        assert_eq!(out, b"abab");
    }
}
