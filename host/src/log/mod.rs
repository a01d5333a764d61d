//! The access logs and the error log. Workers hand over whole lines and never wait; one thread writes. Knows neither what a
//! line says nor who reads it.

pub mod access;
pub mod error;
pub mod file;
mod limit;
mod queue;
mod subscriber;
#[cfg(test)]
mod test_support;
pub mod time;
pub mod writer;

pub use access::{AccessLog, Buffer, Buffering, MAX_LINE};
pub use error::{ErrorLog, Level, Session};
pub use file::Target;
pub use subscriber::{CurrentSession, Subscriber};
pub use writer::Writer;
