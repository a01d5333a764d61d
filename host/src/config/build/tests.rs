use crate::config::{
    address::Address,
    pre_parse,
    testing::{errors, read, server, tree},
    tree::{DomainName, RuleTest, UpstreamKind},
};

#[test]
fn a_local_after_one_without_rules_is_an_error() {
    let text = |first: &str| {
        format!(
            "net {{ server {{ port_listen_tcp \"0.0.0.0:1\"; local {{ {first}\n proxy_pass_tcp \"a:1\"; }}; local {{ proxy_pass_tcp \"a:1\"; }}; }}; }}"
        )
    };
    let all = errors(&text(""));
    assert_eq!(all.len(), 1);
    assert!(all[0].contains("can never be reached"), "{all:?}");
    assert!(errors(&text("rule \"${x}\" text=\"y\"")).is_empty());
}

#[test]
fn a_rule_compares_with_exactly_one_thing() {
    let with = |rule: &str| errors(&format!("net {{ {} }}", server(1, "", rule)));
    assert!(with("rule \"${x}\"")[0].contains("does not say what to compare with"));
    assert!(with("rule \"${x}\" text=\"a\" prefix=\"b\"")[0].contains("compares with one thing"));
    let tree = tree(&format!(
        "net {{ {} }}",
        server(1, "", "rule \"${x}\" regex=#\"~^/(?<a>.)\"# not=#true; rule \"${x}\" prefix=\"/\"")
    ));
    let rules = &tree.nets[0].servers[0].locals[0].rules;
    assert!(matches!(&rules[0].test, RuleTest::Regex(r) if r.is_match("/x") && r.as_str() == "^/(?<a>.)"));
    assert!(rules[0].not && matches!(&rules[1].test, RuleTest::Prefix(p) if p.as_str() == "/"));
    assert_eq!(rules[0].value, rules[1].value);
}

#[test]
fn a_local_goes_to_the_upstream_that_it_names() {
    let text = "upstream \"empty\" {}\nupstream \"origin\" { balancer \"random\"; proxy_pass_tcp \"10.0.0.1:80\"; }\n
        net { server { port_listen_tcp \"0.0.0.0:1\"; local { proxy_pass_upstream \"NAME\"; }; }; }";
    let tree = tree(&text.replace("NAME", "origin"));
    assert_eq!(tree.nets[0].servers[0].locals[0].upstream, Some(1));
    assert!(tree.upstreams[0].peers.is_empty());
    let balancer = tree.core(tree.upstreams[1].scope, "balancer").and_then(|b| b.arg(0)).map(|v| v.text.to_string());
    assert_eq!(balancer.as_deref(), Some("random"));
    let all = errors(&text.replace("NAME", "orgin"));
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("no upstream \"orgin\"; did you mean \"origin\"?"), "{all:?}");
    assert_eq!(errors("upstream \"a\" {}\nupstream \"a\" {}").len(), 1);
}

#[test]
fn the_short_form_is_a_pool_of_one_peer() {
    let with = |form: &str| {
        format!("net {{ server {{ port_listen_tcp \"0.0.0.0:1\"; local {{ proxy_pass_upstream \"{form}\"; }}; }}; }}")
    };
    let tree = tree(&with("//tcp//a.example:80//round_robin"));
    let u = tree.upstream("//tcp//a.example:80//round_robin").expect("it is there");
    assert_eq!((u.kind, u.peers.len()), (UpstreamKind::Short, 1));
    assert_eq!(u.peers[0].address.as_str(), "a.example:80");
    assert_eq!(
        tree.core(u.scope, "balancer").and_then(|b| b.arg(0)).map(|v| v.text.to_string()).as_deref(),
        Some("round_robin")
    );
    for bad in ["//tcp", "//tcp//a.example//x", "//pigeon//a:1", "//tcp//a:1//x//y"] {
        assert_eq!(errors(&with(bad)).len(), 1, "{bad}");
    }
}

#[test]
fn a_local_has_one_target() {
    let all = errors(&format!("upstream \"u\" {{}}\nnet {{ {} }}", server(1, "", "proxy_pass_upstream \"u\"")));
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("both say where sessions go"), "{all:?}");
}

