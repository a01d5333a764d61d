//! The binary contract.
//!
//! What is released never changes: a new capability is a trailing field of a vtable (each starts with its own
//! `size`, and a field beyond the size that the other side stated is absent) or a `_v2` beside the old one.

pub mod bytes;
pub mod conf;
pub mod upstream;
pub mod error;
pub mod net;
pub mod stream;
#[cfg(unix)]
mod fd;
pub mod task;
pub mod host;
pub mod module;
pub mod session;
pub mod note;
pub mod root;
pub mod services;
pub mod export;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod layout;
#[cfg(feature = "testing")]
pub(crate) mod fake;
#[doc(hidden)]
pub mod export_macro;
