//! HTTP/1: the server, routing by request, the proxy. One behaviour a file.

mod bodies;
mod buffering;
mod buffering_requests;
mod connections_to_peers;
mod files;
mod forwarding;
mod framing;
mod heads_passed_on;
mod keep_alive;
mod modules_of_others;
#[path = "../modules/support.rs"]
mod others;
mod peers_that_fail;
mod real_clients;
mod redirects;
mod reloads;
mod routes;
mod slow_clients;
mod support;
mod upgrades;
