//! Made-up modules and short ways to read a text, for the tests of this directory.

use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{Answers, ArgDesc, Contexts, DirectiveDesc, Inherit, Kind, Role},
};

use super::{Tree, Warnings, diagnostic::Diagnostics, include, load, schema::ModuleDirectives};

const LISTEN: &[ArgDesc] = &[ArgDesc::new("address", Kind::Listen, "where").required().repeated()];
const PEER: &[ArgDesc] = &[ArgDesc::new("address", Kind::Address, "whom").required()];
const POOLS: Contexts = Contexts::UPSTREAM.or(Contexts::LOCAL);
const EVERYWHERE: Contexts = Contexts::MSL.or(Contexts::UPSTREAM).or(Contexts::PEER);

pub(super) static TCP: [DirectiveDesc; 13] = [
    DirectiveDesc::new("port_listen_tcp", "Listens.", Contexts::SERVER).args(LISTEN).role(Role::ListenPort, "tcp"),
    DirectiveDesc::new("domain_listen_tcp", "Listens.", Contexts::SERVER).args(LISTEN).role(Role::ListenDomain, "tcp"),
    DirectiveDesc::new("proxy_pass_tcp", "A peer.", POOLS).args(PEER).role(Role::Peer, "tcp"),
    DirectiveDesc::new("tcp", "A socket profile.", Contexts::SOCKET)
        .args(&[ArgDesc::new("name", Kind::Text, "name").required()])
        .props(&[
            ArgDesc::new("nodelay", Kind::Bool, "sends at once"),
            ArgDesc::new("recv_timeout", Kind::Time, "time").bounds(1_000_000, 3_600_000_000_000),
        ])
        .append(),
    DirectiveDesc::new("tcp_config_name", "A profile.", EVERYWHERE)
        .args(&[ArgDesc::new("name", Kind::Text, "name").required()]),
    DirectiveDesc::new("ip_deny", "Denies.", Contexts::MSL)
        .args(&[ArgDesc::new("network", Kind::Cidr, "network").required().repeated()])
        .append()
        .inherit(Inherit::Append),
    DirectiveDesc::new("ip_allow", "Allows.", Contexts::MSL)
        .args(&[ArgDesc::new("network", Kind::Cidr, "network").required().repeated()])
        .append()
        .inherit(Inherit::Append),
    DirectiveDesc::new("download_limit_rate", "Limits.", EVERYWHERE)
        .args(&[ArgDesc::new("rate", Kind::Rate, "rate").required()]),
    DirectiveDesc::new("close_type", "How it ends.", Contexts::MSL).args(&[ArgDesc::new("how", Kind::Choice, "how")
        .required()
        .choices(&[Str::new("fast"), Str::new("shutdown")])]),
    DirectiveDesc::new("buffer", "Buffers.", Contexts::MSL)
        .args(&[ArgDesc::new("size", Kind::Size, "size").required().bounds(1024, 1 << 20)])
        .props(&[ArgDesc::new("share", Kind::Percent, "share").bounds(0, 1_000_000)]),
    DirectiveDesc::new("once_here", "Not inherited.", Contexts::MSL).inherit(Inherit::Never),
    DirectiveDesc::new("spill", "A block of its own.", Contexts::MSL).children(&[
        DirectiveDesc::new("dir", "Where.", Contexts::LOCAL)
            .args(&[ArgDesc::new("path", Kind::Path, "path").required()]),
        DirectiveDesc::new("factor", "How much.", Contexts::LOCAL)
            .args(&[ArgDesc::new("n", Kind::Float, "number").required().bounds(0, 10)])
            .append(),
    ]),
    DirectiveDesc::new("workers_feel_this", "Deep.", Contexts::COMMON)
        .args(&[ArgDesc::new("n", Kind::Int, "number").required()])
        .needs_restart(),
];

