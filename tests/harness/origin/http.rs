//! HTTP/1.1 answers for relays that do not read them. Serves GET only and checks little: a fixed answer a request.

use std::io::{self, Read, Write};

use super::{Conn, Origin};

/// Longest request head that is taken.
const HEAD: usize = 16 * 1024;

impl Origin {
    /// Answers every request with 200 and this body, and keeps the connection unless `Connection: close` asks otherwise.
    pub fn http(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self::start(move |conn| answer_all(conn, |_| body.clone()))
    }

    /// Answers with the request's own head as the body: shows what arrived.
    pub fn http_mirror() -> Self {
        Self::start(|conn| answer_all(conn, |head| head.to_vec()))
    }
}

fn answer_all(mut conn: Conn, body: impl Fn(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut pending = Vec::new();
    while let Some(head) = next_head(&mut conn, &mut pending)? {
        let close = head.to_ascii_lowercase().windows(17).any(|text| text == b"connection: close");
        let body = body(&head);
        let state = if close { "close" } else { "keep-alive" };
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: {state}\r\n\r\n", body.len()).into_bytes();
        answer.extend_from_slice(&body);
        conn.write_all(&answer)?;
        if close {
            return super::tcp::drain(&mut conn);
        }
    }
    Ok(())
}

/// Bytes up to and with the empty line; what follows stays in `pending`. `None` at a clean end.
fn next_head(conn: &mut impl Read, pending: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let mut buf = [0; 4096];
    loop {
        if let Some(at) = pending.windows(4).position(|text| text == b"\r\n\r\n") {
            return Ok(Some(pending.drain(..at + 4).collect()));
        }
        if pending.len() > HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match conn.read(&mut buf)? {
            0 if pending.is_empty() => return Ok(None),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => pending.extend_from_slice(&buf[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    #[test]
    fn answers_twice_on_one_connection() {
        let origin = Origin::http("body");
        let mut stream = client::connect(origin.addr());
        for _ in 0..2 {
            assert_eq!(client::http_get(&mut stream, "/").body, b"body");
        }
        assert_eq!(origin.accepted(), 1);
    }

    #[test]
    fn closes_when_asked_to() {
        let origin = Origin::http_mirror();
        let answer = client::exchange(origin.addr(), b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let text = String::from_utf8(answer).expect("text");
        assert!(text.contains("Connection: close\r\n") && text.contains("GET /x HTTP/1.1\r\nHost: a\r\n"), "{text}");
    }

    #[test]
    fn two_requests_in_one_segment_are_two() {
        let mut pending = Vec::new();
        let mut input: &[u8] = b"A\r\n\r\nB\r\n\r\n";
        assert_eq!(next_head(&mut input, &mut pending).expect("head").as_deref(), Some(&b"A\r\n\r\n"[..]));
        assert_eq!(next_head(&mut input, &mut pending).expect("head").as_deref(), Some(&b"B\r\n\r\n"[..]));
        assert_eq!(next_head(&mut input, &mut pending).expect("end"), None);
    }
}
