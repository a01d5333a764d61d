//! The binary contract.
//!
//! What is released never changes: a new capability is a trailing field of a vtable (each starts with its own
//! `size`, and a field beyond the size that the other side stated is absent) or a `_v2` beside the old one.

pub mod bytes;
pub mod conf;
pub mod error;
pub mod export;
#[doc(hidden)]
pub mod export_macro;
#[cfg(feature = "testing")]
pub(crate) mod fake;
pub mod fd;
pub mod host;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod layout;
pub mod module;
pub mod net;
pub mod note;
pub mod recycled;
pub mod root;
pub mod services;
pub mod session;
pub mod stream;
pub mod task;
pub mod upstream;
