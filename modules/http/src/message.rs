//! A message's head: its bytes in the form of HTTP/1, whatever carried it, where their parts lie, and which lines count.

use crate::h1::{self, Bad, Head, HeaderAt, Id, Ids, Line, Method, Struck};

/// Heads up to so many bytes keep their memory for the next message.
const KEPT: usize = 16 << 10;

/// The head of a request or an answer. Lines are added behind the others and struck where they are.
#[derive(Debug, Default)]
pub(crate) struct Message {
    /// Start line and header lines, without the empty line at their end.
    pub(crate) bytes: Vec<u8>,
    pub(crate) head: Head,
    /// Lines that do not count.
    pub(crate) struck: Struck,
}

impl Message {
    /// Forgets it; false: its memory is not worth keeping.
    pub(crate) fn clear(&mut self) -> bool {
        self.head.clear();
        self.bytes.clear();
        self.struck.reset();
        self.bytes.capacity() <= KEPT
    }

    /// Nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether a request says that it has no body, where it has none: it said so of one, or usually has one (RFC 9110 section
    /// 8.6).
    pub(crate) fn says_length(&self) -> bool {
        let fields = self.head.fields();
        let framed = fields.first(Id::ContentLength).is_some() || fields.first(Id::TransferEncoding).is_some();
        framed || matches!(self.head.method(), Method::Post | Method::Put | Method::Patch)
    }

    /// Says of a request how long its body is now. `None`: whoever sends it says that it comes in chunks.
    pub(crate) fn frame(&mut self, length: Option<u64>) {
        let says = self.says_length();
        self.remove_known(Id::ContentLength);
        self.remove_known(Id::TransferEncoding);
        if let Some(n) = length.filter(|n| *n > 0 || says) {
            self.put("Content-Length", h1::decimal(n).as_bytes());
        }
    }

    /// Takes over the bytes of a head that was parsed, with its empty line.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&bytes[..bytes.len().saturating_sub(2)]);
    }

    /// Begins an answer.
    pub(crate) fn answer(&mut self, status: u16) {
        self.clear();
        // A status is three digits, and its name has no control byte.
        let _ = self.head.make_response(status, reason(status).as_bytes(), &mut self.bytes);
    }

    /// Changes the status of an answer.
    pub(crate) fn set_status(&mut self, status: u16) {
        self.head.set_status(status);
    }

    /// Begins a request.
    ///
    /// # Errors
    /// When method or target is malformed.
    pub(crate) fn make_request(&mut self, method: &[u8], target: &[u8]) -> Result<(), Bad> {
        self.clear();
        self.head.make_request(method, target, &mut self.bytes)
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it would be no line.
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) -> Result<(), Bad> {
        self.head.append(name.as_bytes(), value, &mut self.bytes)
    }

    /// Adds a line of this proxy's own making.
    pub(crate) fn put(&mut self, name: &'static str, value: &[u8]) {
        let added = self.add(name, value);
        debug_assert!(added.is_ok(), "{name}");
    }

    /// The same of a line that is known to be one.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn add_line(&mut self, line: &Line) -> Result<(), Bad> {
        self.head.append_line(line, &mut self.bytes)
    }

    /// Adds a line in place of those of its name.
    ///
    /// # Errors
    /// As [`Message::add`]; then the others stay.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) -> Result<(), Bad> {
        let before = self.head.fields().list().len();
        self.add(name, value)?;
        self.remove_before(name.as_bytes(), before);
        Ok(())
    }

    /// The lines of a name do not count any more.
    pub(crate) fn remove(&mut self, name: &str) {
        self.remove_before(name.as_bytes(), usize::MAX);
    }

    /// The same of a known name.
    pub(crate) fn remove_known(&mut self, id: Id) {
        let fields = self.head.fields();
        if fields.first(id).is_some() {
            self.struck.strike_ids(fields, Ids::of(&[id]));
        }
    }

    fn remove_before(&mut self, name: &[u8], end: usize) {
        let fields = self.head.fields();
        let id = Id::of(name);
        if id.is_known() && fields.first(id).is_none() {
            return;
        }
        for (n, line) in fields.list().iter().enumerate().take(end) {
            if line.id == id && line.name(&self.bytes).eq_ignore_ascii_case(name) {
                self.struck.strike(n);
            }
        }
    }

    /// The value of the first line with `id` that counts.
    pub(crate) fn value(&self, id: Id) -> Option<&[u8]> {
        let fields = self.head.fields();
        let first = fields.first_at(id)?;
        // Lines are struck by their names, mostly, and then none of that name is left or all are.
        let line =
            if self.struck.has(first) { self.lines().find(|l| l.id == id)? } else { fields.list().get(first)? };
        Some(line.value(&self.bytes))
    }

    /// What `Content-Length` says.
    pub(crate) fn length(&self) -> Option<u64> {
        std::str::from_utf8(self.value(Id::ContentLength)?).ok()?.parse().ok()
    }

    /// The values of a header, joined by commas (RFC 9110 section 5.3); `None`: there is no such line.
    pub(crate) fn joined(&self, id: Id) -> Option<Vec<u8>> {
        let mut all: Option<Vec<u8>> = None;
        for value in self.values(id) {
            match &mut all {
                None => all = Some(value.to_vec()),
                Some(all) => {
                    all.extend_from_slice(b", ");
                    all.extend_from_slice(value);
                }
            }
        }
        all
    }

    /// The values of the lines with `id` that count, in order.
    pub(crate) fn values(&self, id: Id) -> impl Iterator<Item = &[u8]> {
        // Nearly all heads have none.
        let lines = self.head.fields().first(id).map(|_| self.lines());
        lines.into_iter().flatten().filter(move |line| line.id == id).map(|line| line.value(&self.bytes))
    }

    /// The lines that count, in order.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &HeaderAt> {
        let list = self.head.fields().list().iter().enumerate();
        list.filter(|(n, _)| !self.struck.has(*n)).map(|(_, line)| line)
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        self.head.status()
    }

    /// Writes the head of an answer for a client of HTTP/1, but for what frames it, and the empty line.
    pub(crate) fn write_answer(&self, out: &mut Vec<u8>) {
        let phrase = match self.head.reason(&self.bytes) {
            b"" => reason(self.status()).as_bytes(),
            phrase => phrase,
        };
        // Parsed or made: a status has three digits, and no phrase a control byte.
        let _ = h1::response(&self.head, &self.bytes, phrase, &self.struck, out);
    }
}

/// What a status is called (RFC 9110 section 15).
pub(crate) const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// Whether an answer of this status has no body and no length (RFC 9110 sections 6.4.1 and 8.6).
pub(crate) const fn is_bare(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
