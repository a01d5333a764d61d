//! The same bytes to this parser and to `httparse`. What that refuses is refused here too; what both take, they take
//! apart in the same way. Where this one is stricter:
//!
//! - a line end is CRLF only; at most two empty lines come before a request, and none before a response;
//! - the target has one of the four forms, without `#`;
//! - `Host` is there in HTTP/1.1, once, and well-formed;
//! - a name has at most 255 bytes, a value 65535;
//! - a status is 100 to 999.
//!
//! Where it is not: `httparse` empties a reason with bytes above 0x7f, which here is kept, and knows no minor version above
//! 1, which here is as good as 1.

use super::split_tests::{in_pieces, shown};
use super::*;

pub(super) const REQUESTS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    b"\r\nGET /index.html?a=b&c=%20d HTTP/1.1\r\nHost: example.com:8080\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
        AppleWebKit/537.36\r\nAccept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: de,en;q=0.5\r\n\
        Accept-Encoding: gzip, deflate, br\r\nCookie: a=b; c=\"d\"\r\nConnection: keep-alive\r\n\r\n",
    b"POST /upload HTTP/1.1\r\nhost:h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
    b"CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n\x16\x03\x01",
    b"GET http://[::1]:80/a?b HTTP/1.0\r\n\r\n",
    b"GET /chat HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"PROPFIND /\xc3\xa9 HTTP/1.1\r\nHost: h\r\nX-Empty:\r\nX-Space: \t \r\nX-Text: \xff\xfe\tx\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\nHost: h\n\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nA: b\x00\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
    b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
    b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.2\r\nHost: h\r\n\r\n",
    b"GET /\r\n\r\n",
    b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /#x HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n",
];

pub(super) const RESPONSES: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: x/1\r\nTransfer-Encoding: chunked\r\n\
        Set-Cookie: a=b; Path=/\r\nSet-Cookie: c=d\r\nETag: \"x\"\r\nLast-Modified: x\r\nCache-Control: no-store\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\n\r\n",
    b"HTTP/1.1 204 \r\nA: b\r\n\r\n",
    b"HTTP/1.1 304\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 \xc3\xa9\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: b\r\n\tfolded\r\n\r\n",
    b"HTTP/1.1 200 OK\nA: b\n\n",
    b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 200 O\x01K\r\nA: b\r\n\r\n",
    b"HTTP/3.0 200 OK\r\n\r\n",
    b"HTTP/1.9 200 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
];

/// Large enough that no limit is the reason to refuse.
const LIMITS: Limits = Limits { line: 1 << 16, head: 1 << 16, headers: 200 };

/// xorshift64*: the same cases on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below the limit, or 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    /// One of those.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// One of `corpus` with a few changes.
    pub(super) fn mutation(&mut self, corpus: &[&[u8]]) -> Vec<u8> {
        const PIECES: &[&[u8]] = &[
            b"\r\n",
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b":",
            b": ",
            b",",
            b"\0",
            b"\x0b",
            b"\x7f",
            b"\x80",
            b"\xff",
            b"#",
            b"?",
            b"/",
            b"*",
            b"@",
            b"%",
            b"HTTP/1.1",
            b"http://",
            b"Host: h\r\n",
            b"Content-Length: 1\r\n",
            b"\r\n\r\n",
            b"0",
            b"[",
            b"]",
        ];
        let mut bytes = corpus[self.below(corpus.len())].to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(8)).min(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let copy = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, copy);
                }
                4 => bytes.truncate(at.max(1)),
                _ => drop(bytes.splice(at..at, PIECES[self.below(PIECES.len())].iter().copied())),
            }
        }
        bytes
    }

    /// Up to three places to split at, in order.
    pub(super) fn places(&mut self, length: usize) -> Vec<usize> {
        let mut places: Vec<_> = (0..self.below(4)).map(|_| self.below(length + 1)).collect();
        places.sort_unstable();
        places
    }
}

/// Name and value of each line.
fn lines(head: &Head, buf: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    head.fields().list().iter().map(|header| (header.name(buf).to_vec(), header.value(buf).to_vec())).collect()
}

