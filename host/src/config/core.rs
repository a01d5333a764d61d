//! The host's own directives, as the same kind of table that modules declare theirs in.
//! Knows what may be written and what it means; nothing of how a value is read or used.

mod blocks;
mod common;
mod upstream;

use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{ArgDesc, Contexts, DirectiveDesc, Inherit, Kind},
};

/// The id under which the host's directives stand in listings and dumps.
pub const ID: &str = "host";

/// Every directive of the host.
pub fn directives() -> Vec<&'static DirectiveDesc> {
    let tables: [&'static [DirectiveDesc]; 4] = [&blocks::TABLE, &common::TABLE, &upstream::TABLE, &TABLE];
    tables.into_iter().flatten().collect()
}

/// The block that a directive of the host opens, if it opens one of the tree's: `server` in `net` opens `SERVER`.
pub fn block_of(context: Contexts, name: &str) -> Option<Contexts> {
    Some(match (context, name) {
        (Contexts::MAIN, "common") => Contexts::COMMON,
        (Contexts::MAIN, "socket") => Contexts::SOCKET,
        (Contexts::MAIN, "upstream") => Contexts::UPSTREAM,
        (Contexts::MAIN, "tunnel") => Contexts::TUNNEL,
        (Contexts::MAIN, "ebpf") => Contexts::EBPF,
        (Contexts::MAIN, "net") => Contexts::NET,
        (Contexts::NET, "server") => Contexts::SERVER,
        (Contexts::SERVER, "local") => Contexts::LOCAL,
        _ => return None,
    })
}

