//! A server of HTTP/2 that answers as a test says.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::sync::{mpsc, watch};

use super::send_all;

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
