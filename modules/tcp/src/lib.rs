//! The tcp module.
