//! The decisions of layer-4 proxying as pure functions and state machines: bytes and times go in, verdicts come out.
//! Knows nothing of sockets, timers, tasks or the host; whoever calls it reads, waits, and closes.
//!
//! Every parser here takes bytes that a stranger sent. Each is bounded in the memory it holds and the time it takes,
//! never panics, and refuses with a fixed reason that serves both as the log's text and as the counter's label.
#![forbid(unsafe_code)]

pub mod address;
pub mod client_hello;
pub mod delay;
pub mod hello_header;
pub mod host_name;
pub mod http_host;
pub mod ip_list;
pub mod port_range;
pub mod proxy_protocol;
pub mod rate;

mod bytes;
#[cfg(test)]
mod corpus;
