//! What was accepted goes to the kernel with the next wait, one operation a socket; what the socket does not take waits for room.

use super::{
    Ring, data, op,
    socket::{Out, Socket, flag},
    sys::End,
};
use crate::services::rt::slots;
use std::{rc::Rc, task::Waker};

/// So many sockets send by copies in one turn; what is more is sent by calls.
const AT_ONCE: usize = 32;

impl Ring {
    pub(super) fn queue(&self, socket: &Rc<Socket>) {
        if !socket.is(flag::QUEUED) {
            socket.set(flag::QUEUED);
            self.unsent.borrow_mut().push(Rc::clone(socket));
        }
    }

    /// Queues what was accepted.
    pub(super) fn send_all(&self) {
        let mut unsent = self.unsent.take();
        for socket in unsent.drain(..) {
            socket.clear(flag::QUEUED);
            self.send(&socket);
        }
        self.unsent.replace(unsent);
    }

    /// Sends what was accepted since, unless something is under way.
    pub(super) fn send(&self, socket: &Rc<Socket>) {
        if !socket.is(flag::SENDING)
            && let Some(out) = socket.out.take()
        {
            socket.clear(flag::OUT);
            self.send_this(socket, out);
        }
    }

    pub(super) fn send_this(&self, socket: &Rc<Socket>, out: Box<Out>) {
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

    pub(super) fn sent(&self, socket: &Rc<Socket>, result: i32, others: &mut Vec<Waker>) {
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
    pub(super) fn stall(&self, socket: &Rc<Socket>, out: Box<Out>) {
        if socket.is(flag::LEFT) || self.ending.get() {
            return self.send_this(socket, out);
        }
        // Memory that turns share is not for what waits.
        socket.sending.set(Some(out.own()));
        self.keep(out);
        socket.set(flag::SENDING | flag::STALLED);
        socket.clear(flag::WRITABLE);
        self.ask_writable(socket);
    }

    /// It may take them now.
    pub(super) fn go_on(&self, socket: &Rc<Socket>) {
        if socket.is(flag::STALLED)
            && let Some(out) = socket.sending.take()
        {
            socket.clear(flag::STALLED | flag::SENDING);
            self.send_this(socket, out);
        }
    }

    /// Memory for what is sent in this turn, if there is some.
    pub(super) fn out(&self) -> Option<Box<Out>> {
        let kept = self.kept.borrow_mut().pop();
        kept.or_else(|| {
            let made = self.made.get();
            (made < AT_ONCE).then(|| {
                self.made.set(made + 1);
                Out::new()
            })
        })
    }

    pub(super) fn keep(&self, mut out: Box<Out>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.made.get() {
            out.clear();
            kept.push(out);
        }
    }

    pub(super) fn forget_out(&self, socket: &Socket) {
        socket.clear(flag::OUT);
        if let Some(out) = socket.out.take() {
            self.keep(out);
        }
    }
}
