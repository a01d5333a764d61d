//! Sockets by io_uring: the kernel receives into pieces of memory as bytes come, and what is to be sent is told to it together
//! with the wait, so that a turn of the loop is one system call (doc/decisions/0023). That is for small messages: what is much
//! is read and sent by calls, as it is without a ring, and the ring tells when a call is worth it.
//!
//! Knows no streams: `socket` is the face of one socket, `sys` the kernel's.

mod socket;
mod sys;

pub use socket::Ringed;

use super::slots::{self, GONE};
use crate::services::timers;
use slab::Slab;
use socket::{Out, Socket, flag};
use std::{
    cell::{Cell, RefCell},
    io::Result,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    task::Waker,
    time::{Duration, Instant},
};
use sys::{Done, End, Uring};

/// Of what is sent by copies: so many are kept for the next ones, at most, and half of them from second to second.
const KEPT: usize = 256;
/// A socket that was let go of with bytes to be sent is closed after so long all the same.
const LINGER_SECONDS: u8 = 30;
/// How long the end of a thread waits for peers to take what was accepted, and then for the kernel to give up the rest.
const LAST: Duration = Duration::from_millis(500);
/// How often it tells the kernel what to give up.
const AGAIN: Duration = Duration::from_millis(50);

/// What an operation's data says of it, beside whose it is.
mod op {
    pub(super) const RECV: u64 = 0;
    pub(super) const SEND: u64 = 1;
    pub(super) const WRITABLE: u64 = 2;
    pub(super) const READABLE: u64 = 3;
    /// Descriptors that wait elsewhere.
    pub(super) const READINESS: u64 = 4;
    /// Nobody's.
    pub(super) const OTHER: u64 = u64::MAX;
}

const fn data(token: u32, op: u64) -> u64 {
    (token as u64) << 8 | op
}

/// A thread's ring.
pub(super) struct Ring {
    sys: RefCell<Uring>,
    sockets: RefCell<Slab<Rc<Socket>>>,
    /// They have something to be sent with the next wait.
    unsent: RefCell<Vec<Rc<Socket>>>,
    kept: RefCell<Vec<Box<Out>>>,
    done: RefCell<Vec<Done>>,
    /// Where all other sockets are waited for, and whether the kernel looks at it.
    readiness: RawFd,
    looked_at: Cell<bool>,
    /// When sockets that were let go of were last looked at.
    swept: Cell<u64>,
    /// The loop is over: nobody waits any more but the kernel.
    ending: Cell<bool>,
}

impl Ring {
    /// A ring that waits for `readiness`, too.
    ///
    /// # Errors
    /// Where there is no io_uring, or not what is wanted of it.
    pub(super) fn new(readiness: &mio::Poll) -> Result<Self> {
        Ok(Self {
            sys: RefCell::new(Uring::new()?),
            sockets: RefCell::default(),
            unsent: RefCell::default(),
            kept: RefCell::default(),
            done: RefCell::default(),
            readiness: readiness.as_raw_fd(),
            looked_at: Cell::new(false),
            swept: Cell::new(0),
            ending: Cell::new(false),
        })
    }

    /// Tells the kernel what is queued, and waits, for ever (`None`) or so long at most.
    ///
    /// # Errors
    /// What only a mistake of the program's can cause.
    pub(super) fn wait(&self, wait: Option<Duration>) -> Result<()> {
        self.send_all();
        let mut sys = self.sys.borrow_mut();
        if !self.looked_at.replace(true) {
            sys.poll(self.readiness, libc::POLLIN, false, data(0, op::READINESS));
        }
        sys.enter(wait)
    }

    /// Queues what was accepted.
    fn send_all(&self) {
        let mut unsent = self.unsent.take();
        for socket in unsent.drain(..) {
            socket.clear(flag::QUEUED);
            self.send(&socket);
        }
        self.unsent.replace(unsent);
    }

    /// Notes what is done, and wakes who waits for it. True: there is something where all others are waited for.
    pub(super) fn dispatch(&self) -> bool {
        let mut done = self.done.take();
        self.sys.borrow_mut().take(&mut done);
        let mut others = Vec::new();
        let mut elsewhere = false;
        for d in done.drain(..) {
            if d.data == op::OTHER {
                continue;
            }
            if d.data == data(0, op::READINESS) {
                self.looked_at.set(false);
                elsewhere = true;
                continue;
            }
            // Each socket stays until its last operation is over.
            let socket = self.sockets.borrow().get((d.data >> 8) as usize).cloned();
            if let Some(socket) = socket {
                self.note(&socket, d, &mut others);
            }
        }
        self.done.replace(done);
        others.into_iter().for_each(Waker::wake);
        self.sweep();
        elsewhere
    }

