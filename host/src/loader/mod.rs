//! Loads modules: reads what a file says of itself, copies it, maps the copy, and asks it for its description.
//! Knows nothing of what modules do.

mod header;
mod image;
mod system;

pub use header::{Header, read};
pub use image::{Image, Images};
