//! A codec for HTTP/2 connections (RFC 9113), with HPACK (RFC 7541), extended `CONNECT` (RFC 8441) and PRIORITY_UPDATE (RFC
//! 9218), for both sides.
//! Works on bytes that the caller holds; knows nothing of sockets, configuration or routes, and of time what
//! [`Config::clock`] tells.
//!
//! What a peer can make it do, hold or answer is bounded by [`Config`]; a message that two readers could understand
//! differently is refused, never repaired.

#![allow(clippy::cast_possible_truncation, reason = "lengths are bounded by `Config`, numbers by the bits of a frame")]

mod block;
mod budget;
mod check;
mod code;
mod config;
mod connection;
mod control;
mod data;
mod event;
mod flow;
mod frame;
mod head;
mod hpack;
mod message;
mod priorities;
mod section;
mod send;
mod streams;
mod text;

pub use block::{Block, Field};
pub use check::check;
pub use code::{Code, Fatal, Wrong};
pub use config::Config;
pub use connection::{Connection, Role};
pub use event::Event;
pub use head::HeaderWriter;
pub use hpack::BadField;

#[cfg(test)]
mod differential_tests;
#[cfg(test)]
mod flood_tests;
#[cfg(test)]
mod frame_tests;
#[cfg(test)]
mod message_tests;
#[cfg(test)]
mod noise_tests;
#[cfg(test)]
mod pipe_tests;
#[cfg(test)]
mod priorities_tests;
#[cfg(test)]
mod send_tests;
#[cfg(test)]
mod wire_tests;