#[test]
fn peer_addresses_with_variables_need_an_allow_list() {
    let with = |list: &str| {
        format!(
            "net {{ server {{ port_listen_tcp \"0.0.0.0:1\"; {list}\n local {{ proxy_pass_tcp \"${{domain}}:80\"; }}; }}; }}"
        )
    };
    assert!(errors(&with("")).iter().any(|e| e.contains("list of the addresses that are allowed")));
    let tree = tree(&with("peer_allow \"10.0.0.0/8\""));
    assert_eq!(tree.upstreams[0].peers[0].template, Some(0));
}

#[test]
fn domains_are_exact_wildcards_or_regular_expressions() {
    let tree =
        tree(&format!("net {{ {} }}", server(1, "domain \"A.example.\" \"*.Img.example\" #\"~^(?<s>.+)$\"#", "")));
    let names = &tree.nets[0].servers[0].domains;
    assert!(matches!(&names[0].name, DomainName::Exact(n) if n.as_str() == "a.example"));
    assert!(matches!(&names[1].name, DomainName::Wildcard(n) if n.as_str() == ".img.example"));
    assert!(matches!(&names[2].name, DomainName::Regex(r) if r.is_match("x")));
    for bad in ["", "a b", "*", "a.*.b", "-a", "http://a"] {
        assert_eq!(errors(&format!("net {{ {} }}", server(1, &format!("domain \"{bad}\""), ""))).len(), 1, "{bad}");
    }
}

#[test]
fn ranges_become_one_address_a_port() {
    let tree = tree(&format!("net {{ {} }}", server(1, "port_listen_tcp \"[::1]:10-12\" \"unix:/run/x\"", "")));
    let listens = &tree.nets[0].servers[0].listens;
    assert_eq!(listens[1].addresses.len(), 4);
    assert!(matches!(&listens[1].addresses[3], Address::Unix(p) if p.ends_with("x")));
    assert_eq!(tree.sockets.len(), 5);
}

#[test]
fn handlers_and_prereads_reach_inner_blocks_and_can_be_switched_off() {
    let text = format!(
        "net {{ http_preread; {}{} }}",
        server(1, "http; http_preread #false", "takes_all"),
        server(2, "http #false", "")
    );
    let tree = tree(&text);
    let [first, second] = &tree.nets[0].servers[..] else { panic!("two servers") };
    assert_eq!(first.handler.map(|h| h.point.to_string()).as_deref(), Some("http"));
    assert_eq!(first.locals[0].handler.map(|h| h.point.to_string()).as_deref(), Some("other"));
    assert!(first.prereads.is_empty());
    assert_eq!(second.prereads.len(), 1);
    assert!(second.handler.is_none());
    let all = errors(&format!("net {{ {} }}", server(1, "http; takes_all", "")));
    assert_eq!(all.len(), 1, "{all:?}");
}

#[test]
fn modules_to_load_are_known_before_anything_else() {
    let document = crate::config::include::load_text(
        "/conf/main.kdl",
        "load_module \"tcp\" \"./libmine.so\"\nload_module \"ssl\" 5\n",
    )
    .expect("is KDL");
    let all: Vec<_> = pre_parse(&document).into_iter().map(|m| (m.name, m.is_path)).collect();
    assert_eq!(all, [("tcp".to_owned(), false), ("/conf/libmine.so".to_owned(), true), ("ssl".to_owned(), false)]);
    assert!(errors("load_module \"tcp\"\nload_module \"tcp\"")[0].contains("loaded twice"));
}

