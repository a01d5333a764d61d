//! A loop as a guest of tokio's on the same thread: one of tokio's tasks turns it when there is something to do. For the
//! process's loop and for tests; a worker's loop is its own.

use super::{EndWait, Entered, Loop};
use std::{
    future::{Future, poll_fn},
    io::Result,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Longest sleep of tokio's timer, which knows no "never".
const LONG: Duration = Duration::from_secs(3600);

/// Polled and dropped on this thread only, whatever tokio's types ask for.
struct OneThread<F>(F);

// SAFETY: spawned on a current-thread runtime, which polls and drops its tasks on the thread that runs it.
unsafe impl<F> Send for OneThread<F> {}

impl<F: Future<Output = ()>> Future for OneThread<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the only field, pinned with the whole.
        unsafe { self.map_unchecked_mut(|s| &mut s.0) }.poll(cx)
    }
}

/// The loop ends with tokio's task, on the thread that had it.
struct Guest {
    // Before the loop: nobody may find it while it is dropped.
    _entered: Entered,
    this: Rc<Loop>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.this.end();
    }
}

/// Gives this thread, which runs a current-thread runtime of tokio's, a loop. To be called within that runtime.
///
/// # Errors
/// When the system gives no place to wait at.
pub fn attach() -> Result<()> {
    let poll = mio::Poll::new()?;
    let this = Rc::new(Loop::new(poll.registry().try_clone()?));
    let guest = Guest { _entered: Entered::new(&this), this };
    let mut readiness = system::Readiness::new(poll)?;
    let task = async move {
        let mut timer = Box::pin(tokio::time::sleep(LONG));
        poll_fn(|cx| -> Poll<()> {
            let this = &guest.this;
            *this.host.borrow_mut() = Some(cx.waker().clone());
            // The first waker is as good as any later one: it is this task's.
            let _ = this.shared.end_wait.set(EndWait::Host(cx.waker().clone()));
            loop {
                let busy = this.run_ready(|_| {});
                let mut again = readiness.poll(cx, &this.slots);
                this.timers.fire();
                if !busy
                    && !again
                    && let Some(wait) = this.timers.wait()
                {
                    timer.as_mut().reset(tokio::time::Instant::now() + wait.min(LONG));
                    again = timer.as_mut().poll(cx).is_ready();
                }
                if again {
                    continue;
                }
                if busy || !this.may_sleep() {
                    // Others of this runtime have their turn in between.
                    cx.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        })
        .await;
    };
    tokio::spawn(OneThread(task));
    Ok(())
}

#[cfg(unix)]
mod system {
    use super::{Context, Duration, Poll, Result};
    use crate::services::rt::{
        EVENTS,
        slots::{Slots, bits_of},
    };
    use std::os::fd::{AsRawFd, RawFd};
    use tokio::io::{Interest, unix::AsyncFd};

    /// Where the loop waits, itself waited for by tokio.
    pub(super) struct Readiness {
        // Before the poll, whose descriptor it is.
        fd: AsyncFd<RawFd>,
        poll: mio::Poll,
        events: mio::Events,
    }

    impl Readiness {
        pub(super) fn new(poll: mio::Poll) -> Result<Self> {
            // SAFETY: the poll is kept beside it, and dropped after it.
            let fd = unsafe { AsyncFd::register_with_interest(poll.as_raw_fd(), Interest::READABLE) }?;
            Ok(Self { fd, poll, events: mio::Events::with_capacity(EVENTS) })
        }

        /// Notes what is ready. True: there may be more, or somebody was woken.
        pub(super) fn poll(&mut self, cx: &mut Context<'_>, slots: &Slots) -> bool {
            let Poll::Ready(Ok(mut guard)) = self.fd.poll_read_ready(cx) else { return false };
            guard.clear_ready();
            // Interrupted: the next look sees it.
            let _ = self.poll.poll(&mut self.events, Some(Duration::ZERO));
            slots.dispatch(self.events.iter().map(bits_of));
            true
        }
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Context, Poll, Result};
    use crate::services::rt::{
        EVENTS,
        slots::{Slots, bits_of},
    };
    use tokio::sync::mpsc;

    /// Where the loop waits cannot be waited for by tokio: a thread does.
    pub(super) struct Readiness(mpsc::UnboundedReceiver<Vec<(usize, u8)>>);

    impl Readiness {
        pub(super) fn new(mut poll: mio::Poll) -> Result<Self> {
            let (tell, told) = mpsc::unbounded_channel();
            std::thread::Builder::new().name("readiness".to_owned()).spawn(move || {
                let mut events = mio::Events::with_capacity(EVENTS);
                loop {
                    let _ = poll.poll(&mut events, None);
                    if tell.send(events.iter().map(bits_of).collect()).is_err() {
                        return;
                    }
                }
            })?;
            Ok(Self(told))
        }

        /// Notes what is ready. True: somebody may have been woken.
        pub(super) fn poll(&mut self, cx: &mut Context<'_>, slots: &Slots) -> bool {
            let mut any = false;
            while let Poll::Ready(Some(events)) = self.0.poll_recv(cx) {
                slots.dispatch(events.into_iter());
                any = true;
            }
            any
        }
    }
}
