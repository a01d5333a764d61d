//! HTTP/1: the server, routing by request, the proxy. One behaviour a file.

mod bodies;
mod buffering;
mod buffering_requests;
mod compression;
mod connections_to_peers;
mod credentials;
mod direct_files;
mod error_pages;
mod files;
mod forwarding;
mod framing;
mod greeted_peers;
mod heads_passed_on;
mod keep_alive;
mod modules_of_others;
mod multi_hop;
mod other_origins;
#[path = "../modules/support.rs"]
mod others;
mod paces;
mod peers_that_fail;
mod rates;
mod real_clients;
mod redirects;
mod reloads;
mod retries;
mod rewriting;
mod routes;
mod slow_clients;
mod support;
mod total_time;
mod upgrades;
mod values;