    fn note(&self, socket: &Rc<Socket>, d: Done, others: &mut Vec<Waker>) {
        if !d.more {
            socket.under_way.set(socket.under_way.get() - 1);
        }
        match d.data & 0xff {
            op::RECV => self.received(socket, d, others),
            op::SEND => self.sent(socket, d.result, others),
            op::WRITABLE => {
                if !d.more {
                    socket.clear(flag::ASKED);
                }
                socket.polled(d.result);
                if d.result < 0 || d.result as i16 & (libc::POLLOUT | libc::POLLERR | libc::POLLHUP) != 0 {
                    socket.set(flag::WRITABLE);
                    self.go_on(socket);
                    slots::wake(&socket.writer, others);
                } else if !d.more && !socket.is(flag::LEFT) {
                    // It is the other side's end that was told, as it is by every poll now; there is no room yet.
                    self.ask_writable(socket);
                }
            }
            _ => {
                if !d.more {
                    socket.clear(flag::WATCHED);
                }
                if !socket.is(flag::ENDED | flag::ARMED) {
                    socket.set(flag::READABLE);
                }
                socket.polled(d.result);
                slots::wake(&socket.reader, others);
            }
        }
        if socket.is(flag::LEFT) {
            self.close_if_done(socket);
        }
    }

    fn received(&self, socket: &Rc<Socket>, d: Done, others: &mut Vec<Waker>) {
        if !d.more {
            socket.clear(flag::ARMED);
        }
        let given = d.piece != sys::NONE;
        if d.result > 0 && given && !socket.is(flag::LEFT) {
            socket.clear(flag::STARVED);
            if socket.append(self, d.piece, d.result as u16) {
                self.read_by_calls(socket);
            }
        } else {
            if given {
                self.sys.borrow_mut().give(d.piece);
            }
            if d.more {
                // Its end was asked for, and not found.
                self.cancel(socket);
            }
            match -d.result {
                // Nobody is there any more to read it, which is no failure: what was accepted is still to be sent.
                n if n < 0 => {}
                0 => socket.set(flag::ENDED),
                // From now on by calls.
                libc::ECANCELED => socket.set(flag::READABLE),
                // Others hold all pieces: it is tried once more, and then without.
                libc::ENOBUFS if socket.is(flag::STARVED) => socket.set(flag::BY_CALLS | flag::READABLE),
                libc::ENOBUFS => socket.set(flag::STARVED),
                e => socket.fail(e),
            }
        }
        slots::wake(&socket.reader, others);
    }

    fn sent(&self, socket: &Rc<Socket>, result: i32, others: &mut Vec<Waker>) {
        let Some(mut out) = socket.sending.take() else { return };
        socket.clear(flag::SENDING);
        if result == -libc::EAGAIN || (result >= 0 && out.took(result as usize)) {
            return self.stall(socket, out);
        }
        if result < 0 {
            socket.fail(-result);
        }
        self.keep(out);
        if socket.is(flag::FAILED) {
            self.forget_out(socket);
            slots::wake(&socket.reader, others);
        }
        self.send(socket);
        if !socket.is(flag::SENDING) && socket.is(flag::FIN) {
            socket.clear(flag::FIN);
            socket.shut();
        }
        slots::wake(&socket.writer, others);
    }

    /// The socket does not take these bytes, now.
    fn stall(&self, socket: &Rc<Socket>, out: Box<Out>) {
        if socket.is(flag::LEFT) || self.ending.get() {
            return self.send_this(socket, out);
        }
        socket.sending.set(Some(out));
        socket.set(flag::SENDING | flag::STALLED);
        socket.clear(flag::WRITABLE);
        self.ask_writable(socket);
    }

    /// It may take them now.
    fn go_on(&self, socket: &Rc<Socket>) {
        if socket.is(flag::STALLED)
            && let Some(out) = socket.sending.take()
        {
            socket.clear(flag::STALLED | flag::SENDING);
            self.send_this(socket, out);
        }
    }

    /// Sends what was accepted since, unless something is under way.
    fn send(&self, socket: &Rc<Socket>) {
        if !socket.is(flag::SENDING)
            && let Some(out) = socket.out.take()
        {
            socket.clear(flag::OUT);
            self.send_this(socket, out);
        }
    }

