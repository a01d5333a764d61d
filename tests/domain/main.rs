//! Choosing a server by domain and a local by rules, on real TLS and HTTP clients. One behaviour a file.

mod arbitrary_first_bytes;
mod default_server;
mod http_host;
mod malformed_first_bytes;
mod openssl;
mod order_of_domains;
mod rules_choose_locals;
mod silent_clients;
mod sni_in_pieces;
mod tls_is_passed_through;
mod unknown_domains_are_answered;

#[path = "../tcp/support.rs"]
mod support;

use harness::Builder;

/// A server of the shared address for these domains; `local` is the text of its one local.
fn server(domains: &str, local: &str) -> String {
    format!("server {{\n{domains}\ndomain_listen_tcp \"127.0.0.1:@PORT@\"\nlocal {{\n{local}\n}}\n}}\n")
}

/// Servers that share one address.
fn servers(text: &str) -> Builder {
    support::net("common { worker_threads 1; preread_timeout \"1s\"; }", text).set("PORT", harness::client::free_port())
}
