//! Six ways to choose a peer of an upstream pool. Owns the choice alone: who the peers are, whether they are
//! healthy, how many connections they have and how long a session waits is the host's business, read from `PeerState`.
//!
//! An algorithm is the state of one pool on one worker. Nothing is shared between workers, so nothing is locked;
//! what workers must agree on (the `ip_hash` family) follows from the key alone, and what they must not do in step
//! (turns) starts at an offset of its own on each.

#![forbid(unsafe_code)]

pub mod algorithm;
pub mod fair;
mod hash;
pub mod ip_hash;
pub mod ip_hash_active;
#[cfg(test)]
mod pool;
pub mod random;
pub mod round_robin;
pub mod weight;

pub use algorithm::{Algorithm, NAMES, by_name};
