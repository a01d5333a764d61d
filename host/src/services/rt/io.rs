//! Readiness of sockets: each is registered once, for both directions, by edges. What is known of it is kept until a call
//! says that there is no more; nothing is asked of the system to learn that.

pub use mio::Interest;

use super::{
    here, no_loop,
    slots::{GONE, Known, READ, Seen, Slot, WRITE, all},
};
use mio::{Token, event::Source};
use std::{
    io::{ErrorKind, Result},
    ops::Deref,
    rc::Rc,
    task::{Context, Poll},
};

/// Sockets that say nothing to anybody once they are closed: to deregister them would be a system call too many.
pub trait Registered: Source {
    /// Closing deregisters, as nobody else holds the descriptor.
    const ENDS_WITH_ITSELF: bool = false;

    /// What it can be registered by later, where the platform has that.
    #[cfg(unix)]
    fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        None
    }
}

impl Registered for mio::net::TcpStream {
    const ENDS_WITH_ITSELF: bool = cfg!(unix);

    #[cfg(unix)]
    fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        Some(std::os::fd::AsRawFd::as_raw_fd(self))
    }
}
impl Registered for mio::net::TcpListener {}
impl Registered for mio::net::UdpSocket {}
#[cfg(unix)]
impl Registered for mio::net::UnixStream {
    const ENDS_WITH_ITSELF: bool = true;
}
#[cfg(unix)]
impl Registered for mio::net::UnixListener {}

/// A descriptor that stays whose it is.
#[cfg(unix)]
#[derive(Debug)]
pub struct Borrowed(pub std::os::fd::RawFd);

#[cfg(unix)]
impl Source for Borrowed {
    fn register(&mut self, r: &mio::Registry, t: Token, i: Interest) -> Result<()> {
        mio::unix::SourceFd(&self.0).register(r, t, i)
    }
    fn reregister(&mut self, r: &mio::Registry, t: Token, i: Interest) -> Result<()> {
        mio::unix::SourceFd(&self.0).reregister(r, t, i)
    }
    fn deregister(&mut self, r: &mio::Registry) -> Result<()> {
        mio::unix::SourceFd(&self.0).deregister(r)
    }
}

#[cfg(unix)]
impl Registered for Borrowed {}

/// A socket of this thread's loop. To be used and dropped on this thread.
#[derive(Debug)]
pub struct Io<S: Registered> {
    source: Option<S>,
    slot: Rc<Slot>,
}

impl<S: Registered> Io<S> {
    /// Registers a non-blocking socket for both directions.
    ///
    /// # Errors
    /// What the system says; `Unsupported` on a thread without a loop.
    pub fn new(source: S) -> Result<Self> {
        Self::for_interest(source, Interest::READABLE | Interest::WRITABLE)
    }

    /// The same, where bytes are there already: it is registered when somebody has to wait for it. Many a connection ends
    /// before that.
    ///
    /// # Errors
    /// See [`Io::new`].
    #[cfg(unix)]
    pub fn with_bytes(source: S) -> Result<Self> {
        if source.descriptor().is_none() {
            return Self::new(source);
        }
        here(|here| {
            let mut all = here.ok_or_else(no_loop)?.slots.slots.borrow_mut();
            let entry = all.vacant_entry();
            let token = u32::try_from(entry.key()).map_err(|_| ErrorKind::OutOfMemory)?.into();
            let (ready, known) = ((READ | WRITE).into(), Known::Not.into());
            let slot = Rc::new(Slot { token, ready, known, ..Slot::default() });
            entry.insert(Rc::clone(&slot));
            Ok(Self { source: Some(source), slot })
        })
    }

    /// The same; elsewhere every socket is registered first.
    ///
    /// # Errors
    /// See [`Io::new`].
    #[cfg(not(unix))]
    pub fn with_bytes(source: S) -> Result<Self> {
        Self::new(source)
    }

    /// Tells the system of it, which says what is ready.
    #[cfg(unix)]
    #[cold]
    fn make_known(&self) -> Result<()> {
        if self.is_gone() {
            return Err(no_loop());
        }
        let fd = self.source.as_ref().and_then(Registered::descriptor).ok_or(ErrorKind::NotConnected)?;
        here(|here| {
            let slots = &here.ok_or_else(no_loop)?.slots;
            let interest = Interest::READABLE | Interest::WRITABLE;
            mio::unix::SourceFd(&fd).register(&slots.registry, Token(self.slot.token.get() as usize), interest)
        })
    }

    /// The same for one direction.
    ///
    /// # Errors
    /// See [`Io::new`].
    pub fn for_interest(mut source: S, interest: Interest) -> Result<Self> {
        here(|here| {
            let slots = &here.ok_or_else(no_loop)?.slots;
            let mut all = slots.slots.borrow_mut();
            let entry = all.vacant_entry();
            let token = u32::try_from(entry.key()).map_err(|_| ErrorKind::OutOfMemory)?.into();
            source.register(&slots.registry, Token(entry.key()), interest)?;
            let slot = Rc::new(Slot { token, ..Slot::default() });
            entry.insert(Rc::clone(&slot));
            Ok(Self { source: Some(source), slot })
        })
    }

    /// Whether its loop has ended, and what it was registered with: it is nowhere.
    fn is_gone(&self) -> bool {
        self.slot.token.get() == GONE
    }

