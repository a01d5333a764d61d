//! HPACK, the compression of field sections (RFC 7541). Knows nothing of frames, of streams, or of what a field means
//! beyond its name being known.

mod decode;
mod encode;
mod huffman;
mod integer;
mod names;
mod replay;
mod stat;
mod table;

pub(super) use decode::Decoder;
pub use encode::BadField;
pub(super) use encode::Encoder;
pub(super) use names::{Kind, Name};

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod encode_tests;
#[cfg(test)]
mod huffman_tests;
#[cfg(test)]
mod rfc7541_tests;

/// The bytes that a table counts for an entry, and a list for a field, beside name and value (RFC 7541 section 4.1).
pub(super) const OVERHEAD: u32 = 32;

/// A block that cannot be decoded: the connection is lost, since the tables may differ (RFC 7541 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Corrupt(pub(super) &'static str);
