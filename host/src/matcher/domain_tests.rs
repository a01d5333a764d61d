//! Behaviour of domain sets.

use super::*;

fn set(patterns: &[&str]) -> (DomainSet<usize>, CaptureNames) {
    let mut names = CaptureNames::default();
    let set = DomainSet::compile(patterns.iter().copied().zip(0..), &mut names).expect("valid");
    (set, names)
}

fn errors(patterns: &[&str]) -> Vec<DomainError> {
    DomainSet::compile(patterns.iter().copied().zip(0..), &mut CaptureNames::default()).expect_err("must be refused")
}

fn index(set: &DomainSet<usize>, name: &str) -> Option<usize> {
    let found = set.lookup(name.as_bytes(), &mut CaptureValues::new())?;
    assert_eq!(found.index, *found.value);
    Some(found.index)
}

#[test]
fn exact_beats_longest_wildcard_beats_regex_in_file_order() {
    let (set, _) = set(&["~cn$", "*.example.cn", "*.img.example.cn", "a.img.example.cn", "~^x", "~^xy", "example.cn"]);
    assert_eq!(index(&set, "a.img.example.cn"), Some(3));
    assert_eq!(index(&set, "b.img.example.cn"), Some(2));
    assert_eq!(index(&set, "d.c.b.img.example.cn"), Some(2), "any depth below");
    assert_eq!(index(&set, "img.example.cn"), Some(1), "not the apex");
    assert_eq!(index(&set, "example.cn"), Some(6));
    assert_eq!(index(&set, "other.cn"), Some(0));
    assert_eq!(index(&set, "xyz.org"), Some(4));
    assert_eq!(index(&set, "org"), None);
}

#[test]
fn wildcard_does_not_match_its_apex_nor_a_longer_label() {
    let (set, _) = set(&["*.example.cn"]);
    assert_eq!(index(&set, "example.cn"), None);
    assert_eq!(index(&set, ".example.cn"), None);
    assert_eq!(index(&set, "badexample.cn"), None);
    assert_eq!(index(&set, "a.example.cn"), Some(0));
}

#[test]
fn case_and_one_trailing_dot_are_ignored_on_both_sides() {
    let (set, _) = set(&["WWW.Example.CN.", "*.Img.example.cn.", r"~^Shop\.example"]);
    assert_eq!(index(&set, "www.EXAMPLE.cn"), Some(0));
    assert_eq!(index(&set, "www.example.cn."), Some(0));
    assert_eq!(index(&set, "www.example.cn.."), None);
    assert_eq!(index(&set, "A.IMG.EXAMPLE.CN."), Some(1));
    assert_eq!(index(&set, "SHOP.example."), Some(2));
}

#[test]
fn named_groups_of_the_regex_that_matched_are_returned() {
    let (set, names) = set(&[r"~^(?<shop>[a-z]+)\.shop\.cn$", r"~^(?<shop>\d+)(?:-(?P<part>\w+))?\.num\.cn$"]);
    let mut captures = CaptureValues::new();
    let found = set.lookup(b"Books.shop.cn.", &mut captures).expect("matches");
    assert_eq!((found.index, found.kind), (0, Kind::Regex));
    let (shop, part) = (names.slot("shop").expect("named"), names.slot("part").expect("named"));
    assert_eq!(captures.value(shop), Some(&b"books"[..]));
    assert!(set.lookup(b"42.num.cn", &mut captures).is_some());
    assert_eq!(captures.value(shop), Some(&b"42"[..]));
    assert_eq!(captures.value(part), None, "took no part");
}

#[test]
fn names_that_no_set_can_hold_are_simply_not_found() {
    let (set, _) = set(&["a.cn", "*.cn", "~."]);
    assert_eq!(index(&set, ""), None);
    assert_eq!(index(&set, "."), None);
    assert_eq!(index(&set, &"a.".repeat(127)), Some(2), "253 bytes without the dot");
    assert_eq!(index(&set, &"a".repeat(254)), None);
    assert!(set.lookup(b"\xff\x00.cn", &mut CaptureValues::new()).is_some());
}

#[test]
fn duplicates_name_both_places() {
    let found = errors(&["a.cn", "*.b.cn", "~x", "A.cn.", "*.B.cn", "~x", "b.cn", "a.cn"]);
    let pairs: Vec<_> = found.iter().map(|error| (error.index, error.earlier)).collect();
    assert_eq!(pairs, [(3, Some(0)), (4, Some(1)), (5, Some(2)), (7, Some(0))]);
    assert!(found[0].message.contains("A.cn."));
}

#[test]
fn other_scripts_are_refused_with_their_punycode_form() {
    assert!(errors(&["bücher.example"])[0].message.contains("\"xn--bcher-kva.example\""));
    assert!(errors(&["*.例子.中国"])[0].message.contains("\"*.xn--fsqu00a.xn--fiqs8s\""));
    assert!(errors(&["例子。中国"])[0].message.contains("\"xn--fsqu00a.xn--fiqs8s\""));
}

#[test]
fn mistakes_say_what_to_write_instead() {
    for (pattern, part) in [
        (".example.cn", "\"*.example.cn\""),
        ("*", "default_server"),
        ("a.*.cn", "regular expression"),
        ("*a.cn", "regular expression"),
        ("", "empty domain"),
        ("~", "empty regular expression"),
        ("a..cn", "empty label"),
        ("-a.cn", "begins or ends"),
        ("a.cn:80", "no port"),
        ("https://a.cn", "no port"),
        ("a.cn/x", "no path"),
        ("a b.cn", "holds ' '"),
        ("~(", "unclosed group"),
        ("~(?:a{1000}){1000}", "needs more than"),
    ] {
        let found = errors(&[pattern]);
        assert!(found[0].message.contains(part), "{pattern}: {}", found[0].message);
    }
    assert!(errors(&[&"a".repeat(64)])[0].message.contains("63"));
    assert!(errors(&[&"a.".repeat(200)])[0].message.contains("253"));
}

#[test]
fn all_mistakes_are_reported_together() {
    let found = errors(&["a..b", "ok.cn", "~(", "*"]);
    assert_eq!(found.iter().map(|error| error.index).collect::<Vec<_>>(), [0, 2, 3]);
}

#[test]
fn mutated_patterns_and_names_never_panic() {
    let seeds = ["www.example.cn", "*.img.example.cn", r"~^(?<shop>[a-z]+)\.shop\.cn$", "例子.cn", "a-b_c.d."];
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    for round in 0..5_000 {
        let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes.insert(at, b"*.~-()[]"[next(8)]),
                _ => bytes.truncate(at + 1),
            }
        }
        let pattern = String::from_utf8_lossy(&bytes);
        let mut names = CaptureNames::default();
        if let Ok(set) = DomainSet::compile([(&*pattern, 0), ("always.cn", 1)], &mut names) {
            let mut captures = CaptureValues::new();
            assert!(set.lookup(b"ALWAYS.cn.", &mut captures).is_some());
            let found = set.lookup(&bytes, &mut captures);
            if !pattern.starts_with(['*', '~']) {
                assert_eq!(found.map(|found| found.index), Some(0), "{pattern} finds itself");
            }
        }
    }
}
