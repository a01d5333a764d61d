//! Behaviour of names, statuses and ids. Values of a session are covered by the tests that run the whole host.

use super::{
    names::{Found, Known, Members, ModuleNames, Names},
    *,
};
use crate::template::{Arity, Template};
use anyproxy_module_api::abi::{
    bytes::{Sink, Slice},
    module::Place,
    session::{Cause, CloseReason, SessionShared, Stage, Who},
};

extern "C" fn nothing(_: Place, _: *const SessionShared, _: Str<'_>, _: *mut Sink<'_>) -> bool {
    false
}

extern "C" fn no_call(_: Slice<'_, Str<'_>>, _: *mut Sink<'_>) -> bool {
    false
}

const fn variable(name: &'static str, prefix: bool) -> VariablePoint {
    VariablePoint { name: Str::new(name), doc: Str::new("Doc."), prefix, write: nothing }
}

const fn function(name: &'static str, arity: u8) -> FunctionPoint {
    FunctionPoint { name: Str::new(name), doc: Str::new("Doc."), arity_min: arity, arity_max: arity, call: no_call }
}

static FIRST: [VariablePoint; 4] = [
    variable("http_request_", true),
    variable("http_request_method", false),
    variable("http_", true),
    variable("ssl_domain", false),
];
static SECOND: [VariablePoint; 2] = [variable("http_request_x_", true), variable("cache_status", false)];
static FUNCTIONS: [FunctionPoint; 1] = [function("sha", 2)];

const fn module<'a>(
    module: u16,
    id: &'a str,
    variables: &'a [VariablePoint],
    functions: &'a [FunctionPoint],
) -> ModuleNames<'a> {
    ModuleNames { module, id, variables, functions }
}

fn known() -> Known {
    Known::new([module(1, "http", &FIRST, &FUNCTIONS), module(2, "cache", &SECOND, &[])]).expect("no clash")
}

#[test]
fn exact_name_wins_then_the_longest_prefix() {
    let known = known();
    let found = |name: &str| match known.find(name) {
        Some(Found::Core(slot)) => format!("core {}", core::TABLE[slot as usize].name),
        Some(Found::Module(n, point, rest)) => format!("{n} {} {rest}", point.name),
        None => "nothing".to_owned(),
    };
    assert_eq!(found("client_addr"), "core client_addr");
    assert_eq!(found("http_request_method"), "1 http_request_method ");
    assert_eq!(found("http_request_host"), "1 http_request_ host");
    assert_eq!(found("http_request_x_id"), "2 http_request_x_ id");
    assert_eq!(found("http_request_x_"), "1 http_request_ x_", "a family has no member without a name");
    assert_eq!(found("http_other"), "1 http_ other");
    assert_eq!(found("http_"), "nothing");
    assert_eq!(found("clientaddr"), "nothing");
    assert_eq!(found("ssl_domain"), "1 ssl_domain ", "the host keeps this name open");
    assert_eq!(found("is_open_ebpf"), "core is_open_ebpf", "known without its module");
}

#[test]
fn members_get_one_slot_each_however_many_there_are() {
    let (known, members) = (known(), Members::default());
    let names = Names { known: &known, members: &members };
    let refs: Vec<_> = (0..1000).map(|n| names.variable(&format!("http_request_h{n}")).expect("a member")).collect();
    for (n, var) in refs.iter().enumerate() {
        assert_eq!((var.provider, var.slot), (1, n as u32));
        assert_eq!(names.variable(&format!("http_request_h{n}")), Some(*var));
        let member = members.get(var.slot).expect("present");
        assert_eq!((member.module, &*member.rest, member.point.name.as_str()), (1, &*format!("h{n}"), "http_request_"));
    }
    assert!(members.get(1000).is_none() && members.get(u32::MAX).is_none());
    assert_eq!(names.variable("domain").map(|v| v.provider), Some(0));
}

#[test]
fn templates_know_variables_and_functions_of_modules() {
    let (known, members) = (known(), Members::default());
    let names = Names { known: &known, members: &members };
    assert_eq!(names.function("sha").map(|f| f.arity), Some(Arity::exactly(2)));
    Template::compile("${sha(http_request_host, 'x')} ${cache_status}", &names).expect("known");
    let errors = Template::compile("${cache_statu} ${sha(domain)}", &names).expect_err("wrong");
    assert_eq!(errors[0].suggestion.as_deref(), Some("cache_status"));
    assert_eq!(errors.len(), 2);
}

