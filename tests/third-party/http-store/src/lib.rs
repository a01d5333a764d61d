//! What a cache does, on the contract `http`: answers are kept, short ones in memory and long ones in files of a directory,
//! and given to later requests before a peer is chosen. No freshness, no validation: it is the contract that is shown.

use anyproxy_http_contract::{
    Answer, Body, BodySource, Bytes, Exchange, FileHandle, FilePart, Hook, HookStage, Http, ID, Part, Segment, VERSION,
    Which,
};
use anyproxy_module_api::*;
use std::{
    collections::HashMap,
    fs::File,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

directive! {
    /// Keeps answers of 200 to GET: in memory up to 8 KiB, in files of this directory up to 16 MiB.
    /// Absent: nothing is kept.
    "http_store", Contexts::LOCAL,
    .args(&[ArgDesc::new("directory", Kind::Path, "Where files are.").required()])
    .example("http_store \"/var/tmp\"")
}

export_module!(HttpStore, requires = ["http" 1.0]);

/// Answers up to here stay in memory, bytes.
const IN_MEMORY: usize = 8 << 10;
/// Longer ones are not kept.
const MOST: usize = 16 << 20;
/// Answers that are kept.
const ANSWERS: usize = 1000;

/// An answer that is kept.
#[derive(Clone, Debug)]
struct Kept {
    headers: Vec<(String, Vec<u8>)>,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Memory(Arc<[u8]>),
    File(FileHandle, u64),
}

/// The module: what it keeps.
#[derive(Debug, Default)]
pub struct HttpStore {
    kept: Mutex<HashMap<Vec<u8>, Kept>>,
    hits: AtomicU64,
    next: AtomicU64,
}

impl HttpStore {
    fn find(&self, key: &[u8]) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    fn keep(&self, key: Vec<u8>, kept: Kept) {
        let all = &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < ANSWERS {
            all.insert(key, kept);
        }
    }
}

impl Module for HttpStore {
    /// The directory; `None`: nothing is said.
    type Conf = Option<Box<str>>;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.require(ID, VERSION.0, VERSION.1, false).action::<Status>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, Self::Conf>, _: &mut Problems<'_>) -> Self::Conf {
        scope.node("http_store").and_then(|node| node.arg(0)).map(|text| text.text.as_str().into())
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        let Some(http) = Http::resolve(self) else {
            problems.fail("http_store: nobody provides http");
            return false;
        };
        http.hook::<Lookup>() && http.hook::<Store>() && http.handler::<Twice>() && http.handler::<Purge>()
    }

    fn worker_start(&self, _: u32) {}
}

struct Status;

impl Action<HttpStore> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "Answers that are kept, and how often they were given.";

    fn run(module: &HttpStore, _: &str) -> Result<String, String> {
        let kept = module.kept.lock().unwrap_or_else(PoisonError::into_inner).len();
        Ok(format!("{{\"kept\":{kept},\"hits\":{}}}", module.hits.load(Relaxed)))
    }
}

fn directory(exchange: &Exchange<HttpStore>) -> Option<&str> {
    exchange.block()?.as_deref()
}

fn key(exchange: &Exchange<HttpStore>) -> Option<Vec<u8>> {
    if exchange.part(Part::Method)? != b"GET" {
        return None;
    }
    Some([exchange.part(Part::Authority).unwrap_or_default(), exchange.part(Part::Target)?].concat())
}

/// Answers with what is kept.
struct Lookup;

impl Hook<HttpStore> for Lookup {
    const NAME: &'static str = "store_lookup";
    const STAGE: HookStage = HookStage::Content;

    fn applies(exchange: &Exchange<HttpStore>) -> bool {
        directory(exchange).is_some()
    }

    async fn run(exchange: Exchange<HttpStore>, body: Body) -> Result<Answer, Error> {
        let Some(kept) = key(&exchange).and_then(|key| exchange.module().find(&key)) else {
            return Ok(Answer::GoOn(body));
        };
        exchange.module().hits.fetch_add(1, Relaxed);
        exchange.respond(200);
        for (name, value) in &kept.headers {
            exchange.add(Which::Response, name, value);
        }
        exchange.set(Which::Response, "X-Store", b"hit");
        Ok(Answer::Respond(match kept.content {
            Content::Memory(bytes) => bytes.to_vec().into(),
            Content::File(file, len) => Body::of([Segment::File(FilePart { file, at: 0, len })]),
        }))
    }
}

/// Keeps what a peer answered.
struct Store;

impl Hook<HttpStore> for Store {
    const NAME: &'static str = "store";
    const STAGE: HookStage = HookStage::Received;

