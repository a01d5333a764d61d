use super::forwarded::{Element, Node};
use super::forwarded_out::{MAX_VALUE, append_forwarded, append_via, host, loops, via_member};
use super::noise_tests::Noise;

fn element() -> Element<'static> {
    Element {
        from: Some(Node::Address("2001:db8::1".parse().expect("address"))),
        by: Some(Node::Hidden("_proxy")),
        host: Some(b"a.example:8080"),
        proto: Some(b"https"),
    }
}

#[test]
fn forwarded() {
    let own = r#"for="[2001:db8::1]";by=_proxy;host="a.example:8080";proto=https"#;
    for (existing, kept) in [
        ("", ""),
        (" ", ""),
        ("for=192.0.2.1", "for=192.0.2.1, "),
        ("for=\"[::1]\";host=\"a, b\"", "for=\"[::1]\";host=\"a, b\", "),
        ("for=\"a\\\"b\"", "for=\"a\\\"b\", "),
        ("for=a\\\"b\"", "for=a\\\"b\", "),
        // These would swallow what comes after them.
        ("for=\"_x", ""),
        ("for=\"_x\\\"", ""),
        ("for=\"_x\\", ""),
        ("for=_x\r\nEvil: y", ""),
        (&"x".repeat(MAX_VALUE + 1), ""),
    ] {
        let got = append_forwarded(Some(existing.as_bytes()), &element());
        assert_eq!(String::from_utf8_lossy(&got), format!("{kept}{own}"), "{existing:?}");
    }
    assert_eq!(append_forwarded(None, &element()), own.as_bytes());
    let nothing = Element::default();
    assert_eq!(append_forwarded(Some(b"for=x"), &nothing), b"for=x");
    for bad in [&b"a\"b"[..], b"a;for=b", b"a,b", b"a b", b"a\r\n", b"", b"\xff", &[b'a'; 256]] {
        let element = Element { host: Some(bad), proto: Some(b"http"), ..nothing };
        assert_eq!(append_forwarded(None, &element), b"proto=http", "{}", bad.escape_ascii());
    }
    for (value, want) in [("a.example", true), (" [::1]:80 ", true), ("a_b%20", true), ("a/b", false), ("u@a", false)] {
        assert_eq!(host(value.as_bytes()).is_some(), want, "{value}");
    }
}

fn via(existing: Option<&[u8]>, version: &str, name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    append_via(existing, via_member(version, name).expect("a member").as_bytes(), &mut out);
    out
}

#[test]
fn a_member_of_via_is_appended() {
    for (existing, version, name, want) in [
        (None, "1.1", "anyproxy", "1.1 anyproxy"),
        (Some(""), "2", "a.example:8080", "2 a.example:8080"),
        (Some("1.0 fred"), "1.1", "[::1]:80", "1.0 fred, 1.1 [::1]:80"),
        (Some("1.1 a (x (y) \\) z)"), "1.1", "b", "1.1 a (x (y) \\) z), 1.1 b"),
        (Some("1.1 a (open"), "1.1", "b", "1.1 b"),
        (Some("1.1 a (open\\)"), "1.1", "b", "1.1 b"),
        (Some("1.1 a\r\nx: y"), "1.1", "b", "1.1 b"),
    ] {
        let got = via(existing.map(str::as_bytes), version, name);
        assert_eq!(String::from_utf8_lossy(&got), want, "{existing:?}");
    }
    for (version, name) in [("1.1", "b c"), ("1.1", "b,c"), ("1.1", ""), ("1 1", "b"), ("1.1", &"b".repeat(256))] {
        assert_eq!(via_member(version, name), None);
    }
}

#[test]
fn finds_loops() {
    let count = |values: &[&str], name: &str| {
        (0..50).find(|&most| !loops(values.iter().map(|value| value.as_bytes()), name, most)).expect("count")
    };
    for (values, want) in [
        (&[][..], 0),
        (&[""][..], 0),
        (&["1.1 me"][..], 1),
        (&["1.1 ME, 1.0 fred, HTTP/1.1\t me (comment), 2 me(x)", "1.1 me"][..], 4),
        (&["me, 1.1 you, me 1.1"][..], 0),
        (&["1.1 me.example, 1.1 not-me, 1.1 me:80"][..], 0),
        (&["1.1 you (1.1 me)"][..], 0),
        (&[", ,1.1 me,,"][..], 1),
    ] {
        assert_eq!(count(values, "me"), want, "{values:?}");
    }
    assert_eq!(count(&["1.1 [::1]:80, 1.1 [::1]:81"], "[::1]:80"), 1);
    let mut value = Vec::new();
    for round in 0..10 {
        assert_eq!(loops([&value[..]], "me", 5), round > 5);
        value = via(Some(&via(Some(&value), "1.1", "other")), "1.1", "me");
    }
}

#[test]
fn noise_never_swallows() {
    let mut noise = Noise::new(81);
    let pieces: [&[u8]; 9] = [b"for=a", b"\"", b"\\", b",", b";", b"(", b")", b" ", b"1.1 x"];
    for _ in 0..40_000 {
        let existing = noise.text(&pieces, 9);
        let got = append_forwarded(Some(&existing), &element());
        assert!(got.ends_with(b"proto=https") && !got.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()));
        let (mut quoted, mut bytes) = (false, got.iter());
        while let Some(&byte) = bytes.next() {
            match byte {
                b'\\' if quoted => drop(bytes.next()),
                b'"' => quoted = !quoted,
                _ => {}
            }
        }
        assert!(!quoted, "{}", got.escape_ascii());
        let got = via(Some(&existing), "1.1", "me");
        assert!(got.ends_with(b"1.1 me") && loops([&got[..]], "me", 0), "{}", got.escape_ascii());
    }
}
