//! Answers that this proxy gives itself.

use crate::{
    conn::Conn,
    h1::{self, Version},
};
use anyproxy_module_api::unix_ms;

/// What a status is called (RFC 9110 section 15).
pub(crate) const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

/// How the client's connection goes on after the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// It takes another request.
    pub(crate) keep: bool,
    /// Of the request.
    pub(crate) version: Version,
    /// Only the head is wanted.
    pub(crate) head_only: bool,
}

impl Manner {
    /// Before anything is known of the request.
    pub(crate) const CLOSE: Self = Self { keep: false, version: Version::Http11, head_only: false };
}

/// The line that says how the connection goes on, where that needs saying.
pub(crate) fn connection(manner: Manner, out: &mut Vec<u8>) {
    match (manner.keep, manner.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}

/// Begins a head: status line, date, and what the configuration says. Lines and an empty one are to follow.
pub(crate) fn begin(status: u16, manner: Manner, conn: &mut Conn) {
    let Conn { out, lines, .. } = conn;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(h1::decimal(status.into()).as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(&h1::http_date(unix_ms() / 1000));
    out.extend_from_slice(b"\r\n");
    connection(manner, out);
    out.extend_from_slice(lines);
}

/// How long the body is.
pub(crate) fn length(n: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Content-Length: ");
    out.extend_from_slice(h1::decimal(n).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Whether an answer of this status has no body and no length (RFC 9110 sections 6.4.1 and 8.6).
pub(crate) const fn is_bare(status: u16) -> bool {
    matches!(status, 100..=199 | 204 | 304)
}

/// A whole answer.
pub(crate) fn whole(conn: &mut Conn, status: u16, manner: Manner, content_type: &str, more: &[u8], body: &[u8]) {
    begin(status, manner, conn);
    let out = &mut conn.out;
    if !is_bare(status) {
        length(body.len() as u64, out);
        if !body.is_empty() {
            out.extend_from_slice(b"Content-Type: ");
            out.extend_from_slice(content_type.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
    out.extend_from_slice(more);
    out.extend_from_slice(b"\r\n");
    if !manner.head_only && !is_bare(status) {
        out.extend_from_slice(body);
    }
}

/// What this proxy says of a request that it does not serve.
pub(crate) fn refusal(conn: &mut Conn, status: u16, manner: Manner) {
    let text = format!("{status} {}\n", reason(status));
    whole(conn, status, manner, "text/plain", b"", text.as_bytes());
}
