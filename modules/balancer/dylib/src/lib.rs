//! The balancer module as a dynamic library.
