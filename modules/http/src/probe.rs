//! `http_heartbeat`: a peer is well when it answers a request as it should. Owns what is asked and what counts as well; when
//! that is asked and what follows from it is the host's.

use crate::{
    Conf, Http,
    h1::{Body, ChunkLimits, Event, Head, Limits, Method, Step, authority, response_framing},
};
use anyproxy_module_api::*;
use regex::bytes::Regex;
use std::fmt;

pub(crate) mod grpc;
mod http2;

/// As much of a body is read.
const BODY: usize = 64 << 10;
/// Of an answer's head, and of those before the final one together.
const HEAD: usize = 32 << 10;
const PIECE: usize = 4 << 10;

directive! {
    /// The heartbeats of these peers ask by a request, where a connection alone would do.
    /// Beside a `heartbeat`, which says when and what follows. Each check has a connection of its own, made as sessions' are.
    /// Of the body 64 KiB are looked at.
    "http_heartbeat", Contexts::UPSTREAM.or(Contexts::PEER),
    .args(&[ArgDesc::new("target", Kind::Text, "Path and query.").default("/")])
    .props(&[
        ArgDesc::new("status", Kind::Text, "What a peer answers that is well: numbers and ranges, `200-299,401`.")
            .default("200-399"),
        ArgDesc::new("body", Kind::Text, "What is in the body of one that is well; after `~` a regular expression."),
        ArgDesc::new("host", Kind::Text, "The request's Host; absent: host and port of the peer as written."),
        ArgDesc::new("method", Kind::Choice, "The request's method.")
            .choices(&[Str::new("GET"), Str::new("HEAD"), Str::new("OPTIONS")])
            .default("GET"),
        ArgDesc::new("version", Kind::Choice, "Of HTTP; absent: that of `http_proxy` where the peer stands in its local, else 1.1.")
            .choices(&[Str::new("1.1"), Str::new("2")]),
    ])
    .role(Role::Probe, "http")
    .default("a connection is enough")
    .example("http_heartbeat \"/health\" status=\"200-299\" body=\"ok\"")
}

/// What is asked and what is wanted.
#[derive(Debug)]
pub(crate) struct Question {
    method: Method,
    /// Request line.
    start: Vec<u8>,
    host: Option<&'static str>,
    status: Statuses,
    body: Option<Wanted>,
    http2: bool,
}

