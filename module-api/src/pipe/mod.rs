//! Pipes through which the kernel moves bytes from socket to socket (splice, Linux), and the few that a worker keeps: for
//! relays, and for long bodies that nobody looks at.

#[cfg_attr(not(target_os = "linux"), path = "none.rs")]
mod splice;

use crate::Error;
pub use splice::{Pipe, Pipes};

/// What came of a call.
#[derive(Debug)]
pub enum Moved {
    /// So many bytes; 0: the end.
    Bytes(usize),
    /// Would block.
    Again,
    /// The stream has bytes of its own that are to go before: those are to be copied.
    NotNow,
    /// Not out of this.
    Unsupported,
    /// The socket failed.
    Failed(Error),
}
