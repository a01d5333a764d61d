//! `http_grpc_heartbeat`: a peer is well when its health service says so (`grpc.health.v1.Health/Check`, gRPC's document
//! "Health Checking Protocol").

use super::{http2, unwell};
use crate::{Conf, Http};
use anyproxy_module_api::*;

directive! {
    /// The heartbeats of these peers ask the health service of gRPC (`grpc.health.v1.Health/Check`), over HTTP/2.
    /// Beside a `heartbeat`, which says when and what follows. A peer is well that answers SERVING.
    "http_grpc_heartbeat", Contexts::UPSTREAM.or(Contexts::PEER),
    .args(&[ArgDesc::new("service", Kind::Text, "Whose health it is; absent: the server's as a whole.").bounds(0, 1000)])
    .props(&[ArgDesc::new("host", Kind::Text, "The request's :authority; absent: host and port of the peer as written.")])
    .role(Role::Probe, "grpc")
    .default("a connection is enough")
    .example("http_grpc_heartbeat \"shop.Orders\"")
}

/// What is asked.
#[derive(Debug)]
pub(crate) struct Health {
    service: Box<str>,
    host: Option<&'static str>,
}

impl Health {
    /// As the block's `http_grpc_heartbeat` says, if it has one.
    pub(crate) fn new(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Option<Self> {
        let node = scope.node("http_grpc_heartbeat")?;
        let service = node.arg(0).map_or("", |v| v.text.as_str());
        Some(Self { service: service.into(), host: super::host(node, problems) })
    }
}

/// The request's message with its length before it: field 1, the service.
fn request(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(1 << 3 | 2);
        let mut len = service.len();
        while len > 127 {
            message.push(len as u8 | 128);
            len >>= 7;
        }
        message.push(len as u8);
        message.extend_from_slice(service.as_bytes());
    }
    let mut out = vec![0];
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(&message);
    out
}

/// Field 1 of the answer's message, its status. `None`: malformed, or compressed, for which nobody asked.
fn status(body: &[u8]) -> Option<u64> {
    let (prefix, mut rest) = body.split_at_checked(5)?;
    let len = u32::from_be_bytes(prefix[1..].try_into().ok()?);
    if prefix[0] != 0 || rest.len() != len as usize {
        return None;
    }
    let mut status = 0;
    while !rest.is_empty() {
        match (varint(&mut rest)?, &mut rest) {
            (0x08, rest) => status = varint(rest)?,
            // What a later version may add.
            (tag, rest) if tag & 7 == 0 => drop(varint(rest)?),
            (tag, rest) if tag & 7 == 2 => {
                let len = usize::try_from(varint(rest)?).ok()?;
                *rest = rest.split_at_checked(len)?.1;
            }
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte < 128 {
            return Some(value);
        }
    }
    None
}

/// The probe.
#[derive(Debug)]
pub(crate) struct Ask;

impl Probe<Http> for Ask {
    const NAME: &'static str = "grpc";

    async fn ask(at: At<'_, Http>, peer: Connect<'_>, stream: Stream) -> Result<(), Error> {
        let Some(health) = &at.conf().health else {
            return Err(unwell("the peer's block has no http_grpc_heartbeat"));
        };
        let host = health.host.map_or_else(|| super::host_of(&peer), ToOwned::to_owned);
        let head = format!(
            "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: {host}\r\nUser-Agent: anyproxy\r\n\
             Content-Type: application/grpc\r\nTE: trailers\r\n\r\n"
        );
        let body = request(&health.service).into();
        let answer = http2::ask(&at.worker().peers, stream, head.as_bytes(), body).await?;
        if answer.head.status() != 200 {
            return Err(unwell(format!("status {}, not 200", answer.head.status())));
        }
        // Where there is no message it stands in the only head.
        let code = trailer(&answer.trailers, b"grpc-status").or_else(|| {
            let message = &answer.head;
            let mut lines = message.lines();
            lines.find(|l| l.name(&message.bytes).eq_ignore_ascii_case(b"grpc-status")).map(|l| l.value(&message.bytes))
        });
        match code {
            Some(b"0") => {}
            Some(code) => return Err(unwell(format!("grpc-status {}", code.escape_ascii()))),
            None => return Err(unwell("no grpc-status")),
        }
        match status(&answer.body) {
            Some(1) => Ok(()),
            Some(0) => Err(unwell("UNKNOWN")),
            Some(2) => Err(unwell("NOT_SERVING")),
            Some(3) => Err(unwell("SERVICE_UNKNOWN")),
            Some(n) => Err(unwell(format!("serving status {n}"))),
            None => Err(unwell("a malformed message")),
        }
    }
}

/// The value of a line behind the body.
fn trailer<'a>(lines: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines.split(|b| *b == b'\n').find_map(|line| {
        let (own, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        own.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_service() {
        assert_eq!(request(""), [0, 0, 0, 0, 0]);
        assert_eq!(request("ab"), [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = request(&"x".repeat(300));
        assert_eq!((&long[..8], long.len()), (&[0, 0, 0, 1, 47, 0x0a, 0xac, 2][..], 308));
    }

    #[test]
    fn the_status_is_found_among_other_fields() {
        assert_eq!(status(&[0, 0, 0, 0, 2, 8, 1]), Some(1));
        assert_eq!(status(&[0, 0, 0, 0, 0]), Some(0), "the first of them is not sent");
        assert_eq!(status(&[0, 0, 0, 0, 8, 0x12, 1, b'x', 0x18, 0x96, 1, 8, 2]), Some(2));
        for wrong in [
            &[][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 2, 8],
            &[0, 0, 0, 0, 1, 8, 1],
            &[1, 0, 0, 0, 2, 8, 1],
            &[0, 0, 0, 0, 1, 8],
            &[0, 0, 0, 0, 2, 0x12, 9],
            &[0, 0, 0, 0, 2, 0x0d, 1],
            &[0, 255, 255, 255, 255, 8, 1],
        ] {
            assert_eq!(status(wrong), None, "{wrong:?}");
        }
        let endless = [[0, 0, 0, 0, 11, 8].as_slice(), &[255; 10]].concat();
        assert_eq!(status(&endless), None);
    }

    #[test]
    fn a_trailer_is_found_by_its_name() {
        let lines = b"grpc-message: no\r\nGrpc-Status: 12\r\n";
        assert_eq!(trailer(lines, b"grpc-status"), Some(&b"12"[..]));
        assert_eq!(trailer(b"grpc-status-x: 1\r\n", b"grpc-status"), None);
    }
}