#[test]
fn names_that_clash_or_cannot_be_written_are_all_told() {
    static MINE: [VariablePoint; 5] = [
        variable("client_addr", false),
        variable("cache_status", false),
        variable("re.x", false),
        variable("with space", false),
        variable("http_", true),
    ];
    static CALLS: [FunctionPoint; 3] = [function("lower", 1), function("sha", 1), function("many", 9)];
    let all =
        [module(1, "http", &FIRST, &FUNCTIONS), module(2, "cache", &SECOND, &[]), module(3, "mine", &MINE, &CALLS)];
    let errors = Known::new(all).expect_err("clashes");
    let expected = [
        "the variable \"client_addr\" is registered by the host already",
        "the variable \"cache_status\" is registered by module cache already",
        "\"re.x\" cannot be the name of a variable",
        "\"with space\" cannot be the name of a variable",
        "the family \"http_\" is registered by module http already",
        "the function \"lower\" is the host's own",
        "\"many\" takes more than 8 arguments",
        "the function \"sha\" is registered by module http already",
    ];
    assert_eq!(errors.len(), expected.len(), "{errors:#?}");
    for text in expected {
        assert!(errors.iter().any(|e| e == &format!("module mine: {text}")), "{text} is not among {errors:#?}");
    }
}

#[test]
fn every_variable_of_the_host_is_documented_and_unique() {
    let all = documentation();
    for (name, doc) in &all {
        assert!(doc.ends_with(['.', '`']) && doc.len() > 10, "{name}: {doc}");
        assert_eq!(all.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
    }
    let table = VarTable::new(&[]).expect("no clash");
    assert_eq!(table.documentation().len(), all.len());
}

#[test]
fn request_ids_differ_between_sessions_and_are_hexadecimal() {
    let (a, b) = (request_id(1), request_id(u64::MAX));
    assert_eq!((a.len(), b.len()), (32, 32));
    assert!(a.bytes().chain(b.bytes()).all(|c| c.is_ascii_hexdigit() && !c.is_ascii_uppercase()));
    assert_eq!(a[..16], b[..16], "one process");
    assert!(a.ends_with("0000000000000001") && b.ends_with("ffffffffffffffff"));
}

#[test]
fn status_is_the_protocols_own_or_follows_from_the_close_reason() {
    let of = |who, stage, cause| outcome::status(0, CloseReason::new(who, stage, cause).code());
    assert_eq!(outcome::status(204, 0), Some(204));
    assert_eq!(outcome::status(0, 0), None);
    assert_eq!(of(Who::Client, Stage::Transfer, Cause::Done), Some(200));
    assert_eq!(of(Who::Client, Stage::Preread, Cause::Malformed), Some(400));
    assert_eq!(of(Who::Client, Stage::Preread, Cause::Timeout), Some(408));
    assert_eq!(of(Who::Proxy, Stage::Access, Cause::Denied), Some(403));
    assert_eq!(of(Who::Proxy, Stage::Route, Cause::NoRoute), Some(404));
    assert_eq!(of(Who::Upstream, Stage::Connect, Cause::Refused), Some(502));
    assert_eq!(of(Who::Upstream, Stage::Connect, Cause::Timeout), Some(504));
    assert_eq!(of(Who::Proxy, Stage::Connect, Cause::NoPeer), Some(503));
    assert_eq!(of(Who::Proxy, Stage::Transfer, Cause::Panic), Some(500));
    for status in [200, 204, 302, 400, 499, 500, 599, 7] {
        assert!(!outcome::status_text(status).is_empty());
    }
}

#[test]
fn matched_domain_follows_the_order_of_the_matcher() {
    use crate::config::tree::{Domain, DomainName};
    let domain = |name| Domain { name, span: anyproxy_module_api::abi::conf::Span::default() };
    let domains = [
        domain(DomainName::Regex(regex::Regex::new("^w[a-z]+[.]example[.]cn$").expect("valid"))),
        domain(DomainName::Wildcard(Str::new(".cn"))),
        domain(DomainName::Wildcard(Str::new(".img.example.cn"))),
        domain(DomainName::Exact(Str::new("www.example.cn"))),
        domain(DomainName::Regex(regex::Regex::new("^only$").expect("valid"))),
    ];
    let matched = |name: &str| outcome::matched_domain(&domains, name).map(ToString::to_string);
    assert_eq!(matched("WWW.example.cn.").as_deref(), Some("www.example.cn"));
    assert_eq!(matched("a.img.example.cn").as_deref(), Some("*.img.example.cn"));
    assert_eq!(matched("web.example.cn").as_deref(), Some("*.cn"), "a wildcard before a regular expression");
    assert_eq!(matched("only").as_deref(), Some("~^only$"));
    assert_eq!(matched(".cn"), None);
    assert_eq!(matched("example.com"), None);
}
