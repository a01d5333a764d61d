//! One WebSocket from its handshake to its end, without I/O: what is said, what is answered, when it is over
//! (RFC 6455 sections 5 to 7). The shell gives it turns and the time.

use crate::{conf::Limits, scan::Scanned};
use anyproxy_module_api::{Cause, Who};
use std::io::{self, Read, Write};
use tungstenite::{
    Bytes, Error, Message, Utf8Bytes,
    error::ProtocolError,
    protocol::{
        CloseFrame, Role, WebSocketConfig, WebSocketContext,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

/// Messages are sent in frames of at most so many bytes: what waits for a slow client is one of them.
const FRAME: usize = 1 << 20;
/// Held for the next piece of a message, bytes. The stream itself is read in larger pieces.
const READ: usize = 1 << 10;
/// The memory of longer messages is given back once they are over, bytes.
const KEPT: u64 = 8 << 10;
/// Short frames are joined up to here, bytes.
const JOINED: usize = 16 << 10;
/// Room behind a frame for those of control.
const ROOM: usize = 4 << 10;
/// The other side has so long to answer a close.
const CLOSE_MS: u64 = 5000;
/// No close frame came (RFC 6455 section 7.1.5).
pub(crate) const ABNORMAL: u16 = 1006;

/// The bytes of the connection.
pub(crate) trait Wire: Read + Write {
    /// Bytes received and sent so far.
    fn moved(&self) -> (u64, u64);
    /// Enough was read in this turn; there may be more.
    fn is_spent(&self) -> bool;
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// What was heard.
    Echo,
    /// A text, every so many milliseconds; 0: once.
    Text { every_ms: u64 },
}

/// What comes of a turn.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Another one when the stream is ready, or at this time; 0: at none.
    Wait(u64),
    /// Another one, after others had theirs.
    More,
    Over(End),
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    /// Of the close frame, or what RFC 6455 section 7.1.5 says without one.
    pub(crate) code: u16,
    /// `None`: in order, by the client.
    pub(crate) why: Option<(Who, Cause)>,
    /// The client may still be sending, and is to get what was said.
    pub(crate) linger: bool,
    /// Of the stream.
    pub(crate) error: Option<io::Error>,
}

impl End {
    const fn new(code: u16, who: Who, cause: Cause) -> Self {
        Self { code, why: Some((who, cause)), linger: code != ABNORMAL, error: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// We have said that it ends; the client's answer is missing.
    Closing,
    /// Both have said so, or our answer is on its way.
    Closed,
    /// What came was wrong: nothing more is heard.
    Failed,
}

fn context(limits: Limits) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ)
        .write_buffer_size(JOINED)
        .max_write_buffer_size(JOINED + FRAME + ROOM)
        .max_message_size(Some(limits.message))
        // Frames of control have up to 125 bytes whatever messages may have (section 5.5).
        .max_frame_size(Some(limits.message.max(125)));
    WebSocketContext::new(Role::Server, Some(config))
}

/// One WebSocket.
pub(crate) struct Talk<S> {
    wire: Scanned<S>,
    ws: WebSocketContext,
    says: Says,
    limits: Limits,
    state: State,
    /// How it ends, once that is known, and by when.
    end: Option<End>,
    by_ms: u64,
    /// Of a message that goes out in several frames.
    rest: Option<(Data, Bytes)>,
    /// What was said is not all with the system: nothing is read before it is.
    blocked: bool,
    /// Something came, or was taken, last.
    alive_ms: u64,
    pinged_ms: u64,
    /// `None`: the text was said.
    say_ms: Option<u64>,
    moved: (u64, u64),
    /// Messages in and out since the shell asked.
    messages: (u64, u64),
    /// The library holds the memory of a long message that was sent.
    grown: bool,
}

impl<S: Wire> Talk<S> {
    pub(crate) fn new(wire: S, says: Says, limits: Limits, now: u64) -> Self {
        Self {
            wire: Scanned::new(wire),
            ws: context(limits),
            says,
            limits,
            state: State::Open,
            end: None,
            by_ms: 0,
            rest: None,
            blocked: false,
            alive_ms: now,
            pinged_ms: now,
            say_ms: matches!(says, Says::Text { .. }).then_some(now),
            moved: (0, 0),
            messages: (0, 0),
            grown: false,
        }
    }

    pub(crate) fn wire(&mut self) -> &mut S {
        &mut self.wire.wire
    }

    pub(crate) fn into_wire(self) -> S {
        self.wire.wire
    }

    /// Messages in and out since this was asked last.
    pub(crate) fn take_messages(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.messages)
    }

    /// Says that it ends because the server goes: all that can be done where nobody waits for an answer.
    pub(crate) fn leave(&mut self) {
        if self.state == State::Open {
            let _ = self.close(0, CloseCode::Away, End::new(1001, Who::Proxy, Cause::Killed));
        }
    }

    /// Does what can be done now. `away`: the server goes. `text`: what to say.
    pub(crate) fn turn(&mut self, now: u64, away: bool, text: &mut dyn FnMut() -> String) -> Turn {
        self.note_life(now);
        match self.go_on(now, away, text) {
            Err(end) => Turn::Over(end),
            Ok(()) if self.wire().is_spent() => Turn::More,
            Ok(()) => {
                self.shrink();
                Turn::Wait(self.next_ms())
            }
        }
    }

    /// Gives back what long messages took: the library would keep it for as long as the connection.
    fn shrink(&mut self) {
        let Scanned { scan, .. } = &mut self.wire;
        let grown = self.grown || scan.longest() > KEPT;
        if grown && self.state == State::Open && !self.blocked && self.rest.is_none() && scan.is_between() {
            *scan = Default::default();
            self.ws = context(self.limits);
            self.grown = false;
        }
    }

    /// A client lives that sends, or that takes what was held up.
    fn note_life(&mut self, now: u64) {
        let moved = self.wire.wire.moved();
        if moved.0 != self.moved.0 || (self.blocked && moved.1 != self.moved.1) {
            self.alive_ms = now;
        }
        self.moved = moved;
    }

    fn go_on(&mut self, now: u64, away: bool, text: &mut dyn FnMut() -> String) -> Result<(), End> {
        if away && self.state == State::Open {
            self.close(now, CloseCode::Away, End::new(1001, Who::Proxy, Cause::Shutdown))?;
        }
        self.look_at_the_clock(now)?;
        loop {
            self.push()?;
            if self.blocked {
                return Ok(());
            }
            self.say(now, text)?;
            if self.hear(now)? {
                self.note_life(now);
                return self.push();
            }
        }
    }

    fn look_at_the_clock(&mut self, now: u64) -> Result<(), End> {
        let Limits { ping_ms, silence_ms, .. } = self.limits;
        if self.state != State::Open {
            return if now >= self.by_ms { Err(self.take_end()) } else { Ok(()) };
        }
        if silence_ms > 0 && now >= self.alive_ms + silence_ms {
            if self.blocked {
                // It does not read: it would not see a close frame either.
                return Err(End::new(ABNORMAL, Who::Client, Cause::Timeout));
            }
            return self.close(now, CloseCode::Away, End::new(1001, Who::Client, Cause::Timeout));
        }
        if ping_ms > 0 && !self.blocked && now >= self.alive_ms.max(self.pinged_ms) + ping_ms {
            self.pinged_ms = now;
            let wrote = self.ws.write(&mut self.wire, Message::Ping(Bytes::new()));
            return self.wrote(wrote);
        }
        Ok(())
    }

    /// When the clock is to be looked at next; 0: never.
    fn next_ms(&self) -> u64 {
        let Limits { ping_ms, silence_ms, .. } = self.limits;
        if self.state != State::Open {
            return self.by_ms;
        }
        let silence = (silence_ms > 0).then(|| self.alive_ms + silence_ms);
        let ping = (ping_ms > 0 && !self.blocked).then(|| self.alive_ms.max(self.pinged_ms) + ping_ms);
        let say = self.say_ms.filter(|_| !self.blocked);
        [silence, ping, say].into_iter().flatten().min().unwrap_or(0)
    }

    /// Says the text when it is time, and after the only one that it ends.
    fn say(&mut self, now: u64, text: &mut dyn FnMut() -> String) -> Result<(), End> {
        let Says::Text { every_ms } = self.says else { return Ok(()) };
        if self.state != State::Open || self.rest.is_some() {
            return Ok(());
        }
        if self.say_ms.is_some_and(|at| now >= at) {
            // Late ones are not made up for.
            self.say_ms = (every_ms > 0).then(|| now + every_ms);
            self.send(Data::Text, text().into_bytes().into())?;
        }
        if every_ms == 0 && self.say_ms.is_none() && self.rest.is_none() {
            self.close(now, CloseCode::Normal, End::new(1000, Who::Proxy, Cause::Done))?;
        }
        Ok(())
    }

    /// Hears until it has something to push, or to wait for. True: there is nothing more to hear now.
    fn hear(&mut self, now: u64) -> Result<bool, End> {
        while !self.blocked && self.rest.is_none() {
            if matches!(self.state, State::Closed | State::Failed) {
                return Ok(false);
            }
            match self.ws.read(&mut self.wire) {
                Ok(Message::Text(text)) => self.heard(Data::Text, text.into())?,
                Ok(Message::Binary(bytes)) => self.heard(Data::Binary, bytes)?,
                // The library answers a ping with the next write.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(frame)) => self.closed(now, frame.as_ref()),
                Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(e) => self.failed(now, e)?,
            }
        }
        Ok(false)
    }

    fn heard(&mut self, kind: Data, bytes: Bytes) -> Result<(), End> {
        self.messages.0 += 1;
        if self.says == Says::Echo && self.state == State::Open { self.send(kind, bytes) } else { Ok(()) }
    }

    /// The client has said that it ends, by itself or as an answer.
    fn closed(&mut self, now: u64, frame: Option<&CloseFrame>) {
        if self.state == State::Open {
            // 1005: it came without a code. What may not be sent became 1002 in the library (section 7.4).
            let code = frame.map_or(1005, |f| u16::from(f.code));
            let why = (code == 1002).then_some((Who::Client, Cause::Malformed));
            self.end = Some(End { code, why, linger: false, error: None });
            self.by_ms = now + CLOSE_MS;
        } else if let Some(end) = &mut self.end {
            end.linger = false;
        }
        self.state = State::Closed;
    }

    /// What was read is wrong, or there is nothing more (RFC 6455 section 7.1.7).
    fn failed(&mut self, now: u64, e: Error) -> Result<(), End> {
        let (code, cause) = match e {
            Error::Io(e) if !self.wire.scan.is_wrong() => return Err(self.broken(e)),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) if self.state == State::Open => {
                return Err(End::new(ABNORMAL, Who::Client, Cause::Closed));
            }
            // The end was said already: how it is answered does not matter any more.
            _ if self.state != State::Open => return Err(self.take_end()),
            Error::Utf8(_) => (CloseCode::Invalid, Cause::Malformed),
            Error::Capacity(_) => (CloseCode::Size, Cause::Limit),
            _ => (CloseCode::Protocol, Cause::Malformed),
        };
        self.close(now, code, End::new(code.into(), Who::Client, cause))?;
        self.state = State::Failed;
        Ok(())
    }

    /// Says that it ends.
    fn close(&mut self, now: u64, code: CloseCode, end: End) -> Result<(), End> {
        (self.state, self.end, self.by_ms) = (State::Closing, Some(end), now + CLOSE_MS);
        // What is left of a message cannot come behind it.
        self.rest = None;
        let wrote = self.ws.close(&mut self.wire, Some(CloseFrame { code, reason: Utf8Bytes::default() }));
        self.wrote(wrote)
    }

    /// Sends a message, at least its first frame.
    fn send(&mut self, kind: Data, bytes: Bytes) -> Result<(), End> {
        self.messages.1 += 1;
        self.grown |= bytes.len() as u64 > KEPT;
        self.rest = Some((kind, bytes));
        self.send_piece()
    }

    fn send_piece(&mut self) -> Result<(), End> {
        let Some((kind, mut bytes)) = self.rest.take() else { return Ok(()) };
        let piece = bytes.split_to(bytes.len().min(FRAME));
        let last = bytes.is_empty();
        if !last {
            self.rest = Some((Data::Continue, bytes));
        }
        let wrote = self.ws.write(&mut self.wire, Message::Frame(Frame::message(piece, OpCode::Data(kind), last)));
        self.wrote(wrote)
    }

    /// Hands on what was said, and says the rest of it.
    fn push(&mut self) -> Result<(), End> {
        loop {
            self.blocked = false;
            let wrote = self.ws.flush(&mut self.wire);
            self.wrote(wrote)?;
            if self.blocked {
                return Ok(());
            }
            match self.state {
                State::Failed | State::Closed => return Err(self.take_end()),
                State::Open if self.rest.is_some() => self.send_piece()?,
                _ => return Ok(()),
            }
        }
    }

    fn wrote(&mut self, wrote: tungstenite::Result<()>) -> Result<(), End> {
        match wrote {
            Ok(()) => Ok(()),
            Err(Error::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(Error::Io(e)) => Err(self.broken(e)),
            // Both have said that it ends, and ours is out.
            Err(Error::ConnectionClosed) => Err(self.take_end()),
            Err(e) => Err(End { error: Some(io::Error::other(e)), ..End::new(ABNORMAL, Who::Proxy, Cause::Internal) }),
        }
    }

    fn broken(&mut self, e: io::Error) -> End {
        let said = self.end.take();
        let end = said.unwrap_or_else(|| End::new(ABNORMAL, Who::Client, Cause::Reset));
        End { linger: false, error: Some(e), ..end }
    }

    fn take_end(&mut self) -> End {
        self.end.take().unwrap_or_else(|| End::new(ABNORMAL, Who::Proxy, Cause::Internal))
    }
}

#[cfg(test)]
#[path = "talk_tests.rs"]
mod tests;
