//! No io_uring on this platform: all goes by readiness.

use super::slots::Seen;
use std::{
    convert::Infallible,
    io::{ErrorKind, Result},
    task::{Context, Poll},
    time::Duration,
};

/// None can be made.
pub(super) struct Ring(Infallible);

impl Ring {
    pub(super) fn new(_: &mio::Poll) -> Result<Self> {
        Err(ErrorKind::Unsupported.into())
    }

    pub(super) fn wait(&self, _: Option<Duration>) -> Result<()> {
        match self.0 {}
    }

    pub(super) fn dispatch(&self) -> bool {
        match self.0 {}
    }
}

/// None can be made.
#[derive(Debug)]
pub struct Ringed(Infallible);
