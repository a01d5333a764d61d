//! The contract between the host and its modules.

pub mod abi;
