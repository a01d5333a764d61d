//! The anyproxy host.
