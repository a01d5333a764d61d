//! HTTP/2 in the tests: a client and a peer by the `h2` crate, and frames by hand for what that would not send.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use harness::{LIMIT, client};
use http::{HeaderMap, Request, Response};
use tokio::sync::{mpsc, watch};
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

/// One request at a [`Peer`].
pub(crate) struct Call {
    /// Of the connection, from 1.
    pub(crate) connection: u64,
    /// Of the request on that connection, from 1.
    pub(crate) number: u64,
    pub(crate) request: Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
    control: mpsc::UnboundedSender<()>,
}

impl Call {
    /// The connection takes no more requests: GOAWAY.
    pub(crate) fn go_away(&self) {
        let _ = self.control.send(());
    }

    /// Answers with 200 and all of this.
    pub(crate) async fn answer(mut self, body: &[u8]) {
        let ok = Response::builder().status(200).header("x-connection", self.connection.to_string());
        let sent = self.respond.send_response(ok.body(()).expect("a head"), body.is_empty());
        if let (Ok(stream), false) = (sent, body.is_empty()) {
            let _ = send_all(stream, body, None).await;
        }
    }
}

type Handler = Arc<dyn Fn(Call) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync>;

/// A server of HTTP/2 that answers as a test says, on a thread of its own.
pub(crate) struct Peer {
    addr: SocketAddr,
    accepted: Arc<AtomicU64>,
    requests: Arc<AtomicU64>,
    open: Arc<AtomicU64>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Peer {
    pub(crate) fn start<F: Future<Output = ()> + 'static>(handler: impl Fn(Call) -> F + Send + Sync + 'static) -> Self {
        Self::start_with(h2::server::Builder::new(), handler)
    }

    pub(crate) fn start_with<F: Future<Output = ()> + 'static>(
        builder: h2::server::Builder,
        handler: impl Fn(Call) -> F + Send + Sync + 'static,
    ) -> Self {
        let handler: Handler = Arc::new(move |call| Box::pin(handler(call)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let addr = listener.local_addr().expect("an address");
        let counts: [Arc<AtomicU64>; 3] = Default::default();
        let [accepted, requests, open] = counts.clone();
        let (stop, stopped) = watch::channel(false);
        let thread = std::thread::spawn(move || serve(listener, &builder, &handler, &counts, stopped));
        Self { addr, accepted, requests, open, stop, thread: Some(thread) }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Connections so far.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Connections that are open now.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Relaxed)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    listener: std::net::TcpListener,
    builder: &h2::server::Builder,
    handler: &Handler,
    [accepted, requests, open]: &[Arc<AtomicU64>; 3],
    mut stopped: watch::Receiver<bool>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        loop {
            let stream = tokio::select! {
                _ = stopped.changed() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(_) => continue,
                },
            };
            let _ = stream.set_nodelay(true);
            let connection = accepted.fetch_add(1, Relaxed) + 1;
            open.fetch_add(1, Relaxed);
            let (builder, handler) = (builder.clone(), Arc::clone(handler));
            let (requests, open) = (Arc::clone(requests), Arc::clone(open));
            tokio::task::spawn_local(async move {
                serve_one(stream, &builder, &handler, connection, &requests).await;
                open.fetch_sub(1, Relaxed);
            });
        }
    });
}

async fn serve_one(
    stream: tokio::net::TcpStream,
    builder: &h2::server::Builder,
    handler: &Handler,
    connection: u64,
    requests: &AtomicU64,
) {
    let Ok(mut served) = builder.handshake(stream).await else { return };
    let (control, mut told) = mpsc::unbounded_channel();
    let mut number = 0;
    loop {
        let accepted = tokio::select! {
            Some(()) = told.recv() => {
                served.graceful_shutdown();
                continue;
            }
            accepted = served.accept() => accepted,
        };
        let Some(Ok((request, respond))) = accepted else { return };
        number += 1;
        requests.fetch_add(1, Relaxed);
        let call = Call { connection, number, request, respond, control: control.clone() };
        tokio::task::spawn_local(handler(call));
    }
}

/// Kinds of frames, and what of their flags is needed.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The number at the end of RST_STREAM and GOAWAY.
    pub(crate) fn code(&self) -> Reason {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let number = self.payload[at..at + 4].try_into().expect("four bytes");
        u32::from_be_bytes(number).into()
    }
}

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// The field section of a request for this path: nothing of it is kept in a table.
pub(crate) fn section(post: bool, path: &str) -> Vec<u8> {
    // :method, :scheme http; :authority and :path as literals.
    let mut out = vec![if post { 0x83 } else { 0x82 }, 0x86, 0x01, 6];
    out.extend_from_slice(b"a.test");
    out.extend_from_slice(&[0x04, path.len() as u8]);
    out.extend_from_slice(path.as_bytes());
    out
}

/// A client that writes and reads frames by hand.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    /// Connects and says what is to be said first.
    pub(crate) fn open(addr: SocketAddr) -> Self {
        let mut raw = Self { stream: client::connect(addr) };
        raw.write(PREFACE);
        raw.send(SETTINGS, 0, 0, b"");
        raw
    }

    /// Bytes as they are; the other side may have ended the connection.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    #[track_caller]
    pub(crate) fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.write(&frame(kind, flags, stream, payload));
    }

    /// A request without body.
    pub(crate) fn get(&mut self, stream: u32, path: &str) {
        self.send(HEADERS, END_HEADERS | END_STREAM, stream, &section(false, path));
    }

    /// The next frame; `None` at the end of the connection, however that comes.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        match self.stream.read_exact(&mut head) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => panic!("no frame came"),
            Err(_) => return None,
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Up to and with the first frame that fits.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, fits: impl Fn(&Frame) -> bool) -> Frame {
        let mut seen = Vec::new();
        while let Some(frame) = self.frame() {
            if fits(&frame) {
                return frame;
            }
            seen.push((frame.kind, frame.flags, frame.stream, frame.payload.len()));
        }
        panic!("the end, and no {what} in {seen:?}")
    }

    /// The connection ends, and this is why.
    #[track_caller]
    pub(crate) fn ends_with(&mut self, code: Reason) {
        let last = self.until("GOAWAY", |f| f.kind == GOAWAY && f.code() == code);
        assert_eq!(last.stream, 0);
        while self.frame().is_some() {}
    }
}
