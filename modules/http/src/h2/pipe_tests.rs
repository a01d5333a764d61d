//! A pipe with this crate on one side and the `h2` crate on the other, and random messages to send through it.

use super::*;
use ::h2 as reference;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % limit
    }
}

pub(super) type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// A message, and what is to become of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) fields: Fields,
    pub(super) body: Vec<u8>,
    pub(super) trailers: Option<Fields>,
}

pub(super) fn fields(random: &mut Random, most: usize) -> Fields {
    const NAMES: &[&str] = &["x-a", "accept", "user-agent", "x-long-name-of-a-field", "cookie", "x-b", "authorization"];
    let fields = (0..random.below(most + 1)).map(|_| {
        let value = match random.below(4) {
            0 => "the same each time".to_owned(),
            1 => "z".repeat(random.below(300)),
            2 => format!("{}", random.below(1 << 30)),
            _ => "\u{e9}~|^{}".to_owned(),
        };
        (NAMES[random.below(NAMES.len())].as_bytes().to_vec(), value.into_bytes())
    });
    sorted(fields.collect())
}

/// In the order of a map, which the reference keeps fields in.
pub(super) fn sorted(mut fields: Fields) -> Fields {
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

pub(super) fn message(random: &mut Random) -> Message {
    let body = match random.below(6) {
        0 | 1 => 0,
        2 => random.below(100),
        3 | 4 => random.below(40_000),
        _ => random.below(1 << 20),
    };
    let body: Vec<u8> = (0..body).map(|at| (at * 7 + at / 251) as u8).collect();
    Message {
        method: ["GET", "POST", "PUT", "X-OTHER"][random.below(4)].to_owned(),
        path: ["/", "/index.html", "/some/path?q=1", "/x"][random.below(4)].to_owned(),
        fields: fields(random, 6),
        trailers: (random.below(3) == 0).then(|| fields(random, 3)),
        body,
    }
}

pub(super) fn map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let mut value = HeaderValue::from_bytes(value).unwrap();
        value.set_sensitive(name == b"authorization");
        map.append(HeaderName::from_bytes(name).unwrap(), value);
    }
    map
}

pub(super) fn unmap(map: &HeaderMap) -> Fields {
    sorted(map.iter().map(|(name, value)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec())).collect())
}

pub(super) fn block_fields(block: &Block) -> Fields {
    sorted(block.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

/// Reads all of a body of the reference.
pub(super) async fn read(body: &mut reference::RecvStream) -> Result<(Vec<u8>, Option<Fields>), reference::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
    }
    Ok((bytes, body.trailers().await?.map(|map| unmap(&map))))
}

/// Sends a body with the reference.
pub(super) fn write(stream: &mut reference::SendStream<Bytes>, message: &Message) -> Result<(), reference::Error> {
    if message.trailers.is_none() && message.body.is_empty() {
        return Ok(());
    }
    if !message.body.is_empty() {
        stream.send_data(Bytes::from(message.body.clone()), message.trailers.is_none())?;
    }
    match &message.trailers {
        Some(trailers) => stream.send_trailers(map(trailers)),
        None => Ok(()),
    }
}

/// One side of this crate: a connection, what it has received of each stream, and what is still to be sent.
pub(super) struct Peer {
    pub(super) connection: Connection,
    pub(super) io: DuplexStream,
    pub(super) input: Vec<u8>,
    pub(super) out: Vec<u8>,
    pub(super) received: HashMap<u32, Message>,
    /// What is to be sent, and how much of the body was.
    pub(super) sending: HashMap<u32, (Message, usize)>,
    /// Streams that were received to their end, or reset with that code.
    pub(super) done: Vec<(u32, Option<Code>)>,
}

impl Peer {
    pub(super) fn new(role: Role, config: Config, io: DuplexStream) -> Self {
        let (mut connection, mut out) = (Connection::new(role, config), Vec::new());
        connection.start(&mut out);
        let (received, sending) = (HashMap::new(), HashMap::new());
        Self { connection, io, input: Vec::new(), out, received, sending, done: Vec::new() }
    }