const TARGETS: &[Str<'static>] = &[Str::new("stderr"), Str::new("stdout")];

/// The block of `access_log`.
static FIELD: &[DirectiveDesc] = &[DirectiveDesc::new(
    "field",
    "One field of a line in JSON: an object of these, in their order.\n\
     With `format=\"json\"` they are added to the default ones. What has no value is null; what is said to be a number or a \
     bool and is none is a text.",
    Contexts::MSL,
)
.args(&[
    ArgDesc::new("name", Kind::Text, "name").required().bounds(1, 256),
    ArgDesc::new("value", Kind::Template, "value, with `${variables}`").required(),
])
.props(&[ArgDesc::new("as", Kind::Choice, "what it is in JSON; `bool`: of 1, `true`, 0 and `false`")
    .choices(&[Str::new("text"), Str::new("number"), Str::new("bool")])
    .default("text")])
.append()
.example("field \"status\" \"${status}\" as=\"number\"")];

/// Directives of `net`, `server` and `local`.
static TABLE: [DirectiveDesc; 7] = [
    DirectiveDesc::new(
        "domain",
        "The domains that this server answers for.\n\
         Exact names, wildcards (`*.example.com`: any depth, not the bare name) or regular expressions marked with `~`, \
         whose named groups become variables. Exact beats the longest wildcard, that beats the first regular expression \
         in file order. One domain twice on one address is an error.",
        Contexts::SERVER,
    )
    .args(&[ArgDesc::new("name", Kind::Text, "exact, `*.wildcard` or `~regex`").required().repeated()])
    .append()
    .inherit(Inherit::Never)
    .default("the server is chosen only as default_server or by a port of its own")
    .example("domain \"www.example.com\" \"*.img.example.com\" #\"~^(?<shop>[a-z]+)\\.shop\\.cn$\"#"),
    DirectiveDesc::new(
        "default_server",
        "This server takes what no domain of its addresses matches.\nAt most one on an address.",
        Contexts::SERVER,
    )
    .args(&[ArgDesc::new("on", Kind::Bool, "whether it does").default("#true")])
    .inherit(Inherit::Never)
    .default("a session that matches nothing is closed")
    .example("default_server"),
    DirectiveDesc::new(
        "rule",
        "A condition under which this local is chosen.\n\
         Exactly one of `text`, `prefix` and `regex` is compared with the value. All rules of one local must hold; the \
         first local in file order whose rules hold is taken.",
        Contexts::LOCAL,
    )
    .args(&[ArgDesc::new("value", Kind::Template, "what is compared, usually one variable").required()])
    .props(&[
        ArgDesc::new("text", Kind::Text, "equal to this text"),
        ArgDesc::new("prefix", Kind::Text, "begins with this text"),
        ArgDesc::new("regex", Kind::Regex, "matches; its named groups become `${re.name}`"),
        ArgDesc::new("not", Kind::Bool, "holds when the comparison does not").default("#false"),
    ])
    .append()
    .inherit(Inherit::Never)
    .default("the local takes every session that reaches it")
    .example("rule \"${domain}\" prefix=\"www.\""),
    DirectiveDesc::new(
        "proxy_pass_upstream",
        "The upstream that sessions of this local go to.\n\
         A name of an `upstream` block, or the short form `//protocol//host:port//balancer`.",
        Contexts::LOCAL,
    )
    .args(&[ArgDesc::new("name", Kind::Text, "name or short form").required()])
    .inherit(Inherit::Never)
    .default("the peers that stand in the local itself")
    .example("proxy_pass_upstream \"//tcp//127.0.0.1:8080//round_robin\""),
    DirectiveDesc::new(
        "access_log",
        "Writes one line for each session or exchange.\n\
         Several are written side by side. A nested block that has one of its own writes only to its own; `off` writes \
         none. Written in the background and reopened when the file was moved.",
        Contexts::MSL,
    )
    .args(&[ArgDesc::new("file", Kind::Path, "file, `stdout`, `stderr` or `off`").required().choices(&[
        Str::new("stderr"),
        Str::new("stdout"),
        Str::new("off"),
    ])])
    .props(&[
        ArgDesc::new("format", Kind::Template, "the line, with `${variables}`; `json`: an object with default fields").default(
            "${local_time} ${client_addr} ${domain} ${upstream_addr} ${status} ${close_reason} \
             ${client_bytes_received} ${client_bytes_sent} ${upstream_connect_time} ${session_time}",
        ),
        ArgDesc::new("errors_only", Kind::Bool, "only sessions that ended by an error").default("#false"),
        ArgDesc::new("interval", Kind::Time, "also logs sessions still open, this often")
            .bounds(SECOND, 24 * HOUR),
        ArgDesc::new("buffer", Kind::Size, "bytes a worker gathers before it writes")
            .bounds(4 << 10, 16 << 20)
            .default("64KiB"),
        ArgDesc::new("flush", Kind::Time, "a line waits at most this long").bounds(0, HOUR).default("1s"),
    ])
    .children(FIELD)
    .append()
    .default("no access log")
    .example("access_log \"logs/access.log\" format=\"${client_addr} ${domain} ${status}\" flush=\"5s\""),
    DirectiveDesc::new(
        "peer_allow",
        "Addresses that a peer whose address contains variables may turn out to have.\n\
         Such a peer without a list is an error: a client could otherwise choose where the proxy connects to.",
        Contexts::MSL.or(Contexts::UPSTREAM).or(Contexts::PEER),
    )
    .args(&[ArgDesc::new("network", Kind::Cidr, "address, CIDR or `all`").required().repeated()])
    .append()
    .inherit(Inherit::Append)
    .default("peers with variables are refused")
    .example("peer_allow \"10.0.0.0/8\""),
    DirectiveDesc::new(
        "max_connections",
        "Sessions that the listeners of this server hold at one time, together as far as they have the same servers.\n\
         At the limit accepting pauses until a session ends. Where several servers share an address their limits add up \
         there, and one without a limit lifts it; what holds on that address is apart from what holds on those that a \
         server has alone, or shares with others.",
        Contexts::SERVER,
    )
    .args(&[ArgDesc::new("count", Kind::Int, "0: no limit").required().bounds(0, COUNT)])
    .inherit(Inherit::Never)
    .default("0: only the limits of `common` hold")
    .example("max_connections 20000"),
];

const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3_600 * SECOND;
const MILLI: i64 = 1_000_000;
/// A count that fits 32 bits: every counter of sessions does.
const COUNT: i64 = u32::MAX as i64;
const MILLION: i64 = 1_000_000;
