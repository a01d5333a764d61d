//! Reads a configuration: text → document → typed tree. Has no side effects beyond reading files.

pub mod document;
