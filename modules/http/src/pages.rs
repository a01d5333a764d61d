//! What clients are shown in place of an error.

use crate::{
    core::error_page::{body_of, choose},
    h1::Id,
    headers,
    message::{Message, reason},
    reply::{Body, Call, Reply},
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::*;

directive! {
    /// The body of answers with these statuses: a text, or a file that is read with the configuration.
    /// Of several lines that name a status the last one counts, those of inner blocks after those around them. Without, a
    /// short page in HTML, JSON or text, as the client asks.
    "http_error_page", Contexts::MSL,
    .args(&[ArgDesc::new("status", Kind::Int, "Statuses, or all of a class: `\"5xx\"`.")
        .required().repeated().bounds(300, 599).choices(&[Str::new("3xx"), Str::new("4xx"), Str::new("5xx")])])
    .props(&[
        ArgDesc::new("body", Kind::Template, "The text; may contain variables, which are not escaped: in HTML none that clients choose, such as `${path}`."),
        ArgDesc::new("file", Kind::Path, "The file, up to 1 MiB."),
        ArgDesc::new("content_type", Kind::Text, "Media type; absent: text/html for a file, text/plain for a text."),
        ArgDesc::new("answer", Kind::Int, "The status that the client gets instead.").bounds(200, 599),
        ArgDesc::new("location", Kind::Template, "The client is sent there: with answer=302, say."),
        ArgDesc::new("proxied", Kind::Bool, "Also in place of what peers answer.").default("#false"),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_error_page 502 503 504 file=\"html/sorry.html\" proxied=#true")
}

/// Headers of the answer that stay.
const KEPT: [&str; 5] = ["WWW-Authenticate", "Retry-After", "Allow", "Set-Cookie", "Content-Range"];
/// Longest file, bytes.
const LONGEST: u64 = 1 << 20;

/// One line of the configuration.
#[derive(Debug)]
pub(crate) struct Page {
    /// From the first to the last.
    statuses: Vec<(u16, u16)>,
    content: Content,
    content_type: &'static str,
    answer: Option<u16>,
    location: Option<u32>,
    proxied: bool,
}

#[derive(Debug)]
enum Content {
    Default,
    Text(u32),
    File(Vec<u8>),
}

/// The pages of a block: the last that names a status counts.
pub(crate) fn pages<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Vec<Page> {
    let mut all = Vec::new();
    for node in scope.all("http_error_page") {
        let text = node.prop("body").map(|v| v.num as u32);
        let file = node.prop("file").map(|v| v.text.as_str());
        let content = match (text, file) {
            (Some(_), Some(_)) => {
                problems.error(&node.span, "a page is a body or a file", "leave one of them out");
                continue;
            }
            (Some(text), None) => Content::Text(text),
            (None, Some(file)) => match read_regular(file, LONGEST) {
                Ok(bytes) => Content::File(bytes),
                Err(e) => {
                    problems.error(&node.span, &format!("{file}: {e}"), "");
                    continue;
                }
            },
            (None, None) => Content::Default,
        };
        // A text has values that clients choose: as HTML it would be theirs to write.
        let usual = if text.is_some() { "text/plain; charset=utf-8" } else { "text/html; charset=utf-8" };
        let content_type = node.prop("content_type").map_or(usual, |v| intern(v.text.as_str()));
        if crate::h1::field(b"Content-Type", content_type.as_bytes(), &mut Vec::new()).is_err() {
            problems.error(&node.span, &format!("\"{content_type}\" is no media type"), "");
        }
        if let Some(to) = node.prop("location") {
            headers::is_value_of("Location", to, problems);
        }
        all.push(Page {
            statuses: node.args.as_slice().iter().map(statuses).collect(),
            content,
            content_type,
            answer: node.prop("answer").map(|v| v.num as u16),
            location: node.prop("location").map(|v| v.num as u32),
            proxied: node.prop("proxied").is_some_and(|v| v.num != 0),
        });
    }
    all
}

/// Of an argument: a number, or the word for a class.
fn statuses(value: &Value<'_>) -> (u16, u16) {
    match value.text.as_str() {
        "3xx" => (300, 399),
        "4xx" => (400, 499),
        "5xx" => (500, 599),
        _ => (value.num as u16, value.num as u16),
    }
}

/// Puts a page in the place of an answer that the configuration names. `own`: this proxy gave it, with nothing to say.
pub(crate) fn apply(pages: &[Page], call: &Call<'_>, reply: Reply) -> Reply {
    let (status, own) = (call.state.parts.borrow().response.status(), reply.refusal);
    if status < 300 || reply.upgrade.is_some() {
        return reply;
    }
    let names = |page: &Page| page.statuses.iter().any(|(from, to)| (*from..=*to).contains(&status));
    let page = pages.iter().rev().find(|p| (own || p.proxied) && names(p));
    let Some(page) = page else { return reply };
    let mut rendered = Vec::new();
    let (body, content_type) = match &page.content {
        Content::Default => default(call, status),
        Content::Text(text) => {
            call.exchange.render(*text, &mut rendered);
            (rendered, page.content_type)
        }
        Content::File(bytes) => (bytes.clone(), page.content_type),
    };
    let mut location = Vec::new();
    if let Some(template) = page.location {
        call.exchange.render(template, &mut location);
    }
    let message = &mut call.state.parts.borrow_mut().response;
    // What a peer says of its own body goes with that; challenges and hints stay.
    let kept: Vec<_> = message
        .lines()
        .filter_map(|l| {
            let name = std::str::from_utf8(l.name(&message.bytes)).ok()?;
            KEPT.iter()
                .any(|k| k.eq_ignore_ascii_case(name))
                .then(|| (name.to_owned(), l.value(&message.bytes).to_vec()))
        })
        .collect();
    message.answer(page.answer.unwrap_or(status));
    for (name, value) in kept {
        let _ = message.add(&name, &value);
    }
    if !location.is_empty() {
        let _ = message.add("Location", &location);
    }
    if !body.is_empty() {
        message.put("Content-Type", content_type.as_bytes());
    }
    if matches!(page.content, Content::Default) {
        vary(message);
    }
    let length = body.len() as u64;
    let mut reply = Reply::new(Body::Bytes(Bytes::from(body)), Some(length));
    reply.refusal = own;
    reply
}

/// The page of a status that nobody has one for, as the client asks for it.
pub(crate) fn default(call: &Call<'_>, status: u16) -> (Vec<u8>, &'static str) {
    let kind = choose(call.state.parts.borrow().request.joined(Id::Accept).as_deref());
    (body_of(kind, status, reason(status), "").into_bytes(), kind.content_type())
}

/// Says that a page is the one that the client's `Accept` asks for (RFC 9110 section 12.5.5).
pub(crate) fn vary(message: &mut Message) {
    message.put("Vary", b"Accept");
}
