//! What only the whole tree shows: addresses shared by servers, domains that clash, servers that nobody reaches.
//! Also collects who listens where.

use std::collections::HashMap;

use anyproxy_module_api::abi::conf::{Role, Span};

use super::{
    address::Address,
    diagnostic::{Diagnostic, Diagnostics},
    document::Place,
    tree::{DomainName, Listen, Server, Socket, SocketUser, Tree},
};

/// Checks `tree`, of which the servers `broken` are known to be incomplete, and fills `Tree::sockets`.
/// `place` turns a span back into a place.
pub(super) fn validate(tree: &mut Tree, broken: &[(usize, usize)], place: &dyn Fn(&Span<'_>) -> Place) -> Diagnostics {
    let mut v = Validation { place, wrong: Diagnostics::default() };
    let sockets = v.sockets(tree);
    for socket in &sockets {
        v.domains(tree, socket);
    }
    for (net, index, server) in tree.servers() {
        if broken.binary_search(&(net, index)).is_err() {
            v.server(server);
        }
    }
    tree.sockets = sockets;
    v.wrong
}

struct Validation<'a> {
    place: &'a dyn Fn(&Span<'_>) -> Place,
    wrong: Diagnostics,
}

impl Validation<'_> {
    fn server(&mut self, server: &Server) {
        let at = (self.place)(&server.span);
        if server.listens.is_empty() {
            let found = Diagnostic::error("server-without-listen", "this server does not listen anywhere").at(at);
            let help = "add a port_listen_… or domain_listen_… of a loaded module";
            self.wrong.push(found.help(help));
            return;
        }
        let by_domain = server.listens.iter().find(|l| l.role == Role::ListenDomain);
        match (server.domains.first(), by_domain) {
            (Some(domain), None) => {
                let found = Diagnostic::warning(
                    "domain-without-effect",
                    "a server without domain_listen_… is not chosen by domain",
                );
                self.wrong.push(found.at((self.place)(&domain.span)));
            }
            (None, Some(listen)) if !server.default_server => {
                let text = format!("\"{}\" without a domain: the server is never chosen", listen.node.name);
                let found = Diagnostic::warning("never-chosen", text).at((self.place)(&listen.node.span));
                self.wrong.push(found.help("add domain \"…\" or default_server"));
            }
            _ => {}
        }
        if server.locals.is_empty() {
            let found = Diagnostic::warning("idle-server", "every session of this server is closed: it has no local");
            self.wrong.push(found.at(at));
        }
    }

    /// Who listens where. A port of its own beside anything, or one server twice, is said.
    fn sockets(&mut self, tree: &Tree) -> Vec<Socket> {
        let mut sockets: Vec<Socket> = Vec::new();
        let mut known: HashMap<(Address, bool), usize> = HashMap::new();
        for (net, server, s) in tree.servers() {
            for (listen, l) in s.listens.iter().enumerate() {
                for address in &l.addresses {
                    let user = SocketUser { net, server, listen };
                    let chosen_by_system = matches!(address, Address::Ip(at) if at.port() == 0);
                    let key = (address.clone(), l.datagram);
                    let at = if chosen_by_system { None } else { known.get(&key).copied() };
                    let Some(at) = at else {
                        known.insert(key, sockets.len());
                        sockets.push(Socket {
                            address: address.clone(),
                            datagram: l.datagram,
                            users: vec![user],
                            default: s.default_server.then_some(0),
                        });
                        continue;
                    };
                    let socket = &mut sockets[at];
                    let first = socket.users[0];
                    let other = of(tree, first);
                    if l.role == Role::ListenPort || other.role == Role::ListenPort {
                        let text = format!("{address} is taken: a port_listen_… shares its address with nothing");
                        self.both("address-taken", text, l, other);
                        continue;
                    }
                    if let Some(twin) = socket.users.iter().find(|u| (u.net, u.server) == (net, server)) {
                        let text = format!("this server listens on {address} twice");
                        self.both("address-twice", text, l, of(tree, *twin));
                        continue;
                    }
                    if s.default_server {
                        if let Some(default) = socket.default {
                            let first = socket.users[default];
                            let text = format!("{address} has two servers with default_server");
                            let place = (self.place)(&l.node.span);
                            let found = Diagnostic::error("two-default-servers", text).at((self.place)(&s.span));
                            let first = (self.place)(&tree.nets[first.net].servers[first.server].span);
                            self.wrong.push(found.label(first, "the other one").label(place, "the address"));
                        } else {
                            socket.default = Some(socket.users.len());
                        }
                    }
                    socket.users.push(user);
                }
            }
        }
        sockets
    }

    fn both(&mut self, code: &'static str, text: String, at: &Listen, first: &Listen) {
        let found = Diagnostic::error(code, text)
            .at((self.place)(&at.node.span))
            .label((self.place)(&first.node.span), "it is listened on here");
        self.wrong.push(found);
    }

    /// No domain twice on one address.
    fn domains(&mut self, tree: &Tree, socket: &Socket) {
        if socket.users.len() == 1 && tree.nets[socket.users[0].net].servers[socket.users[0].server].domains.len() < 2 {
            return;
        }
        let mut exact: HashMap<&str, Span<'static>> = HashMap::new();
        let mut wildcard: HashMap<&str, Span<'static>> = HashMap::new();
        let mut regex: HashMap<&str, Span<'static>> = HashMap::new();
        for user in &socket.users {
            for domain in &tree.nets[user.net].servers[user.server].domains {
                let (map, key) = match &domain.name {
                    DomainName::Exact(name) => (&mut exact, name.as_str()),
                    DomainName::Wildcard(suffix) => (&mut wildcard, suffix.as_str()),
                    DomainName::Regex(r) => (&mut regex, r.as_str()),
                };
                if let Some(first) = map.insert(key, domain.span) {
                    map.insert(key, first);
                    let text = format!("\"{}\" stands twice on {}", domain.name, socket.address);
                    let found = Diagnostic::error("duplicate-domain", text).at((self.place)(&domain.span));
                    self.wrong.push(found.label((self.place)(&first), "it stands here already"));
                }
            }
        }
    }
}

fn of(tree: &Tree, user: SocketUser) -> &Listen {
    &tree.nets[user.net].servers[user.server].listens[user.listen]
}

#[cfg(test)]
mod tests;
