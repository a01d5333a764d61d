//! WebSockets. One behaviour a file.

mod echo;
mod support;
