//! The memory that a short message was read into, kept for the next one: mostly somebody wants some soon, and so it goes neither
//! back to the host nor is it asked for anew. One a worker.

use crate::conn::READ;
use anyproxy_module_api::Buf;
use std::cell::Cell;

/// A buffer of [`READ`] bytes, or none.
#[derive(Default)]
pub(crate) struct SpareBuf(Cell<Option<Buf>>);

impl std::fmt::Debug for SpareBuf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SpareBuf")
    }
}

impl SpareBuf {
    /// Keeps a buffer that nobody needs any more, if it is of the usual size.
    pub(crate) fn keep(&self, mut buf: Buf) {
        if buf.capacity() == READ {
            buf.clear();
            self.0.set(Some(buf));
        }
    }

    /// What was kept.
    pub(crate) fn take(&self) -> Option<Buf> {
        self.0.take()
    }

    /// Gives it up: where memory is short it is wanted elsewhere.
    pub(crate) fn sweep(&self) {
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_buffer_of_the_usual_size_is_kept_and_comes_back_empty() {
        let spare = SpareBuf::default();
        spare.keep(vec![1; READ].into());
        spare.keep(vec![2; READ].into());
        let buf = spare.take().expect("what was kept");
        assert_eq!((buf.len(), buf.capacity()), (0, READ));
        assert!(spare.take().is_none());
        spare.keep(vec![1; 2 * READ].into());
        assert!(spare.take().is_none(), "of another size");
        spare.keep(vec![1; READ].into());
        spare.sweep();
        assert!(spare.take().is_none(), "nobody wanted it for long");
    }
}
