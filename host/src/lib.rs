//! The anyproxy host: configuration, threads, sockets, timers, modules and reload. Knows no protocol.

pub mod cli;
pub mod config;
pub mod control;
pub mod cycle;
pub mod loader;
pub mod log;
pub mod matcher;
pub mod metrics;
pub mod privileges;
pub mod process;
pub mod services;
pub mod session;
pub mod signal;
pub mod status;
pub mod systemd;
pub mod template;
#[cfg_attr(not(unix), path = "upgrade_none.rs")]
pub mod upgrade;
pub mod upstream;
pub mod worker;
