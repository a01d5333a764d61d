//! One connection: its state, and the way from input to events.

use super::block::Block;
use super::budget::Budget;
use super::code::{Fatal, Wrong};
use super::config::{Config, INITIAL_WINDOW, Peer};
use super::event::Event;
use super::flow::{Receive, Send};
use super::frame::{self, HEAD, Head, PREFACE};
use super::hpack::{Decoder, Encoder};
use super::priorities::Early;
use super::streams::Streams;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepts requests.
    Server,
    /// It sends them.
    Client,
}

/// One connection. The caller holds the bytes on both sides: what was received goes in with
/// [`Connection::receive`], and whatever has something to send appends frames to the output it is given.
///
/// The calls that take `out` are to be given the same output each time, for the order of frames counts.
#[derive(Clone, Debug)]
pub struct Connection {
    pub(super) role: Role,
    pub(super) config: Config,
    pub(super) peer: Peer,
    pub(super) state: State,
    pub(super) section: Option<Section>,
    /// The payload of a frame that came in pieces, and the field section of one that has CONTINUATION.
    payload: Vec<u8>,
    pub(super) fragments: Vec<u8>,
    pub(super) block: Block,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) streams: Streams,
    /// Server: what the peer said of streams that it has not opened yet.
    pub(super) early: Early,
    pub(super) send: Send,
    pub(super) receive: Receive,
    pub(super) budget: Budget,
    /// Server: the highest stream of the peer. Client: the highest one opened.
    pub(super) last: u32,
    pub(super) going: Going,
    /// What the last GOAWAY of this side said that it had begun with.
    pub(super) said_last: u32,
    /// Client: what the peer's GOAWAY left out, of which the caller is to hear.
    pub(super) left_out: Option<u32>,
    /// The peer has sent SETTINGS, and acknowledged those sent to it.
    pub(super) settings: bool,
    pub(super) acknowledged: bool,
    /// Pings that are not answered.
    pub(super) pings: u32,
    /// See [`Connection::begun_ms`].
    pub(super) begun_ms: Option<u64>,
    /// See [`Connection::take_wrong`].
    pub(super) wrong: Option<Wrong>,
}

/// Where in the input the connection is.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Preface,
    /// In front of a frame.
    Head,
    /// In a frame that is collected.
    Payload(Head),
    /// In the content of DATA.
    Data(Incoming),
    /// In front of so many bytes that mean nothing.
    Skip(u32),
    Dead(Fatal),
}

/// The rest of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming {
    pub(super) stream: u32,
    pub(super) left: u32,
    pub(super) padding: u32,
    /// Length of the padding, while that is not said in an event.
    pub(super) overhead: u32,
    pub(super) end: bool,
}

/// A field section of which CONTINUATION is to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    pub(super) stream: u32,
    pub(super) end: bool,
    pub(super) frames: u32,
}

/// Whether the connection is about to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Going {
    No,
    /// The peer has said so, or this side has and takes what was sent before the peer knows.
    Draining,
    /// Streams above the last one are ignored.
    Final,
}

/// What a look at the input came to.
pub(super) enum Step {
    /// More bytes are needed.
    More,
    /// So many bytes are done with.
    Done(usize),
    Event(usize, Event),
}

impl Step {
    pub(super) fn of(length: usize, event: Option<Event>) -> Self {
        match event {
            Some(event) => Self::Event(length, event),
            None => Self::Done(length),
        }
    }
}