fn their_lines(headers: &[httparse::Header<'_>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.iter().map(|header| (header.name.as_bytes().to_vec(), header.value.to_vec())).collect()
}

fn version(head: &Head) -> u8 {
    u8::from(head.version() == Version::Http11)
}

/// The only reasons to refuse what `httparse` accepts. `Method` and `Protocol`: empty lines in front.
const STRICTER_REQUEST: &[Bad] = &[Bad::LineEnd, Bad::Target, Bad::Method, Bad::NoHost, Bad::ManyHosts, Bad::Host];
const STRICTER_RESPONSE: &[Bad] = &[Bad::LineEnd, Bad::Protocol, Bad::Status];

/// What is not accepted here is not accepted there, but for those reasons. Always false.
fn check_stricter(buf: &[u8], theirs: httparse::Result<usize>, bad: Option<Bad>, reasons: &[Bad]) -> bool {
    let known = bad.is_some_and(|bad| reasons.contains(&bad));
    assert!(known || !matches!(theirs, Ok(httparse::Status::Complete(_))), "{bad:?} {}", buf.escape_ascii());
    false
}

/// Whether `httparse` refuses for its version alone what is accepted here, as it does where the minor one is above 1.
fn is_later(minor: u8, theirs: httparse::Result<usize>) -> bool {
    let later = (b'2'..=b'9').contains(&minor);
    assert_eq!(later, theirs == Err(httparse::Error::Version), "{minor}");
    later
}

/// Whether both accept the request.
fn compare_request(buf: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Request::new(&mut headers);
    let their_result = theirs.parse(buf);
    let mut head = Head::default();
    let length = match head.request(buf, &LIMITS) {
        Ok(Step::Done(length)) => length,
        Ok(Step::More) => return check_stricter(buf, their_result, None, &[]),
        Err(bad) => return check_stricter(buf, their_result, Some(bad), STRICTER_REQUEST),
    };
    if is_later(buf[head.fields().start() - 3], their_result) {
        return false;
    }
    assert_eq!(their_result, Ok(httparse::Status::Complete(length)), "{}", buf.escape_ascii());
    assert_eq!(theirs.method.map(str::as_bytes), Some(head.method_name(buf)));
    assert_eq!(theirs.path.map(str::as_bytes), Some(head.target(buf)));
    assert_eq!(theirs.version, Some(version(&head)));
    assert_eq!(their_lines(theirs.headers), lines(&head, buf), "{}", buf.escape_ascii());
    true
}

/// Whether both accept the response.
fn compare_response(buf: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Response::new(&mut headers);
    let their_result = theirs.parse(buf);
    let mut head = Head::default();
    let length = match head.response(buf, &LIMITS) {
        Ok(Step::Done(length)) => length,
        Ok(Step::More) => return check_stricter(buf, their_result, None, &[]),
        Err(bad) => return check_stricter(buf, their_result, Some(bad), STRICTER_RESPONSE),
    };
    if is_later(buf[7], their_result) {
        return false;
    }
    assert_eq!(their_result, Ok(httparse::Status::Complete(length)), "{}", buf.escape_ascii());
    assert_eq!(theirs.code, Some(head.status()));
    if head.reason(buf).is_ascii() {
        assert_eq!(theirs.reason.map(str::as_bytes), Some(head.reason(buf)));
    }
    assert_eq!(theirs.version, Some(version(&head)));
    assert_eq!(their_lines(theirs.headers), lines(&head, buf), "{}", buf.escape_ascii());
    true
}

#[test]
fn requests_as_httparse_reads_them() {
    let mut random = Random(1);
    let accepted = REQUESTS.iter().filter(|buf| compare_request(buf)).count();
    assert_eq!(accepted, 9);
    let mut accepted = 0;
    for _ in 0..40_000 {
        let buf = random.mutation(REQUESTS);
        accepted += u32::from(compare_request(&buf));
    }
    assert!(accepted > 2000, "only {accepted} mutations are still requests");
}

#[test]
fn responses_as_httparse_reads_them() {
    let mut random = Random(2);
    let accepted = RESPONSES.iter().filter(|buf| compare_response(buf)).count();
    assert_eq!(accepted, 7);
    let mut accepted = 0;
    for _ in 0..40_000 {
        let buf = random.mutation(RESPONSES);
        accepted += u32::from(compare_response(&buf));
    }
    assert!(accepted > 4000, "only {accepted} mutations are still responses");
}

#[test]
fn mutations_in_pieces_are_the_same_as_at_once() {
    let mut random = Random(3);
    for _ in 0..20_000 {
        let limits = Limits {
            line: 10 + random.below(100) as u32,
            head: 20 + random.below(400) as u32,
            headers: random.below(10) as u16,
        };
        for (corpus, parse) in [(REQUESTS, Head::request as fn(&mut Head, &_, &_) -> _), (RESPONSES, Head::response)] {
            let mut buf = random.mutation(corpus);
            // A bad line is only sure to be seen once it ends.
            buf.extend_from_slice(b"\r\n\r\n");
            let places = random.places(buf.len());
            let at_once = in_pieces(parse, &buf, &limits, &[]);
            assert_eq!(in_pieces(parse, &buf, &limits, &places), at_once, "{} {places:?}", buf.escape_ascii());
        }
    }
}

#[test]
fn whatever_is_accepted_can_be_written_and_read_again() {
    let mut random = Random(4);
    for _ in 0..10_000 {
        let buf = random.mutation(REQUESTS);
        let mut head = Head::default();
        if !matches!(head.request(&buf, &LIMITS), Ok(Step::Done(_))) {
            continue;
        }
        let (mut struck, mut out) = (Struck::default(), Vec::new());
        strike_listed(&head, &buf, &mut struck);
        strip(&head, false, &mut struck);
        request_line(&head, &buf, &mut out);
        headers(&head, &buf, &struck, &mut out);
        if head.fields().first(Id::Host).is_none() {
            field(b"Host", b"h", &mut out).unwrap();
        }
        out.extend_from_slice(b"\r\n");
        let mut again = Head::default();
        assert_eq!(again.request(&out, &LIMITS), Ok(Step::Done(out.len())), "{}", shown(&head, &buf));
        assert!(again.fields().first(Id::Connection).is_none());
    }
}
