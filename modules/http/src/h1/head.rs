//! Heads of requests and responses (RFC 9112 sections 2 to 4): where their parts lie in the caller's buffer. Owns what
//! makes a head well-formed; knows nothing of bodies.

use super::fields::{Fields, Span};
use super::framing::Listed;
use super::line::{NoField, no_field};
use super::name::Id;
use super::start::target;
use super::{Authority, Bad, Line, Method, Target, Version, authority, scan};

/// How much of a head is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request or status line, its CRLF included.
    pub line: u32,
    /// Bytes of the whole head, from the first byte to the empty line, both included.
    pub head: u32,
    /// Number of header lines.
    pub headers: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self { line: 8 << 10, head: 32 << 10, headers: 100 }
    }
}

/// How far a parser came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<T> {
    /// It is through.
    Done(T),
    /// The bytes end too early: call again with the same bytes and more behind them.
    More,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Start,
    Fields,
    Done,
}

/// One head: offsets into the buffer it was parsed from, which the accessors need again. Reused from message to
/// message, so that its vector is allocated once; [`Head::clear`] comes between two messages.
#[derive(Clone, Debug, Default)]
pub struct Head {
    phase: Phase,
    pub(super) version: Version,
    pub(super) method: Method,
    pub(super) status: u16,
    /// Start of the line in progress; the length of the head when it is done.
    pub(super) at: u32,
    /// How far the line in progress was looked at.
    scanned: u32,
    /// Method or status.
    pub(super) first: Span,
    /// Target or reason.
    pub(super) second: Span,
    pub(super) target: Target,
    listed: Listed,
    /// The same of the lines that were read, to which others may have been added.
    read: Listed,
    /// The value of `Host`, where it is a name of letters, digits, `-` and `.` only, as nearly always.
    plain_host: Option<Span>,
    /// `Host` of the section that was read last is known to be such a name.
    host_was_plain: bool,
    fields: Fields,
}

impl Head {
    /// Forgets the head, to parse another one.
    pub fn clear(&mut self) {
        self.phase = Phase::Start;
        self.at = 0;
        self.scanned = 0;
        self.listed = Listed::default();
        self.plain_host = None;
        self.fields.clear();
    }

    /// Parses a request head at the beginning of `buf`. Returns its length in bytes, the empty line included, once it is
    /// there. Until then each call needs all the bytes of the one before, and looks only at new ones and, once more, at
    /// the lines they complete. Up to two empty lines in front of it are skipped (RFC 9112 section 2.2).
    ///
    /// # Errors
    /// What is wrong with it, of which the first bad line decides. How the bytes were split makes no difference.
    pub fn request(&mut self, buf: &[u8], limits: &Limits) -> Result<Step<usize>, Bad> {
        let step = self.advance(buf, limits, Self::request_line)?;
        if let Step::Done(_) = step {
            self.check_host(buf)?;
        }
        Ok(step)
    }

    /// Parses a response head, like [`Head::request`]. Nothing may come in front of it.
    ///
    /// # Errors
    /// As [`Head::request`].
    pub fn response(&mut self, buf: &[u8], limits: &Limits) -> Result<Step<usize>, Bad> {
        self.advance(buf, limits, Self::status_line)
    }

    /// Makes the head of a response in `bytes`, which are to be empty: its status line. [`Head::append`] adds lines.
    ///
    /// # Errors
    /// [`Bad::Status`], as [`status_line`](super::status_line).
    pub fn make_response(&mut self, status: u16, reason: &[u8], bytes: &mut Vec<u8>) -> Result<(), Bad> {
        self.clear();
        super::status_line(Version::Http11, status, reason, bytes)?;
        self.version = Version::Http11;
        self.status = status;
        self.first = Span::between(9, 12);
        self.second = Span::between(13, 13 + reason.len());
        self.made(bytes.len());
        Ok(())
    }

    /// Makes the head of a request in `bytes`, which are to be empty: its request line, as HTTP/1.1.
    ///
    /// # Errors
    /// [`Bad::Method`] or [`Bad::Target`] where these would be no part of a request line.
    pub fn make_request(&mut self, method: &[u8], target_bytes: &[u8], bytes: &mut Vec<u8>) -> Result<(), Bad> {
        self.clear();
        if !scan::is_token(method) {
            return Err(Bad::Method);
        }
        if target_bytes.is_empty() || scan::target_end(target_bytes, 0) < target_bytes.len() {
            return Err(Bad::Target);
        }
        let at = method.len() + 1;
        self.method = Method::of(method);
        self.target = target(self.method, target_bytes, at).ok_or(Bad::Target)?;
        for part in [method, b" ", target_bytes, b" HTTP/1.1\r\n"] {
            bytes.extend_from_slice(part);
        }
        self.version = Version::Http11;
        self.first = Span::between(0, method.len());
        self.second = Span::between(at, at + target_bytes.len());
        self.made(bytes.len());
        Ok(())
    }

