//! Two streams joined in memory, with the behaviour of a network that a test asks for.
//! Knows nothing of sockets or of the executor: it only keeps the wakers of whoever waits.

use super::live::{Kind, Token};
use crate::{Addr, Buf, Error, ErrorKind, Stream, StreamImpl, StreamInfo, intern, ready};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Bytes that fit between two ends before a writer waits, unless `Peer::window` says otherwise.
pub const WINDOW: usize = 64 * 1024;

/// The test's end of a stream of the module under test. Everything takes effect at once; nothing here waits.
pub struct Peer(End);

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Peer({})", self.0.info.peer)
    }
}

impl Peer {
    pub(crate) const fn new(end: End) -> Self {
        Self(end)
    }

    /// Sends to the module. More than the window is queued too: a test need not wait.
    pub fn send(&self, bytes: &[u8]) {
        act(&self.0.tx, |p| {
            p.bytes.extend(bytes);
            p.reader.take()
        });
    }

    /// Takes everything the module has sent so far and makes room for more.
    pub fn received(&self) -> Vec<u8> {
        let mut all = Vec::new();
        act(&self.0.rx, |p| {
            all.extend(p.bytes.drain(..));
            p.writer.take()
        });
        all
    }

    /// As `received`, as text.
    pub fn received_text(&self) -> String {
        String::from_utf8_lossy(&self.received()).into_owned()
    }

    /// Bytes that the module has sent and nobody took.
    pub fn waiting(&self) -> usize {
        self.0.rx.borrow().bytes.len()
    }

    /// Ends this side (FIN); the module may still send.
    pub fn finish(&self) {
        act(&self.0.tx, |p| {
            p.eof = true;
            p.reader.take()
        });
    }

    /// Resets the connection: reads and writes of the module fail with `Reset`, what was under way is lost.
    pub fn reset(&self) {
        reset(&self.0.rx);
        reset(&self.0.tx);
    }

    /// Whether the module ended its side: nothing will follow what `received` gives.
    pub fn is_finished(&self) -> bool {
        self.0.rx.borrow().eof
    }

    /// Whether the module ended its side with its last bytes, not after them.
    pub fn finished_at_once(&self) -> bool {
        let p = self.0.rx.borrow();
        p.eof && p.more
    }

    /// Whether the module's stream is gone, not only its write side.
    pub fn is_closed(&self) -> bool {
        self.0.tx.borrow().reader_gone
    }

    /// Whether the module reset the connection.
    pub fn was_reset(&self) -> bool {
        self.0.rx.borrow().reset
    }

    /// The module reads at most `n` bytes at a time, and at most `n` of its bytes are accepted at a time.
    pub fn fragment(&self, n: usize) {
        self.0.tx.borrow_mut().chunk = n.max(1);
        self.0.rx.borrow_mut().chunk = n.max(1);
    }

    /// The module may send `n` bytes before it must wait for `received`; 0: it waits at once.
    pub fn window(&self, n: usize) {
        act(&self.0.rx, |p| {
            p.window = n;
            p.writer.take()
        });
    }

    /// Every second read and write of the module says "would block" first and wakes it at once.
    pub fn stutter(&self, on: bool) {
        for p in [&self.0.tx, &self.0.rx] {
            p.borrow_mut().stutter = on;
        }
    }

    /// Options that the module set on its stream, in order.
    pub fn options(&self) -> Vec<(String, i64)> {
        self.0.options.borrow().clone()
    }

    /// This end as a stream: to be driven by async code in the test, or handed to the module.
    pub fn into_stream(self) -> Stream {
        Stream::new(self.0)
    }
}

/// Two joined streams outside any host: for tests of code that only needs a `Stream`.
pub fn pair() -> (Stream, Peer) {
    let (a, b) = ends(Addr::NONE, Addr::NONE);
    (Stream::new(a), Peer(b))
}

/// One direction.
struct Pipe {
    bytes: VecDeque<u8>,
    window: usize,
    chunk: usize,
    eof: bool,
    reset: bool,
    /// The last write said that more follows at once.
    more: bool,
    reader_gone: bool,
    stutter: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

type Shared = Rc<RefCell<Pipe>>;
type Options = Rc<RefCell<Vec<(String, i64)>>>;

fn pipe() -> Shared {
    Rc::new(RefCell::new(Pipe {
        bytes: VecDeque::new(),
        window: WINDOW,
        chunk: usize::MAX,
        eof: false,
        reset: false,
        more: false,
        reader_gone: false,
        stutter: false,
        reader: None,
        writer: None,
    }))
}

/// Changes a pipe, then wakes: a waker may run code that uses the pipe.
fn act(p: &Shared, f: impl FnOnce(&mut Pipe) -> Option<Waker>) {
    let w = f(&mut p.borrow_mut());
    if let Some(w) = w {
        w.wake();
    }
}

fn reset(p: &Shared) {
    let mut other = None;
    act(p, |p| {
        p.reset = true;
        p.bytes.clear();
        other = p.writer.take();
        p.reader.take()
    });
    if let Some(w) = other {
        w.wake();
    }
}

fn note(slot: &mut Option<Waker>, cx: &Context<'_>) {
    if !slot.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
        *slot = Some(cx.waker().clone());
    }
}

/// One end of a wire; a `Stream` for the module, or behind a `Peer` for the test.
pub(crate) struct End {
    rx: Shared,
    tx: Shared,
    ahead: VecDeque<u8>,
    pub(crate) info: StreamInfo<'static>,
    stuttered: Cell<bool>,
    reset_on_drop: bool,
    options: Options,
    token: Option<Token>,
}

