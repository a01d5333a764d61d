//! Why a stream or a connection ends (RFC 9113 section 7).

use std::fmt;

/// An error code. Unknown ones are carried as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

macro_rules! codes {
    ($($code:ident $number:literal)+) => {
        impl Code {
            $(#[doc = concat!("`", stringify!($code), "`")] pub const $code: Self = Self($number);)+

            /// The name in RFC 9113 section 7; `None` where the code is not known.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$code => Some(stringify!($code)),)+
                    _ => None,
                }
            }
        }
    };
}

codes! {
    NO_ERROR 0x0
    PROTOCOL_ERROR 0x1
    INTERNAL_ERROR 0x2
    FLOW_CONTROL_ERROR 0x3
    SETTINGS_TIMEOUT 0x4
    STREAM_CLOSED 0x5
    FRAME_SIZE_ERROR 0x6
    REFUSED_STREAM 0x7
    CANCEL 0x8
    COMPRESSION_ERROR 0x9
    CONNECT_ERROR 0xa
    ENHANCE_YOUR_CALM 0xb
    INADEQUATE_SECURITY 0xc
    HTTP_1_1_REQUIRED 0xd
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

/// The connection is lost: GOAWAY is in the output, which is to be sent before the connection is closed (RFC 9113
/// section 5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// What GOAWAY says.
    pub code: Code,
    /// What is wrong, for the log. Holds nothing that the peer sent.
    pub reason: &'static str,
}

/// A stream is lost, because of what the peer sent: RST_STREAM is in the output (RFC 9113 section 5.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The stream.
    pub stream: u32,
    /// What RST_STREAM says.
    pub code: Code,
    /// What is wrong, for the log. Holds nothing that the peer sent.
    pub reason: &'static str,
}

impl Fatal {
    pub(super) const fn protocol(reason: &'static str) -> Self {
        Self { code: Code::PROTOCOL_ERROR, reason }
    }

    pub(super) const fn size(reason: &'static str) -> Self {
        Self { code: Code::FRAME_SIZE_ERROR, reason }
    }

    pub(super) const fn flow(reason: &'static str) -> Self {
        Self { code: Code::FLOW_CONTROL_ERROR, reason }
    }

    pub(super) const fn calm(reason: &'static str) -> Self {
        Self { code: Code::ENHANCE_YOUR_CALM, reason }
    }
}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl std::error::Error for Fatal {}
