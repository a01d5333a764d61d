//! Reads server name and ALPN out of a TLS ClientHello without terminating TLS.
//! Knows nothing of keys, versions or ciphers: what the hello offers beyond the name is between client and server.
//!
//! A hello may be cut anywhere, over several TLS records and several segments. The reader remembers where it stopped,
//! so a peer that sends single bytes makes it do no more work than one that sends all at once.
//! Sources: RFC 8446 §4.1.2 and §5.1 (RFC 5246 hellos have the same shape), RFC 6066 §3, RFC 7301 §3.1, RFC 8701 (GREASE).

use super::bytes::Bytes;
use super::host_name;

/// Longest ClientHello message that is read; post-quantum key shares make real ones about 2 KiB.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Most records a hello may be cut into.
pub const MAX_RECORDS: usize = 64;
/// Most bytes a reader asks for before it has an answer.
pub const MAX_RECEIVED: usize = MESSAGE_HEADER + MAX_MESSAGE + MAX_RECORDS * RECORD_HEADER;

const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const MAX_FRAGMENT: usize = 1 << 14;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const HOST_NAME: u8 = 0;

/// What a hello asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name, lower-cased, without a trailing dot. None when the client sent no name.
    pub sni: Option<String>,
    /// Protocols in the client's order, GREASE values included; empty when the client sent none.
    pub alpn: Vec<Vec<u8>>,
}

/// Verdict over the bytes received so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole hello was there.
    Parsed(ClientHello),
    /// So far it is a hello; at most [`MAX_RECEIVED`] bytes are ever needed.
    NeedMore,
    /// The first bytes are no TLS record.
    NotTls,
    /// TLS, but not to be passed on: why.
    Malformed(&'static str),
}

/// Reads the hello of one connection.
#[derive(Debug, Default)]
pub struct Reader {
    /// Where the next record starts in what was received.
    next_record: usize,
    records: usize,
    /// Fragments of a message that did not end with its first record.
    message: Vec<u8>,
}

impl Reader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// `received` is everything since the connection began, and grows from call to call.
    pub fn advance(&mut self, received: &[u8]) -> Outcome {
        if let Some(verdict) = first_bytes(received) {
            return verdict;
        }
        loop {
            match self.record(received) {
                Ok(Some(hello)) => return Outcome::Parsed(hello),
                Ok(None) => {}
                Err(verdict) => return verdict,
            }
        }
    }

    /// Takes one record; an error is a verdict that ends this call.
    fn record(&mut self, received: &[u8]) -> Result<Option<ClientHello>, Outcome> {
        let rest = received.get(self.next_record..).unwrap_or_default();
        let refuse = |reason| Err(Outcome::Malformed(reason));
        if rest.first().is_some_and(|&kind| kind != HANDSHAKE) {
            return refuse("record of another type inside the ClientHello");
        }
        if rest.get(1).is_some_and(|&major| major != 3) {
            return refuse("unknown record version inside the ClientHello");
        }
        let Some((&[_, _, _, high, low], rest)) = rest.split_first_chunk::<RECORD_HEADER>() else {
            return Err(Outcome::NeedMore);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length == 0 {
            return refuse("empty handshake record");
        }
        if length > MAX_FRAGMENT {
            return refuse("TLS record over 16 KiB");
        }
        if self.records == MAX_RECORDS {
            return refuse("ClientHello in more than 64 records");
        }
        let available = &rest[..length.min(rest.len())];

        // The message's own header is looked at as soon as it is there: a client that announces too much is refused
        // before its bytes are kept.
        let mut head = self.message.iter().chain(available).copied();
        if head.next().is_some_and(|kind| kind != CLIENT_HELLO) {
            return refuse("first handshake message is not a ClientHello");
        }
        let announced = match (head.next(), head.next(), head.next()) {
            (Some(high), Some(middle), Some(low)) => Some(u32::from_be_bytes([0, high, middle, low]) as usize),
            _ => None,
        };
        if let Some(announced) = announced {
            if announced > MAX_MESSAGE {
                return refuse("ClientHello over 16 KiB");
            }
            if self.message.len() + length > MESSAGE_HEADER + announced {
                return refuse("bytes after the ClientHello in its record");
            }
        }
        if available.len() < length {
            return Err(Outcome::NeedMore);
        }

        let ends = announced.is_some_and(|announced| self.message.len() + length == MESSAGE_HEADER + announced);
        self.next_record += RECORD_HEADER + length;
        self.records += 1;
        if ends && self.message.is_empty() {
            return message(available).map(Some).map_err(Outcome::Malformed);
        }
        self.message.extend_from_slice(available);
        if ends {
            return message(&self.message).map(Some).map_err(Outcome::Malformed);
        }
        Ok(None)
    }
}