/// The two ends of a new wire: `a` sees `b` as its peer.
pub(crate) fn ends(a: Addr, b: Addr) -> (End, End) {
    let (there, back, options) = (pipe(), pipe(), Options::default());
    let end = |rx: &Shared, tx: &Shared, local, peer| End {
        rx: Rc::clone(rx),
        tx: Rc::clone(tx),
        ahead: VecDeque::new(),
        info: StreamInfo { peer, local, protocol: crate::Str::new("tcp"), ..StreamInfo::default() },
        stuttered: Cell::new(false),
        reset_on_drop: false,
        options: Rc::clone(&options),
        token: None,
    };
    (end(&there, &back, a, b), end(&back, &there, b, a))
}

impl End {
    /// The module's stream, counted until it is dropped.
    pub(crate) fn counted(mut self, live: &super::live::Live) -> Stream {
        self.token = Some(live.token(Kind::Stream));
        Stream::new(self)
    }

    /// What `Stream::info` says of a handshake that took place before.
    pub(crate) fn named(mut self, server_name: &str, alpn: &str) -> Self {
        self.info.server_name = crate::Str::new(intern(server_name));
        self.info.alpn = crate::Str::new(intern(alpn));
        self
    }

    /// Whether this call is one that says "would block" although it need not.
    fn stutters(&self, on: bool, cx: &Context<'_>) -> bool {
        let now = on && !self.stuttered.get();
        self.stuttered.set(now);
        if now {
            cx.waker().wake_by_ref();
        }
        now
    }
}

impl StreamImpl for End {
    fn state(&self) -> u8 {
        let (rx, tx) = (self.rx.borrow(), self.tx.borrow());
        let mut bits = 0;
        if rx.reset || rx.eof || !rx.bytes.is_empty() || !self.ahead.is_empty() {
            bits |= ready::READ;
        }
        if tx.reset || tx.reader_gone || tx.bytes.len() < tx.window {
            bits |= ready::WRITE;
        }
        if rx.reset || rx.eof {
            bits |= ready::HUP;
        }
        if rx.eof && !rx.reset && rx.bytes.is_empty() && self.ahead.is_empty() {
            bits |= ready::END;
        }
        bits
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        if !self.ahead.is_empty() {
            let n = to.len().min(self.ahead.len());
            to.iter_mut().zip(self.ahead.drain(..n)).for_each(|(to, b)| *to = b);
            return Poll::Ready(Ok(n));
        }
        if self.stutters(self.rx.borrow().stutter, cx) {
            return Poll::Pending;
        }
        let (n, writer) = {
            let mut p = self.rx.borrow_mut();
            if p.reset {
                return Poll::Ready(Err(Error::bare(ErrorKind::Reset)));
            }
            if p.bytes.is_empty() && !p.eof && !to.is_empty() {
                note(&mut p.reader, cx);
                return Poll::Pending;
            }
            let n = to.len().min(p.bytes.len()).min(p.chunk);
            to.iter_mut().zip(p.bytes.drain(..n)).for_each(|(to, b)| *to = b);
            (n, p.writer.take())
        };
        if let Some(w) = writer {
            w.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        if self.stutters(self.tx.borrow().stutter, cx) {
            return Poll::Pending;
        }
        let (n, reader) = {
            let mut p = self.tx.borrow_mut();
            if p.reset {
                return Poll::Ready(Err(Error::bare(ErrorKind::Reset)));
            }
            if p.eof || p.reader_gone {
                return Poll::Ready(Err(Error::bare(ErrorKind::BrokenPipe)));
            }
            let room = p.window.saturating_sub(p.bytes.len());
            if room == 0 && !from.is_empty() {
                note(&mut p.writer, cx);
                return Poll::Pending;
            }
            let n = from.len().min(room).min(p.chunk);
            p.bytes.extend(&from[..n]);
            p.more = false;
            (n, p.reader.take())
        };
        if let Some(w) = reader {
            w.wake();
        }
        Poll::Ready(Ok(n))
    }

    fn poll_write_more(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        let r = self.poll_write(cx, from);
        self.tx.borrow_mut().more |= matches!(r, Poll::Ready(Ok(1..)));
        r
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match self.tx.borrow().reset {
            true => Poll::Ready(Err(Error::bare(ErrorKind::Reset))),
            false => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        act(&self.tx, |p| {
            p.eof = true;
            p.reader.take()
        });
        Poll::Ready(Ok(()))
    }

    fn info(&self) -> StreamInfo<'_> {
        self.info
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        match self.state() & bits {
            0 => {
                if bits & (ready::READ | ready::HUP) != 0 {
                    note(&mut self.rx.borrow_mut().reader, cx);
                }
                if bits & ready::WRITE != 0 {
                    note(&mut self.tx.borrow_mut().writer, cx);
                }
                Poll::Pending
            }
            now => Poll::Ready(now),
        }
    }

    fn set_reset(&mut self) {
        self.reset_on_drop = true;
    }

    fn unread(&mut self, bytes: Buf) {
        for b in bytes.iter().rev() {
            self.ahead.push_front(*b);
        }
    }

    fn set_option(&mut self, name: &str, value: i64) -> bool {
        self.options.borrow_mut().push((name.to_owned(), value));
        true
    }
}

impl Drop for End {
    fn drop(&mut self) {
        if self.reset_on_drop {
            reset(&self.tx);
        }
        act(&self.tx, |p| {
            p.eof = true;
            p.reader.take()
        });
        act(&self.rx, |p| {
            p.reader_gone = true;
            p.writer.take()
        });
    }
}