    fn applies(exchange: &Exchange<HttpStore>) -> bool {
        directory(exchange).is_some()
    }

    async fn run(exchange: Exchange<HttpStore>, body: Body) -> Result<Answer, Error> {
        let hit = exchange.header(Which::Response, "X-Store").is_some();
        let key = key(&exchange).filter(|_| exchange.answer_status() == 200 && !hit);
        let Some(key) = key.filter(|_| body.length().is_none_or(|n| n <= MOST as u64)) else {
            return Ok(Answer::GoOn(body));
        };
        let mut headers = Vec::new();
        exchange.headers(Which::Response, |name, value| {
            if !name.eq_ignore_ascii_case("Content-Length") && !name.eq_ignore_ascii_case("Date") {
                headers.push((name.to_owned(), value.to_vec()));
            }
        });
        let length = body.length();
        let copied = Copied { body, exchange, key, headers, all: Some(Vec::new()) };
        Ok(Answer::GoOn(Body::new(copied, length)))
    }
}

/// A body that is copied as it passes, and kept once it is complete.
struct Copied {
    body: Body,
    exchange: Exchange<HttpStore>,
    key: Vec<u8>,
    headers: Vec<(String, Vec<u8>)>,
    /// `None`: it is longer than is kept, or was kept.
    all: Option<Vec<u8>>,
}

impl BodySource for Copied {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        let next = ready!(self.body.poll_next(cx))?;
        match (&next, &mut self.all) {
            (Some(Segment::Bytes(bytes)), Some(all)) if all.len() + bytes.len() <= MOST => all.extend_from_slice(bytes),
            (Some(Segment::Bytes(_) | Segment::File(_)), _) => self.all = None,
            (Some(Segment::Trailers(_)) | None, _) => self.complete(),
        }
        Poll::Ready(Ok(next))
    }
}

impl Copied {
    fn complete(&mut self) {
        let Some(all) = self.all.take() else { return };
        let (key, headers) = (std::mem::take(&mut self.key), std::mem::take(&mut self.headers));
        let module = self.exchange.module();
        if all.len() <= IN_MEMORY {
            return module.keep(key, Kept { headers, content: Content::Memory(all.into()) });
        }
        let Some(directory) = directory(&self.exchange) else { return };
        let name = format!("{directory}/{}", module.next.fetch_add(1, Relaxed));
        let exchange = self.exchange.clone();
        // Written where one may wait; the exchange does not.
        drop(spawn(async move {
            let len = all.len() as u64;
            let written = run(Pool::Blocking, move |_| std::fs::write(&name, all).and_then(|()| File::open(&name)));
            if let Ok(Ok(file)) = written.await {
                let content = Content::File(FileHandle::new(Arc::new(file)), len);
                exchange.module().keep(key, Kept { headers, content });
            }
        }));
    }
}

/// Forgets the answer to GET of the request's target, by `http_purge`.
struct Purge;

impl Hook<HttpStore> for Purge {
    const NAME: &'static str = "purge";

    async fn run(exchange: Exchange<HttpStore>, _: Body) -> Result<Answer, Error> {
        let part = |part| exchange.part(part).unwrap_or_default();
        let key = [part(Part::Authority), part(Part::Target)].concat();
        let module = exchange.module();
        let forgotten = module.kept.lock().unwrap_or_else(PoisonError::into_inner).remove(&key).is_some();
        exchange.respond(if forgotten { 200 } else { 404 });
        Ok(Answer::Respond(Body::EMPTY))
    }
}

/// Asks the peers the same thing twice and answers with both: a request of the module's own, by `http_router "twice"`.
struct Twice;

impl Hook<HttpStore> for Twice {
    const NAME: &'static str = "twice";

    async fn run(exchange: Exchange<HttpStore>, _: Body) -> Result<Answer, Error> {
        let target = exchange.part(Part::Target).unwrap_or_default();
        let mut all = Vec::new();
        let mut status = 0;
        for n in ["1", "2"] {
            let header = format!("X-Turn: {n}\r\n");
            let mut fetched = exchange.fetch("GET", &target, header.as_bytes(), Body::EMPTY).await?;
            status = fetched.status;
            all.extend_from_slice(&fetched.body.collect(MOST).await?);
        }
        exchange.respond(status);
        exchange.set(Which::Response, "Content-Type", b"text/plain");
        Ok(Answer::Respond(Body::of([Segment::Bytes(Bytes::from(all))])))
    }
}

#[cfg(test)]
mod tests;
