//! Where a server listens, and its peers.

use anyproxy_module_api::*;

directive! {
    /// Addresses on which this server alone takes TCP connections: one service a port.
    /// IPv4, IPv6 in brackets, port ranges, `unix:/path`. `[::]` takes IPv6 clients only, unless `ipv6_only` is off. Beside
    /// any other use of an address it is an error. Options of the socket are those of `tcp_config_name`.
    "port_listen_tcp", Contexts::SERVER,
    .args(&[ArgDesc::new("address", Kind::Listen, "address and port or range of ports").required().repeated()])
    .role(Role::ListenPort, "tcp")
    .append()
    .inherit(Inherit::Never)
    .default("the server takes no connections of its own")
    .example("port_listen_tcp \"0.0.0.0:10001-10009\" \"[::]:10001\"")
}

directive! {
    /// Addresses that this server shares with others: the domain that the client asks for chooses.
    /// The domain is that of a hello header, of a PROXY protocol header (authority), the server name of a TLS ClientHello,
    /// which is not terminated, or the host of an HTTP/1 request, in this order.
    "domain_listen_tcp", Contexts::SERVER,
    .args(&[ArgDesc::new("address", Kind::Listen, "address and port or range of ports").required().repeated()])
    .role(Role::ListenDomain, "tcp")
    .append()
    .inherit(Inherit::Never)
    .default("the server is chosen by no domain")
    .example("domain_listen_tcp \"0.0.0.0:10101\"")
}

directive! {
    /// A peer that is reached over TCP.
    /// In `local` the peers of the block are a pool of their own; in `upstream` each is a member. The block of a peer holds
    /// what is said of it alone, and beats what is said around it. Options of the socket are those of `tcp_config_name`.
    "proxy_pass_tcp", Contexts::LOCAL.or(Contexts::UPSTREAM),
    .args(&[ArgDesc::new("address", Kind::Address, "`host:port`, `[v6]:port`, `unix:/path`").required()])
    .role(Role::Peer, "tcp")
    .append()
    .inherit(Inherit::Never)
    .default("the local reaches its peers another way")
    .example("proxy_pass_tcp \"127.0.0.1:8080\" weight=5")
}
