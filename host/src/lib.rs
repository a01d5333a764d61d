//! The anyproxy host: configuration, threads, sockets, timers, modules and reload. Knows no protocol.

pub mod config;
