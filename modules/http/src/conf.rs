//! What the configuration says of a block: limits, times, and who answers its requests.

use crate::{
    access::Access,
    buffer::Buffering,
    compress::Compress,
    forward::{self, Forward},
    h1::Limits,
    headers::{self, Rule},
    hooks::Active,
    http1, multi_hop,
    pace::Pace,
    pages::{self, Page},
    probe::{Question, grpc::Health},
    purge::Purge,
    redirects::Redirects,
    response_head,
    retry::Retry,
    rewrite,
    statics::Static,
    total,
    trust::{Hears, Trusted},
};
use anyproxy_module_api::*;
use std::sync::Arc;

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;
/// Milliseconds of a hundred years.
const NEVER: u64 = 100 * 365 * 86_400_000;

directive! {
    /// The server speaks HTTP: each request chooses its local by its host and path.
    /// Absent: sessions are relayed as they are.
    "http", Contexts::SERVER,
    .role(Role::Handler, "http")
    .inherit(Inherit::Never)
    .example("http")
}

directive! {
    /// Answers every request with a text, and the request's own body where there is no text.
    "http_echo", Contexts::LOCAL,
    .props(&[
        ArgDesc::new("body", Kind::Template, "What to say; may contain variables."),
        ArgDesc::new("status", Kind::Int, "Status code.").default("200").bounds(200, 599),
        ArgDesc::new("content_type", Kind::Text, "Media type.").default("text/plain"),
    ])
    .inherit(Inherit::Never)
    .answers(Answers::Alone)
    .example("http_echo body=\"hello ${client_addr}\\n\"")
}

directive! {
    /// Answers every request with this status, and a text or the address of a redirection. 205 has no text.
    "return", Contexts::LOCAL,
    .args(&[
        ArgDesc::new("status", Kind::Int, "Status code.").required().bounds(200, 599),
        ArgDesc::new("text", Kind::Template, "Body; for 301, 302, 303, 307 and 308 the value of Location."),
    ])
    .inherit(Inherit::Never)
    .answers(Answers::Alone)
    .example("return 301 \"https://${domain}${http_request_uri}\"")
}

directive! {
    /// Passes requests on to the local's peers and their answers back.
    /// It is what a local does that names peers (`proxy_pass_…`) and nothing else. Beside `http_router` it says how that handler's
    /// own requests to the peers are made.
    "http_proxy", Contexts::LOCAL,
    .props(&[ArgDesc::new("version", Kind::Choice, "Of HTTP, to the peers.").choices(&[Str::new("1.1"), Str::new("2")]).default("1.1")])
    .inherit(Inherit::Never)
    .answers(Answers::ByPeers)
    .example("http_proxy version=\"1.1\"")
}

directive! {
    /// Answers with the handler that another module registered under this name.
    "http_router", Contexts::LOCAL,
    .args(&[ArgDesc::new("name", Kind::Text, "The handler's name.").required()])
    .inherit(Inherit::Never)
    .answers(Answers::WithPeers)
    .example("http_router \"shop\"")
}

directive! {
    /// Most bytes of a request's head.
    /// A longer one is answered with 431; a request line that is longer than half of it, or than 16 KiB, with 414.
    "http_header_size", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required().bounds(1 << 10, 1 << 20)])
    .default("16KiB")
    .example("http_header_size \"32KiB\"")
}

directive! {
    /// Most header lines of a request.
    "http_header_count", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("count", Kind::Int, "lines").required().bounds(8, 1000)])
    .default("100")
    .example("http_header_count 200")
}

directive! {
    /// Most bytes of a request's body. A longer one is answered with 413.
    "http_body_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "0: no limit").required().bounds(0, 1 << 50)])
    .default("no limit")
    .example("http_body_size \"10MiB\"")
}

directive! {
    /// A request's head must have arrived so long after its first byte. A slower one is answered with 408; with HTTP/2, where it
    /// holds up all that comes after it, the connection ends.
    "http_header_timeout", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("time", Kind::Time, "time").required().bounds(SECOND / 10, DAY)])
    .default("60s")
    .example("http_header_timeout \"10s\"")
}

