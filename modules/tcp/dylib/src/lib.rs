//! The tcp module as a dynamic library.
