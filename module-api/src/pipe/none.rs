//! Where there is no splice: no pipe is ever had, so everything is copied.

use super::Moved;
use crate::{Buf, Error, Stream};
use std::task::{Context, Poll};

/// There is none.
#[derive(Debug)]
pub enum Pipe {}

impl Pipe {
    /// Of none.
    pub const fn held(&self) -> usize {
        match *self {}
    }
    /// Into none.
    pub fn fill(&mut self, _: &Stream, _: u64) -> Moved {
        match *self {}
    }
    /// Out of none.
    pub fn poll_drain(&mut self, _: &mut Context<'_>, _: &mut Stream) -> Poll<Result<usize, Error>> {
        match *self {}
    }
    /// Out of none.
    ///
    /// # Errors
    /// None.
    pub fn read_into(&mut self, _: &mut Buf) -> Result<(), Error> {
        match *self {}
    }
}

/// None are kept.
#[derive(Debug)]
pub struct Pipes;

impl Pipes {
    /// Of none.
    pub fn new(_: usize) -> Self {
        Self
    }
    /// None.
    pub fn take(&self) -> Option<Pipe> {
        None
    }
    /// Of none.
    pub fn give(&self, pipe: Pipe) {
        match pipe {}
    }
}