    fn send_this(&self, socket: &Rc<Socket>, out: Box<Out>) {
        // What was accepted behind it is to go, too, before the end.
        let end = match socket.is(flag::LEFT) {
            false if self.ending.get() => End::Left,
            false => End::Open,
            true if socket.is(flag::OUT) => End::Left,
            true => End::Close,
        };
        // The end travels with the last bytes.
        let (fd, more) = (socket.fd.get(), socket.is(flag::MORE) || end == End::Close);
        if fd < 0 {
            return self.keep(out);
        }
        // SAFETY: the bytes are boxed, and the box stays in `sending`, of a socket that stays in `sockets`, until the result.
        unsafe { self.sys.borrow_mut().send(fd, out.bytes(), more, end, data(socket.token.get(), op::SEND)) };
        socket.sending.set(Some(out));
        socket.set(flag::SENDING);
        socket.under_way.set(socket.under_way.get() + 1);
        if end == End::Close {
            socket.fd.set(-1);
        }
    }

    /// From now on bytes are received as they come.
    fn arm(&self, socket: &Socket) {
        if !socket.is(flag::ARMED) {
            socket.set(flag::ARMED);
            self.begin(socket, op::RECV, Uring::recv);
        }
    }

    /// Has it told what comes.
    fn ask_read(&self, socket: &Socket) {
        if socket.is(flag::FAILED) {
            // All is known.
        } else if socket.is(flag::BY_CALLS | flag::ENDED) {
            self.ask_readable(socket);
        } else {
            self.arm(socket);
        }
    }

    /// Has it told when the socket takes bytes.
    fn ask_writable(&self, socket: &Socket) {
        if !socket.is(flag::ASKED) {
            socket.set(flag::ASKED);
            // As below.
            let each = socket.is(flag::HALF | flag::ENDED);
            self.begin(socket, op::WRITABLE, |sys, fd, data| sys.poll(fd, libc::POLLOUT, each, data));
        }
    }

    /// Has it told when there is something to be read; where that is known, when the other side ends; where that is known,
    /// too, when it is gone.
    fn ask_readable(&self, socket: &Socket) {
        let for_bytes = !socket.is(flag::READABLE | flag::ENDED);
        if socket.is(flag::ARMED) {
            return;
        }
        if socket.is(flag::WATCHED) {
            // There were bytes when it was asked, so that it tells of the end alone; now they are read. Its last result wakes the
            // reader, which asks anew.
            if for_bytes && !socket.is(flag::FOR_BYTES) {
                socket.set(flag::FOR_BYTES);
                self.sys.borrow_mut().cancel(data(socket.token.get(), op::READABLE), op::OTHER);
            }
        } else {
            socket.set(flag::WATCHED);
            if for_bytes {
                socket.set(flag::FOR_BYTES)
            } else {
                socket.clear(flag::FOR_BYTES)
            }
            let events = if for_bytes { libc::POLLIN | libc::POLLRDHUP } else { libc::POLLRDHUP };
            // What has ended says so to every poll at once: only what is new may be told then.
            let (events, each) = if socket.is(flag::ENDED) { (0, true) } else { (events, false) };
            self.begin(socket, op::READABLE, |sys, fd, data| sys.poll(fd, events, each, data));
        }
    }

    fn begin(&self, socket: &Socket, op: u64, how: impl FnOnce(&mut Uring, RawFd, u64)) {
        socket.under_way.set(socket.under_way.get() + 1);
        how(&mut self.sys.borrow_mut(), socket.fd.get(), data(socket.token.get(), op));
    }

    /// It is read by calls, once what came before was read.
    fn read_by_calls(&self, socket: &Socket) {
        let already = socket.is(flag::BY_CALLS);
        socket.set(flag::BY_CALLS);
        if socket.is(flag::ARMED) {
            // Again, too: one that the kernel is just about to try once more is not found.
            self.sys.borrow_mut().cancel(data(socket.token.get(), op::RECV), op::OTHER);
        } else if !already {
            socket.set(flag::READABLE);
        }
    }

    /// Ends what waits for the other side.
    fn cancel(&self, socket: &Socket) {
        for (flag, op) in [(flag::ARMED, op::RECV), (flag::ASKED, op::WRITABLE), (flag::WATCHED, op::READABLE)] {
            if socket.is(flag) {
                self.sys.borrow_mut().cancel(data(socket.token.get(), op), op::OTHER);
            }
        }
    }

    fn keep(&self, mut out: Box<Out>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < KEPT {
            out.clear();
            kept.push(out);
        }
    }

