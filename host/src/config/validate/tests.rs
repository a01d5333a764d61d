use crate::config::testing::{errors, read, server, tree, warnings};

fn domains(first: &str, second: &str) -> String {
    let one =
        |d: &str| format!("server {{ domain_listen_tcp \"0.0.0.0:1\"; {d}\n local {{ proxy_pass_tcp \"a:1\"; }}; }}\n");
    format!("net {{ {}{} }}", one(first), one(second))
}

#[test]
fn a_server_without_listen_is_an_error_unless_its_listen_was_one() {
    assert_eq!(
        errors("net { server { local { proxy_pass_tcp \"a:1\"; }; }; }"),
        ["1:7: error: this server does not listen anywhere"]
    );
    assert_eq!(errors("net { server { port_listen_tcp 80; }; }").len(), 1);
}

#[test]
fn a_port_of_its_own_beside_anything_names_both_places() {
    let text = format!("net {{\n{}{}}}", server(80, "", ""), server(80, "", ""));
    let shown = read(&text).expect_err("taken").to_string();
    assert!(shown.contains(":5:10: error: 127.0.0.1:80 is taken"), "{shown}");
    assert!(shown.contains("it is listened on here"), "{shown}");
    let beside_domain =
        "net { server { domain \"a\"; domain_listen_tcp \"127.0.0.1:80\"; local { proxy_pass_tcp \"a:1\"; }; }; "
            .to_owned();
    assert_eq!(errors(&format!("{beside_domain} {} }}", server(80, "", ""))).len(), 1);
    let ranges = format!("net {{ {} {} }}", server(15, "", ""), server(1, "port_listen_tcp \"127.0.0.1:10-20\"", ""));
    assert_eq!(errors(&ranges).len(), 1);
}

#[test]
fn datagrams_and_streams_of_one_port_are_two_sockets() {
    let tree = tree(
        "net { server { domain \"a\"; domain_listen_tcp \"0.0.0.0:1\"; domain_listen_quic \"0.0.0.0:1\"; local { proxy_pass_tcp \"a:1\"; }; }; }",
    );
    assert_eq!(tree.sockets.len(), 2);
    assert!(tree.sockets[1].datagram && !tree.sockets[0].datagram);
}

#[test]
fn every_port_zero_is_a_listener_of_its_own() {
    let tree = tree(&format!("net {{ {}{} }}", server(0, "port_listen_tcp \"127.0.0.1:0\"", ""), server(0, "", "")));
    assert_eq!(tree.sockets.len(), 3);
}

#[test]
fn servers_share_an_address_by_domain() {
    let tree = tree(&domains("domain \"a.example\"; default_server", "domain \"b.example\" \"*.a.example\""));
    let [socket] = &tree.sockets[..] else { panic!("one address") };
    assert_eq!(socket.users.len(), 2);
    assert_eq!(socket.default, Some(0));
}

#[test]
fn a_domain_twice_on_an_address_is_an_error_whatever_its_spelling() {
    for (first, second) in [
        ("domain \"a.example\"", "domain \"A.Example.\""),
        ("domain \"*.a.example\"", "domain \"*.a.example\""),
        ("domain #\"~^x\"#", "domain #\"~^x\"#"),
        ("domain \"a.example\" \"a.example\"", "domain \"b.example\""),
    ] {
        let all = errors(&domains(first, second));
        assert_eq!(all.len(), 1, "{first} {second}: {all:?}");
        assert!(all[0].contains("stands twice on 0.0.0.0:1"), "{all:?}");
    }
    assert!(errors(&domains("domain \"*.a.example\"", "domain \"a.example\"")).is_empty());
}

#[test]
fn two_default_servers_on_an_address_are_an_error() {
    let all = errors(&domains("default_server", "default_server"));
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(errors(&domains("default_server", "default_server #false; domain \"b\"")).is_empty());
}

#[test]
fn one_server_twice_on_an_address_is_an_error() {
    let all = errors(&domains("domain \"a\"; domain_listen_tcp \"0.0.0.0:1\"", "domain \"b\""));
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn what_has_no_effect_is_a_warning() {
    let one = |text: &str, part: &str| {
        let all = warnings(text);
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].contains("warning") && all[0].contains(part), "{all:?}");
    };
    one(&format!("net {{ {} }}", server(1, "domain \"a\"", "")), "is not chosen by domain");
    one("net { server { domain_listen_tcp \"0.0.0.0:1\"; local { proxy_pass_tcp \"a:1\"; }; }; }", "never chosen");
    one("net { server { port_listen_tcp \"0.0.0.0:1\"; }; }", "it has no local");
    one("net { server { port_listen_tcp \"0.0.0.0:1\"; local {}; }; }", "neither an upstream nor a handler");
    one("upstream \"u\" {}", "nothing uses the upstream \"u\"");
}
