//! Requests that a test makes up, and what became of them.

use crate::{Body, Bytes, Segment, Upgraded};
use anyproxy_module_api::Error;

/// A head: of a request or an answer.
#[derive(Clone, Debug, Default)]
pub struct FakeHead {
    /// Of a request.
    pub method: String,
    /// Path and query of a request.
    pub target: String,
    /// Of an answer; 0: there is none.
    pub status: u16,
    /// Lines in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl FakeHead {
    /// The values of a header, joined by commas; `None`: there is none.
    pub fn header(&self, name: &str) -> Option<String> {
        let values = self.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let values: Vec<_> = values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// Both heads of an exchange, and what it came by.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    pub(super) request: FakeHead,
    pub(super) answer: FakeHead,
    pub(super) version: &'static str,
    pub(super) scheme: &'static str,
}

/// A request, answered or not, as a hook gets it. By HTTP/1.1, without TLS, for `a.test`, unless the test says otherwise.
#[derive(Debug)]
pub struct FakeExchange {
    pub(super) parts: Parts,
    pub(super) body: Body,
}

impl FakeExchange {
    /// A request without a body.
    pub fn new(method: &str, target: &str) -> Self {
        let headers = vec![("Host".to_owned(), b"a.test".to_vec())];
        let request = FakeHead { method: method.to_owned(), target: target.to_owned(), status: 0, headers };
        let parts = Parts { request, answer: FakeHead::default(), version: "1.1", scheme: "http" };
        Self { parts, body: Body::EMPTY }
    }

    /// `GET`
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A header line of the request; once it is answered, of the answer. `Host` takes the place of the one that is there.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let answered = self.parts.answer.status != 0;
        let head = if answered { &mut self.parts.answer } else { &mut self.parts.request };
        if name.eq_ignore_ascii_case("Host") {
            head.headers.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        }
        head.headers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// Somebody has answered: what follows is of the answer.
    #[must_use]
    pub fn answered(mut self, status: u16) -> Self {
        self.parts.answer.status = status;
        self.body = Body::EMPTY;
        self
    }

    /// The body, of the request or of its answer, whose length is known.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.body = bytes.into().into();
        self
    }

    /// The same in pieces, of a length that is not known.
    #[must_use]
    pub fn pieces<B: Into<Vec<u8>>>(mut self, pieces: impl IntoIterator<Item = B>) -> Self {
        let pieces: Vec<Bytes> = pieces.into_iter().map(|piece| piece.into().into()).collect();
        self.body = Body::stream(None, |out| async move {
            for piece in pieces {
                out.put(piece).await;
            }
            Ok(())
        });
        self
    }

    /// The same of these segments: parts of files, trailers.
    #[must_use]
    pub fn segments(mut self, segments: impl IntoIterator<Item = Segment>) -> Self {
        self.body = Body::of(segments);
        self
    }

    /// The version of HTTP, as `Part::Version` says it.
    #[must_use]
    pub const fn version(mut self, version: &'static str) -> Self {
        self.parts.version = version;
        self
    }

    /// It came through TLS.
    #[must_use]
    pub const fn secure(mut self) -> Self {
        self.parts.scheme = "https";
        self
    }
}

/// What became of an exchange.
#[derive(Debug, Default)]
pub struct Outcome {
    /// It went on, with `body`; else this is the answer.
    pub went_on: bool,
    /// Why the hook failed: http answers with 500, to `Limit` with 413.
    pub error: Option<Error>,
    /// Whoever goes on with the connection.
    pub upgraded: Option<Upgraded>,
    /// The request's head, as it is now.
    pub request: FakeHead,
    /// The answer's; its status is 0 where nobody answered.
    pub answer: FakeHead,
    /// The request's body, or the answer's once there is one; nothing where none is sent: to HEAD, and with 1xx, 204 and 304.
    pub body: Vec<u8>,
    /// What the body said of its length.
    pub length: Option<u64>,
    /// Lines behind it.
    pub trailers: Vec<u8>,
}

impl Outcome {
    /// The status of the answer; 0: there is none.
    pub const fn status(&self) -> u16 {
        self.answer.status
    }

    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<String> {
        self.answer.header(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