    fn made(&mut self, len: usize) {
        self.phase = Phase::Done;
        self.at = len as u32;
        self.fields.finish(len);
    }

    /// Appends a header line to a head that is complete. `bytes` end where the empty line would be.
    ///
    /// # Errors
    /// [`Bad::Name`] and [`Bad::Value`] as [`field`](super::field), or for one that is too long; [`Bad::ConnectionList`];
    /// nothing is appended.
    pub fn append(&mut self, name: &[u8], value: &[u8], bytes: &mut Vec<u8>) -> Result<(), Bad> {
        let id = Id::of_token(name).ok_or(Bad::Name)?;
        let listed = self.listed_with(id, value)?;
        self.fields.append(id, name, value, bytes)?;
        self.appended(listed, bytes);
        Ok(())
    }

    /// The same of a line that is known to be one.
    ///
    /// # Errors
    /// [`Bad::TooManyHeaders`], [`Bad::ConnectionList`]; nothing is appended.
    pub fn append_line(&mut self, line: &Line, bytes: &mut Vec<u8>) -> Result<(), Bad> {
        if line.id == Id::Connection {
            let listed = self.listed.and(line.value())?;
            self.fields.append_line(line, bytes)?;
            self.listed = listed;
        } else {
            self.fields.append_line(line, bytes)?;
        }
        self.at = bytes.len() as u32;
        Ok(())
    }

    /// What the `Connection` lines say once there is this line, too.
    fn listed_with(&self, id: Id, value: &[u8]) -> Result<Listed, Bad> {
        if id == Id::Connection { self.listed.and(value) } else { Ok(self.listed) }
    }

    fn appended(&mut self, listed: Listed, bytes: &[u8]) {
        self.at = bytes.len() as u32;
        self.listed = listed;
    }

