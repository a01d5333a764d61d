//! Directives, and what a block says by them.

use crate::{handshake, origin::Allowed};
use anyproxy_module_api::{Answers, ArgDesc, Contexts, Inherit, Kind, Problems, Role, Scope, directive, intern};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

directive! {
    /// Accepts WebSocket handshakes and sends each message back as it came.
    /// Text stays text, binary stays binary; a message of several frames comes back in one, of more than 1 MiB in frames of
    /// 1 MiB. What is no handshake is answered with 426, a malformed one with 400.
    "websocket_echo", Contexts::LOCAL,
    .inherit(Inherit::Never)
    .default("the local has another answer")
    .answers(Answers::Alone)
    .example("websocket_echo")
}

directive! {
    /// Accepts WebSocket handshakes and sends a text, once or again and again. Messages of the client are not looked at.
    /// Sent once, it is followed by the close handshake (1000). The text is made anew each time.
    "websocket_static", Contexts::LOCAL,
    .args(&[ArgDesc::new("text", Kind::Template, "The message; may contain variables.").required()])
    .props(&[ArgDesc::new("interval", Kind::Time, "From one message to the next; 0: there is one.").bounds(0, DAY).default("0")])
    .inherit(Inherit::Never)
    .default("the local has another answer")
    .answers(Answers::Alone)
    .example("websocket_static \"${local_time}\" interval=\"1s\"")
}

directive! {
    /// Passes WebSocket handshakes on to the local's peers, and nothing else.
    /// Once the peer has accepted, frames pass as they are: they are not parsed, and no limit of this module applies to them.
    /// What is no handshake is answered with 426, a malformed one with 400. In a server without `http` it closes every
    /// session: relayed, they would pass unchecked.
    "websocket_proxy", Contexts::LOCAL,
    .role(Role::Handler, "websocket")
    .inherit(Inherit::Never)
    .default("handshakes are passed on as any request")
    .answers(Answers::ByPeers)
    .example("websocket_proxy")
}

directive! {
    /// Longest message that is taken from a client, with all of its frames. A longer one ends the connection with 1009.
    "websocket_message_size", Contexts::MSL,
    .args(&[ArgDesc::new("size", Kind::Size, "bytes").required().bounds(1, 1 << 30)])
    .default("1MiB")
    .example("websocket_message_size \"64KiB\"")
}

directive! {
    /// A client that has sent nothing for so long is asked by a ping whether it is there.
    "websocket_ping", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: it is not asked").required().bounds(0, DAY)])
    .default("30s")
    .example("websocket_ping \"10s\"")
}

directive! {
    /// Closes a connection with 1001 on which nothing has come for so long: no message, and no answer to a ping.
    /// Longer than `websocket_ping`, or quiet clients are sent away.
    "websocket_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, DAY)])
    .default("60s")
    .example("websocket_timeout \"20s\"")
}

directive! {
    /// Subprotocols that are spoken here, the preferred one first. The first that a client offers is agreed on.
    /// With none in common the connection opens without. `websocket_proxy` leaves the choice to the peer.
    "websocket_protocols", Contexts::MSL,
    .args(&[ArgDesc::new("name", Kind::Text, "As in Sec-WebSocket-Protocol.").required().repeated()])
    .default("no subprotocol is agreed on")
    .example("websocket_protocols \"chat.v2\" \"chat.v1\"")
}

directive! {
    /// Pages that may open a WebSocket, by their Origin; handshakes from others are answered with 403.
    /// A host (`www.example.com`), all hosts below a name (`*.example.com`, not the name itself), either with its scheme and
    /// port (`https://www.example.com:8443`), or `null`. Clients that are no browser send none, and are let in.
    "websocket_origins", Contexts::MSL,
    .args(&[ArgDesc::new("origin", Kind::Text, "Host or origin.").required().repeated()])
    .default("all")
    .example("websocket_origins \"https://www.example.com\" \"*.example.com\"")
}

/// What becomes of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Does {
    Echo,
    /// A template, sent every so many milliseconds; 0: once.
    Static {
        text: u32,
        every_ms: u64,
    },
    Proxy,
}

/// Bounds of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of a message.
    pub(crate) message: usize,
    /// 0: no pings.
    pub(crate) ping_ms: u64,
    /// 0: no limit.
    pub(crate) silence_ms: u64,
}

/// What a block says.
#[derive(Debug)]
pub struct Conf {
    pub(crate) does: Option<Does>,
    pub(crate) limits: Limits,
    pub(crate) protocols: Vec<&'static str>,
    /// `None`: all.
    pub(crate) origins: Option<Vec<Allowed>>,
}

impl Conf {
    pub(crate) fn new(scope: &Scope<'_, Self>, problems: &mut Problems<'_>) -> Self {
        let number = |name: &str, default: i64| scope.node(name).and_then(|n| n.arg(0)).map_or(default, |v| v.num);
        let ms = |name: &str, seconds: i64| (number(name, seconds * SECOND) / 1_000_000).unsigned_abs();
        let limits = Limits {
            message: number("websocket_message_size", 1 << 20) as usize,
            ping_ms: ms("websocket_ping", 30),
            silence_ms: ms("websocket_timeout", 60),
        };
        let said = scope.node("websocket_timeout").or_else(|| scope.node("websocket_ping"));
        if let (true, Some(node)) = (limits.silence_ms > 0 && limits.ping_ms >= limits.silence_ms, said) {
            let text = "clients that are quiet are closed before they are asked: websocket_timeout is not longer than websocket_ping";
            problems.warn(&node.span, text, "");
        }
        Self { does: does(scope), limits, protocols: protocols(scope, problems), origins: origins(scope, problems) }
    }
}

/// At most one is there, which the host sees to.
fn does(scope: &Scope<'_, Conf>) -> Option<Does> {
    scope.nodes().iter().find_map(|node| match node.name.as_str() {
        "websocket_echo" => Some(Does::Echo),
        "websocket_static" => Some(Does::Static {
            text: node.arg(0).map_or(0, |v| v.num as u32),
            every_ms: node.num("interval").unsigned_abs() / 1_000_000,
        }),
        "websocket_proxy" => Some(Does::Proxy),
        _ => None,
    })
}

fn protocols(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Vec<&'static str> {
    let Some(node) = scope.node("websocket_protocols") else { return Vec::new() };
    for value in node.args.as_slice() {
        if !handshake::is_token(value.text.as_str().as_bytes()) {
            let text = format!("\"{}\" is no name of a subprotocol: letters, digits and -._~+! only", value.text);
            problems.error(&value.span, &text, "");
        }
    }
    node.args.as_slice().iter().map(|v| intern(v.text.as_str())).collect()
}

fn origins(scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Option<Vec<Allowed>> {
    let node = scope.node("websocket_origins")?;
    let mut allowed = Vec::new();
    for value in node.args.as_slice() {
        match Allowed::parse(value.text.as_str()) {
            Some(one) => allowed.push(one),
            None => {
                let text = format!("\"{}\" is no origin", value.text);
                problems.error(
                    &value.span,
                    &text,
                    "write \"www.example.com\", \"*.example.com\" or \"https://www.example.com\"",
                );
            }
        }
    }
    Some(allowed)
}