/// The fatal alert a server answers when it serves no such name: TLS 1.2 record, level fatal, unrecognized_name (RFC
/// 6066 §3, RFC 8446 §6).
pub const UNRECOGNIZED_NAME_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// A verdict if the first bytes already rule TLS out.
fn first_bytes(received: &[u8]) -> Option<Outcome> {
    match *received {
        [] => Some(Outcome::NeedMore),
        [HANDSHAKE] => None,
        [HANDSHAKE, 3, ..] => None,
        // SSLv2's hello: a length of two bytes with the top bit set, message type 1, version 0.2 or 3.x (RFC 5246 §E.2).
        [0x80..=0xff, _, CLIENT_HELLO, 0, 2, ..] | [0x80..=0xff, _, CLIENT_HELLO, 3, _, ..] => {
            Some(Outcome::Malformed("SSLv2 ClientHello"))
        }
        [0x80..=0xff] | [0x80..=0xff, _] | [0x80..=0xff, _, CLIENT_HELLO] | [0x80..=0xff, _, CLIENT_HELLO, 0 | 3] => {
            Some(Outcome::NeedMore)
        }
        _ => Some(Outcome::NotTls),
    }
}

/// A whole handshake message with its header, which the caller has checked.
fn message(message: &[u8]) -> Result<ClientHello, &'static str> {
    const CUT: &str = "ClientHello shorter than its fields";
    let mut body = Bytes(message.get(MESSAGE_HEADER..).unwrap_or_default());
    body.take(2 + 32).ok_or(CUT)?; // legacy_version, random
    if body.block8().ok_or(CUT)?.len() > 32 {
        return Err("session id over 32 bytes");
    }
    let suites = body.block16().ok_or(CUT)?;
    if suites.is_empty() || suites.len() % 2 != 0 {
        return Err("invalid list of cipher suites");
    }
    if body.block8().ok_or(CUT)?.is_empty() {
        return Err("no compression method");
    }
    let mut hello = ClientHello::default();
    if body.is_empty() {
        return Ok(hello); // before TLS 1.3 a hello may have no extensions at all
    }
    let mut extensions = Bytes(body.block16().ok_or(CUT)?);
    if !body.is_empty() {
        return Err("bytes after the extensions of the ClientHello");
    }
    let (mut names, mut protocols) = (false, false);
    while !extensions.is_empty() {
        let kind = extensions.u16().ok_or(CUT)?;
        let data = extensions.block16().ok_or(CUT)?;
        // The others may hold anything, GREASE included; only what is routed by has to be unambiguous here.
        match kind {
            SERVER_NAME if names => return Err("two server_name extensions"),
            ALPN if protocols => return Err("two ALPN extensions"),
            SERVER_NAME => {
                names = true;
                hello.sni = server_name(data)?;
            }
            ALPN => {
                protocols = true;
                hello.alpn = protocol_names(data)?;
            }
            _ => {}
        }
    }
    Ok(hello)
}

/// `ServerNameList` of RFC 6066 §3. Names of an unknown type are skipped: they too start with a length of two bytes.
fn server_name(data: &[u8]) -> Result<Option<String>, &'static str> {
    const CUT: &str = "server_name shorter than its fields";
    let mut data = Bytes(data);
    let mut list = Bytes(data.block16().ok_or(CUT)?);
    if !data.is_empty() {
        return Err("bytes after the list of server names");
    }
    if list.is_empty() {
        return Err("empty list of server names");
    }
    let mut name = None;
    while !list.is_empty() {
        let kind = list.u8().ok_or(CUT)?;
        let value = list.block16().ok_or(CUT)?;
        if kind != HOST_NAME {
            continue;
        }
        if name.is_some() {
            return Err("two host names in server_name");
        }
        name = Some(host_name::dns_name(value)?);
    }
    Ok(name)
}

/// `ProtocolNameList` of RFC 7301 §3.1.
fn protocol_names(data: &[u8]) -> Result<Vec<Vec<u8>>, &'static str> {
    const CUT: &str = "ALPN shorter than its fields";
    let mut data = Bytes(data);
    let mut list = Bytes(data.block16().ok_or(CUT)?);
    if !data.is_empty() {
        return Err("bytes after the list of ALPN protocols");
    }
    if list.is_empty() {
        return Err("empty list of ALPN protocols");
    }
    let mut protocols = Vec::new();
    while !list.is_empty() {
        match list.block8().ok_or(CUT)? {
            [] => return Err("empty ALPN protocol"),
            protocol => protocols.push(protocol.to_vec()),
        }
    }
    Ok(protocols)
}

#[cfg(test)]
#[path = "client_hello_tests.rs"]
mod tests;
