//! A codec for HTTP/1.0 and HTTP/1.1 messages (RFC 9110, RFC 9112): heads, the framing of bodies, chunks, and what a
//! proxy does to a head before it passes it on. Works on bytes that the caller holds; knows nothing of sockets, time,
//! configuration or routes.
//!
//! A message that two readers could understand differently is refused, never repaired: that is what request smuggling
//! lives on.

#![allow(clippy::cast_possible_truncation, reason = "offsets are bounded by `Limits`, digits by their base")]

mod authority;
mod bad;
mod before;
pub(crate) mod block;
mod body;
mod chunked;
mod fields;
mod framing;
mod head;
mod line;
mod made;
mod name;
mod scan;
mod start;
mod strip;
mod text;
mod wide;
mod write;

pub use authority::{Authority, authority};
pub use bad::Bad;
pub use body::Body;
pub use chunked::{ChunkLimits, ChunkedDecoder, ChunkedEncoder, Event, keep_trailers};
pub use fields::{Fields, HeaderAt, Span, Tokens, tokens};
pub use framing::{Connection, Framing, connection, keep_alive, request_framing, response_framing};
pub use head::{Head, Limits, Step};
pub use made::Line;
pub use name::{Id, Ids};
pub use start::{Method, Target, Version};
pub use strip::{Struck, strike_listed, strip, strip_response};
pub use text::{Decimal, decimal};
pub use write::{Sink, field, headers, request, request_line, response, status_line};

#[cfg(test)]
mod again_tests;
#[cfg(test)]
mod body_tests;
#[cfg(test)]
mod differential_tests;
#[cfg(test)]
mod framing_tests;
#[cfg(test)]
mod head_tests;
#[cfg(test)]
mod split_tests;
#[cfg(test)]
mod strip_tests;

#[cfg(test)]
pub(crate) use differential_tests::Random;
