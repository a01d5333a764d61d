//! Windows (RFC 9113 section 5.2). Knows nothing of whose they are.

use super::frame::MOST;

/// What may still be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Send(i32);

impl Send {
    pub(super) fn new(window: u32) -> Self {
        Self(window.min(MOST) as i32)
    }

    /// Bytes that may be sent. The window itself can be below zero, after the peer made it smaller (section 6.9.2).
    #[inline]
    pub(super) fn left(self) -> usize {
        self.0.max(0) as usize
    }

    /// Bytes are sent, at most as many as are left.
    #[inline]
    pub(super) fn take(&mut self, length: usize) {
        self.0 -= length as i32;
    }

    /// Makes the window larger, or smaller. Tells whether it lets something through that it did not before; `None` where
    /// it would be larger than a window may be.
    pub(super) fn grow(&mut self, by: i64) -> Option<bool> {
        let window = i32::try_from(i64::from(self.0) + by).ok()?;
        let opened = self.0 <= 0 && window > 0;
        self.0 = window;
        Some(opened)
    }
}

/// What the peer may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receive {
    /// Below zero after the window was made smaller.
    left: i64,
    /// What was given back and not yet announced.
    released: u32,
}

impl Receive {
    pub(super) fn new(window: u32) -> Self {
        Self { left: i64::from(window), released: 0 }
    }

    /// Bytes that may come.
    pub(super) fn left(self) -> u32 {
        self.left.clamp(0, i64::from(MOST)) as u32
    }

    /// Bytes were received; `false` where they are more than was allowed.
    #[inline]
    pub(super) fn take(&mut self, length: u32) -> bool {
        self.left -= i64::from(length);
        self.left >= 0 || length == 0
    }

    /// Gives bytes back, of a window of `full`. The increment to announce once that is half of it, for fewer would be a
    /// frame for each read. What was never taken is not given back.
    #[inline]
    pub(super) fn release(&mut self, credit: u32, full: u32) -> Option<u32> {
        let missing = i64::from(full) - self.left - i64::from(self.released);
        self.released += i64::from(credit).min(missing).max(0) as u32;
        if self.released == 0 || self.released < full / 2 {
            return None;
        }
        self.left += i64::from(self.released);
        Some(std::mem::take(&mut self.released))
    }

    /// The window is another one from now on.
    pub(super) fn shift(&mut self, by: i64) {
        self.left += by;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_window_may_be_negative_but_not_too_large() {
        let mut window = Send::new(10);
        window.take(10);
        assert_eq!((window.left(), window.grow(-5)), (0, Some(false)));
        assert_eq!((window.left(), window.grow(5), window.left()), (0, Some(false), 0));
        assert_eq!((window.grow(1), window.left()), (Some(true), 1));
        assert_eq!(window.grow(i64::from(MOST) - 1), Some(false));
        assert_eq!(window.grow(1), None);
    }

    #[test]
    fn a_receive_window_is_given_back_by_halves_and_never_overflows() {
        let mut window = Receive::new(10);
        assert!(window.take(10) && !window.take(1));
        let mut window = Receive::new(10);
        assert!(window.take(6));
        assert_eq!(window.release(4, 10), None);
        assert_eq!(window.release(100, 10), Some(6));
        assert_eq!(window.release(100, 10), None);
        assert!(window.take(10) && !window.take(1));
    }
}
