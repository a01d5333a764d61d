//! Sockets by io_uring: the kernel receives into pieces of memory as bytes come, and what is to be sent is told to it together
//! with the wait, so that a turn of the loop is one system call (doc/decisions/0023). That is for small messages: what is much
//! is read and sent by calls, as it is without a ring, and the ring tells when a call is worth it.
//!
//! Here is what is received and who is woken; `sending` and `ending` are what their names say. Knows no streams: `ringed` is the
//! face of one socket, `socket` what is kept of it, `sys` the kernel's.

mod ending;
mod ringed;
mod sending;
mod socket;
mod sys;

pub use ending::lingering;
pub use ringed::Ringed;

use super::slots;
use slab::Slab;
use socket::{Out, Socket, flag};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::Result,
    os::fd::{AsRawFd, RawFd},
    rc::Rc,
    task::Waker,
    time::Duration,
};
use sys::{Done, Uring};

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
    #[expect(clippy::vec_box, reason = "they go to sockets and back, and what is sent must not move")]
    kept: RefCell<Vec<Box<Out>>>,
    /// Of those, with those that are in use.
    made: Cell<usize>,
    done: RefCell<Vec<Done>>,
    /// Where all other sockets are waited for, and whether the kernel looks at it.
    readiness: RawFd,
    looked_at: Cell<bool>,
    /// When sockets that were let go of were last looked at.
    swept: Cell<u64>,
    /// Those for whose last bytes the system has no room, from the oldest on; among them some that are over.
    lingering: RefCell<VecDeque<Rc<Socket>>>,
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
            made: Cell::default(),
            done: RefCell::default(),
            readiness: readiness.as_raw_fd(),
            looked_at: Cell::new(false),
            swept: Cell::new(0),
            lingering: RefCell::default(),
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
                    if socket.is(flag::STALLED) {
                        self.send(socket);
                    }
                    slots::wake(&socket.writer, others);
                } else if !d.more && (socket.is(flag::STALLED) || !socket.is(flag::LEFT)) {
                    // It is the other side's end that was told, as it is by every poll now; there is no room yet.
                    self.ask_writable(socket);
                }
            }
            _ => {
                if !d.more {
                    socket.clear(flag::WATCHED);
                }
                if d.result == -libc::ECANCELED {
                    self.look_again(socket);
                } else {
                    if !socket.is(flag::ENDED | flag::ARMED) {
                        socket.set(flag::READABLE);
                    }
                    socket.polled(d.result);
                }
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
                libc::ECANCELED => self.look_again(socket),
                // Others hold all pieces: who waits tries it once more, and then without.
                libc::ENOBUFS if !socket.is(flag::STARVED) && socket.has_reader() => socket.set(flag::STARVED),
                libc::ENOBUFS => {
                    socket.set(flag::BY_CALLS);
                    self.look_again(socket);
                }
                e => socket.fail(e),
            }
        }
        slots::wake(&socket.reader, others);
    }

    /// There may be something to be read. Who waits finds out by a call; where nobody does, as at rest, that guess would stand for
    /// knowledge, and it is asked.
    fn look_again(&self, socket: &Socket) {
        if socket.is(flag::LEFT | flag::TAKEN) {
        } else if socket.has_reader() {
            socket.set(flag::READABLE);
        } else {
            socket.clear(flag::READABLE);
            self.ask_read(socket);
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
}

#[cfg(test)]
mod tests;
