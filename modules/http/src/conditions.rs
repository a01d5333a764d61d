//! Conditions and ranges of requests (RFC 9110 sections 13 and 14), applied to whole answers that can be cut: files, and
//! what other modules answer from memory or files.

use crate::{
    core::{
        conditional::{Conditions, Validators, Verdict, evaluate, range_applies},
        date,
        range::{self, Multipart, Ranges, content_range, content_range_unsatisfied},
    },
    fault::Fault,
    files,
    h1::{Id, Method},
    reply::{Body, Call, Flat, Reply},
    respond::refuse,
};
use anyproxy_http_contract::{Bytes, FilePart, Segment};
use anyproxy_module_api::{Session, unix_ms};
use std::{
    collections::VecDeque,
    task::{Context, Poll, ready},
};

/// Files up to here are read at once and go out with the head.
pub(crate) const INLINE: u64 = 32 << 10;
/// Ranges of one request, at most; more are answered with the whole.
const RANGES: usize = 16;

/// What the request makes of a whole answer: the same, parts of it, or none of it.
pub(crate) fn apply(call: &Call<'_>, reply: Reply) -> Reply {
    let (method, verdict, ranges, length) = {
        let parts = call.state.parts.borrow();
        let (request, response) = (&parts.request, &parts.response);
        let method = parts.method();
        if response.status() != 200 || !matches!(method, Method::Get | Method::Head) {
            return reply;
        }
        let Some(length) = reply.length.or_else(|| response.length()) else { return reply };
        let now = (unix_ms() / 1000) as i64;
        let modified = response.value(Id::LastModified).and_then(|v| date::parse(v, now));
        let known_as = Validators { exists: true, etag: response.value(Id::ETag), last_modified: modified };
        let value = |id| request.joined(id);
        let (a, b, c, d) =
            (value(Id::IfMatch), value(Id::IfNoneMatch), value(Id::IfModifiedSince), value(Id::IfUnmodifiedSince));
        let conditions = Conditions {
            if_match: a.as_deref(),
            if_none_match: b.as_deref(),
            if_modified_since: c.as_deref(),
            if_unmodified_since: d.as_deref(),
        };
        let verdict = evaluate(true, &conditions, &known_as, now);
        let if_range = value(Id::IfRange);
        let applies = method == Method::Get && range_applies(if_range.as_deref(), &known_as, now);
        let ranges = value(Id::Range).filter(|_| applies);
        (method, verdict, ranges.map_or(Ranges::Ignore, |r| range::parse(&r, length, RANGES)), length)
    };
    match verdict {
        Verdict::Proceed => {}
        Verdict::PreconditionFailed => return refuse(call, 412),
        Verdict::NotModified => {
            let message = &mut call.state.parts.borrow_mut().response;
            message.set_status(304);
            for name in ["Content-Length", "Content-Type", "Accept-Ranges"] {
                message.remove(name);
            }
            return Reply::whole(Vec::new());
        }
    }
    match ranges {
        Ranges::Ignore => {
            call.state.parts.borrow_mut().response.put("Accept-Ranges", b"bytes");
            reply
        }
        Ranges::Unsatisfiable => {
            let reply = refuse(call, 416);
            let range = content_range_unsatisfied(length);
            call.state.parts.borrow_mut().response.put("Content-Range", range.as_bytes());
            reply
        }
        Ranges::Some(parts) if method == Method::Get => cut(call, reply, &parts, length),
        Ranges::Some(_) => reply,
    }
}

