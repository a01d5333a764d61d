//! The end of a socket, which sends what was accepted before it closes, and of the ring.

use super::{
    Ring, data, op,
    socket::{Socket, flag},
};
use crate::services::{rt::slots::GONE, timers};
use std::{
    rc::Rc,
    time::{Duration, Instant},
};

/// A socket that was let go of with bytes to be sent is closed after so long all the same.
const LINGER_SECONDS: u8 = 30;
/// How long the end of a thread waits for peers to take what was accepted, and then for the kernel to give up the rest.
const LAST: Duration = Duration::from_millis(500);
/// How often it tells the kernel what to give up.
const AGAIN: Duration = Duration::from_millis(50);

impl Ring {
    /// Its stream is gone. What was accepted is sent, then it is closed.
    pub(super) fn let_go(&self, socket: &Rc<Socket>) {
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

    pub(super) fn close_if_done(&self, socket: &Rc<Socket>) {
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
    pub(super) fn sweep(&self) {
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
