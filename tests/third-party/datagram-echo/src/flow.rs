//! A session over datagrams, without order or repetition: enough for loopback. Its pieces are `\x01`, the flow's number
//! among those of its owner, and bytes; a piece without bytes ends the direction.

use anyproxy_module_api::{Addr, Buf, DatagramSocket, Error, Str, Stream, StreamImpl, StreamInfo, Transmit};
use std::{
    cell::RefCell,
    collections::{HashMap, VecDeque},
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// First byte of a piece.
pub(crate) const MARK: u8 = 1;
/// Bytes that wait for a reader; a piece that does not fit is lost.
const ROOM: usize = 64 << 10;
/// Bytes of one piece.
const PIECE: usize = 1024;

/// The flows of an endpoint, by number.
#[derive(Debug, Default)]
pub(crate) struct Flows(RefCell<HashMap<u8, Rc<RefCell<Waiting>>>>);

/// What came and was not read.
#[derive(Debug, Default)]
struct Waiting {
    bytes: VecDeque<u8>,
    ended: bool,
    reader: Option<Waker>,
}

impl Flows {
    /// A piece came; the first of a flow begins a session.
    pub(crate) fn deliver(&self, socket: DatagramSocket, head: [u8; 8], peer: Addr, local: Addr, piece: &[u8]) {
        let Some((&number, bytes)) = piece.split_first() else { return };
        let known = self.0.borrow().get(&number).cloned();
        let waiting = match known {
            Some(waiting) => waiting,
            None => {
                let waiting = Rc::<RefCell<Waiting>>::default();
                self.0.borrow_mut().insert(number, Rc::clone(&waiting));
                let flow = Flow { waiting: Rc::clone(&waiting), socket, head, number, peer, local };
                if !socket.accept(Stream::new(flow), peer) {
                    self.0.borrow_mut().remove(&number);
                    return;
                }
                waiting
            }
        };
        if bytes.is_empty() {
            self.0.borrow_mut().remove(&number);
        }
        let reader = {
            let mut waiting = waiting.borrow_mut();
            waiting.ended |= bytes.is_empty();
            if waiting.bytes.len() + bytes.len() <= ROOM {
                waiting.bytes.extend(bytes);
            }
            waiting.reader.take()
        };
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

struct Flow {
    waiting: Rc<RefCell<Waiting>>,
    socket: DatagramSocket,
    head: [u8; 8],
    number: u8,
    peer: Addr,
    local: Addr,
}

impl Flow {
    fn send(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<(), Error>> {
        let datagram = [&self.head[..], &[MARK, self.number], bytes].concat();
        self.socket.poll_send(cx, &Transmit::new(self.peer, &datagram))
    }
}

impl StreamImpl for Flow {
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.bytes.is_empty() && !waiting.ended {
            waiting.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let n = to.len().min(waiting.bytes.len());
        to.iter_mut().zip(waiting.bytes.drain(..n)).for_each(|(to, from)| *to = from);
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        let piece = &from[..from.len().min(PIECE)];
        if piece.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.send(cx, piece).map_ok(|()| piece.len())
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.send(cx, &[])
    }

    fn info(&self) -> StreamInfo<'_> {
        StreamInfo { peer: self.peer, local: self.local, protocol: Str::new("dgram"), ..StreamInfo::default() }
    }

    fn unread(&mut self, bytes: Buf) {
        let mut waiting = self.waiting.borrow_mut();
        for byte in bytes.iter().rev() {
            waiting.bytes.push_front(*byte);
        }
    }
}