impl Question {
    /// As the block's `http_heartbeat` says, if it has one.
    pub(crate) fn new(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Option<Self> {
        let node = scope.node("http_heartbeat")?;
        let method = node.prop("method").map_or("GET", |v| v.text.as_str()).as_bytes();
        let target = node.arg(0).map_or("/", |v| v.text.as_str());
        let mut start = Vec::new();
        let mut head = Head::default();
        if !target.starts_with('/') || head.make_request(method, target.as_bytes(), &mut start).is_err() {
            let text = format!("\"{target}\" is no path");
            problems.error(node.arg(0).map_or(&node.span, |v| &v.span), &text, "it begins with / and has no spaces");
        }
        let status = node.prop("status").map_or(Ok(Statuses::WELL), |v| {
            Statuses::parse(v.text.as_str()).ok_or_else(|| {
                let text = format!("\"{}\" is no list of statuses", v.text);
                problems.error(&v.span, &text, "write \"200\", \"200-299\" or \"200-299,401\"");
            })
        });
        let body = node.prop("body").and_then(|v| match Wanted::parse(v.text.as_str()) {
            Ok(wanted) => Some(wanted),
            Err(why) => {
                problems.error(&v.span, &format!("\"{}\" is no regular expression: {why}", v.text), "");
                None
            }
        });
        let method = Method::of(method);
        if let Some(v) = node.prop("body").filter(|_| method == Method::Head) {
            problems.error(&v.span, "the answer to HEAD has no body", "");
        }
        let host = host(node, problems);
        // A pool of its own does not know who asks its peers, and by what.
        let as_asked = || scope.kind() == ScopeKind::Peer && scope.parent().is_some_and(|local| local.peers_http2);
        let http2 = node.prop("version").map_or_else(as_asked, |v| v.text.as_str() == "2");
        Some(Self { method, start, host, status: status.unwrap_or(Statuses::WELL), body, http2 })
    }

    fn has_status(&self, status: u16) -> Result<(), Error> {
        if self.status.has(status) { Ok(()) } else { Err(unwell(format!("status {status}, not {}", self.status))) }
    }

    fn has_body(&self, body: &[u8]) -> Result<(), Error> {
        match &self.body {
            Some(wanted) if !wanted.is_in(body) => Err(unwell(match wanted {
                Wanted::Text(text) => format!("\"{text}\" is not in the body"),
                Wanted::Regex(regex) => format!("the body does not match {regex}"),
            })),
            _ => Ok(()),
        }
    }

    fn request(&self, peer: &Connect<'_>) -> Vec<u8> {
        let mut out = self.start.clone();
        let host = self.host.map_or_else(|| host_of(peer), ToOwned::to_owned);
        for part in ["Host: ", &host, "\r\nUser-Agent: anyproxy\r\nAccept: */*\r\nConnection: close\r\n\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

/// `host=`, which is to be one.
fn host(node: &Node<'_>, problems: &mut Problems<'_>) -> Option<&'static str> {
    let value = node.prop("host")?;
    if authority(value.text.as_bytes()).is_none() {
        let help = "write \"example.com\" or \"example.com:8080\"";
        problems.error(&value.span, &format!("\"{}\" is no host", value.text), help);
    }
    Some(intern(value.text.as_str()))
}

/// Host and port of a peer as in a URL of `http`.
fn host_of(peer: &Connect<'_>) -> String {
    let (name, port) = (peer.host.as_str(), peer.port);
    let name = if name.contains(':') && !name.starts_with("unix:") { format!("[{name}]") } else { name.to_owned() };
    match port {
        // Of a socket in the file system: it has no name that a Host could hold.
        0 => "localhost".to_owned(),
        80 => name,
        port => format!("{name}:{port}"),
    }
}

/// Statuses of a peer that is well.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    const WELL: Self = Self(Vec::new());

    /// `200`, `200-299`, and several of them with commas.
    fn parse(text: &str) -> Option<Self> {
        let number = |t: &str| {
            let digits = t.len() == 3 && t.bytes().all(|b| b.is_ascii_digit());
            t.parse().ok().filter(|n| digits && (100..=999).contains(n))
        };
        let range = |part: &str| {
            let part = part.trim();
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            (from <= to).then_some((from, to))
        };
        text.split(',').map(range).collect::<Option<_>>().map(Self)
    }

    fn has(&self, status: u16) -> bool {
        match &self.0[..] {
            [] => (200..400).contains(&status),
            all => all.iter().any(|(from, to)| (*from..=*to).contains(&status)),
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = if self.0.is_empty() { &[(200, 399)][..] } else { &self.0[..] };
        for (n, (from, to)) in all.iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            if from == to { write!(f, "{comma}{from}") } else { write!(f, "{comma}{from}-{to}") }?;
        }
        Ok(())
    }
}

/// What is in the body of a peer that is well.
#[derive(Debug)]
enum Wanted {
    Text(Box<str>),
    Regex(Regex),
}

impl Wanted {
    fn parse(text: &str) -> Result<Self, String> {
        let Some(source) = text.strip_prefix('~') else { return Ok(Self::Text(text.into())) };
        // The crate's own message shows the place on lines of their own; its last line says what it is.
        let why =
            |e: regex::Error| e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Regex::new(source).map(Self::Regex).map_err(why)
    }

    fn is_in(&self, body: &[u8]) -> bool {
        match self {
            Self::Text(text) => memchr::memmem::find(body, text.as_bytes()).is_some(),
            Self::Regex(regex) => regex.is_match(body),
        }
    }
}

/// The probe.
#[derive(Debug)]
pub(crate) struct Ask;

impl Probe<Http> for Ask {
    const NAME: &'static str = "http";

    async fn ask(at: At<'_, Http>, peer: Connect<'_>, stream: Stream) -> Result<(), Error> {
        let Some(question) = &at.conf().question else {
            return Err(unwell("the peer's block has no http_heartbeat"));
        };
        let request = question.request(&peer);
        if question.http2 {
            let answer = http2::ask(&at.worker().peers, stream, &request, Vec::new().into()).await?;
            question.has_status(answer.head.status())?;
            return question.has_body(&answer.body);
        }
        let mut answer = Answer { stream, bytes: Vec::new(), at: 0 };
        answer.stream.write_all(&request).await?;
        answer.stream.flush().await?;
        let head = answer.head().await?;
        question.has_status(head.status())?;
        let framing = response_framing(&head, &answer.bytes, question.method).map_err(malformed)?;
        answer.at = head.len();
        question.has_body(&answer.body(Body::new(framing, ChunkLimits::default())).await?)
    }
}

fn unwell(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::Other, why)
}

fn malformed(bad: crate::h1::Bad) -> Error {
    Error::new(ErrorKind::Invalid, format!("no HTTP: {bad}"))
}

/// What comes back.
struct Answer {
    stream: Stream,
    bytes: Vec<u8>,
    /// So many of them are done with.
    at: usize,
}

impl Answer {
    /// Reads more; 0: the end.
    async fn fill(&mut self) -> Result<usize, Error> {
        let mut piece = [0; PIECE];
        let n = self.stream.read(&mut piece).await?;
        self.bytes.extend_from_slice(&piece[..n]);
        Ok(n)
    }

    /// The final head, at the beginning of `bytes`.
    async fn head(&mut self) -> Result<Head, Error> {
        let limits = Limits { head: HEAD as u32, ..Limits::default() };
        let (mut head, mut before) = (Head::default(), 0);
        loop {
            match head.response(&self.bytes, &limits).map_err(malformed)? {
                Step::Done(_) if head.status() >= 200 => return Ok(head),
                Step::Done(n) => {
                    // RFC 9110 section 15.2: any number of these may come; a peer that sends nothing else is not waited for.
                    before += n;
                    if before > HEAD {
                        return Err(unwell("interim answers without end"));
                    }
                    self.bytes.drain(..n);
                    head.clear();
                }
                Step::More => {
                    if self.fill().await? == 0 {
                        let what = if self.bytes.is_empty() { "nothing" } else { "half a head" };
                        return Err(unwell(format!("{what} instead of an answer")));
                    }
                }
            }
        }
    }

    /// The body behind the head, as far as it is looked at.
    async fn body(&mut self, mut body: Body) -> Result<Vec<u8>, Error> {
        let mut payload = Vec::new();
        loop {
            match body.decode(&self.bytes[self.at..]).map_err(malformed)? {
                Event::Data(range) => {
                    payload.extend_from_slice(&self.bytes[self.at..][range.clone()]);
                    self.at += range.end;
                }
                Event::End(_) => break,
                Event::More(n) => {
                    self.at += n;
                    self.bytes.clear();
                    self.at = 0;
                    if self.fill().await? == 0 {
                        body.end_of_stream().map_err(malformed)?;
                    }
                }
            }
            if payload.len() >= BODY {
                break;
            }
        }
        payload.truncate(BODY);
        Ok(payload)
    }
}

#[cfg(test)]
#[path = "probe_tests.rs"]
mod tests;
