//! Compression of answers as they pass (RFC 9110 section 8.4).

use crate::{
    Http,
    core::{
        compress::{self, Compressor, DEFAULT_TYPES},
        encoding::{Coding, negotiate},
    },
    exchange::Request,
    fault::Fault,
    h1::Id,
    message::{Message, is_bare},
    reply::{Body, Call, Flat, Reply},
};
use anyproxy_http_contract::{Bytes, Segment};
use anyproxy_module_api::*;
use std::{
    cell::Cell,
    fmt,
    rc::Rc,
    task::{Context, Poll},
};

directive! {
    /// Compresses answers for clients that take it: `zstd`, `gzip`, `br`, in this order of preference; `off`: not here.
    /// Answers that are compressed already, parts, and those with `Cache-Control: no-transform` pass as they are.
    "http_compress", Contexts::MSL,
    .args(&[ArgDesc::new("coding", Kind::Choice, "Codings.")
        .choices(&[Str::new("off"), Str::new("zstd"), Str::new("gzip"), Str::new("br")]).required().repeated()])
    .props(&[
        ArgDesc::new("types", Kind::Text, "Media types, `text/*` for all of a kind. Without: text, scripts, JSON, XML, SVG, fonts."),
        ArgDesc::new("min_length", Kind::Size, "Shorter answers pass as they are.").default("1KiB").bounds(0, 1 << 30),
        ArgDesc::new("level", Kind::Int, "Higher is smaller and slower; each coding has its own default.").bounds(1, 12),
    ])
    .example("http_compress \"zstd\" \"gzip\" min_length=\"2KiB\"")
}

/// Memory of the compressors of one worker, bytes; beyond that answers pass as they are.
const MEMORY: usize = 256 << 20;
/// Compressed at once: whoever sends gets a turn in between, however little came out.
const PIECE: usize = 64 << 10;

/// What is said of the bytes that were: digests (RFC 9530 sections 2 and 3), and the older ones.
const DIGESTS: &[&str] = &["Content-Digest", "Repr-Digest", "Digest", "Content-MD5"];

/// What `http_compress` says.
#[derive(Debug)]
pub(crate) struct Compress {
    codings: Vec<Coding>,
    types: Vec<String>,
    least: u64,
    level: Option<u8>,
}

impl Compress {
    pub(crate) fn new<C>(scope: &Scope<'_, C>) -> Option<Self> {
        let node = scope.node("http_compress")?;
        let mut codings = Vec::new();
        for arg in node.args.as_slice() {
            match arg.text.as_str() {
                "zstd" => codings.push(Coding::Zstd),
                "gzip" => codings.push(Coding::Gzip),
                "br" => codings.push(Coding::Brotli),
                _ => return None,
            }
        }
        codings.push(Coding::Identity);
        let types = node.prop("types").map_or_else(
            || DEFAULT_TYPES.map(str::to_owned).to_vec(),
            |t| t.text.as_str().split_whitespace().map(str::to_owned).collect(),
        );
        let least = node.prop("min_length").map_or(1 << 10, Value::size);
        Some(Self { codings, types, least, level: node.prop("level").map(|v| v.num as u8) })
    }

    /// Compresses the answer, if it is one for that and the client takes it.
    pub(crate) fn apply(&self, call: &Call<'_>, reply: Reply) -> Reply {
        let parts = &mut *call.state.parts.borrow_mut();
        let status = parts.response.status();
        if status == 304 {
            self.not_modified(parts);
        }
        // As a 200 to the same request would (RFC 9110 sections 15.3.7 and 15.4.5).
        if matches!(status, 206 | 304) && self.may_all(&parts.response) {
            vary(&mut parts.response);
        }
        let length = reply.length.or_else(|| parts.response.length());
        // Nothing at all would be no stream of a coding either.
        let least = self.least.max(1);
        if !self.may(&parts.response, status) || reply.upgrade.is_some() || length.is_some_and(|n| n < least) {
            return reply;
        }
        vary(&mut parts.response);
        let Some(coding) = self.coding(parts) else { return reply };
        let level = self.level.unwrap_or_else(|| compress::default_level(coding));
        let Some(held) = Held::take(&call.exchange.worker().compressing, compress::cost(coding, level)) else {
            return reply;
        };
        let Ok(compressor) = Compressor::new(coding, level) else { return reply };
        let response = &mut parts.response;
        for name in ["Content-Length", "Accept-Ranges"].iter().chain(DIGESTS) {
            response.remove(name);
        }
        let _ = response.set("Content-Encoding", coding.name().as_bytes());
        // Another representation: only as good as the same (RFC 9110 section 8.8.1).
        if let Some(tag) = response.value(Id::ETag).filter(|t| t.starts_with(b"\"")).map(|t| [b"W/", t].concat()) {
            let _ = response.set("ETag", &tag);
        }
        // Only the head is wanted.
        if matches!(reply.body, Body::Empty) {
            return Reply::new(Body::Empty, None);
        }
        let stream = Stream {
            flat: Flat::new(reply.body),
            compressor: Some(compressor),
            left: Bytes::default(),
            trailers: None,
            turn: 0,
            _held: held,
        };
        Reply::new(Body::Compressed(Box::new(stream)), None)
    }

    /// Whichever the client prefers of those that it takes; `None`: the answer as it is.
    fn coding(&self, parts: &Request) -> Option<Coding> {
        let accepts = parts.request.joined(Id::AcceptEncoding);
        negotiate(accepts.as_deref(), &self.codings).filter(|c| *c != Coding::Identity)
    }

