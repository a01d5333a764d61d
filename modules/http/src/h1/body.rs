//! The body of a message, whatever its framing: how much of what arrives belongs to it.

use super::{Bad, ChunkLimits, ChunkedDecoder, Event, Framing};

/// One body as it arrives.
#[derive(Clone, Debug)]
pub enum Body {
    /// There is none.
    None,
    /// So many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunked(Box<ChunkedDecoder>),
    /// All until the end of the stream.
    UntilClose,
    /// It ended with the stream.
    Closed,
}

impl Body {
    /// A body at its beginning. `limits` count for chunks.
    #[must_use]
    pub fn new(framing: Framing, limits: ChunkLimits) -> Self {
        match framing {
            Framing::None => Self::None,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Box::new(ChunkedDecoder::new(limits))),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// Looks at `input`, which continues where the event before said it was done: see [`Event`]. The last payload and
    /// the end are two events; [`Body::is_done`] can tell in between.
    ///
    /// # Errors
    /// Those of [`ChunkedDecoder::decode`].
    pub fn decode(&mut self, input: &[u8]) -> Result<Event, Bad> {
        match self {
            Self::None | Self::Length(0) | Self::Closed => Ok(Event::End(0)),
            Self::Chunked(chunks) => chunks.decode(input),
            _ if input.is_empty() => Ok(Event::More(0)),
            Self::UntilClose => Ok(Event::Data(0..input.len())),
            Self::Length(left) => {
                let length = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= length as u64;
                Ok(Event::Data(0..length))
            }
        }
    }

    /// The stream has ended, and all that it carried was decoded.
    ///
    /// # Errors
    /// [`Bad::Truncated`] where the body is not complete (RFC 9112 section 8).
    pub fn end_of_stream(&mut self) -> Result<(), Bad> {
        if matches!(self, Self::UntilClose) {
            *self = Self::Closed;
        }
        if self.is_done() { Ok(()) } else { Err(Bad::Truncated) }
    }

    /// Whether the body is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        match self {
            Self::None | Self::Length(0) | Self::Closed => true,
            Self::Length(_) | Self::UntilClose => false,
            Self::Chunked(chunks) => chunks.is_done(),
        }
    }

    /// The trailer lines: see [`ChunkedDecoder::trailers`].
    #[must_use]
    pub fn trailers(&self) -> &[u8] {
        if let Self::Chunked(chunks) = self { chunks.trailers() } else { &[] }
    }
}
