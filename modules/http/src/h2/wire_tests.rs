//! Frames written by hand, and connections to feed them to, for the other tests.

use super::frame::*;
use super::*;

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    [&encode_head(payload.len(), kind, flags, stream)[..], payload].concat()
}

/// Fields as literals without any table.
pub(super) fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.extend_from_slice(&[0, name.len() as u8]);
        block.extend_from_slice(name.as_bytes());
        assert!(value.len() < 127);
        block.push(value.len() as u8);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// HEADERS in one frame.
pub(super) fn headers(stream: u32, end: bool, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | if end { END_STREAM } else { 0 }, stream, &literals(fields))
}

pub(super) const GET: &[(&str, &str)] = &[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
pub(super) const POST: &[(&str, &str)] =
    &[(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

/// `fields` and more.
pub(super) fn with<'a>(fields: &[(&'a str, &'a str)], more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [fields, more].concat()
}

pub(super) fn data(stream: u32, end: bool, payload: &[u8]) -> Vec<u8> {
    frame(DATA, if end { END_STREAM } else { 0 }, stream, payload)
}

pub(super) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

pub(super) fn number(kind: u8, stream: u32, number: u32) -> Vec<u8> {
    frame(kind, 0, stream, &number.to_be_bytes())
}

/// A connection and what it has sent.
pub(super) struct Side {
    pub(super) connection: Connection,
    pub(super) out: Vec<u8>,
    /// Bytes that it is not done with.
    pub(super) input: Vec<u8>,
}

impl Side {
    /// A server that has had the preface, SETTINGS and the acknowledgement of its own.
    pub(super) fn server(config: Config) -> Self {
        let mut side = Self::new(Role::Server, config);
        assert_eq!(side.feed(PREFACE), Ok(vec![]));
        side.settled()
    }

    /// A client at that point.
    pub(super) fn client(config: Config) -> Self {
        Self::new(Role::Client, config).settled()
    }

    fn settled(mut self) -> Self {
        assert_eq!(self.feed(&[settings(&[]), frame(SETTINGS, ACK, 0, b"")].concat()), Ok(vec![]));
        self.out.clear();
        self
    }

    pub(super) fn new(role: Role, config: Config) -> Self {
        let (mut connection, mut out) = (Connection::new(role, config), Vec::new());
        connection.start(&mut out);
        Self { connection, out, input: Vec::new() }
    }

    /// Events of `bytes`, or what is fatal in them. Content is released.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Fatal> {
        self.input.extend_from_slice(bytes);
        let mut events = Vec::new();
        loop {
            let (length, event) = self.connection.receive(&self.input, &mut self.out)?;
            self.input.drain(..length);
            let Some(event) = event else { return Ok(events) };
            if let Event::Data { stream, credit, .. } = event {
                self.connection.release(stream, credit, &mut self.out);
            }
            events.push(event);
        }
    }

    /// The code of what is fatal in `bytes`, which GOAWAY must have said.
    pub(super) fn fatal(&mut self, bytes: &[u8]) -> Code {
        let fatal = self.feed(bytes).expect_err("nothing is wrong");
        let sent = self.sent();
        let (head, payload) = sent.last().expect("GOAWAY");
        assert_eq!((head.kind, head.stream), (GOAWAY, 0));
        assert_eq!(payload[4..], fatal.code.0.to_be_bytes());
        assert_eq!(self.feed(b""), Err(fatal));
        assert!(self.out.is_empty());
        fatal.code
    }

    /// Feeds `bytes`, of which nothing is told, and which are answered with RST_STREAM alone.
    pub(super) fn rejects(&mut self, bytes: &[u8], stream: u32, code: Code) {
        assert_eq!(self.feed(bytes), Ok(vec![]));
        assert_eq!(self.take(), number(RST_STREAM, stream, code.0));
    }

    /// The frames that were sent since.
    pub(super) fn sent(&mut self) -> Vec<(Head, Vec<u8>)> {
        let (out, mut at, mut frames) = (self.take(), 0, Vec::new());
        if out.starts_with(PREFACE) {
            at = PREFACE.len();
        }
        while let Some(head) = Head::parse(&out[at..]) {
            let end = at + HEAD + head.length as usize;
            frames.push((head, out[at + HEAD..end].to_vec()));
            at = end;
        }
        assert_eq!(at, out.len());
        frames
    }

    /// The bytes that were sent since.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Answers a stream.
    pub(super) fn respond(&mut self, stream: u32, end: bool) {
        let mut head = self.connection.headers(stream, &mut self.out).expect("the stream is open");
        assert_eq!(head.status(200), Ok(()));
        head.finish(end);
    }

    /// Opens a stream and sends a request.
    pub(super) fn request(&mut self, method: &str, end: bool) -> u32 {
        let stream = self.connection.open().expect("no stream can be opened");
        let mut head = self.connection.headers(stream, &mut self.out).expect("the stream is open");
        assert_eq!(head.request(method.as_bytes(), Some(b"http"), Some(b"a"), Some(b"/"), None), Ok(()));
        head.finish(end);
        stream
    }
}

pub(super) fn head(stream: u32, end: bool) -> Event {
    Event::Head { stream, key: 0, end }
}

pub(super) fn own_reset(stream: u32, code: Code) -> Event {
    Event::Reset { stream, key: 0, code, own: true }
}
