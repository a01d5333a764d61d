//! What a connection tells its caller.

use super::code::Code;
use std::ops::Range;

/// What happened. `key` is what the caller has set for the stream ([`super::Connection::set_key`]), 0 where it has not.
///
/// Where both sides have ended a stream, it is gone by the time the caller hears of it: `key` is then the last that is
/// heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Server: a request. Client: a response, or an interim one, whose status is below 200. It is in
    /// [`super::Connection::block`] until the next event.
    Head {
        /// The stream.
        stream: u32,
        /// Its key.
        key: u32,
        /// Nothing follows.
        end: bool,
    },
    /// Server: a request with more or larger fields than allowed, which is to be answered with `status`. Some of it may
    /// be in [`super::Connection::block`], but it is neither complete nor checked.
    Refused {
        /// The stream.
        stream: u32,
        /// Nothing follows.
        end: bool,
        /// 431 (RFC 6585 section 5).
        status: u16,
    },
    /// A part of the content.
    Data {
        /// The stream.
        stream: u32,
        /// Its key.
        key: u32,
        /// Where it lies in the input. May be empty, where `end` is said with a frame of its own.
        payload: Range<usize>,
        /// Nothing follows.
        end: bool,
        /// What it takes of the windows, padding included: for [`super::Connection::release`].
        credit: u32,
    },
    /// The trailers, with which the message ends. They are in [`super::Connection::block`] until the next event.
    Trailers {
        /// The stream.
        stream: u32,
        /// Its key.
        key: u32,
    },
    /// The stream has ended early. It is gone.
    Reset {
        /// The stream.
        stream: u32,
        /// Its key.
        key: u32,
        /// Why.
        code: Code,
        /// It was not the peer who reset it, but this side, because of what the peer sent. A client hears so too of
        /// streams that the peer's GOAWAY leaves out, with [`Code::REFUSED_STREAM`]: the peer has not begun with those.
        own: bool,
    },
    /// Server: the client says anew how the answer is to come beside others: [`super::Connection::priority`].
    Priority {
        /// The stream.
        stream: u32,
        /// Its key.
        key: u32,
    },
    /// What could not be sent can be now: a window opened, or the peer allows more streams.
    Writable {
        /// The stream; 0: try all of them.
        stream: u32,
        /// Its key.
        key: u32,
    },
    /// The peer takes no new streams on this connection.
    GoAway {
        /// The last stream that the peer has begun with, or may begin with.
        last: u32,
        /// Why.
        code: Code,
    },
    /// The answer to [`super::Connection::ping`].
    Pong {
        /// What that was called with.
        payload: [u8; 8],
    },
}
