//! A server with WebSockets around the locals of a scenario, and a client that writes and reads frames by hand.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use harness::{Builder, Proxy, client, eventually};
use serde_json::Value;

/// What the access log says of a WebSocket.
const FORMAT: &str =
    "status=${status} path=${path} reason=${close_reason} in=${client_bytes_received} out=${client_bytes_sent}";

pub(crate) const CONTINUE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The text of a configuration with one server; `text` is what is inside beside the listener.
pub(crate) fn config(text: &str) -> String {
    format!(
        "load_module \"tcp\" \"balancer\" \"http\" \"websocket\"\ncommon {{ worker_threads 1; }}\nnet {{\naccess_log \"access.log\" \
         flush=0 format=\"{FORMAT}\"\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{text}\n}} }}\n"
    )
}

pub(crate) fn server(text: &str) -> Proxy {
    builder(text).start()
}

pub(crate) fn builder(text: &str) -> Builder {
    Proxy::builder().config(&config(text))
}

/// The module's entry in the status.
pub(crate) fn status(proxy: &Proxy) -> Value {
    let status = proxy.status();
    let all = status["modules"].as_array().expect("modules");
    all.iter().find(|m| m["id"] == "websocket").map_or(Value::Null, |m| m["status"].clone())
}

/// Waits until one counter of it has this value.
#[track_caller]
pub(crate) fn await_count(proxy: &Proxy, path: &str, count: u64) {
    eventually(&format!("{path} is {count}"), || (status(proxy).pointer(path)?.as_u64() == Some(count)).then_some(()));
}

/// The key of RFC 6455 section 1.3 and its answer.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A handshake; `more`: header lines with their CRLF.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// Sends a request and reads the head of its answer.
pub(crate) fn ask(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).expect("write");
    head(stream)
}

/// Up to and with the empty line.
pub(crate) fn head(stream: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap_or_else(|e| panic!("{e} after {:?}", String::from_utf8_lossy(&head)));
        head.push(byte[0]);
        assert!(head.len() < 1 << 17, "an endless head");
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// The value of a header.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// One frame from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) last: bool,
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

/// A frame as a client sends it: masked, unless `mask` is `None`.
pub(crate) fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        n @ 0..126 => out.push(bit | n as u8),
        n @ 126..65536 => {
            out.push(bit | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(bit | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|m| out.extend_from_slice(m)).unwrap_or_default();
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

/// A client whose handshake is done.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    /// Of the handshake.
    pub(crate) head: String,
}

impl Client {
    pub(crate) fn open(addr: SocketAddr) -> Self {
        Self::open_with(addr, "/", "")
    }

    #[track_caller]
    pub(crate) fn open_with(addr: SocketAddr, path: &str, more: &str) -> Self {
        let mut stream = client::connect(addr);
        let head = ask(&mut stream, &handshake(path, more));
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self { stream, head }
    }

    /// Bytes as they are.
    #[track_caller]
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("write");
    }

    /// A frame that is whole.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.raw(&frame(0x80 | opcode, payload, Some([1, 2, 3, 4])));
    }

    /// A frame that more follow.
    pub(crate) fn send_part(&mut self, opcode: u8, payload: &[u8]) {
        self.raw(&frame(opcode, payload, Some([0xff, 0, 0x55, 7])));
    }

    #[track_caller]
    pub(crate) fn frame(&mut self) -> Frame {
        let [first, second] = self.exact();
        assert_eq!((first & 0x70, second & 0x80), (0, 0), "reserved bits, or masked by a server");
        let len = match second {
            126 => u64::from(u16::from_be_bytes(self.exact())),
            127 => u64::from_be_bytes(self.exact()),
            n => n.into(),
        };
        let payload = client::read_exact(&self.stream, len as usize);
        Frame { last: first & 0x80 != 0, opcode: first & 15, payload }
    }

    #[track_caller]
    fn exact<const N: usize>(&self) -> [u8; N] {
        client::read_exact(&self.stream, N).try_into().expect("as many as asked for")
    }

    /// The next frame is this one.
    #[track_caller]
    pub(crate) fn expect(&mut self, opcode: u8, payload: &[u8]) {
        let f = self.frame();
        assert!(
            f.last && f.opcode == opcode && f.payload == payload,
            "{} bytes in {:?}",
            f.payload.len(),
            (f.last, f.opcode)
        );
    }

    /// The next frame is a close with this code, and after the answer the connection ends in order.
    #[track_caller]
    pub(crate) fn expect_close(&mut self, code: u16) {
        let f = self.frame();
        assert_eq!((f.opcode, f.payload.get(..2)), (CLOSE, Some(&code.to_be_bytes()[..])), "{f:?}");
        // It may be gone already.
        let _ = self.stream.write_all(&frame(0x80 | CLOSE, &code.to_be_bytes(), Some([9, 8, 7, 6])));
        assert_eq!(client::end(&self.stream), client::End::Closed);
    }

    /// The next frame is a close with this code, and the connection ends without waiting for an answer.
    #[track_caller]
    pub(crate) fn expect_end(&mut self, code: u16) {
        self.expect(CLOSE, &code.to_be_bytes());
        assert_eq!(client::end(&self.stream), client::End::Closed);
    }

    /// Closes with a code, which comes back.
    #[track_caller]
    pub(crate) fn close(mut self, code: u16) {
        self.send(CLOSE, &code.to_be_bytes());
        self.expect(CLOSE, &code.to_be_bytes());
        assert_eq!(client::end(&self.stream), client::End::Closed);
    }
}