directive! {
    /// Ends a request whose bodies stand still for so long: that of the request, or of the answer, at the peer or the client.
    /// With HTTP/2 it is the stream that ends, else the connection. It begins anew with each byte in either direction. Streams
    /// that may be silent, as those of gRPC or server-sent events, want a local with a long time, or with 0: then only one of
    /// the two sides ends them, or `http_total_timeout`.
    "http_body_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, DAY)])
    .default("60s")
    .example("http_body_timeout \"30s\"")
}

directive! {
    /// A connection without a request is kept for so long.
    "http_keepalive_timeout", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("time", Kind::Time, "0: it is closed after each answer").required().bounds(0, DAY)])
    .default("75s")
    .example("http_keepalive_timeout \"15s\"")
}

directive! {
    /// Requests of one connection; the last one's answer says that it is closed.
    "http_keepalive_requests", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("count", Kind::Int, "0: no limit").required().bounds(0, 1 << 40)])
    .default("no limit")
    .example("http_keepalive_requests 10000")
}

directive! {
    /// Requests that a client of HTTP/2 may have under way at once.
    "http2_streams", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("count", Kind::Int, "requests").required().bounds(1, 10_000)])
    .default("128")
    .example("http2_streams 256")
}

directive! {
    /// Bytes of one request's body that a client of HTTP/2 may send before they are passed on; four times as many of all.
    "http2_window", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required().bounds(64 << 10, 64 << 20)])
    .default("256KiB")
    .example("http2_window \"1MiB\"")
}

directive! {
    /// A peer must have begun its answer so long after it had the request. Otherwise the client gets 504.
    /// So long, too, a request waits for room on connections of HTTP/2 that are full.
    "http_first_byte_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, DAY)])
    .default("60s")
    .example("http_first_byte_timeout \"5s\"")
}

directive! {
    /// Idle connections to one peer that a worker keeps. Of HTTP/2, where one is enough for many requests, 0 alone counts.
    "http_upstream_keepalive", Contexts::MSL,
    .args(&[ArgDesc::new("count", Kind::Int, "0: none").required().bounds(0, 100_000)])
    .default("64")
    .example("http_upstream_keepalive 256")
}

directive! {
    /// An idle connection to a peer is kept for so long: less than the peer itself keeps it, or requests meet its end.
    /// A shorter time in the peer's own Keep-Alive header counts. One of HTTP/2 is idle from the end of its last stream on.
    "http_upstream_keepalive_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "time").required().bounds(SECOND / 10, DAY)])
    .default("4s")
    .example("http_upstream_keepalive_timeout \"50s\"")
}

