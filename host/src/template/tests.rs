//! Behaviour of templates.

use super::*;

pub(super) struct Names;

impl Resolver for Names {
    fn variable(&self, name: &str) -> Option<VarRef> {
        let known = ["domain", "client_addr", "none", "raw"];
        if let Some(slot) = known.iter().position(|known| *known == name) {
            return Some(VarRef::new(0, slot as u32));
        }
        if name.strip_prefix("http_request_").is_some_and(|header| !header.is_empty()) {
            return Some(VarRef::new(1, name.len() as u32));
        }
        (name == "re.shop" || name == "shop").then(|| VarRef::capture(0))
    }

    fn function(&self, name: &str) -> Option<FuncRef> {
        let func = |slot, arity| FuncRef { provider: 7, slot, arity };
        match name {
            "twice" => Some(func(0, Arity::exactly(1))),
            "nothing" => Some(func(1, Arity { min: 0, max: 8 })),
            "many" => Some(func(2, Arity { min: 0, max: 99 })),
            _ => None,
        }
    }

    fn names(&self, each: &mut dyn FnMut(&str)) {
        ["domain", "client_addr", "none", "raw", "http_request_<header>"].into_iter().for_each(each);
    }

    fn function_names(&self, each: &mut dyn FnMut(&str)) {
        ["twice", "nothing"].into_iter().for_each(each);
    }
}

pub(super) struct Session {
    pub(super) raw: Vec<u8>,
}

impl Values for Session {
    fn write(&self, var: VarRef, out: &mut Vec<u8>) -> Option<Written> {
        match (var.provider, var.slot) {
            (0, 0) => out.extend_from_slice(b"WWW.Example.cn"),
            (0, 1) => out.extend_from_slice(b"[::1]:80"),
            (0, 2) => {
                out.extend_from_slice(b"half a value");
                return None;
            }
            (0, 3) => out.extend_from_slice(&self.raw),
            (1, length) => out.extend_from_slice(format!("header{length}").as_bytes()),
            (VarRef::CAPTURE, 0) => out.extend_from_slice(b"books"),
            _ => return None,
        }
        Some(Written::Any)
    }

    fn call(&self, func: FuncRef, call: &mut Call<'_>) -> bool {
        if func.slot != 0 {
            call.push(b"unseen");
            return false;
        }
        call.fill(4096, |args, room| {
            let text = args[0].unwrap_or(b"?");
            let need = text.len() * 2;
            if need <= room.len() {
                room[..text.len()].copy_from_slice(text);
                room[text.len()..need].copy_from_slice(text);
            }
            need
        })
    }
}

