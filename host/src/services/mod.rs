//! What modules ask the host for. Each file has one subject; `table` gathers their functions into the table that every
//! image gets. The only place besides the loader where the host touches raw pointers.

pub mod arena;
pub mod balancer;
pub mod buffers;
pub mod contracts;
#[cfg_attr(not(unix), path = "crash_none.rs")]
pub mod crash;
pub mod current;
pub mod datagram;
pub mod dns;
pub mod faults;
pub mod file_watch;
pub mod files;
pub mod instance;
pub mod jobs;
pub mod log;
pub mod metrics;
pub mod module_jobs;
pub mod net;
pub mod platform;
pub mod points;
pub mod priority;
pub mod rt;
pub mod session;
pub mod socket_file;
pub mod stream;
pub mod table;
pub mod tasks;
pub mod timers;
pub mod udp;
pub mod upstream;
pub mod waiters;
pub mod watch;
pub mod watchdog;
pub mod zones;

pub use faults::panicked;
