//! Why a message is refused: one list for heads, framing and bodies.

use std::fmt;

/// Why a message is refused. No variant can be recovered from: the connection that the bytes came from must be closed,
/// because where the next message begins is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// A CR without LF, or an LF without CR (RFC 9112 section 2.2).
    LineEnd,
    /// The method is empty or not a token, or is not followed by one space (RFC 9112 section 3.1).
    Method,
    /// The request target has none of the four forms, or not the one its method needs (RFC 9112 section 3.2).
    Target,
    /// Where `HTTP/x.y` and the end of a part should be is something else (RFC 9112 section 2.3).
    Protocol,
    /// A well-formed version other than 1.0 and 1.1.
    Version,
    /// The status is not three digits from 100 to 999, or its reason holds a control byte (RFC 9112 section 4).
    Status,
    /// A field name is empty, longer than 255 bytes, or not followed by a colon, or not a token (RFC 9112 section 5.1).
    Name,
    /// A field value holds a control byte (RFC 9110 section 5.5).
    Value,
    /// A line begins with a space or a tab (RFC 9112 sections 2.2 and 5.2).
    Fold,
    /// The request or status line is longer than its limit.
    LineTooLong,
    /// The head, or one value in it, is longer than its limit.
    HeadTooLarge,
    /// More header lines than the limit.
    TooManyHeaders,
    /// HTTP/1.1 without `Host` (RFC 9112 section 3.2).
    NoHost,
    /// More than one `Host` line (RFC 9112 section 3.2).
    ManyHosts,
    /// `Host` is not `uri-host [":" port]`, or is empty (RFC 9110 section 7.2).
    Host,
    /// `Content-Length` is not one number below 2^64, or there are several (RFC 9112 section 6.3).
    ContentLength,
    /// Both `Transfer-Encoding` and `Content-Length` (RFC 9112 section 6.3).
    CodingAndLength,
    /// `Transfer-Encoding` in HTTP/1.0 (RFC 9112 section 6.1).
    CodingVersion,
    /// `Transfer-Encoding` is not a list of tokens, or has `chunked` twice or not last (RFC 9112 section 6.1).
    Coding,
    /// `Transfer-Encoding` names a coding other than `chunked`.
    UnknownCoding,
    /// `CONNECT` with content (RFC 9110 section 9.3.6).
    ConnectContent,
    /// `Connection` lists more than 32 names of fields that are not known: more than anybody means, and each is looked for in
    /// every line.
    ConnectionList,
    /// A chunk size is not 1 to 16 hexadecimal digits, or its line ends wrongly (RFC 9112 section 7.1).
    ChunkSize,
    /// A chunk extension holds a control byte, or is longer than its limit (RFC 9112 section 7.1.1).
    ChunkExtension,
    /// The data of a chunk is not followed by CRLF (RFC 9112 section 7.1).
    ChunkEnd,
    /// The trailer section is longer, or has more lines, than its limit.
    TrailersTooLarge,
    /// The stream ended inside a message (RFC 9112 section 8).
    Truncated,
}

impl Bad {
    /// The status to answer a bad request with (RFC 9110 section 15.5). For a bad response the answer is always 502.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::LineTooLong => 414,
            Self::HeadTooLarge | Self::TooManyHeaders | Self::TrailersTooLarge => 431,
            Self::UnknownCoding => 501,
            Self::Version => 505,
            _ => 400,
        }
    }

    /// What is wrong, for the log. Holds nothing that the peer sent.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::LineEnd => "a line does not end in CRLF",
            Self::Method => "invalid method",
            Self::Target => "invalid request target",
            Self::Protocol => "malformed protocol version",
            Self::Version => "unsupported protocol version",
            Self::Status => "invalid status line",
            Self::Name => "invalid field name",
            Self::Value => "invalid byte in a field value",
            Self::Fold => "folded header line",
            Self::LineTooLong => "first line too long",
            Self::HeadTooLarge => "head too large",
            Self::TooManyHeaders => "too many header lines",
            Self::NoHost => "no Host header",
            Self::ManyHosts => "more than one Host header",
            Self::Host => "invalid Host header",
            Self::ContentLength => "invalid Content-Length",
            Self::CodingAndLength => "both Transfer-Encoding and Content-Length",
            Self::CodingVersion => "Transfer-Encoding in HTTP/1.0",
            Self::Coding => "invalid Transfer-Encoding",
            Self::UnknownCoding => "unknown transfer coding",
            Self::ConnectContent => "CONNECT with content",
            Self::ConnectionList => "too many names in Connection",
            Self::ChunkSize => "invalid chunk size",
            Self::ChunkExtension => "invalid or too long chunk extension",
            Self::ChunkEnd => "no CRLF after a chunk",
            Self::TrailersTooLarge => "trailers too large",
            Self::Truncated => "the stream ended inside a message",
        }
    }
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Bad {}