pub(super) static HTTP: [DirectiveDesc; 5] = [
    DirectiveDesc::new("http", "Speaks HTTP.", Contexts::SERVER)
        .args(&[ArgDesc::new("on", Kind::Bool, "switch")])
        .role(Role::Handler, "http"),
    DirectiveDesc::new("http_preread", "Looks.", Contexts::NET.or(Contexts::SERVER))
        .args(&[ArgDesc::new("on", Kind::Bool, "switch")])
        .role(Role::Preread, "host"),
    DirectiveDesc::new("http_header", "Adds.", Contexts::MSL)
        .args(&[
            ArgDesc::new("name", Kind::Text, "name").required(),
            ArgDesc::new("value", Kind::Template, "value").required(),
        ])
        .append()
        .inherit(Inherit::Append),
    DirectiveDesc::new("http_token", "Secret.", Contexts::MSL)
        .args(&[ArgDesc::new("token", Kind::Text, "token").required().secret()]),
    DirectiveDesc::new("domain_listen_quic", "Listens.", Contexts::SERVER)
        .args(LISTEN)
        .role(Role::ListenDomain, "quic"),
];

pub(super) static OTHER: [DirectiveDesc; 8] = [
    DirectiveDesc::new("takes_all", "Another handler.", Contexts::SERVER.or(Contexts::LOCAL))
        .role(Role::Handler, "other"),
    DirectiveDesc::new("answers", "Answers.", Contexts::SERVER.or(Contexts::LOCAL)).answers(Answers::Alone),
    DirectiveDesc::new("may_ask", "Answers.", Contexts::LOCAL).answers(Answers::WithPeers),
    DirectiveDesc::new("asks", "Passes on.", Contexts::LOCAL).answers(Answers::ByPeers),
    DirectiveDesc::new("turns_away", "Answers some.", Contexts::LOCAL).answers(Answers::Some),
    DirectiveDesc::new("pages", "Numbers and words.", Contexts::MSL)
        .args(&[ArgDesc::new("n", Kind::Int, "n").repeated().bounds(1, 9).choices(&[Str::new("all")])]),
    DirectiveDesc::new("says_ping", "A question.", Contexts::UPSTREAM.or(Contexts::PEER))
        .args(&[ArgDesc::new("word", Kind::Text, "word")])
        .role(Role::Probe, "ping"),
    DirectiveDesc::new("says_hello", "Another question.", Contexts::UPSTREAM.or(Contexts::PEER))
        .role(Role::Probe, "hello"),
];

pub(super) fn modules() -> Vec<ModuleDirectives> {
    vec![
        ModuleDirectives::new("tcp", &TCP),
        ModuleDirectives::new("http", &HTTP).datagram_points(&["quic"]),
        ModuleDirectives::new("other", &OTHER),
    ]
}

pub(super) fn read(text: &str) -> Result<(Tree, Warnings), Diagnostics> {
    let document = include::load_text("/conf/main.kdl", text).expect("the text is KDL");
    load(&document, &modules())
}

/// The tree of a text that has no error.
pub(super) fn tree(text: &str) -> Tree {
    match read(text) {
        Ok((tree, _)) => tree,
        Err(wrong) => panic!("{wrong}"),
    }
}

/// The first lines of the errors of a text, without the file's name.
pub(super) fn errors(text: &str) -> Vec<String> {
    match read(text) {
        Ok(_) => Vec::new(),
        Err(wrong) => lines(&wrong),
    }
}

/// The first lines of the warnings of a text that has no error.
pub(super) fn warnings(text: &str) -> Vec<String> {
    match read(text) {
        Ok((_, warnings)) => lines(&warnings),
        Err(wrong) => panic!("{wrong}"),
    }
}

fn lines(wrong: &Diagnostics) -> Vec<String> {
    let (shown, _) = wrong.shown();
    shown.into_iter().map(|d| wrong.headline(d).replace("/conf/main.kdl:", "")).collect()
}

/// A server that lacks nothing, with more directives in the server and in its local.
pub(super) fn server(port: u16, in_server: &str, in_local: &str) -> String {
    format!(
        "server {{ port_listen_tcp \"127.0.0.1:{port}\"; {in_server}\n local {{ proxy_pass_tcp \"10.0.0.1:80\"; {in_local}\n }}; }}\n"
    )
}

/// The names and first arguments of what a module sees.
pub(super) fn seen(tree: &Tree, scope: super::tree::ScopeId, module: &str) -> Vec<String> {
    let module = tree.module(module).expect("a module of the tests");
    let show = |n: &anyproxy_module_api::abi::conf::Node<'_>| match n.arg(0) {
        Some(v) if !v.text.is_empty() => format!("{} {}", n.name, v.text),
        Some(v) => format!("{} {}", n.name, v.num),
        None => n.name.to_string(),
    };
    tree.nodes(scope, module).iter().map(show).collect()
}
