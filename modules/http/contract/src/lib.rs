//! What the http module offers to other modules: hooks in the life of a request and its answer, handlers that
//! `http_router` names, heads and bodies of both, and requests of their own to peers.
//!
//! ```text
//! local is chosen → Access → Headers → Content → handler, or the peers
//!                 → Received → not modified, ranges → Sent → compression, header rules → client
//! ```
//!
//! A module requires the contract ([`ID`], [`VERSION`]), resolves it in `prepare` and registers there what it has. It
//! links this crate and not http; http may be of another version, built by another compiler.
//!
//! What is released never changes: a new function is a trailing field and a new minor.

mod body;
mod bytes;
mod exchange;
mod file;
mod hook;
mod order;
mod provider;
mod read;
#[cfg(test)]
mod read_tests;
mod table;
#[cfg(feature = "testing")]
pub mod testing;
mod upgrade;

pub use body::{Body, BodyId, BodySource, Segment};
pub use bytes::Bytes;
pub use exchange::{Exchange, Fetched, Part, Speaks, To};
pub use file::{FileHandle, FilePart};
pub use hook::{Answer, Hook, HookStage, Http};
pub use order::{MOST_HOOKS, take_hook};
pub use provider::{Provider, Registered, Request, Response};
pub use read::Pieces;
pub use table::{HeadOp, HttpTable, ID, LAYOUT, RawAnswer, RawHook, RawRequest, RawResponse, VERSION, Which};
pub use upgrade::Upgraded;