    fn forget_out(&self, socket: &Socket) {
        socket.clear(flag::OUT);
        if let Some(out) = socket.out.take() {
            self.keep(out);
        }
    }

    /// Its stream is gone. What was accepted is sent, then it is closed.
    fn let_go(&self, socket: &Rc<Socket>) {
        socket.set(flag::LEFT);
        drop((socket.reader.take(), socket.writer.take()));
        socket.forget_unread(self);
        self.cancel(socket);
        if socket.is(flag::LENT) && socket.is(flag::WATCHED) {
            // Who owns the descriptor closes it now; until the kernel has done with the poll, a listener would go on listening.
            let _ = self.sys.borrow_mut().enter(Some(Duration::ZERO));
        }
        if socket.is(flag::RESET) {
            // What is under way was accepted before; it would come behind.
            if !socket.is(flag::SENDING) {
                let _ = socket.send_now(self, false);
            }
            self.forget_out(socket);
            if socket.is(flag::STALLED) {
                socket.clear(flag::STALLED | flag::SENDING);
                socket.sending.take().into_iter().for_each(|out| self.keep(out));
            } else if socket.is(flag::SENDING) {
                self.sys.borrow_mut().cancel(data(socket.token.get(), op::SEND), op::OTHER);
            }
        }
        self.go_on(socket);
        self.send(socket);
        self.close_if_done(socket);
    }

    fn close_if_done(&self, socket: &Rc<Socket>) {
        if !socket.is(flag::SENDING | flag::OUT) {
            let fd = socket.fd.replace(-1);
            if fd >= 0 && !socket.is(flag::LENT) {
                self.sys.borrow_mut().close(fd, op::OTHER);
            }
        }
        if socket.under_way.get() == 0 {
            self.forget(socket);
        }
    }

    fn forget(&self, socket: &Socket) {
        let token = socket.token.replace(GONE);
        drop(self.sockets.borrow_mut().try_remove(token as usize));
    }

    /// Once a second: a peer that takes nothing does not hold for ever a socket that was let go of.
    fn sweep(&self) {
        let now = timers::now_ms() / 1000;
        if self.swept.replace(now) == now {
            return;
        }
        for (_, socket) in self.sockets.borrow().iter() {
            if !socket.is(flag::LEFT) {
                continue;
            }
            // Once more: what is just being tried is not found.
            self.cancel(socket);
            if socket.grow_old() >= LINGER_SECONDS {
                self.sys.borrow_mut().cancel(data(socket.token.get(), op::SEND), op::OTHER);
            }
        }
    }

    /// The thread's loop has ended: what was accepted is sent, and nothing is under way any more. False: the kernel did not
    /// say so in time.
    fn wind_up(&self) -> bool {
        self.ending.set(true);
        let (began, mut told) = (Instant::now(), None);
        loop {
            let all: Vec<_> = self.sockets.borrow().iter().map(|(_, s)| Rc::clone(s)).collect();
            let waited = began.elapsed();
            if all.is_empty() || waited > LAST * 2 {
                return all.is_empty();
            }
            let tell = told.is_none_or(|at| waited > at + AGAIN);
            if tell {
                told = Some(waited);
            }
            for socket in &all {
                self.go_on(socket);
                if tell {
                    self.cancel(socket);
                }
                if tell && waited > LAST {
                    self.sys.borrow_mut().cancel(data(socket.token.get(), op::SEND), op::OTHER);
                }
                // Streams that outlive their thread's loop are told an error by their next call, and close it.
                if !socket.is(flag::LEFT | flag::OUT | flag::SENDING) && socket.under_way.get() == 0 {
                    socket.forget_unread(self);
                    self.forget(socket);
                }
            }
            drop(all);
            self.send_all();
            // Without a look at what waits elsewhere: nobody takes that any more, and it would end each wait.
            if self.sys.borrow_mut().enter(Some(AGAIN / 5)).is_err() {
                return false;
            }
            self.dispatch();
        }
    }

    fn queue(&self, socket: &Rc<Socket>) {
        if !socket.is(flag::QUEUED) {
            socket.set(flag::QUEUED);
            self.unsent.borrow_mut().push(Rc::clone(socket));
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for (_, socket) in self.sockets.borrow().iter() {
            drop((socket.reader.take(), socket.writer.take()));
        }
        if !self.wind_up() {
            tracing::warn!("io_uring did not end what was under way; its memory stays");
            std::mem::forget(self.sockets.take());
            self.sys.borrow_mut().leak();
        }
    }
}

#[cfg(test)]
mod tests;
