use super::*;
use crate::config::testing::{HTTP, TCP, errors, modules};
use anyproxy_module_api::abi::conf::{ArgDesc, Kind, Role};

#[test]
fn the_hosts_own_table_is_documented_and_free_of_clashes() {
    let schema = Schema::new(&[]).unwrap_or_else(|e| panic!("{e}"));
    for desc in schema.directives(0) {
        assert!(!desc.default.is_empty(), "{} does not say what holds when it is absent", desc.name);
    }
}

#[test]
fn a_directive_of_two_modules_in_one_context_is_an_error_that_names_both() {
    static TWIN: [DirectiveDesc; 1] = [DirectiveDesc::new("ip_deny", "Again.", Contexts::SERVER)];
    let e = Schema::new(&[ModuleDirectives::new("tcp", &TCP), ModuleDirectives::new("twin", &TWIN)]);
    let text = e.expect_err("is refused").to_string();
    assert!(text.contains("\"tcp\" and \"twin\" both declare \"ip_deny\" in server"), "{text}");
    static APART: [DirectiveDesc; 1] = [DirectiveDesc::new("ip_deny", "Elsewhere.", Contexts::EBPF)];
    assert!(Schema::new(&[ModuleDirectives::new("tcp", &TCP), ModuleDirectives::new("apart", &APART)]).is_ok());
    assert!(Schema::new(&[ModuleDirectives::new("tcp", &TCP), ModuleDirectives::new("tcp", &HTTP)]).is_err());
}

#[test]
fn tables_that_cannot_be_read_are_refused() {
    static BAD: [DirectiveDesc; 3] = [
        DirectiveDesc::new("nowhere", "Nowhere.", Contexts(0)),
        DirectiveDesc::new("blank", "  ", Contexts::NET),
        DirectiveDesc::new("order", "Order.", Contexts::NET)
            .args(&[ArgDesc::new("many", Kind::Text, "many").repeated(), ArgDesc::new("last", Kind::Text, "last")]),
    ];
    let text = Schema::new(&[ModuleDirectives::new("bad", &BAD)]).expect_err("is refused").to_string();
    assert!(text.contains("\"nowhere\" is allowed nowhere"), "{text}");
    assert!(text.contains("\"blank\" has no name or no documentation"), "{text}");
    assert!(text.contains("only the last argument can be repeated, not \"many\""), "{text}");
}

#[test]
fn declarations_that_make_no_sense_are_refused_with_their_modules_name() {
    const N: ArgDesc = ArgDesc::new("n", Kind::Int, "n");
    static BAD: [DirectiveDesc; 7] = [
        DirectiveDesc::new("default", "D.", Contexts::NET).props(&[ArgDesc::new("t", Kind::Time, "t").default("soon")]),
        DirectiveDesc::new("bounds", "B.", Contexts::NET).args(&[N.bounds(1, 9).default("10")]),
        DirectiveDesc::new("twice", "T.", Contexts::NET).props(&[N, N]),
        DirectiveDesc::new("choice", "C.", Contexts::NET).args(&[ArgDesc::new("how", Kind::Choice, "how")]),
        DirectiveDesc::new("example", "E.", Contexts::NET).example("example \"open"),
        DirectiveDesc::new("inner", "I.", Contexts::NET)
            .children(&[DirectiveDesc::new("in", "I.", Contexts::NET)
                .args(&[ArgDesc::new("on", Kind::Bool, "on").default("yes")])]),
        DirectiveDesc::new("named", "N.", Contexts::NET)
            .args(&[ArgDesc::new("who", Kind::Upstream, "who").default("auth")]),
    ];
    for (desc, why) in BAD.iter().zip([
        "\"t\": \"soon\" is not a time",
        "10 is out of bounds",
        "\"n\" is declared twice",
        "\"how\" is one of some words, and there are none",
        "its example cannot be read",
        "\"in\"",
        "\"who\" is an upstream, whose names are the user's, and has a default",
    ]) {
        let one: &'static [DirectiveDesc] = std::slice::from_ref(desc);
        let text = Schema::new(&[ModuleDirectives::new("bad", one)]).expect_err(why).to_string();
        assert!(text.contains(why) && text.contains("(module bad)"), "{why}: {text}");
    }
}

#[test]
fn one_name_in_two_contexts_is_two_directives() {
    let schema = Schema::new(&modules()).unwrap_or_else(|e| panic!("{e}"));
    let of = |c| schema.find(c, "max_connections").expect("it is there").desc.doc;
    assert_ne!(of(Contexts::COMMON).as_str(), of(Contexts::SERVER).as_str());
    assert!(schema.find(Contexts::LOCAL, "max_connections").is_none());
}

#[test]
fn a_misplaced_directive_says_where_it_is_allowed() {
    assert_eq!(
        errors("net { server { proxy_pass_tcp \"a:1\"; }; }"),
        ["1:16: error: \"proxy_pass_tcp\" is allowed in upstream, local; not in server (module tcp)"]
    );
}

#[test]
fn a_directive_of_a_module_that_is_not_loaded_names_the_module() {
    let all = errors("net { server { domain_listen_ssl \"0.0.0.0:1\"; }; }");
    assert_eq!(all, ["1:16: error: unknown directive \"domain_listen_ssl\" in server: load_module \"ssl\" is missing"]);
}

#[test]
fn a_misspelt_directive_is_corrected_and_its_block_left_alone() {
    let all = errors("net { server { port_listen_tcpp \"0.0.0.0:1\" { nonsense; }; }; }");
    assert_eq!(
        all,
        [
            "1:16: error: unknown directive \"port_listen_tcpp\" in server; did you mean \"port_listen_tcp\"? (module tcp)"
        ]
    );
    assert_eq!(errors("sever { nonsense; }").len(), 1);
}

#[test]
fn the_short_form_finds_its_connector() {
    let schema = Schema::new(&modules()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(schema.peer_directive("tcp").map(|e| e.desc.role), Some(Role::Peer));
    assert!(schema.peer_directive("carrier-pigeon").is_none());
}
