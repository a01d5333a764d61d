use crate::config::testing::{errors, seen, server, tree};

#[test]
fn scalars_replace_and_the_others_stay() {
    let tree = tree(&format!(
        "net {{ buffer \"1KiB\"; close_type \"fast\"; {} }}",
        server(1, "buffer \"2KiB\"", "buffer \"4KiB\"")
    ));
    let s = &tree.nets[0].servers[0];
    assert_eq!(seen(&tree, s.scope, "tcp"), ["close_type fast", "buffer 2KiB"]);
    assert_eq!(seen(&tree, s.locals[0].scope, "tcp"), ["close_type fast", "buffer 4KiB"]);
}

#[test]
fn access_logs_replace_as_a_set() {
    let tree = tree(&format!(
        "net {{ access_log \"/a\"; access_log \"/b\"; {}{} }}",
        server(1, "access_log \"/c\"; access_log \"/d\"", ""),
        server(2, "", "")
    ));
    let of = |n: usize| seen(&tree, tree.nets[0].servers[n].locals[0].scope, "host");
    assert_eq!(of(0), ["access_log /c", "access_log /d"]);
    assert_eq!(of(1), ["access_log /a", "access_log /b"]);
}

#[test]
fn lists_append_parents_first_in_file_order_unless_inherit_is_false() {
    let tree = tree(&format!(
        "net {{ ip_deny \"10.0.0.1\"; ip_allow \"10.0.0.0/8\"; {} }}",
        server(1, "ip_allow \"1.1.1.1\"; ip_deny \"all\"", "ip_allow \"2.2.2.2\" inherit=#false; ip_deny \"3.3.3.3\"")
    ));
    let s = &tree.nets[0].servers[0];
    assert_eq!(
        seen(&tree, s.scope, "tcp"),
        ["ip_deny 10.0.0.1", "ip_allow 10.0.0.0/8", "ip_allow 1.1.1.1", "ip_deny all"]
    );
    assert_eq!(
        seen(&tree, s.locals[0].scope, "tcp"),
        ["ip_deny 10.0.0.1", "ip_deny all", "ip_allow 2.2.2.2", "ip_deny 3.3.3.3"]
    );
    // The host's own word is no property of the node.
    let node = &tree.nodes(s.locals[0].scope, 1)[2];
    assert!(node.prop("inherit").is_none());
}

#[test]
fn never_is_never() {
    let tree = tree(&format!("net {{ once_here; buffer \"1KiB\"; {} }}", server(1, "", "")));
    assert_eq!(seen(&tree, tree.nets[0].scope, "tcp"), ["buffer 1KiB", "once_here"]);
    let server = tree.nets[0].servers[0].scope;
    assert_eq!(seen(&tree, server, "tcp"), ["buffer 1KiB"]);
    assert!(!tree.view(server, 1).same_as_parent);
}

#[test]
fn a_block_without_directives_of_a_module_shares_the_parents_slice() {
    let tree = tree(&format!("net {{ buffer \"1KiB\"; {} }}", server(1, "http_header \"a\" \"b\"", "")));
    let net = tree.nets[0].scope;
    let s = &tree.nets[0].servers[0];
    for scope in [s.scope, s.locals[0].scope] {
        assert!(tree.view(scope, 1).same_as_parent);
        assert!(std::ptr::eq(tree.nodes(scope, 1), tree.nodes(net, 1)));
    }
    assert!(!tree.view(s.scope, 2).same_as_parent);
    assert!(tree.view(s.locals[0].scope, 2).same_as_parent);
}

#[test]
fn what_belongs_to_the_process_does_not_reach_servers() {
    let tree = tree("common { worker_threads 2; }\nsocket { tcp \"edge\"; }\nnet {}");
    assert_eq!(seen(&tree, super::Tree::MAIN, "host"), ["worker_threads 2"]);
    assert_eq!(seen(&tree, super::Tree::MAIN, "tcp"), ["tcp edge"]);
    assert!(seen(&tree, tree.nets[0].scope, "host").is_empty());
    assert!(seen(&tree, tree.nets[0].scope, "tcp").is_empty());
}

#[test]
fn a_peers_options_beat_locals_then_servers_then_nets() {
    let tree = tree(
        "net { tcp_config_name \"n\"; connect_timeout \"1s\"; server { port_listen_tcp \"127.0.0.1:0\"; tcp_config_name \"s\";
            local { download_limit_rate \"1KiB/s\"; proxy_pass_tcp \"a:1\" weight=3 { tcp_config_name \"p\"; heartbeat fail=2; }; proxy_pass_tcp \"b:1\"; }; }; }",
    );
    let pool = &tree.upstreams[0];
    assert_eq!(pool.name.as_str(), "local@/conf/main.kdl:2");
    let [a, b] = &pool.peers[..] else { panic!("two peers") };
    assert_eq!((a.weight, b.weight), (3, 1));
    assert_eq!(seen(&tree, a.scope, "tcp"), ["download_limit_rate 1KiB/s", "tcp_config_name p", "proxy_pass_tcp a:1"]);
    assert_eq!(seen(&tree, b.scope, "tcp"), ["tcp_config_name s", "download_limit_rate 1KiB/s", "proxy_pass_tcp b:1"]);
    assert_eq!(tree.core(a.scope, "heartbeat").and_then(|h| h.prop("fail")).map(|v| v.num), Some(2));
    assert!(tree.core(b.scope, "heartbeat").is_none());
    assert_eq!(tree.core(b.scope, "connect_timeout").and_then(|h| h.arg(0)).map(|v| v.time().as_secs()), Some(1));
}

#[test]
fn a_pools_directives_hold_for_its_peers() {
    let tree = tree(
        "upstream \"u\" { heartbeat interval=\"1s\"; tcp_config_name \"u\"; proxy_pass_tcp \"a:1\"; proxy_pass_tcp \"b:1\" { heartbeat; }; }",
    );
    let u = tree.upstream("u").expect("it is there");
    let interval = |n: usize| {
        let heartbeat = tree.core(u.peers[n].scope, "heartbeat").expect("both have one");
        (heartbeat.prop("interval").map(|v| v.time().as_secs()), heartbeat.props.len())
    };
    assert_eq!(interval(0), (Some(1), 1));
    assert_eq!(interval(1), (Some(10), 0), "its own, with the declared default");
    assert_eq!(seen(&tree, u.peers[0].scope, "tcp"), ["tcp_config_name u", "proxy_pass_tcp a:1"]);
    assert_eq!(seen(&tree, u.scope, "tcp"), ["tcp_config_name u"]);
}

#[test]
fn inherit_must_be_a_switch() {
    assert_eq!(errors("net { ip_deny \"all\" inherit=\"no\"; }").len(), 1);
}
