//! The tcp module.
#![forbid(unsafe_code)]

pub mod core;
