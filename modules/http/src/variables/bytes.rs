//! Bytes of heads and bodies, on both sides. Heads are what is counted by itself; a body is the rest, with what delimits it.

use super::of;
use crate::Http;
use anyproxy_module_api::{Registry, Session, Sink, Variable};
use std::fmt::Write;

pub(super) fn register(registry: &mut Registry<Http>) {
    registry
        .variable::<HeadFromClient>()
        .variable::<HeadToClient>()
        .variable::<HeadFromPeer>()
        .variable::<HeadToPeer>()
        .variable::<BodyFromClient>()
        .variable::<BodyToClient>()
        .variable::<BodyFromPeer>()
        .variable::<BodyToPeer>();
}

fn number(out: &mut Sink<'_>, n: u64) -> bool {
    write!(out, "{n}").is_ok()
}

macro_rules! counts {
    ($head:ident $head_name:literal $head_doc:literal, $body:ident $body_name:literal $body_doc:literal, $count:ident) => {
        struct $head;

        impl Variable<Http> for $head {
            const NAME: &'static str = $head_name;
            const DOC: &'static str = $head_doc;

            fn write(session: &Session<Http>, _: &str, out: &mut Sink<'_>) -> bool {
                of(session, |r| number(out, r.heads.$count))
            }
        }

        struct $body;

        impl Variable<Http> for $body {
            const NAME: &'static str = $body_name;
            const DOC: &'static str = $body_doc;

            fn write(session: &Session<Http>, _: &str, out: &mut Sink<'_>) -> bool {
                of(session, |r| number(out, session.$count.get().saturating_sub(r.heads.$count)))
            }
        }
    };
}

counts!(
    HeadFromClient "http_header_client_bytes_received" "Bytes of the request's head.",
    BodyFromClient "http_body_client_bytes_received" "Bytes of the request's body, with what delimits it.",
    client_received
);
counts!(
    HeadToClient "http_header_client_bytes_sent" "Bytes of the answer's head, and of those of answers before it (1xx).",
    BodyToClient "http_body_client_bytes_sent" "Bytes of the answer's body as sent, with what delimits it.",
    client_sent
);
counts!(
    HeadFromPeer "http_header_upstream_bytes_received" "Bytes of heads of peers' answers.",
    BodyFromPeer "http_body_upstream_bytes_received" "Bytes of bodies of peers' answers, with what delimits them.",
    upstream_received
);
counts!(
    HeadToPeer "http_header_upstream_bytes_sent" "Bytes of the heads that peers got: more than one after a repetition.",
    BodyToPeer "http_body_upstream_bytes_sent" "Bytes of the bodies that peers got, with what delimits them.",
    upstream_sent
);
