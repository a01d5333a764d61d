//! Frames by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use h2::Reason;
use harness::{Origin, client};

/// Kinds of frames, and what of their flags is needed.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at the end of RST_STREAM and GOAWAY.
    pub(crate) fn code(&self) -> Reason {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let number = self.payload[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(number).into()
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The field section of a request for this path: nothing of it is kept in a table.
pub(crate) fn section(post: bool, path: &str) -> Vec<u8> {
    // :method, :scheme http; :authority and :path as literals.
    let mut out = vec![if post { 0x83 } else { 0x82 }, 0x86, 0x01, 6];
    out.extend_from_slice(b"a.test");
    out.extend_from_slice(&[0x04, path.len() as u8]);
    out.extend_from_slice(path.as_bytes());
    out
}

/// A client that writes and reads frames by hand.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// Connects and says what is to be said first.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        let mut raw = Self { stream: client::connect(addr) };
        raw.write(PREFACE);
        raw.send(SETTINGS, 0, 0, b"");
        raw
    }

    /// Bytes as they are; the other side may have ended the connection.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    #[track_caller]
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    /// A request without body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &section(false, path));
    }

    /// The next frame; `None` at the end of the connection, however that comes.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no frame came"),
            Err(_) => return None,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Up to and with the first frame that fits.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        let mut seen = Vec::new();
        while let Some(frame) = self.frame() {
            if fits(&frame) {
                return frame;
            }
            seen.push((frame.kind, frame.flags, frame.stream, frame.payload.len()));
        }
        panic!("the end, and no {what} in {seen:?}")
    }

    /// The connection ends, and this is why.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: Reason) {
        let last = self.until("GOAWAY", |f| f.kind == GOAWAY && f.code() == code);
        assert_eq!(last.stream, 0);
        while self.frame().is_some() {}
    }
}

/// A peer that writes frames by hand: connections begin with what a client says first.
pub(crate) fn by_hand(serve: impl Fn(&mut Raw) + Send + Sync + 'static) -> Origin {
    Origin::start(move |mut conn| {
        let mut preface = [0; PREFACE.len()];
        conn.read_exact(&mut preface)?;
        assert_eq!(preface, *PREFACE);
        serve(&mut Raw { stream: conn.stream.try_clone()? });
        Ok(())
    })
}
