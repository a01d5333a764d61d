//! The balancer module.
