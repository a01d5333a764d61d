//! Upstream pools: who is picked, who is left out, who waits, and what the log says of it. One behaviour a file.

mod backups;
mod balancers_by_client;
mod balancers_by_turns;
mod changes_under_load;
mod close_reasons;
mod dead_peers_cost_no_client_an_error;
mod ejection;
mod fair_prefers_the_fast;
mod faults_of_the_proxy;
mod health_checks;
mod http_health_checks;
mod limits_and_queue;
mod log_of_open_sessions;
mod log_variables;
mod names_follow_dns;
mod operator_words;
mod peers_with_variables;
mod reloads_keep_what_is_known;
mod retry_budget;
mod slow_start;

#[path = "../tcp/support.rs"]
mod support;

use harness::{Builder, Origin};

/// Origins that say their names.
fn named<const N: usize>(names: [&str; N]) -> [Origin; N] {
    names.map(Origin::named)
}

/// An upstream of these origins, `@0@` and so on in `lines`, and a server that uses it.
fn pool(lines: &str, origins: &[Origin]) -> Builder {
    with_addresses(support::upstream(lines), origins)
}

/// The address of each origin for its number.
fn with_addresses(mut builder: Builder, origins: &[Origin]) -> Builder {
    for (n, origin) in origins.iter().enumerate() {
        builder = builder.set(&n.to_string(), origin.addr());
    }
    builder
}

/// The same in a text, for reloads.
fn filled(text: &str, origins: &[Origin]) -> String {
    let put = |text: String, (n, origin): (usize, &Origin)| text.replace(&format!("@{n}@"), &origin.addr().to_string());
    origins.iter().enumerate().fold(text.to_owned(), put)
}

/// A server with PROXY headers, so that a test may say who the client is.
const BY_CLIENT: &str = "server {\nport_listen_tcp \"127.0.0.1:0\"\nproxy_protocol_accept \"127.0.0.1\"\n\
                         local { proxy_pass_upstream \"o\"; }\n}";

/// The answer to a client of this address.
#[track_caller]
fn ask_as(addr: std::net::SocketAddr, client: &str) -> String {
    let header = format!("PROXY TCP4 {client} 127.0.0.1 4000 80\r\n");
    String::from_utf8_lossy(&harness::client::exchange(addr, header.as_bytes())).trim_end().to_owned()
}
