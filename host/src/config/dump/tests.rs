use super::*;
use crate::config::{
    include::{Surroundings, load_text_in},
    load,
    testing::{modules, server, tree},
};

fn everything() -> String {
    format!(
        "load_module \"tcp\" \"http\"\n
        socket {{ tcp \"edge\" nodelay=#true recv_timeout=\"1m\"; }}
        common {{ worker_threads 2; error_log \"e.log\" level=\"warn\"; watchdog 0; }}
        upstream \"u\" {{ balancer \"random\"; heartbeat fail=2; proxy_pass_tcp \"10.0.0.1:1\" weight=2 {{ heartbeat; tcp_config_name \"edge\"; }}; }}
        net {{
            ip_deny \"10.0.0.1\"; buffer \"1KiB\" share=\"12.5%\"; access_log \"a.log\" format=\"\\\"${{x}}\\\"\\n\"
            {}{}
            server {{ domain \"a.example\" #\"~^(?<s>[a-z]+)\\.x$\"#; default_server; domain_listen_tcp \"0.0.0.0:7-8\"; http
                local {{ rule \"${{path}}\" regex=#\"~^/\\d\"#; ip_deny \"all\" inherit=#false; proxy_pass_upstream \"u\"; }}
                local {{ spill {{ dir \"tmp\"; factor 1; factor 2.5; }}; proxy_pass_upstream \"//tcp//a:1//random\"; }}
            }}
        }}",
        server(1, "buffer \"2KiB\"", "http_header \"a\\t\" \"b\""),
        server(2, "", "")
    )
}

#[test]
fn a_dump_loads_again_to_the_same_effective_tree() {
    let first = tree(&everything());
    let text = dump(&first);
    let second = tree(&text);
    assert_eq!(config_hash(&first), config_hash(&second), "{text}");
    assert_eq!(changes(&first, &second), []);
    // Places differ, and with them the origins; all else is the same text.
    let bare = |text: &str| {
        text.lines().map(|l| l.split(" // /conf").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bare(&dump(&second)), bare(&text));
}

#[test]
fn a_dump_shows_origins_and_what_is_inherited() {
    let text = dump(&tree(&everything()));
    assert!(text.contains("worker_threads 2 // /conf/main.kdl:4"), "{text}");
    assert!(text.contains("error_log \"/conf/e.log\" level=\"warn\""), "{text}");
    assert!(text.contains("// inherited: ip_deny \"10.0.0.1\" // /conf/main.kdl:7"), "{text}");
}

#[test]
fn secrets_are_in_no_dump_and_do_not_name_the_configuration() {
    let read = |secret: &'static str| {
        let env = |name: &str| (name == "NAME").then(|| secret.into());
        let surroundings = Surroundings { env: &env, ..Surroundings::REAL };
        let text = "net { http_token \"literal-secret\"; tcp_config_name (env)\"NAME\"; }";
        let document = load_text_in("/conf/main.kdl", text, &surroundings).unwrap_or_else(|e| panic!("{e}"));
        load(&document, &modules()).unwrap_or_else(|e| panic!("{e}")).0
    };
    let (one, two) = (read("first-secret"), read("second-secret"));
    let text = dump(&one);
    assert!(!text.contains("secret") && text.contains("http_token \"***\""), "{text}");
    assert_eq!(config_hash(&one), config_hash(&two));
    assert_eq!(changes(&one, &two), [("tcp_config_name".to_owned(), Needs::Reload)]);
}

#[test]
fn a_word_in_place_of_a_number_stays_one() {
    let first = tree("net { pages \"all\" 3; }");
    let text = dump(&first);
    assert!(text.contains("pages \"all\" 3"), "{text}");
    assert_eq!(config_hash(&first), config_hash(&tree(&text)));
}

#[test]
fn changes_say_what_they_need() {
    let old = tree("common { worker_threads 1; watchdog \"1s\"; workers_feel_this 1; }\nnet { buffer \"1KiB\"; }");
    let new =
        tree("common { worker_threads 2; workers_feel_this 2; }\n\n\nnet { buffer \"1024B\"; close_type \"fast\"; }");
    let all: Vec<(String, Needs)> = changes(&old, &new);
    let expected = [
        ("close_type", Needs::Reload),
        ("watchdog", Needs::Reload),
        ("worker_threads", Needs::Reinit),
        ("workers_feel_this", Needs::Restart),
    ];
    assert_eq!(all, expected.map(|(n, needs)| (n.to_owned(), needs)));
    assert_eq!(config_hash(&old), config_hash(&old));
    assert_ne!(config_hash(&old), config_hash(&new));
}

#[test]
fn the_same_lines_in_another_order_are_a_change() {
    let old = tree("net { ip_deny \"10.0.0.1\"; ip_allow \"all\"; }");
    let new = tree("net { ip_allow \"all\"; ip_deny \"10.0.0.1\"; }");
    assert_eq!(changes(&old, &new), [("(order)".to_owned(), Needs::Reload)]);
}

#[test]
fn text_that_kdl_would_not_take_is_escaped() {
    assert_eq!(quoted("a\"b\\c\n\u{202e}\u{7f}é"), "\"a\\\"b\\\\c\\n\\u{202e}\\u{7f}é\"");
}

#[test]
fn a_directive_fits_on_one_line_with_its_block() {
    let tree = tree("net { spill { dir \"/t\"; factor 2.5; }; http_token \"x\"; }");
    let of = |module| node_text(&tree.nodes(tree.nets[0].scope, module)[0]);
    assert_eq!(of(1), "spill { dir \"/t\"; factor 2.5; }");
    assert_eq!(of(2), "http_token \"***\"");
}

#[test]
fn a_local_keeps_its_name() {
    let text = "net { server { port_listen_tcp \"0.0.0.0:1\"; local \"a b\" { proxy_pass_tcp \"a:1\"; }; }; }";
    let before = tree(text);
    let dumped = dump(&before);
    assert!(dumped.contains("local \"a b\" {"), "{dumped}");
    let after = tree(&dumped);
    assert_eq!(after.nets[0].servers[0].locals[0].name.as_str(), "a b");
}
