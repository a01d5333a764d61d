//! A server of HTTP around the locals of a scenario, and a client that shows what it got.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Builder, Origin, Proxy, client, eventually};

/// What the access log says of a request.
pub(crate) const FORMAT: &str = "status=${status} method=${http_request_method} path=${path} uri=${http_request_uri} \
host=${http_request_host} up=${upstream_addr} reason=${close_reason} in=${client_bytes_received} out=${client_bytes_sent} \
agent=${http_request_user_agent}";

/// One server that speaks HTTP; `text` is what is inside beside the listener.
pub(crate) fn server(text: &str) -> Builder {
    net(&format!("server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{text}\n}}"))
}

/// Any servers.
pub(crate) fn net(text: &str) -> Builder {
    net_with("", text)
}

/// The same, with values of `common`.
pub(crate) fn net_with(common: &str, text: &str) -> Builder {
    let head = format!("load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; {common} }}\n");
    Proxy::builder()
        .config(&format!("{head}net {{\naccess_log \"access.log\" flush=0 format=\"{FORMAT}\"\n{text}\n}}\n"))
}

/// A server whose only local passes everything on to `origin`.
pub(crate) fn proxy_to(origin: SocketAddr, more: &str) -> Proxy {
    server(&format!("{more}\nlocal {{ proxy_pass_tcp \"{origin}\"; }}")).start()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head as received.
    pub(crate) head: String,
    /// The body, decoded.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, of the first if there are several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Reads one answer to a request of this method; what follows it stays unread.
pub(crate) fn answer(stream: &mut TcpStream, method: &str) -> Answer {
    let head = head(stream).expect("a head");
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or_else(|| panic!("no status in {head:?}"));
    let mut answer = Answer { status, head, body: Vec::new() };
    if method == "HEAD" || (100..200).contains(&status) || status == 204 || status == 304 {
        return answer;
    }
    answer.body = if answer.header("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        chunks(stream)
    } else if let Some(len) = answer.header("content-length") {
        client::read_exact(stream, len.parse().expect("a length"))
    } else {
        client::read_to_end(stream)
    };
    answer
}

/// Up to and with the empty line; `None`: the end came first.
pub(crate) fn head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(0) if head.is_empty() => return None,
            Ok(1) => head.push(byte[0]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&head)),
        }
        assert!(head.len() < 1 << 17, "an endless head");
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

fn line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        stream.read_exact(&mut byte).expect("a line");
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// A chunked body, decoded; trailers are read and thrown away.
pub(crate) fn chunks(stream: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let size = line(stream);
        let size = usize::from_str_radix(size.split(';').next().unwrap_or(""), 16).expect("a size");
        if size == 0 {
            while !line(stream).is_empty() {}
            return all;
        }
        let at = all.len();
        all.resize(at + size, 0);
        stream.read_exact(&mut all[at..]).expect("a chunk");
        assert_eq!(line(stream), "");
    }
}

/// Sends bytes and reads one answer.
pub(crate) fn ask(stream: &mut TcpStream, request: impl AsRef<[u8]>) -> Answer {
    let request = request.as_ref();
    stream.write_all(request).expect("write");
    let method = String::from_utf8_lossy(request).split(' ').next().unwrap_or("").to_owned();
    answer(stream, &method)
}

/// A request without body, in full.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nUser-Agent: t\r\n\r\n")
}

/// One request on a connection of its own.
pub(crate) fn once(proxy: &Proxy, request: impl AsRef<[u8]>) -> Answer {
    ask(&mut client::connect(proxy.addr(0)), request)
}

/// An origin that keeps each request it read (head and body as they came) and answers with a fixed text, in full.
pub(crate) struct Scripted {
    pub(crate) origin: Origin,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A head and a body.
type Seen = (String, Vec<u8>);

impl Scripted {
    /// `answer` is sent for each request; it should have a length or be chunked. `close`: the connection ends with it.
    pub(crate) fn new(answer: impl AsRef<[u8]> + Send + Sync + 'static, close: bool) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let origin = Origin::start(move |mut conn| {
            while let Some(head) = head(&mut conn) {
                let lower = head.to_ascii_lowercase();
                let length =
                    lower.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
                let body = if lower.contains("transfer-encoding: chunked") {
                    chunks(&mut conn)
                } else {
                    let mut body = vec![0; length.unwrap_or(0)];
                    conn.read_exact(&mut body)?;
                    body
                };
                keep.lock().expect("not poisoned").push((head, body));
                conn.write_all(answer.as_ref())?;
                if close {
                    break;
                }
            }
            Ok(())
        });
        Self { origin, seen }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.origin.addr()
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// What most of them answer.
pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Waits until a number has not grown for a while, which is longer than the steps of a loaded machine; that number.
#[track_caller]
pub(crate) fn at_rest(number: impl Fn() -> u64) -> u64 {
    let (mut last, mut since) = (number(), Instant::now());
    eventually("it stands still", || {
        let now = number();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(250)).then_some(now)
    })
}