    /// Writes, then reads once; `false` at the end of the stream.
    pub(super) async fn turn(&mut self) -> bool {
        while self.send() {}
        // Both directions at once, or two full pipes would wait for each other.
        let mut buffer = vec![0; 16 << 10];
        let mut at = 0;
        let (mut reader, mut writer) = tokio::io::split(&mut self.io);
        let length = loop {
            tokio::select! {
                biased;
                written = writer.write(&self.out[at..]), if at < self.out.len() => match written {
                    Ok(length) => at += length,
                    Err(_) => return false,
                },
                length = reader.read(&mut buffer) => break length.unwrap_or(0),
            }
        };
        self.out.drain(..at);
        self.input.extend_from_slice(&buffer[..length]);
        self.receive();
        length > 0
    }

    pub(super) fn receive(&mut self) {
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        loop {
            let (length, event) = self.connection.receive(&input[at..], &mut self.out).expect("no error");
            let Some(event) = event else {
                at += length;
                break;
            };
            match event {
                Event::Head { stream, end, .. } => {
                    let block = self.connection.block();
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                    let message = Message {
                        method: text(block.method()),
                        path: text(block.path()),
                        fields: block_fields(block),
                        ..Message::default()
                    };
                    self.received.insert(stream, message);
                    self.connection.set_key(stream, stream);
                    self.end(stream, end);
                }
                Event::Data { stream, key, payload, end, credit } => {
                    assert_eq!(key, stream);
                    let message = self.received.get_mut(&stream).unwrap();
                    message.body.extend_from_slice(&input[at..][payload]);
                    self.connection.release(stream, credit, &mut self.out);
                    self.end(stream, end);
                }
                Event::Trailers { stream, key } => {
                    assert_eq!(key, stream);
                    self.received.get_mut(&stream).unwrap().trailers = Some(block_fields(self.connection.block()));
                    self.end(stream, true);
                }
                Event::Reset { stream, code, own, .. } => {
                    assert!(!own, "{code}");
                    self.sending.remove(&stream);
                    self.done.push((stream, Some(code)));
                }
                Event::Priority { .. } | Event::Writable { .. } | Event::GoAway { .. } | Event::Pong { .. } => {}
                Event::Refused { .. } => panic!("{event:?}"),
            }
            at += length;
        }
        self.input = input[at..].to_vec();
    }

    pub(super) fn end(&mut self, stream: u32, end: bool) {
        if end {
            self.done.push((stream, None));
        }
    }

    /// Sends a piece of each body, where that may be sent; whether there was any.
    pub(super) fn send(&mut self) -> bool {
        let (mut finished, before) = (Vec::new(), self.out.len());
        for (&stream, (message, sent)) in &mut self.sending {
            let end = message.trailers.is_none();
            let rest = &message.body[*sent..];
            let piece = rest.len().min(50_000);
            *sent += self.connection.data(stream, &rest[..piece], end && piece == rest.len(), &mut self.out);
            if *sent < message.body.len() {
                continue;
            }
            if let Some(trailers) = &message.trailers
                && let Some(mut writer) = self.connection.headers(stream, &mut self.out)
            {
                for (name, value) in trailers {
                    writer.field(name, value, false).unwrap();
                }
                writer.finish(true);
            }
            finished.push(stream);
        }
        finished.iter().for_each(|stream| drop(self.sending.remove(stream)));
        self.out.len() > before
    }

    /// Sends the head of a message, and the rest as the windows allow.
    pub(super) fn begin(&mut self, stream: u32, message: Message, response: bool) {
        let mut writer = self.connection.headers(stream, &mut self.out).expect("the stream is open");
        if response {
            writer.status(200).unwrap();
        } else {
            let (method, path) = (message.method.as_bytes(), message.path.as_bytes());
            writer.request(method, Some(b"http"), Some(b"example.com"), Some(path), None).unwrap();
        }
        for (name, value) in &message.fields {
            writer.field(&name.to_ascii_uppercase(), value, name == b"authorization").unwrap();
        }
        let end = message.body.is_empty() && message.trailers.is_none();
        writer.finish(end);
        if !end {
            self.sending.insert(stream, (message, 0));
        }
    }
}
