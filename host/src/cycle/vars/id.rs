//! Request ids: one text that follows a session through a chain of hosts, made by the first of them.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// A new id for the session: 32 hexadecimal digits. The first 16 are the process's (its start time, number and random
/// bits mixed, so no two processes share them but by a chance of 2⁻⁶⁴), the others the session's.
pub fn request_id(session_id: u64) -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    let process = PROCESS.get_or_init(|| {
        // Keyed by the system's random bits.
        let mut hasher = RandomState::new().build_hasher();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        hasher.write_u128(since.as_nanos());
        hasher.write_u32(std::process::id());
        hasher.finish()
    });
    format!("{process:016x}{session_id:016x}")
}
