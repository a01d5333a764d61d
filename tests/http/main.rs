//! HTTP/1 and HTTP/2: the server, routing by request, the proxy. One behaviour a file.

mod bodies;
mod browser;
mod buffering;
mod buffering_requests;
mod compression;
mod connections_to_peers;
mod credentials;
mod error_pages;
mod files;
mod forwarding;
mod framing;
mod grpc;
mod h2;
mod heads_passed_on;
mod http2_clients;
mod http2_limits;
mod http2_peers;
mod http2_peers_that_fail;
mod http2_reload;
mod http2_websocket;
mod keep_alive;
mod modules_of_others;
mod other_origins;
#[path = "../modules/support.rs"]
mod others;
mod peers_that_fail;
mod rates;
mod real_clients;
mod redirects;
mod reloads;
mod rewriting;
mod routes;
mod slow_clients;
mod support;
mod upgrades;
mod values;