    /// Whether a call in this direction is worth a try; `Pending`: this task is woken when it is.
    #[inline]
    pub fn poll_ready(&self, cx: &mut Context<'_>, bit: u8) -> Poll<()> {
        if self.is_ready(bit) { Poll::Ready(()) } else { self.wait(cx, bit) }
    }

    /// It is not ready: the task is noted. Apart, so that what is ready needs none of its frame.
    #[inline(never)]
    fn wait(&self, cx: &mut Context<'_>, bit: u8) -> Poll<()> {
        let waiter = if bit == READ { &self.slot.reader } else { &self.slot.writer };
        let before = waiter.take().filter(|w| w.will_wake(cx.waker()));
        waiter.set(Some(before.unwrap_or_else(|| cx.waker().clone())));
        #[cfg(unix)]
        if self.slot.known.get() == Known::Not {
            self.slot.known.set(Known::Descriptor);
            if self.make_known().is_err() {
                // The next call tells what is wrong.
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// The task is woken by whatever the system says next of the reading side, or when the other side is gone, though there be
    /// something to be read now.
    pub fn watch(&self, cx: &mut Context<'_>) {
        // A socket that cannot be registered fails at the next call.
        let _ = self.wait(cx, READ);
    }

    /// The same without waiting.
    #[inline]
    pub fn is_ready(&self, bit: u8) -> bool {
        self.seen().is_ready(bit)
    }

    /// What is known now.
    #[inline]
    pub fn seen(&self) -> Seen {
        Seen(self.slot.ready.get())
    }

    /// A call said that there is no more. What is closed stays so.
    pub fn clear(&self, bit: u8) {
        self.slot.ready.set(self.slot.ready.get() & !bit);
    }

    /// Nobody waits any more.
    pub fn forget_waiters(&self) {
        drop((self.slot.reader.take(), self.slot.writer.take()));
    }

    /// `f`'s result; "would block" clears the readiness and waits for the next.
    pub fn poll_io<R>(&self, cx: &mut Context<'_>, bit: u8, mut f: impl FnMut(&S) -> Result<R>) -> Poll<Result<R>> {
        loop {
            if self.poll_ready(cx, bit).is_pending() {
                return Poll::Pending;
            }
            match self.try_io(bit, &mut f) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// `f`'s result; "would block" clears the readiness.
    ///
    /// # Errors
    /// `f`'s.
    pub fn try_io<R>(&self, bit: u8, f: impl FnOnce(&S) -> Result<R>) -> Result<R> {
        let r = f(self);
        if matches!(&r, Err(e) if e.kind() == ErrorKind::WouldBlock) {
            self.clear(all(bit));
        }
        r
    }

    /// `f` reads into `len` bytes. A result that does not fill them says that there is no more yet.
    pub fn poll_read(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        mut f: impl FnMut(&S) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let r = self.poll_io(cx, READ, &mut f);
        self.short(&r, READ, len);
        r
    }

    /// `f` writes `len` bytes. A result that is less says that there is no more room yet.
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        mut f: impl FnMut(&S) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let r = self.poll_io(cx, WRITE, &mut f);
        self.short(&r, WRITE, len);
        r
    }

    /// Elsewhere only "would block" lets the system tell again.
    fn short(&self, r: &Poll<Result<usize>>, bit: u8, len: usize) {
        if cfg!(unix)
            && let Poll::Ready(Ok(n)) = r
            && *n > 0
            && *n < len
        {
            self.clear(bit);
        }
    }

    /// Gives the socket back, registered nowhere.
    ///
    /// # Errors
    /// What the system says.
    pub fn into_inner(mut self) -> Result<S> {
        let mut source = self.source.take().ok_or(ErrorKind::NotConnected)?;
        if self.is_gone() {
            return Ok(source);
        }
        here(|here| {
            let registry = &here.ok_or_else(no_loop)?.slots.registry;
            match self.slot.known.get() {
                Known::Not => Ok(()),
                #[cfg(unix)]
                Known::Descriptor => {
                    let fd = source.descriptor().ok_or(ErrorKind::NotConnected)?;
                    mio::unix::SourceFd(&fd).deregister(registry)
                }
                _ => source.deregister(registry),
            }
        })?;
        Ok(source)
    }
}

impl<S: Registered> Deref for Io<S> {
    type Target = S;
    fn deref(&self) -> &S {
        // Taken by `into_inner` alone, which consumes it.
        self.source.as_ref().unwrap_or_else(|| unreachable!("a socket that was given back"))
    }
}

impl<S: Registered> Drop for Io<S> {
    fn drop(&mut self) {
        let gone = here(|here| {
            let slots = &here?.slots;
            if !S::ENDS_WITH_ITSELF
                && !self.is_gone()
                && let Some(source) = &mut self.source
            {
                // A descriptor that was closed before is registered no more.
                let _ = source.deregister(&slots.registry);
            }
            // No loop has a slot of the number `GONE`.
            slots.slots.borrow_mut().try_remove(self.slot.token.get() as usize)
        });
        // Without the slots: what a waker drops may have sockets.
        drop(gone);
    }
}

#[cfg(test)]
impl<S: Registered> Io<S> {
    /// What the loop knows it by.
    pub(super) fn token(&self) -> u32 {
        self.slot.token.get()
    }
}