impl Connection {
    /// A connection on which nothing was sent. Numbers of `config` that the protocol does not have are brought to the
    /// next that it has.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        let config = config.bounded();
        Self {
            role,
            config,
            peer: Peer::default(),
            state: if role == Role::Server { State::Preface } else { State::Head },
            section: None,
            payload: Vec::new(),
            fragments: Vec::new(),
            block: Block::new(config.header_list, config.header_count),
            decoder: Decoder::new(config.header_table),
            encoder: Encoder::new(),
            streams: Streams::new(config.max_streams),
            early: Early::default(),
            send: Send::new(INITIAL_WINDOW),
            receive: Receive::new(config.connection_window),
            budget: Budget::new(&config),
            last: 0,
            going: Going::No,
            said_last: 0,
            left_out: None,
            settings: false,
            acknowledged: false,
            pings: 0,
            begun_ms: None,
            wrong: None,
        }
    }

    /// Appends what comes before all else (RFC 9113 section 3.4). To be called once, first.
    pub fn start(&mut self, out: &mut Vec<u8>) {
        if self.role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        self.config.announce(self.role == Role::Client, out);
        let more = self.config.connection_window - INITIAL_WINDOW;
        if more > 0 {
            frame::put_number(frame::WINDOW_UPDATE, 0, more, out);
        }
    }

    /// Looks at `input`, which continues where the call before said it was done, and is done with so many bytes of it.
    /// `None`: with all that it can be; what is left, fewer than 24 bytes, is to be given again once there is more.
    ///
    /// After an event it is to be called again, also with empty input: events may come without.
    ///
    /// # Errors
    /// [`Fatal`], again and again: the output is to be sent, and the connection closed.
    #[inline]
    pub fn receive(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(usize, Option<Event>), Fatal> {
        if self.left_out.is_some()
            && let Some(event) = self.leave_out()
        {
            return Ok((0, Some(event)));
        }
        let mut at = 0;
        loop {
            match self.step(&input[at..], at, out) {
                Ok(Step::More) => return Ok((at, None)),
                Ok(Step::Done(length)) => at += length,
                Ok(Step::Event(length, event)) => return Ok((at + length, Some(event))),
                Err(fatal) => return Err(self.die(fatal, out)),
            }
        }
    }

    /// The fields of the last head or trailers.
    #[must_use]
    #[inline]
    pub fn block(&self) -> &Block {
        &self.block
    }

    /// When a head was begun of which not all is here, or a frame other than DATA, in the milliseconds of
    /// [`Config::clock`]. While it lasts nothing else is received. `None`: there is none.
    #[must_use]
    #[inline]
    pub fn begun_ms(&self) -> Option<u64> {
        self.begun_ms
    }

    /// The last stream that was reset because of what the peer sent, if one was since this was asked last: for the log, as of
    /// a request that is malformed there is no event.
    #[inline]
    pub fn take_wrong(&mut self) -> Option<Wrong> {
        self.wrong.take()
    }

    /// A head, or a frame, goes on in what is not here yet.
    pub(super) fn begins(&mut self) {
        self.begun_ms.get_or_insert_with(self.config.clock);
    }

    /// Bytes that are allocated, about.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        let buffers = self.payload.capacity() + self.fragments.capacity();
        size_of::<Self>()
            + buffers
            + self.block.held()
            + self.decoder.held()
            + self.encoder.held()
            + self.streams.held()
            + self.early.held()
    }

    /// Looks at `input`, which lies at `base` in that of the caller.
    #[inline]
    fn step(&mut self, input: &[u8], base: usize, out: &mut Vec<u8>) -> Result<Step, Fatal> {
        match self.state {
            State::Head => {
                let Some(head) = Head::parse(input) else { return Ok(Step::More) };
                self.check(head)?;
                if head.kind == frame::DATA {
                    return self.data_frame(head, input, base, out);
                }
                let end = HEAD + head.length as usize;
                if let Some(payload) = input.get(HEAD..end) {
                    return Ok(Step::of(end, self.frame(head, payload, out)?));
                }
                if head.kind > frame::CONTINUATION && head.kind != frame::PRIORITY_UPDATE {
                    self.budget.idle()?;
                    self.state = State::Skip(head.length);
                } else {
                    self.begins();
                    self.state = State::Payload(head);
                }
                Ok(Step::Done(HEAD))
            }
            State::Data(incoming) => Ok(self.data_piece(incoming, input, base, out)),
            State::Payload(head) => self.collect(head, input, out),
            State::Skip(left) => {
                let length = input.len().min(left as usize);
                let left = left - length as u32;
                self.state = if left == 0 { State::Head } else { State::Skip(left) };
                Ok(if length == 0 && left > 0 { Step::More } else { Step::Done(length) })
            }
            State::Preface => {
                let length = input.len().min(PREFACE.len());
                if input[..length] != PREFACE[..length] {
                    return Err(Fatal::protocol("no HTTP/2 preface"));
                }
                if length < PREFACE.len() {
                    return Ok(Step::More);
                }
                self.state = State::Head;
                Ok(Step::Done(length))
            }
            State::Dead(fatal) => Err(fatal),
        }
    }

    /// What is wrong with a frame whatever its payload.
    #[inline]
    fn check(&self, head: Head) -> Result<(), Fatal> {
        if head.length > self.config.max_frame {
            return Err(Fatal::size("a frame is larger than allowed"));
        }
        if !self.settings && head.kind != frame::SETTINGS {
            return Err(Fatal::protocol("the first frame is not SETTINGS"));
        }
        match self.section {
            None if head.kind == frame::CONTINUATION => Err(Fatal::protocol("CONTINUATION of nothing")),
            Some(section) if head.kind != frame::CONTINUATION || head.stream != section.stream => {
                Err(Fatal::protocol("a field section is interrupted"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a part of a frame, and the frame once it is complete.
    #[inline(never)]
    fn collect(&mut self, head: Head, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Fatal> {
        let length = input.len().min(head.length as usize - self.payload.len());
        if length == 0 {
            return Ok(Step::More);
        }
        self.payload.extend_from_slice(&input[..length]);
        if self.payload.len() < head.length as usize {
            return Ok(Step::Done(length));
        }
        self.state = State::Head;
        let payload = std::mem::take(&mut self.payload);
        let event = self.frame(head, &payload, out)?;
        self.payload = kept(payload);
        if self.section.is_none() {
            self.begun_ms = None;
        }
        Ok(Step::of(length, event))
    }

    /// A whole frame other than DATA.
    #[inline]
    fn frame(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        match head.kind {
            frame::HEADERS => self.headers_frame(head, payload, out),
            frame::CONTINUATION => self.continuation(head, payload, out),
            _ => self.control(head, payload, out),
        }
    }

    /// Ends the connection: GOAWAY, and nothing is received any more.
    #[cold]
    fn die(&mut self, fatal: Fatal, out: &mut Vec<u8>) -> Fatal {
        if !matches!(self.state, State::Dead(_)) {
            self.state = State::Dead(fatal);
            self.go_away(fatal.code, out);
        }
        fatal
    }
}

/// `buffer`, empty, unless it has become large: most connections need it once.
pub(super) fn kept(mut buffer: Vec<u8>) -> Vec<u8> {
    const KEPT: usize = 4096;
    buffer.clear();
    if buffer.capacity() > KEPT { Vec::new() } else { buffer }
}
