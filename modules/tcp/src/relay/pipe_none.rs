//! Where there is no splice: no pipe is ever had, so everything is copied.

use anyproxy_module_api::{Buf, Error, Stream};

/// As on Linux.
#[allow(dead_code)]
pub(super) enum Moved {
    Bytes(usize),
    Again,
    NotNow,
    Unsupported,
    Failed(Error),
}

/// There is none.
pub(super) enum Pipe {}

impl Pipe {
    pub(super) const fn held(&self) -> usize {
        match *self {}
    }
    pub(super) fn fill(&mut self, _: &Stream) -> Moved {
        match *self {}
    }
    pub(super) fn drain(&mut self, _: &Stream) -> Moved {
        match *self {}
    }
    pub(super) fn read_into(&mut self, _: &mut Buf) -> Result<(), Error> {
        match *self {}
    }
}

/// None are kept.
#[derive(Default)]
pub(crate) struct Pipes;

impl Pipes {
    pub(super) fn take(&self) -> Option<Pipe> {
        None
    }
    pub(super) fn give(&self, pipe: Pipe) {
        match pipe {}
    }
}
