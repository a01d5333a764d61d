//! The anyproxy host: configuration, threads, sockets, timers, modules and reload. Knows no protocol.

pub mod config;
pub mod loader;
pub mod log;
pub mod matcher;
pub mod metrics;
pub mod template;
pub mod upstream;
