//! Heads on their way out. Owns the layout; which lines go and come is the caller's.

use super::scan;
use super::{Bad, Head, Method, Struck, Target, Version};

/// Something that bytes are appended to.
pub trait Sink {
    /// Appends `bytes`.
    fn push(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Appends the request line of `head` in origin-form, with the method as it was sent and as HTTP/1.1: an absolute
/// target loses scheme and authority, so the caller writes [`Head::authority`] as `Host`. `*` and the target of
/// `CONNECT` stay.
pub fn request_line(head: &Head, buf: &[u8], out: &mut impl Sink) {
    if let Some(at) = head.whole_line_at(buf) {
        return copy(buf, at, head.fields().start(), out);
    }
    out.push(head.method_name(buf));
    out.push(b" ");
    let path = head.path(buf);
    if matches!(head.form(), Target::Absolute { .. }) && path.first() != Some(&b'/') {
        out.push(if path.is_empty() && head.method() == Method::Options { b"*" } else { b"/" });
    }
    out.push(path);
    out.push(b" HTTP/1.1\r\n");
}

/// Appends a status line. `status` has three digits.
///
/// # Errors
/// [`Bad::Status`], with nothing appended, where it has not, or `reason` holds a control byte.
pub fn status_line(version: Version, status: u16, reason: &[u8], out: &mut impl Sink) -> Result<(), Bad> {
    if !(100..=999).contains(&status) || !scan::is_value(reason) {
        return Err(Bad::Status);
    }
    let mut start = if version == Version::Http11 { *b"HTTP/1.1 xxx " } else { *b"HTTP/1.0 xxx " };
    let digit = |number| b'0' + (number % 10) as u8;
    (start[9], start[10], start[11]) = (digit(status / 100), digit(status / 10), digit(status));
    out.push(&start);
    out.push(reason);
    out.push(b"\r\n");
    Ok(())
}

/// Appends a request line and header lines: [`request_line`], then [`headers`], at once where they may be.
pub fn request(head: &Head, buf: &[u8], struck: &Struck, out: &mut impl Sink) {
    match head.whole_line_at(buf) {
        Some(at) => lines(at, head, buf, struck, out),
        None => {
            request_line(head, buf, out);
            headers(head, buf, struck, out);
        }
    }
}

/// Appends a status line of HTTP/1.1 with that `reason`, the one of `head` or one in its place where it has none, and
/// header lines: [`status_line`], then [`headers`], at once where they may be.
///
/// # Errors
/// As [`status_line`].
pub fn response(head: &Head, buf: &[u8], reason: &[u8], struck: &Struck, out: &mut impl Sink) -> Result<(), Bad> {
    match head.whole_status_line_at(buf) {
        Some(at) => lines(at, head, buf, struck, out),
        None => {
            status_line(Version::Http11, head.status(), reason, out)?;
            headers(head, buf, struck, out);
        }
    }
    Ok(())
}

/// Appends the header lines of `head` as they were sent, but for the struck ones. Lines between two struck ones are
/// copied at once. The empty line is left to the caller, who may append more lines before.
pub fn headers(head: &Head, buf: &[u8], struck: &Struck, out: &mut impl Sink) {
    lines(head.fields().start(), head, buf, struck, out);
}

/// The same with what is before them, from the offset `start` on.
#[inline]
fn lines(start: usize, head: &Head, buf: &[u8], struck: &Struck, out: &mut impl Sink) {
    let fields = head.fields();
    let mut from = start;
    // `for_each` goes through the words of `struck` in a plain loop, which `for` over the same does not become.
    struck.iter().for_each(|index| {
        if let Some(header) = fields.list().get(index) {
            copy(buf, from, header.line(), out);
            from = fields.next_line(index);
        }
    });
    copy(buf, from, fields.end(), out);
}

fn copy(buf: &[u8], from: usize, to: usize, out: &mut impl Sink) {
    match buf.get(from..to) {
        None | Some([]) => {}
        Some(lines) => out.push(lines),
    }
}

/// Appends one header line.
///
/// # Errors
/// [`Bad::Name`] and [`Bad::Value`], with nothing appended, where the line would be malformed: a value that holds a line
/// end must not become two lines.
pub fn field(name: &[u8], value: &[u8], out: &mut impl Sink) -> Result<(), Bad> {
    if !scan::is_token(name) {
        return Err(Bad::Name);
    }
    line(name, value, out)
}

/// As [`field`], with a name that is a token.
pub(super) fn line(name: &[u8], value: &[u8], out: &mut impl Sink) -> Result<(), Bad> {
    if !scan::is_value(value) {
        return Err(Bad::Value);
    }
    out.push(name);
    out.push(b": ");
    out.push(value);
    out.push(b"\r\n");
    Ok(())
}