/// The parts of the answer instead of the whole.
fn cut(call: &Call<'_>, reply: Reply, parts: &[(u64, u64)], length: u64) -> Reply {
    let message = &mut call.state.parts.borrow_mut().response;
    let pieces = match reply.body {
        Body::Segments(pieces) => pieces,
        Body::Small(bytes) => [Segment::Bytes(bytes.to_vec().into())].into(),
        // It comes once, from its beginning: one part of it can be had, several in any order cannot.
        body if parts.len() == 1 => {
            let (start, end) = parts[0];
            message.set_status(206);
            message.remove("Content-Length");
            message.put("Content-Range", content_range(start, end, length).as_bytes());
            let body = Body::Cut(Box::new(Cut { body: Flat::new(body), skip: start, left: end - start }));
            return Reply { length: Some(end - start), ..Reply::new(body, None) };
        }
        body => return Reply { body, ..reply },
    };
    let kind = message.value(Id::ContentType).map(|v| String::from_utf8_lossy(v).into_owned());
    message.set_status(206);
    message.remove("Content-Length");
    if let [(start, end)] = *parts {
        message.put("Content-Range", content_range(start, end, length).as_bytes());
        let body = Body::Segments(slice(&pieces, start, end));
        return Reply::new(body, Some(end - start));
    }
    let boundary = format!("{:016x}{:08x}", call.exchange.id.wrapping_mul(0x9e37_79b9_7f4a_7c15), unix_ms() as u32);
    // Sixteen hexadecimal digits and eight are a boundary, and the type is that of a header.
    let Some(multipart) = Multipart::new(&boundary, kind.as_deref(), length) else {
        return Reply::new(Body::Segments(pieces), Some(length));
    };
    let mut all = VecDeque::new();
    for (n, &(start, end)) in parts.iter().enumerate() {
        all.push_back(Segment::Bytes(multipart.part_head(n == 0, (start, end)).into()));
        all.extend(slice(&pieces, start, end));
    }
    all.push_back(Segment::Bytes(multipart.closing().into()));
    let _ = message.set("Content-Type", multipart.content_type().as_bytes());
    Reply::new(Body::Segments(all), multipart.content_length(parts))
}

/// The bytes from `start` to before `end` of these pieces.
fn slice(pieces: &VecDeque<Segment>, start: u64, end: u64) -> VecDeque<Segment> {
    let mut all = VecDeque::new();
    let mut before = 0;
    for piece in pieces {
        let len = match piece {
            Segment::Bytes(bytes) => bytes.len() as u64,
            Segment::File(part) => part.len,
            Segment::Trailers(_) => 0,
        };
        let (from, to) = (start.max(before), end.min(before + len));
        if from < to {
            all.push_back(match piece {
                Segment::Bytes(b) => {
                    Segment::Bytes(b[(from - before) as usize..(to - before) as usize].to_vec().into())
                }
                Segment::File(part) => {
                    Segment::File(FilePart { file: part.file.clone(), at: part.at + from - before, len: to - from })
                }
                Segment::Trailers(_) => continue,
            });
        }
        before += len;
    }
    all
}

/// Short parts of files that are in memory, as bytes: they go out with the head, in one piece.
pub(crate) fn inline(body: &mut Body) {
    let Body::Segments(pieces) = body else { return };
    if let [Segment::File(part)] = pieces.make_contiguous()
        && part.len <= INLINE
        && let Some(bytes) = files::read_now(&part.file, false, part.at, part.len as usize)
    {
        *body = Body::Bytes(bytes.into());
    }
}

/// One part of a body that comes from its beginning.
#[derive(Debug)]
pub(crate) struct Cut {
    body: Flat,
    skip: u64,
    left: u64,
}

impl Cut {
    /// The next piece of the part.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<crate::Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        while self.left > 0 {
            let Some(mut piece) = ready!(self.body.body.poll_next(exchange, cx))? else { break };
            let whole = match &piece {
                Segment::Bytes(bytes) => bytes.len() as u64,
                Segment::File(part) => part.len,
                Segment::Trailers(_) => continue,
            };
            let skipped = self.skip.min(whole);
            self.skip -= skipped;
            let len = (whole - skipped).min(self.left);
            if len == 0 {
                continue;
            }
            self.left -= len;
            match &mut piece {
                Segment::Bytes(bytes) => take(bytes, skipped, len),
                Segment::File(part) => {
                    part.at += skipped;
                    part.len = len;
                }
                Segment::Trailers(_) => {}
            }
            return Poll::Ready(Ok(Some(piece)));
        }
        Poll::Ready(Ok(None))
    }
}

fn take(bytes: &mut Bytes, skip: u64, len: u64) {
    bytes.advance(skip as usize);
    bytes.truncate(len as usize);
}
