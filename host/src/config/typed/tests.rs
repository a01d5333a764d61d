use crate::config::testing::{errors, read, seen, server, tree};
use anyproxy_module_api::abi::conf::Kind;

/// The one error of a directive in `net`.
fn wrong(line: &str) -> String {
    let mut all = errors(&format!("net {{ {line}\n }}"));
    assert_eq!(all.len(), 1, "{line}: {all:?}");
    all.remove(0)
}

#[test]
fn values_come_in_the_unit_of_their_kind() {
    let tree = tree(
        "socket { tcp \"edge\" nodelay=#true recv_timeout=\"1m\"; }
         net { buffer \"64KiB\" share=\"12.5%\"; download_limit_rate \"10MiB/s\"; close_type \"shutdown\"; }",
    );
    let main = tree.nodes(super::super::Tree::MAIN, 1);
    assert_eq!(main[0].prop("recv_timeout").map(|v| v.time().as_secs()), Some(60));
    assert_eq!(main[0].prop("nodelay").map(|v| v.bool()), Some(true));
    let net = tree.nodes(tree.nets[0].scope, 1);
    assert_eq!(net[0].arg(0).map(|v| v.size()), Some(64 << 10));
    assert_eq!(net[0].prop("share").map(|v| v.num), Some(125_000));
    assert_eq!(net[1].arg(0).map(|v| v.size()), Some(10 << 20));
    assert_eq!(net[2].arg(0).map(|v| (v.num, v.text.as_str())), Some((1, "shutdown")));
}

#[test]
fn a_value_of_another_type_says_what_was_expected_and_what_to_write() {
    assert!(wrong("buffer 65536").contains("expected a size such as \"8MiB\", not 65536"));
    assert!(wrong("buffer \"65536\"").contains("unit"));
    assert!(wrong("close_type \"shutdwn\"").contains("did you mean \"shutdown\"?"));
    assert!(wrong("ip_deny \"10.0.0.1/8\"").contains("bits set"));
    assert!(wrong("tcp_config_name #null").contains("not #null"));
    let shown = read("common { worker_threads \"4\"; }").expect_err("text is no number").to_string();
    assert!(shown.contains("write 4 without quotes"), "{shown}");
    let shown = read("common { cpu_affinity \"on\"; }").expect_err("text is no switch").to_string();
    assert!(shown.contains("write #true"), "{shown}");
}

#[test]
fn bounds_are_kept_and_shown_with_units() {
    let shown = read("net { buffer \"2MiB\"; }").expect_err("too large").to_string();
    assert!(shown.contains("2MiB is out of bounds") && shown.contains("1KiB to 1MiB"), "{shown}");
    assert_eq!(errors("common { worker_threads -1; }").len(), 1);
}

#[test]
fn arguments_are_counted() {
    assert!(wrong("buffer").contains("needs an argument \"size\""));
    assert!(wrong("buffer \"1KiB\" \"2KiB\"").contains("takes one argument"));
    assert!(wrong("once_here 1").contains("takes no argument"));
    assert!(wrong("ip_deny").contains("needs an argument \"network\""));
}

#[test]
fn unknown_properties_are_corrected() {
    assert!(wrong("buffer \"1KiB\" shar=\"1%\"").contains("no property \"shar\"; did you mean \"share\"?"));
    assert!(wrong("buffer \"1KiB\" inherit=#false").contains("no property \"inherit\""));
    let shown = read("net { buffer size=\"1KiB\"; }").expect_err("an argument").to_string();
    assert!(shown.contains("write its value alone"), "{shown}");
}

#[test]
fn all_errors_come_at_once_without_what_follows_from_them() {
    let all = errors(
        "net {
            buffer 1
            server { port_listen_tcp \":80\"; local { rule \"${x}\" prfix=\"a\"; }; local { bufer \"1KiB\"; }; }
        }",
    );
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(all[0].starts_with("2:20:") && all[1].contains("does not say on which address"), "{all:?}");
}

#[test]
fn blocks_stand_only_where_they_belong() {
    assert!(wrong("once_here { x; }").contains("takes no block"));
    assert!(wrong("spill { fctor 1; }").contains("did you mean \"factor\"?"));
    assert!(errors("net").first().is_some_and(|e| e.contains("\"net\" needs a block")));
    let tree = tree("net { spill { dir \"tmp/x\"; factor 1.5; factor 2; }; }");
    let spill = &tree.nodes(tree.nets[0].scope, 1)[0];
    assert_eq!(spill.child("dir").and_then(|d| d.arg(0)).map(|v| v.text.as_str()), Some("/conf/tmp/x"));
    assert_eq!(spill.children.len(), 3);
    assert_eq!(spill.children[1].arg(0).map(|v| v.float()), Some(1.5));
}

#[test]
fn a_directive_that_stands_twice_names_both_places() {
    let shown = read("net {\n once_here\n once_here\n}").expect_err("twice").to_string();
    assert!(shown.contains(":3:2: error: \"once_here\" stands twice in one block"), "{shown}");
    assert!(shown.contains("it stands here already"), "{shown}");
    assert_eq!(errors("common { worker_threads 1; }\ncommon { worker_threads 2; }").len(), 1);
    assert_eq!(errors("net { spill { dir \"a\"; dir \"b\"; }; }").len(), 1);
}

#[test]
fn paths_are_absolute_and_words_in_their_place_stay() {
    let tree =
        tree("common { error_log \"logs/e.log\"; error_log \"stderr\"; pid \"/t/./x\"; }\nnet { access_log \"off\"; }");
    assert_eq!(
        seen(&tree, super::super::Tree::MAIN, "host"),
        ["error_log /conf/logs/e.log", "error_log stderr", "pid /t/x"]
    );
    assert_eq!(seen(&tree, tree.nets[0].scope, "host"), ["access_log off"]);
}

#[test]
fn templates_are_gathered_once_each() {
    let text = format!(
        "net {{ http_header \"a\" \"${{x}}\"; {} }}",
        server(1, "http_header \"b\" \"${x}\"", "http_header \"c\" \"${y}\"")
    );
    let tree = tree(&text);
    let all: Vec<&str> = tree.templates.iter().map(|t| t.text.as_str()).collect();
    assert_eq!(all, ["${x}", "${y}"]);
    let node = &tree.nodes(tree.nets[0].servers[0].scope, 2)[1];
    assert_eq!(node.arg(1).map(|v| (v.kind, v.num)), Some((Kind::Template, 0)));
}

#[test]
fn a_bad_regular_expression_is_said_once_and_only_once() {
    let text = format!("net {{ {} }}", server(1, "domain #\"~^(\"# #\"~^(\"#", ""));
    let all = errors(&text);
    assert_eq!(all.len(), 1, "{all:?}");
    assert!(all[0].contains("not a regular expression: unclosed group"), "{all:?}");
}

#[test]
fn what_is_secret_is_not_in_an_error() {
    let shown =
        read("net { http_token 12345678; }").expect_err("no text").render(crate::config::diagnostic::Style::PLAIN);
    let message = shown.lines().next().unwrap_or_default();
    assert!(!message.contains("12345678") && message.contains("not shown"), "{message}");
}

#[test]
fn columns_count_characters() {
    let tree = tree("net { access_log \"ä\" format=\"${x}\"; }");
    assert_eq!(tree.templates[0].span.line, 1);
    assert_eq!(tree.templates[0].span.column, 29);
}
