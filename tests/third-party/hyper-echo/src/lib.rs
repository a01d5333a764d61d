//! Serves HTTP/1 and HTTP/2 (prior knowledge) with hyper: answers with the request's headers and body.
//! Owns the handler `hyper_echo`; hyper's I/O, timer and executor are the host's, through `rt`.

mod rt;

use anyproxy_module_api::*;
use http_body_util::{Either, Empty, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Body, Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    time::Duration,
};

directive! {
    /// Answers HTTP/1 and HTTP/2 requests with their own headers (as `x-echo-<name>`) and body.
    /// Absent: the local has another handler.
    "hyper_echo", Contexts::LOCAL,
    .props(&[ArgDesc::new("max_body", Kind::Size, "Longest body that is echoed; a longer one is cut off, or 413.")
        .default("1MiB").bounds(1, 64 << 20)])
    .role(Role::Handler, "hyper_echo")
    .inherit(Inherit::Never)
    .example("hyper_echo max_body=\"4MiB\"")
}

export_module!(HyperEcho);

const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FIRST_BYTES: Duration = Duration::from_secs(10);
const MAX_STREAMS: u32 = 64;
const BODY: u64 = 1 << 20;

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct HyperEcho;

impl Module for HyperEcho {
    /// Longest body, bytes.
    type Conf = u64;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Serve>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, scope: &Scope<'_, u64>, _: &mut Problems<'_>) -> u64 {
        let max = scope.node("hyper_echo").and_then(|node| node.prop("max_body"));
        max.map_or(BODY, Value::size)
    }

    fn worker_start(&self, _: u32) {}
}

struct Serve;

impl Handler<HyperEcho> for Serve {
    const NAME: &'static str = "hyper_echo";

    async fn handle(session: Session<HyperEcho>, mut stream: Stream) -> Result<(), Error> {
        let max = *session.conf();
        let http2 = timeout(FIRST_BYTES, speaks_http2(&mut stream)).await?;
        let service = service_fn(move |request| async move { Ok::<_, Infallible>(echo(request, max)) });
        let io = rt::Io::new(stream);
        if http2 {
            let mut http = http2::Builder::new(rt::Worker);
            http.timer(rt::Clock).max_concurrent_streams(MAX_STREAMS).max_header_list_size(32 << 10);
            http.keep_alive_interval(Duration::from_secs(20));
            let connection = http.serve_connection(io, service);
            drive(&session, connection, http2::Connection::graceful_shutdown).await
        } else {
            let mut http = http1::Builder::new();
            http.timer(rt::Clock).header_read_timeout(FIRST_BYTES).max_buf_size(64 << 10);
            let connection = http.serve_connection(io, service);
            drive(&session, connection, http1::Connection::graceful_shutdown).await
        }
    }
}

/// Runs a connection to its end; once the generation is retired, to the end of its present exchange.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    session: &Session<HyperEcho>,
    connection: C,
    finish: impl Fn(Pin<&mut C>),
) -> Result<(), Error> {
    let mut connection = pin!(connection);
    let mut told = false;
    let ended = poll_fn(|cx| {
        if session.draining.get() != 0 && !told {
            told = true;
            finish(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    });
    ended.await.map_err(|e| Error::new(ErrorKind::Other, e.to_string()))
}

/// Whether the first bytes are HTTP/2's preface (RFC 9113, 3.4). What was read is put back.
async fn speaks_http2(stream: &mut Stream) -> Result<bool, Error> {
    let mut seen = Vec::with_capacity(PREFACE.len());
    while seen.len() < PREFACE.len() && PREFACE.starts_with(&seen) {
        let mut piece = [0; PREFACE.len()];
        match stream.read(&mut piece[..PREFACE.len() - seen.len()]).await? {
            0 => break,
            n => seen.extend_from_slice(&piece[..n]),
        }
    }
    let http2 = seen == PREFACE;
    if !seen.is_empty() {
        stream.unread(seen.into());
    }
    Ok(http2)
}

type Echo = Either<Limited<Incoming>, Empty<Bytes>>;

fn echo(request: Request<Incoming>, max: u64) -> Response<Echo> {
    let (head, body) = request.into_parts();
    if body.size_hint().lower() > max {
        let mut refused = Response::new(Either::Right(Empty::new()));
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refused;
    }
    let mut response = Response::new(Either::Left(Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX))));
    let headers = response.headers_mut();
    let mut add = |name: &str, value: HeaderValue| {
        // A header's name with a prefix is a header's name, unless it gets too long.
        if let Ok(name) = HeaderName::try_from(format!("x-echo-{name}")) {
            headers.append(name, value);
        }
    };
    for (name, value) in &head.headers {
        add(name.as_str(), value.clone());
    }
    add("method", HeaderValue::from_str(head.method.as_str()).unwrap_or(HeaderValue::from_static("-")));
    add("target", HeaderValue::from_str(&head.uri.to_string()).unwrap_or(HeaderValue::from_static("-")));
    add("worker", HeaderValue::from(worker().unwrap_or(u32::MAX)));
    if let Some(kind) = head.headers.get(header::CONTENT_TYPE) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
    }
    response
}

#[cfg(test)]
mod tests;
