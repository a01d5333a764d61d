//! Listeners by number, as modules know them, and where they are bound.

use anyproxy_module_api::abi::net::Addr;
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

#[derive(Default)]
struct Numbers {
    by_key: Option<HashMap<u64, u32>>,
    keys: Vec<u64>,
    locals: Vec<Addr>,
}

static NUMBERS: RwLock<Numbers> = RwLock::new(Numbers { by_key: None, keys: Vec::new(), locals: Vec::new() });

/// The number by which modules know a listener, for as long as the process lives.
pub fn number(key: u64) -> u32 {
    let mut n = NUMBERS.write().unwrap_or_else(PoisonError::into_inner);
    let Numbers { by_key, keys, locals } = &mut *n;
    *by_key.get_or_insert_default().entry(key).or_insert_with(|| {
        keys.push(key);
        locals.push(Addr::NONE);
        keys.len() as u32 - 1
    })
}

/// Notes where a listener is bound: to be called before its endpoints start, or they know the configured address only
/// (which may have port 0).
pub fn note_bound(key: u64, local: Addr) {
    let n = number(key);
    NUMBERS.write().unwrap_or_else(PoisonError::into_inner).locals[n as usize] = local;
}

pub(super) fn key_of(number: u32) -> Option<u64> {
    NUMBERS.read().unwrap_or_else(PoisonError::into_inner).keys.get(number as usize).copied()
}

pub(super) fn bound(key: u64) -> Option<Addr> {
    let n = number(key);
    let local = NUMBERS.read().unwrap_or_else(PoisonError::into_inner).locals[n as usize];
    (local != Addr::NONE).then_some(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_keeps_its_number_and_its_address() {
        let n = number(0x7e57);
        assert_eq!(number(0x7e57), n);
        assert_eq!(key_of(n), Some(0x7e57));
        assert_ne!(number(0x7e58), n);
        let at: Addr = std::net::SocketAddr::from(([127, 0, 0, 1], 4433)).into();
        note_bound(0x7e57, at);
        assert_eq!(bound(0x7e57), Some(at));
        assert_eq!(bound(0x7e58), None);
    }
}
