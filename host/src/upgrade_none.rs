//! Where sockets cannot be handed to another process: `--hot` is refused, and nothing is inherited.

use crate::{
    control::{Options, channel::Stream},
    cycle::{Cycle, bound::Sockets},
};

/// Whether this process takes over from another: never.
pub fn is_hot() -> bool {
    false
}

/// Whether another process took over from this one: never.
pub fn was_taken_over() -> bool {
    false
}

/// Whether a line on the control socket asks for a take-over: then it is answered as an unknown command.
pub fn is_request(_: &str) -> bool {
    false
}

/// What would be handed over: nothing.
pub fn offer(_: &Sockets, _: u32) {}

/// The sockets that this process starts with.
///
/// # Errors
/// In words, when `--hot` is asked for.
pub async fn inherited(options: &Options, _: &Cycle) -> Result<Sockets, String> {
    match &options.hot {
        Some(_) => Err("--hot: sockets cannot be handed to another process on this system".to_owned()),
        None => Ok(Sockets::new()),
    }
}

/// This process serves.
pub async fn taken_over(_: &Options) {}

/// Ends the connection.
pub async fn hand_over(_: Stream) {}

/// Sockets that would be handed over: none.
pub fn offered(_: u16, _: impl Fn(u64) -> bool) -> Vec<socket2::Socket> {
    Vec::new()
}
