//! Behaviour of choosing by rules.

use super::*;

fn rule(input: usize, op: Op, pattern: &str) -> Rule<'_> {
    Rule { input, op, pattern, not: false }
}

fn not(rule: Rule<'_>) -> Rule<'_> {
    Rule { not: true, ..rule }
}

fn table(locals: &[Vec<Rule<'_>>]) -> RuleTable {
    RuleTable::compile(locals, &mut CaptureNames::default()).expect("valid")
}

fn choose(table: &RuleTable, values: &[&str]) -> Option<usize> {
    let mut asked = vec![0; values.len()];
    let chosen = table.choose(&mut Scratch::default(), &mut CaptureValues::new(), |input, out| {
        asked[input] += 1;
        out.extend_from_slice(values[input].as_bytes());
        values[input] != "half"
    });
    assert!(asked.iter().all(|&times| times <= 1), "each input is asked for at most once");
    chosen
}

#[test]
fn file_order_decides_between_kinds_of_rules() {
    let locals = [
        vec![rule(0, Op::Prefix, "/a/b")],
        vec![rule(0, Op::Regex, "^/a/[0-9]")],
        vec![rule(0, Op::Text, "/a/1")],
        vec![rule(0, Op::Prefix, "/a")],
        vec![rule(0, Op::Text, "/a/b/c")],
    ];
    let table = table(&locals);
    assert_eq!(choose(&table, &["/a/b/c"]), Some(0), "an earlier prefix beats a later text");
    assert_eq!(choose(&table, &["/a/1"]), Some(1), "an earlier regex beats a later text");
    assert_eq!(choose(&table, &["/a/x"]), Some(3));
    assert_eq!(choose(&table, &["/z"]), None);
}

#[test]
fn rules_of_a_local_are_anded_and_not_negates() {
    let locals = [
        vec![rule(0, Op::Prefix, "/api/"), rule(1, Op::Text, "POST")],
        vec![rule(0, Op::Prefix, "/api/"), not(rule(1, Op::Text, "GET"))],
        vec![not(rule(0, Op::Prefix, "/api/"))],
        vec![],
    ];
    let table = table(&locals);
    assert_eq!(choose(&table, &["/api/x", "POST"]), Some(0));
    assert_eq!(choose(&table, &["/api/x", "PUT"]), Some(1));
    assert_eq!(choose(&table, &["/other", "GET"]), Some(2));
    assert_eq!(choose(&table, &["/api/x", "GET"]), Some(3));
}

#[test]
fn input_without_value_is_an_empty_text() {
    let table = table(&[vec![rule(0, Op::Prefix, "ha")], vec![rule(0, Op::Text, "")]]);
    assert_eq!(choose(&table, &["half"]), Some(1));
}

#[test]
fn local_without_rules_takes_everything_and_asks_for_nothing() {
    let table = table(&[vec![]]);
    let chosen = table.choose(&mut Scratch::default(), &mut CaptureValues::new(), |_, _| panic!("no input is needed"));
    assert_eq!(chosen, Some(0));
    assert_eq!((table.inputs(), table.is_empty()), (0, false));
}

#[test]
fn local_after_one_without_rules_is_an_error() {
    let locals = [vec![rule(0, Op::Text, "a")], vec![], vec![rule(0, Op::Text, "b")], vec![]];
    let errors = RuleTable::compile(&locals, &mut CaptureNames::default()).expect_err("refused");
    assert_eq!(errors.iter().map(|error| error.local).collect::<Vec<_>>(), [2, 3]);
    assert!(errors[0].message.contains("local 2 before it"));
}

#[test]
fn bad_regex_names_its_local_and_rule() {
    let locals = [vec![rule(0, Op::Text, "a"), rule(0, Op::Regex, "[")], vec![rule(0, Op::Regex, "(?:x{999}){999}")]];
    let errors = RuleTable::compile(&locals, &mut CaptureNames::default()).expect_err("refused");
    assert_eq!((errors[0].local, errors[0].rule), (0, Some(1)));
    assert!(errors[0].message.contains("unclosed character class"), "{}", errors[0].message);
    assert_eq!((errors[1].local, errors[1].rule), (1, Some(0)));
}

#[test]
fn only_the_chosen_local_leaves_captures() {
    let locals = [
        vec![rule(0, Op::Regex, "^/(?<first>[a-z]+)"), rule(1, Op::Text, "no")],
        vec![rule(0, Op::Regex, "^/api/v(?<v>[0-9]+)/"), not(rule(1, Op::Regex, "(?<hidden>x)"))],
    ];
    let mut names = CaptureNames::default();
    let table = RuleTable::compile(&locals, &mut names).expect("valid");
    let mut captures = CaptureValues::new();
    let chosen = table.choose(&mut Scratch::default(), &mut captures, |input, out| {
        out.extend_from_slice([&b"/api/v12/x"[..], b"yes"][input]);
        true
    });
    assert_eq!(chosen, Some(1));
    assert_eq!(captures.value(names.slot("v").expect("named")), Some(&b"12"[..]));
    assert_eq!(captures.value(names.slot("first").expect("named")), None);
    assert_eq!(names.slot("hidden"), None, "a negated rule has nothing to capture");
}

#[test]
fn thousand_locals_on_one_variable_check_as_few_as_ten() {
    let paths: Vec<String> = (0..1000).map(|n| format!("/service{n:03}/")).collect();
    for op in [Op::Text, Op::Prefix] {
        let locals: Vec<_> = paths.iter().map(|path| vec![rule(0, op, path), rule(1, Op::Text, "GET")]).collect();
        let table = table(&locals);
        assert!(table.linear.is_empty());
        let group = &table.groups[0];
        assert_eq!((table.groups.len(), group.input), (1, 0), "the rule that tells the locals apart is the index");
        let prefix = group.prefix.longest(b"/service777/").map(|at| group.prefix.value(at));
        let candidates = group.text.get(&b"/service777/"[..]).into_iter().chain(prefix);
        assert_eq!(candidates.flatten().copied().collect::<Vec<_>>(), [777]);
        assert_eq!(choose(&table, &["/service777/", "GET"]), Some(777));
        assert_eq!(choose(&table, &["/service777/", "PUT"]), None);
    }
}

#[test]
fn every_choice_is_that_of_a_plain_search() {
    let patterns = ["", "/", "/a", "/a/b", "/b", "a", "ab", "^/a", "b$"];
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for _ in 0..300 {
        let locals: Vec<Vec<Rule<'_>>> = (0..1 + next(12))
            .map(|_| {
                (0..1 + next(3))
                    .map(|_| Rule {
                        input: next(3),
                        op: [Op::Text, Op::Prefix, Op::Regex][next(3)],
                        pattern: patterns[next(patterns.len())],
                        not: next(4) == 0,
                    })
                    .collect()
            })
            .collect();
        let table = table(&locals);
        for _ in 0..50 {
            let values = [0; 3].map(|_| patterns[next(patterns.len())]);
            let holds = |rule: &Rule<'_>| {
                let value = values[rule.input];
                let same = match rule.op {
                    Op::Text => value == rule.pattern,
                    Op::Prefix => value.starts_with(rule.pattern),
                    Op::Regex => regex(rule.pattern, false).expect("valid").is_match(value.as_bytes()),
                };
                same != rule.not
            };
            let want = locals.iter().position(|rules| rules.iter().all(holds));
            assert_eq!(choose(&table, &values), want, "{locals:?} {values:?}");
        }
    }
}