    /// A client that has the compressed answer knows it by its weak tag, and gets that where a 200 would have it (RFC 9110
    /// section 15.4.5). A cache updates nothing by a strong one that it does not have (RFC 9111 section 4.3.4).
    fn not_modified(&self, parts: &mut Request) {
        let Some(tag) = parts.response.value(Id::ETag).filter(|t| t.starts_with(b"\"")) else { return };
        let weak = [b"W/", tag].concat();
        let known = parts.request.joined(Id::IfNoneMatch).unwrap_or_default();
        if known.split(|b| *b == b',').any(|tag| tag.trim_ascii() == weak) && self.coding(parts).is_some() {
            let _ = parts.response.set("ETag", &weak);
        }
    }

    fn may(&self, response: &Message, status: u16) -> bool {
        let kind = response.value(Id::ContentType).unwrap_or_default();
        !is_bare(status) && status != 206 && is_plain(response) && compress::is_compressible(kind, &self.types)
    }

    /// Whether the whole of this part, or of what has not changed, would be compressed for some. Where no type is said it
    /// may be.
    fn may_all(&self, response: &Message) -> bool {
        let fits = |kind: &[u8]| kind.starts_with(PARTS) || compress::is_compressible(kind, &self.types);
        is_plain(response) && response.value(Id::ContentType).is_none_or(fits)
    }
}

/// What several parts are sent as, whatever they are parts of (RFC 9110 section 14.6).
const PARTS: &[u8] = b"multipart/byteranges";

/// No coding is on it, and none is forbidden.
fn is_plain(response: &Message) -> bool {
    let forbidden = |v: Vec<u8>| contains(&v, b"no-transform");
    response.value(Id::ContentEncoding).is_none() && !response.joined(Id::CacheControl).is_some_and(forbidden)
}

fn contains(list: &[u8], word: &[u8]) -> bool {
    list.split(|b| *b == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(word))
}

/// Says that the answer depends on what the client takes (RFC 9110 section 12.5.5).
fn vary(response: &mut Message) {
    let before = response.joined(Id::Vary).unwrap_or_default();
    if !contains(&before, b"Accept-Encoding") && !contains(&before, b"*") {
        response.put("Vary", b"Accept-Encoding");
    }
}

/// Of the trailer lines those that are as true of the compressed answer: not what identifies the bytes that were.
fn trailers(lines: &[u8]) -> Option<Segment> {
    let names = |line: &[u8], name: &str| {
        line.split(|b| *b == b':').next().is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes()))
    };
    let stays = |line: &&[u8]| !["ETag"].iter().chain(DIGESTS).any(|name| names(line, name));
    let kept = lines.split_inclusive(|b| *b == b'\n').filter(stays).collect::<Vec<_>>().concat();
    (!kept.is_empty()).then(|| Segment::Trailers(kept.into()))
}

/// A share of the memory for compressors.
struct Held {
    of: Rc<Cell<usize>>,
    bytes: usize,
}

impl Held {
    fn take(of: &Rc<Cell<usize>>, bytes: usize) -> Option<Self> {
        let sum = of.get() + bytes;
        (sum <= MEMORY).then(|| {
            of.set(sum);
            Self { of: Rc::clone(of), bytes }
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.set(self.of.get() - self.bytes);
    }
}

/// A body that is compressed as it passes.
pub(crate) struct Stream {
    flat: Flat,
    /// `None`: it is complete.
    compressor: Option<Compressor>,
    /// Came and not compressed yet.
    left: Bytes,
    /// Sent once all of the body is.
    trailers: Option<Segment>,
    /// Compressed in this turn, bytes.
    turn: usize,
    _held: Held,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("flat", &self.flat).finish_non_exhaustive()
    }
}

impl Stream {
    /// The next compressed piece.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        let failed = |e: compress::Error| {
            tracing::error!(session = exchange.id, "{e}");
            Fault::new(Who::Proxy, Cause::Closed, 500)
        };
        let mut out = Vec::new();
        let piece = |out: Vec<u8>| Poll::Ready(Ok(Some(Segment::Bytes(out.into()))));
        loop {
            let Some(compressor) = &mut self.compressor else { return Poll::Ready(Ok(self.trailers.take())) };
            while !self.left.is_empty() {
                if self.turn >= PIECE {
                    self.turn = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                let n = self.left.len().min(PIECE - self.turn);
                self.turn += n;
                compressor.push(&self.left[..n], &mut out).map_err(failed)?;
                self.left.advance(n);
                if !out.is_empty() {
                    return piece(out);
                }
            }
            match self.flat.poll_next(exchange, cx) {
                Poll::Ready(Ok(Some(Segment::Bytes(bytes)))) => self.left = bytes,
                // What was to be read is not.
                Poll::Ready(Ok(Some(Segment::File(_)))) => {}
                Poll::Ready(Ok(end)) => {
                    if let Some(compressor) = self.compressor.take() {
                        compressor.finish(&mut out).map_err(failed)?;
                    }
                    if let Some(Segment::Trailers(lines)) = end {
                        self.trailers = trailers(&lines);
                    }
                    if !out.is_empty() {
                        return piece(out);
                    }
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => {
                    self.turn = 0;
                    // Nothing comes now: what there is is for the client.
                    compressor.flush(&mut out).map_err(failed)?;
                    return if out.is_empty() { Poll::Pending } else { piece(out) };
                }
            }
        }
    }

    /// Goes on with the request's body.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.flat.body.drive(exchange, cx)
    }

    /// Whose fault it is that nothing comes.
    pub(crate) fn stalled(&self) -> Fault {
        self.flat.body.stalled()
    }
}