    /// Changes the status and the reason of a response.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
        self.second = Span::default();
    }

    /// `start` reads the first line at `self.at` and returns where the next begins, or `None` where the bytes end
    /// first.
    #[inline]
    fn advance(
        &mut self,
        buf: &[u8],
        limits: &Limits,
        start: impl Fn(&mut Self, &[u8]) -> Result<Option<usize>, Bad>,
    ) -> Result<Step<usize>, Bad> {
        let head_end = limits.head as usize;
        // A line in progress is parsed when it is first seen, and again when its end or its limit has come. In between
        // only the end is looked for, so that a peer that sends single bytes costs no more than one look at each.
        if self.scanned > self.at && self.phase != Phase::Done {
            let news = buf.get(self.scanned as usize..).unwrap_or_default();
            if buf.len() < self.line_end(limits) && memchr::memchr(b'\n', news).is_none() {
                self.scanned = buf.len().max(self.scanned as usize) as u32;
                return Ok(Step::More);
            }
        }
        while self.phase == Phase::Start {
            let line_end = self.line_end(limits);
            let window = &buf[..buf.len().min(line_end)];
            match start(self, window)? {
                Some(next) => {
                    self.at = next as u32;
                    self.phase = Phase::Fields;
                }
                // `start` may have skipped an empty line, which moves the limit.
                None if buf.len() < self.line_end(limits) => return Ok(self.wait(buf)),
                None if self.line_end(limits) > line_end => {}
                None if line_end == head_end => return Err(Bad::HeadTooLarge),
                None => return Err(Bad::LineTooLong),
            }
        }
        if self.phase == Phase::Fields {
            let window = &buf[..buf.len().min(head_end)];
            let at = self.fields.read(window, self.at as usize, limits.headers).ok_or(Bad::TooManyHeaders)?;
            self.at = at as u32;
            let end = match window.get(at..).and_then(<[u8]>::first_chunk) {
                Some(b"\r\n") => NoField::End(at + 2),
                _ => no_field(window, at)?,
            };
            match end {
                NoField::End(next) => {
                    self.fields.finish(at);
                    if !self.fields.is_as_before() {
                        self.read = Listed::of(&self.fields, window)?;
                        self.host_was_plain = false;
                    }
                    self.listed = self.read;
                    // Not of one that is refused: it would be taken the next time.
                    self.fields.keep(window, at);
                    self.at = next as u32;
                    self.phase = Phase::Done;
                }
                NoField::More if buf.len() >= head_end => return Err(Bad::HeadTooLarge),
                NoField::More => return Ok(self.wait(buf)),
            }
        }
        Ok(Step::Done(self.at as usize))
    }

    /// Where the line in progress must have ended.
    fn line_end(&self, limits: &Limits) -> usize {
        let end = if self.phase == Phase::Start { self.at.saturating_add(limits.line) } else { limits.head };
        end.min(limits.head) as usize
    }

    fn wait(&mut self, buf: &[u8]) -> Step<usize> {
        self.scanned = buf.len() as u32;
        Step::More
    }

    fn check_host(&mut self, buf: &[u8]) -> Result<(), Bad> {
        if self.fields.repeats(Id::Host) {
            return Err(Bad::ManyHosts);
        }
        let Some(line) = self.fields.first(Id::Host) else {
            return if self.version == Version::Http11 { Err(Bad::NoHost) } else { Ok(()) };
        };
        self.host_was_plain = self.host_was_plain || scan::is_words(line.value(buf));
        if self.host_was_plain {
            self.plain_host = Some(line.value_span());
            return Ok(());
        }
        authority(line.value(buf)).map(|_| ()).ok_or(Bad::Host)
    }

    /// Bytes of the head, the empty line included. 0 until it is complete.
    #[must_use]
    #[expect(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        if self.phase == Phase::Done { self.at as usize } else { 0 }
    }

    /// The version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The method of a request.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The method of a request as it was sent.
    #[must_use]
    pub fn method_name<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        self.first.of(buf)
    }

    /// Where the line of a request begins, if it is also what [`request_line`](super::request_line) writes.
    pub(super) fn whole_line_at(&self, buf: &[u8]) -> Option<usize> {
        let same = self.version == Version::Http11 && !matches!(self.target, Target::Absolute { .. });
        // The minor version, in front of the line's end, may be another one.
        let same = same && buf.get(self.fields.start().wrapping_sub(3)) == Some(&b'1');
        same.then_some(self.first.at as usize)
    }

    /// The same of a response and [`status_line`](super::status_line), with the reason that the line has.
    pub(super) fn whole_status_line_at(&self, buf: &[u8]) -> Option<usize> {
        // With a reason it has both spaces. A status that was changed has none.
        let same = self.version == Version::Http11 && self.second.len > 0;
        (same && buf.get(7) == Some(&b'1')).then_some(0)
    }

    /// The form of a request's target.
    #[must_use]
    pub fn form(&self) -> Target {
        self.target
    }

    /// The target of a request as it was sent.
    #[must_use]
    pub fn target<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        self.second.of(buf)
    }

    /// Path and query of a request's target: all of it, or what follows the authority: see [`Target::Absolute`].
    #[must_use]
    pub fn path<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        match self.target {
            Target::Absolute { path, .. } => path.of(buf),
            _ => self.target(buf),
        }
    }

    /// Host and port that a request is for: of its target where it names them, or else of `Host` (RFC 9112 section
    /// 3.3). `None` only in HTTP/1.0.
    #[must_use]
    pub fn authority<'b>(&self, buf: &'b [u8]) -> Option<Authority<'b>> {
        authority(match self.target {
            Target::Absolute { authority, .. } => authority.of(buf),
            Target::Authority => self.target(buf),
            Target::Origin | Target::Asterisk => self.fields.value(buf, Id::Host)?,
        })
    }

    /// What [`Head::authority`] has for the host, if that is a name of letters, digits, `-` and `.` only, no port
    /// follows, and it was noted when the head was read.
    #[must_use]
    #[inline]
    pub fn plain_host<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8]> {
        match self.target {
            Target::Origin | Target::Asterisk => Some(self.plain_host?.of(buf)),
            Target::Absolute { .. } | Target::Authority => None,
        }
    }

    /// The status of a response, 100 to 999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase of a response. May be empty.
    #[must_use]
    pub fn reason<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        self.second.of(buf)
    }

    pub(super) fn listed(&self) -> Listed {
        self.listed
    }

    /// The header lines.
    #[must_use]
    pub fn fields(&self) -> &Fields {
        &self.fields
    }
}