#[test]
fn a_tree_outlives_its_document_and_moves_between_threads() {
    let tree = std::sync::Arc::new(tree(&format!("net {{ {} }}", server(1, "buffer \"1KiB\"", ""))));
    let other = std::sync::Arc::clone(&tree);
    let name = std::thread::spawn(move || other.nodes(other.nets[0].servers[0].scope, 1)[0].span.file.to_string());
    assert_eq!(name.join().ok().as_deref(), Some("/conf/main.kdl"));
}

#[test]
fn every_example_of_the_host_loads_where_it_is_allowed() {
    use crate::config::{core, schema::context_names};
    for desc in core::directives() {
        let line = desc.example.as_str();
        if line.is_empty() {
            continue;
        }
        for context in context_names(desc.contexts).split(", ") {
            let text = match context {
                "main" => line.to_owned(),
                "common" => format!("common {{ {line}\n }}"),
                "upstream" => format!("upstream \"u\" {{ {line}\n }}"),
                "net" => format!("net {{ {line}\n }}"),
                "server" if line.starts_with("local") => {
                    format!("net {{ server {{ port_listen_tcp \"0.0.0.0:1\"; {line}\n }}; }}")
                }
                "server" => format!("net {{ {} }}", server(1, line, "")),
                "local" if line.starts_with("proxy_pass") => {
                    format!("net {{ server {{ port_listen_tcp \"0.0.0.0:1\"; local {{ {line}\n }}; }}; }}")
                }
                "local" => format!("net {{ {} }}", server(1, "", line)),
                "peer" => format!("upstream \"u\" {{ proxy_pass_tcp \"a:1\" {{ {line}\n }}; }}"),
                other => panic!("{other}"),
            };
            if let Err(e) = read(&text) {
                panic!("{}: {e}", desc.name);
            }
        }
    }
}

#[test]
fn a_peer_is_asked_as_its_own_block_says_or_the_pool() {
    let text = "upstream \"o\" { heartbeat; says_ping \"a\"\n proxy_pass_tcp \"a:1\"\n \
                proxy_pass_tcp \"b:1\" { says_hello; }\n proxy_pass_tcp \"c:1\" { says_ping \"c\"; }\n }";
    let tree = tree(text);
    let peers = tree.upstreams[0].peers.iter();
    let probes: Vec<_> = peers
        .map(|p| {
            let probe = p.probe.expect("there is one");
            (probe.point.to_string(), probe.node.arg(0).map(|v| v.text.to_string()))
        })
        .collect();
    let of = |point: &str, word: Option<&str>| (point.to_owned(), word.map(str::to_owned));
    assert_eq!(probes, [of("ping", Some("a")), of("hello", None), of("ping", Some("c"))]);
    let module = tree.module("other").expect("it is loaded");
    let seen = tree.nodes(tree.upstreams[0].peers[2].scope, module);
    assert_eq!(seen.iter().map(|n| n.name.to_string()).collect::<Vec<_>>(), ["says_ping"]);
}

#[test]
fn a_question_needs_somebody_who_asks_it_and_is_one() {
    let peer = |around: &str, inside: &str| {
        errors(&format!(
            "upstream \"o\" {{ {around}\n proxy_pass_tcp \"a:1\" {{ {inside}\n }}\n proxy_pass_tcp \"b:1\"\n }}"
        ))
    };
    assert!(peer("", "heartbeat; says_hello").is_empty());
    assert!(peer("heartbeat", "says_hello").is_empty(), "the pool's asks");
    for (around, inside) in [("", "says_hello"), ("says_hello", ""), ("says_hello", "heartbeat")] {
        let all = peer(around, inside);
        assert_eq!(all.len(), 1, "once, however many peers there are: {all:?}");
        assert!(all[0].contains("\"says_hello\" says how a heartbeat asks, and there is none"), "{all:?}");
    }
    let all = peer("heartbeat; says_hello; says_ping", "");
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("both say how a peer is asked"), "{all:?}");
}