fn compile(text: &str) -> Template {
    Template::compile(text, &Names).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

fn errors(text: &str) -> Vec<TemplateError> {
    Template::compile(text, &Names).expect_err("must be refused")
}

fn render(text: &str) -> String {
    rendered(text, b"", Absent::Dash, Escape::None)
}

fn rendered(text: &str, raw: &[u8], absent: Absent, escape: Escape) -> String {
    let mut out = b"before ".to_vec();
    compile(text).render_escaped(&Session { raw: raw.to_vec() }, &mut out, absent, escape);
    String::from_utf8(out).expect("text").strip_prefix("before ").expect("kept").to_owned()
}

#[test]
fn literals_and_variables_are_written_in_order() {
    assert_eq!(render(""), "");
    assert_eq!(render("a ${domain}-${ client_addr }$"), "a WWW.Example.cn-[::1]:80$");
    assert_eq!(render("${re.shop} ${shop} ${http_request_x-y}"), "books books header16");
}

#[test]
fn dollar_without_brace_is_itself_and_doubled_dollar_brace_is_literal() {
    assert_eq!(render("$5 $$ $${domain} $$${domain}"), "$5 $$ ${domain} $${domain}");
    assert_eq!(render("$"), "$");
    assert_eq!(compile("$${a}").as_literal(), Some(&b"${a}"[..]));
}

#[test]
fn absent_value_is_a_dash_or_nothing_and_leaves_no_trace() {
    assert_eq!(render("[${none}]"), "[-]");
    assert_eq!(rendered("[${none}]", b"", Absent::Empty, Escape::None), "[]");
    assert_eq!(render("[${lower(none)}]"), "[-]");
    assert_eq!(render("[${nothing(domain)}]"), "[-]");
}

#[test]
fn builtin_functions_do_what_they_say() {
    for (text, want) in [
        ("${lower(domain)}", "www.example.cn"),
        ("${upper(domain)}", "WWW.EXAMPLE.CN"),
        ("${len(domain)}", "14"),
        ("${len('')}", "0"),
        ("${sub(domain, 4, 7)}", "Example"),
        ("${sub(domain, -2)}", "cn"),
        ("${sub(domain, 4, 999)}", "Example.cn"),
        ("${sub(domain, 999, 1)}", ""),
        ("${sub(domain, -999, 3)}", "WWW"),
        ("${default(none, 'other')}", "other"),
        ("${default('', domain)}", "WWW.Example.cn"),
        ("${default(domain, 'other')}", "WWW.Example.cn"),
        ("${default(none, none)}", "-"),
        ("${replace(client_addr, \":\", \"_\")}", "[__1]_80"),
        ("${replace(client_addr, ':', '')}", "[1]80"),
        ("${replace(client_addr, '', 'x')}", "[::1]:80"),
        ("${replace('aaa', 'aa', 'b')}", "ba"),
        ("${path_base('/a/b.txt')}", "b.txt"),
        ("${path_base('b.txt')}", "b.txt"),
        ("${path_base('/a/')}", ""),
        (r"${lower('\\\'\n\t')}", "\\'\n\t"),
    ] {
        assert_eq!(render(text), want, "{text}");
    }
}

#[test]
fn functions_nest_and_modules_add_their_own() {
    assert_eq!(render("<${upper(sub(replace(lower(domain), '.', '-'), 0, 11))}>"), "<WWW-EXAMPLE>");
    assert_eq!(render("${twice(twice(shop))}"), "booksbooksbooksbooks");
}

#[test]
fn function_that_needs_more_room_is_called_again_and_a_limit_holds() {
    let long = "x".repeat(500);
    assert_eq!(render(&format!("${{twice('{long}')}}")).len(), 1000);
    let long = "x".repeat(3000);
    assert_eq!(render(&format!("${{twice('{long}')}}")), "-", "over the limit of 4096");
}

#[test]
fn result_that_peers_blow_up_is_no_result() {
    let raw = vec![b'a'; 2000];
    let text = "${len(replace(raw, 'a', raw))}";
    assert_eq!(rendered(text, &raw[..1000], Absent::Dash, Escape::None), "1000000");
    assert_eq!(rendered(text, &raw, Absent::Dash, Escape::None), "-");
}

#[test]
fn number_that_comes_from_a_variable_and_is_none_gives_no_result() {
    assert_eq!(render("${sub(domain, shop)}"), "-");
    assert_eq!(render("${sub(domain, 0, len('abc'))}"), "WWW");
    assert_eq!(rendered("${sub(domain, raw, raw)}", b"-9223372036854775808", Absent::Dash, Escape::None), "-");
}

#[test]
fn log_escape_covers_values_and_spares_literals() {
    let raw = b"a\"b\\c\n\x1b[0m\x7f\xff\xe4\xb8\xad";
    let text = rendered("\"${raw}\"\n", raw, Absent::Dash, Escape::Log);
    assert_eq!(text, "\"a\\x22b\\x5cc\\x0a\\x1b[0m\\x7f\\xff\\xe4\\xb8\\xad\"\n");
    assert_eq!(rendered("${len(raw)}", raw, Absent::Dash, Escape::Log), "15", "arguments are not escaped");
}

#[test]
fn json_escape_makes_a_string_that_parses_back() {
    let raw = "a\"b\\c\n\r\t\u{1}\u{7f}\u{4e2d}".as_bytes();
    let text = rendered("{\"v\":\"${raw}\"}", raw, Absent::Dash, Escape::Json);
    let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(value["v"].as_str().expect("string").as_bytes(), raw);
    let text = rendered("{\"v\":\"${raw}\"}", b"a\xffb\xe4\xb8", Absent::Dash, Escape::Json);
    let value: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
    assert_eq!(value["v"], "a\u{fffd}b\u{fffd}");
}

#[test]
fn unknown_names_are_all_reported_with_place_and_suggestion() {
    let found = errors("${domian} ${loewr(domain)} ${xyzzy} ${lower}");
    let short: Vec<_> = found.iter().map(|e| (e.span.clone(), e.suggestion.as_deref())).collect();
    assert_eq!(short, [(2..8, Some("domain")), (12..17, Some("lower")), (29..34, None), (38..43, None)]);
    assert_eq!(found[0].to_string(), "at byte 2: unknown variable \"domian\"; did you mean \"domain\"?");
    assert!(found[3].message.contains("is a function"));
    assert_eq!(errors("${twcie(domain)}")[0].suggestion.as_deref(), Some("twice"));
}

#[test]
fn wrong_arguments_are_errors_with_their_place() {
    assert_eq!(errors("${lower()}")[0].message, "lower takes 1 argument, 0 given");
    assert_eq!(errors("${sub(domain)}")[0].message, "sub takes 2 to 3 arguments, 1 given");
    let found = errors("${sub(domain, 'x')}");
    assert_eq!((found[0].span.clone(), found[0].message.as_str()), (14..17, "argument 2 of sub is a number"));
    assert!(errors("${many(1,2,3,4,5,6,7,8,9)}")[0].message.contains("0 to 8"));
}

#[test]
fn syntax_errors_say_where_and_what_was_expected() {
    for (text, at, part) in [
        ("abc ${domain", 4, "is not closed"),
        ("${", 0, "is not closed"),
        ("${}", 2, "name of a variable"),
        ("${domain x}", 9, "expected \"}\", found 'x'"),
        ("${lower(domain}", 14, "\",\" or \")\""),
        ("${lower('a}", 8, "not closed by '"),
        ("${lower('\\q')}", 9, "unknown escape \\q"),
        ("${日}", 2, "found '日'"),
    ] {
        let error = errors(text).pop().expect("one");
        assert_eq!(error.span.start, at, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    }
}

#[test]
fn length_and_depth_are_bounded() {
    assert!(errors(&"x".repeat(MAX_TEXT + 1))[0].message.contains("at most"));
    let nested = |n: usize| format!("${{{}domain{}}}", "lower(".repeat(n), ")".repeat(n));
    assert_eq!(render(&nested(MAX_DEPTH)), "www.example.cn");
    assert!(errors(&nested(MAX_DEPTH + 1))[0].message.contains("deeper"));
    assert!(!errors(&nested(10_000)).is_empty());
}

#[test]
fn shape_of_a_template_can_be_asked() {
    assert_eq!(compile("${domain}").as_variable(), Some(VarRef::new(0, 0)));
    assert_eq!(compile("${domain}x").as_variable(), None);
    assert_eq!(Template::literal("${domain}").as_literal(), Some(&b"${domain}"[..]));
    let mut names = Vec::new();
    compile("${domain}${default(none, lower(shop))}").for_each_variable(|name, _| names.push(name.to_owned()));
    assert_eq!(names, ["domain", "none", "shop"]);
    assert_eq!(compile("${domain}"), compile("${ domain }"));
}

#[test]
fn rendering_into_a_grown_buffer_allocates_nothing() {
    let template = compile("${replace(lower(domain), '.', '--')} ${raw} ${none}");
    let session = Session { raw: b"\n\n\n".to_vec() };
    let mut out = Vec::with_capacity(512);
    let place = out.as_ptr();
    for _ in 0..3 {
        out.clear();
        template.render_escaped(&session, &mut out, Absent::Dash, Escape::Log);
    }
    assert_eq!((out.capacity(), out.as_ptr()), (512, place));
    assert_eq!(out, b"www--example--cn \\x0a\\x0a\\x0a -");
}
