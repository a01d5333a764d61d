//! HTTP/2 in the tests: a client and a peer by the `h2` crate, and frames by hand for what that would not send.

mod frames;
mod peer;

pub(crate) use frames::*;
pub(crate) use peer::*;

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use harness::LIMIT;
use http::{HeaderMap, Request, Response};
use tokio::task::JoinHandle;

/// Runs to the end, on this thread.
#[track_caller]
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let out = local.block_on(&runtime, async { tokio::time::timeout(LIMIT * 3, work).await });
    out.expect("it ends in time")
}

/// A client's connection.
pub(crate) struct Client {
    pub(crate) send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub(crate) driver: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Windows that hold nobody up.
pub(crate) fn wide() -> Builder {
    let mut builder = Builder::new();
    builder.initial_window_size(1 << 24).initial_connection_window_size(1 << 26);
    builder
}

impl Client {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, &wide()).await
    }

    pub(crate) async fn open_with(addr: SocketAddr, builder: &Builder) -> Self {
        Self::try_open(addr, builder).await.expect("a connection")
    }

    pub(crate) async fn try_open(addr: SocketAddr, builder: &Builder) -> Result<Self, h2::Error> {
        let stream = tokio::net::TcpStream::connect(addr).await.map_err(|_| h2::Error::from(Reason::CONNECT_ERROR))?;
        stream.set_nodelay(true).expect("a socket");
        let (send, connection) = builder.handshake(stream).await?;
        Ok(Self { send, driver: tokio::task::spawn_local(connection) })
    }

    /// Begins a request; `end`: nothing follows.
    pub(crate) async fn begin(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.send.clone().ready().await?.send_request(request, end)
    }

    /// A whole exchange, both directions at once.
    pub(crate) async fn ask(&self, request: Request<()>, body: &[u8]) -> Result<Answer, h2::Error> {
        let (response, stream) = self.begin(request, body.is_empty()).await?;
        // An answer may come, and count, before all of the body was sent.
        let mut up = Box::pin(async {
            if !body.is_empty() {
                let _ = send_all(stream, body, None).await;
            }
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = &mut up => unreachable!("it does not end"),
            answer = async { receive(response.await?).await } => answer,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, h2::Error> {
        self.ask(get(path), b"").await
    }

    /// Waits for the server to end the connection.
    pub(crate) async fn ended(self) -> Result<(), h2::Error> {
        let Self { send, driver } = self;
        let end = driver.await.expect("no panic");
        drop(send);
        end
    }
}

pub(crate) fn get(path: &str) -> Request<()> {
    Request::get(format!("http://a.test{path}")).body(()).expect("a request")
}

pub(crate) fn post(path: &str) -> Request<()> {
    Request::post(format!("http://a.test{path}")).body(()).expect("a request")
}

/// Sends a body as the windows allow.
pub(crate) async fn send_all(
    mut stream: SendStream<Bytes>,
    body: &[u8],
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    let mut rest = Bytes::copy_from_slice(body);
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len().min(1 << 16));
        let n = match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(n) => n?,
            None => return Err(Reason::STREAM_CLOSED.into()),
        };
        let piece = rest.split_to(n.min(rest.len()));
        stream.send_data(piece, rest.is_empty() && trailers.is_none())?;
    }
    match trailers {
        Some(trailers) => stream.send_trailers(trailers),
        None if body.is_empty() => stream.send_data(Bytes::new(), true),
        None => Ok(()),
    }
}

/// Reads all of an answer.
pub(crate) async fn receive(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut body) = response.into_parts();
    let (bytes, trailers) = read_all(&mut body).await?;
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body: bytes, trailers })
}

/// All of these at once, on this task.
pub(crate) async fn join<F: Future>(all: Vec<F>) -> Vec<F::Output> {
    let mut all: Vec<_> = all.into_iter().map(|f| (Box::pin(f), None)).collect();
    poll_fn(|cx| {
        for (work, out) in &mut all {
            if out.is_none()
                && let Poll::Ready(value) = work.as_mut().poll(cx)
            {
                *out = Some(value);
            }
        }
        if all.iter().all(|(_, out)| out.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    all.into_iter().filter_map(|(_, out)| out).collect()
}

/// Reads a body to its end.
pub(crate) async fn read_all(body: &mut RecvStream) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, body.trailers().await?))
}
