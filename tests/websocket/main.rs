//! WebSockets: handshakes, echo, static texts, and before a peer. One behaviour a file.

mod echo;
mod handshakes;
mod limits;
mod lives_through;
mod malformed;
mod metrics;
mod proxied;
mod real_peers;
mod statics;
mod support;