/// Who answers.
#[derive(Debug)]
pub(crate) enum Answerer {
    /// A text, or what the request carries.
    Echo { body: Option<u32>, status: u16, content_type: &'static str },
    /// A status, with a text or the target of a redirection.
    Return { status: u16, text: Option<u32> },
    /// The peers.
    Proxy,
    /// Files.
    Static(Static),
    /// What another module registered under this name.
    Module(&'static str),
    /// Its handler "purge".
    Purge(Purge),
}

/// What a block says.
#[derive(Debug)]
pub struct Conf {
    pub(crate) header_size: usize,
    pub(crate) header_count: u16,
    pub(crate) body_size: u64,
    /// Of peers' answers.
    pub(crate) response_head: Limits,
    pub(crate) header_ms: u64,
    pub(crate) body_ms: u64,
    pub(crate) keepalive_ms: u64,
    pub(crate) keepalive_requests: u64,
    /// `http_chunked`
    pub(crate) chunked: bool,
    pub(crate) first_byte_ms: u64,
    /// `http_total_timeout`; 0: none.
    pub(crate) total_ms: u64,
    pub(crate) http2_streams: u32,
    pub(crate) http2_window: u32,
    pub(crate) upstream_idle: usize,
    pub(crate) upstream_idle_ms: u64,
    /// `expires`, seconds.
    pub(crate) expires_s: Option<u64>,
    pub(crate) request_headers: Vec<Rule>,
    pub(crate) response_headers: Vec<Rule>,
    pub(crate) trusted: Arc<Trusted>,
    pub(crate) multi_hop: bool,
    /// `http_request_id`, as peers get it.
    pub(crate) request_id: Option<&'static str>,
    /// What the block's server says of these three, and of what else is looked at before a local is chosen.
    pub(crate) server: Hears,
    pub(crate) answerer: Answerer,
    /// The peers are asked by HTTP/2, whoever asks them.
    pub(crate) peers_http2: bool,
    pub(crate) access: Access,
    pub(crate) compress: Option<Compress>,
    pub(crate) request_buffering: Option<Box<Buffering>>,
    pub(crate) response_buffering: Option<Box<Buffering>>,
    pub(crate) forward: Forward,
    pub(crate) redirects: Option<Box<Redirects>>,
    pub(crate) retry: Option<Box<Retry>>,
    pub(crate) pace: Pace,
    pub(crate) pages: Vec<Page>,
    pub(crate) rewrites: Vec<rewrite::Rule>,
    /// Hooks of other modules.
    pub(crate) hooks: Active,
    /// `http_heartbeat`, of a pool or a peer.
    pub(crate) question: Option<Question>,
    /// `http_grpc_heartbeat`, as well.
    pub(crate) health: Option<Health>,
    /// The server of the block has `http`.
    speaks: bool,
}

impl Conf {
    pub(crate) fn new(scope: &Scope<'_, Self>, problems: &mut Problems<'_>) -> Self {
        let number = |name: &str, default: i64| scope.node(name).and_then(|n| n.arg(0)).map_or(default, |v| v.num);
        let ms = |name: &str, seconds: i64| (number(name, seconds * SECOND) / 1_000_000).unsigned_abs();
        // 0 is no limit: later than any process lives, and far from the end of what a time can hold.
        let or_never = |ms: u64| if ms == 0 { NEVER } else { ms };
        let mut request_headers = headers::rules(scope, "http_request_header", problems);
        let trusted = Arc::new(Trusted::new(scope, problems));
        let (multi_hop, request_id) = (multi_hop::is_on(scope), request_id(scope, problems));
        let (underscores, forwarded) = (headers::keeps_underscores(scope), forward::by_standard(scope));
        let own = || Hears { trusted: Arc::clone(&trusted), multi_hop, request_id, underscores, forwarded };
        let server = scope.parent().filter(|_| scope.kind() == ScopeKind::Local).map_or_else(own, |s| s.server.clone());
        Self {
            header_size: number("http_header_size", 16 << 10) as usize,
            header_count: number("http_header_count", 100) as u16,
            body_size: number("http_body_size", 0).unsigned_abs(),
            response_head: response_head::limits(scope),
            header_ms: ms("http_header_timeout", 60),
            body_ms: or_never(ms("http_body_timeout", 60)),
            keepalive_ms: ms("http_keepalive_timeout", 75),
            keepalive_requests: number("http_keepalive_requests", 0).unsigned_abs(),
            chunked: http1::sends_chunks(scope),
            first_byte_ms: or_never(ms("http_first_byte_timeout", 60)),
            total_ms: total::limit(scope),
            http2_streams: number("http2_streams", 128) as u32,
            http2_window: number("http2_window", 256 << 10) as u32,
            upstream_idle: number("http_upstream_keepalive", 64) as usize,
            upstream_idle_ms: ms("http_upstream_keepalive_timeout", 4),
            expires_s: scope.node("expires").and_then(|n| n.arg(0)).map(|v| v.time().as_secs()),
            forward: Forward::new(scope, &mut request_headers, problems),
            response_headers: headers::rules(scope, "http_response_header", problems),
            trusted,
            multi_hop,
            // Where a rule says what peers get under that name, it is said there.
            request_id: request_id.filter(|name| !headers::leave_out(&request_headers, name)),
            server,
            answerer: answerer(scope, problems),
            peers_http2: scope
                .node("http_proxy")
                .and_then(|n| n.prop("version"))
                .is_some_and(|v| v.text.as_str() == "2"),
            access: Access::new(scope, problems),
            compress: Compress::new(scope),
            request_buffering: Buffering::new(scope, "http_request_buffering", 1 << 20, problems),
            response_buffering: Buffering::new(scope, "http_response_buffering", 64 << 10, problems),
            redirects: Redirects::new(scope, problems),
            retry: Retry::new(scope),
            pace: Pace::new(scope, problems),
            pages: pages::pages(scope, problems),
            rewrites: rewrite::rules(scope, problems),
            hooks: Active::default(),
            question: Question::new(scope, problems),
            health: Health::new(scope, problems),
            request_headers,
            speaks: scope.node("http").is_some() || scope.parent().is_some_and(|p| p.speaks),
        }
    }
}

fn request_id(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Option<&'static str> {
    headers::name(scope.node("http_request_id")?.arg(0)?, problems)
}

/// Whether clients that get this status look at `Location` for where to go (RFC 9110 section 15.4).
pub(crate) const fn redirects(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Who answers: one, which the host sees to.
fn answerer(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Answerer {
    let mut found = None;
    for node in scope.nodes() {
        let prop = |name: &str| node.prop(name);
        let answerer = match node.name.as_str() {
            "http_echo" => {
                if let Some(kind) = prop("content_type") {
                    headers::is_value_of("Content-Type", kind, problems);
                }
                Answerer::Echo {
                    body: prop("body").map(|v| v.num as u32),
                    status: prop("status").map_or(200, |v| v.num as u16),
                    content_type: prop("content_type").map_or("text/plain", |v| intern(v.text.as_str())),
                }
            }
            "return" => {
                let status = node.arg(0).map_or(200, |v| v.num as u16);
                if redirects(status) && node.arg(1).is_none() {
                    let help = format!("return {status} \"/where/to\"");
                    problems.error(&node.span, "a redirection has a target", &help);
                }
                if let Some(to) = node.arg(1).filter(|_| redirects(status)) {
                    headers::is_value_of("Location", to, problems);
                }
                if status == 205 && node.arg(1).is_some() {
                    problems.error(&node.span, "205 has no content (RFC 9110 section 15.3.6)", "return 205");
                }
                Answerer::Return { status, text: node.arg(1).map(|v| v.num as u32) }
            }
            "http_proxy" => Answerer::Proxy,
            "http_router" => Answerer::Module(node.arg(0).map_or("", |v| intern(v.text.as_str()))),
            "http_purge" => match Purge::new(node) {
                Ok(purge) => Answerer::Purge(purge),
                Err(wrong) => {
                    problems.error(&node.span, &wrong, "");
                    Answerer::Proxy
                }
            },
            "http_static" => match Static::new(node) {
                Ok(files) => {
                    if let Some(root) = files.missing() {
                        // It may come to be later.
                        problems.warn(&node.span, &format!("{root} is no directory: all is answered with 404"), "");
                    }
                    Answerer::Static(files)
                }
                Err(wrong) => {
                    problems.error(&node.span, &wrong, "");
                    Answerer::Proxy
                }
            },
            _ => continue,
        };
        // A server that is not there has a mistake of its own, and said so.
        if scope.parent().is_some_and(|server| !server.speaks) {
            let text = format!("\"{}\" answers requests, and this server relays sessions", node.name);
            problems.error(&node.span, &text, "write `http` into the server");
        }
        // Beside a handler it says how that one's own requests to the peers are made.
        if found.is_none() || !matches!(answerer, Answerer::Proxy) {
            found = Some(answerer);
        }
    }
    found.unwrap_or(Answerer::Proxy)
}
