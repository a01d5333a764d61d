use super::domains::{Error, Host, MAX_HOPS, MAX_LIST, Pattern, allowed, split};
use super::noise_tests::Noise;

/// The first hop as text, and the rest.
fn first(value: &str) -> Result<(String, String), Error> {
    let (hop, rest) = split(value.as_bytes())?;
    Ok((hop.to_string(), String::from_utf8(rest.to_vec()).expect("UTF-8")))
}

fn is_allowed(hop: &str, patterns: &[&str]) -> bool {
    let patterns: Vec<_> = patterns.iter().map(|text| Pattern::parse(text).expect(text)).collect();
    split(hop.as_bytes()).is_ok_and(|(hop, _)| allowed(&hop, &patterns))
}

#[test]
fn splits() {
    for (value, hop, rest) in [
        ("a.example", "a.example", ""),
        ("a.example:8080,b.example", "a.example:8080", "b.example"),
        (" a.example \t,  b.example , c ", "a.example", "b.example , c"),
        ("A.Example.", "A.Example", ""),
        ("a.example.:80", "a.example:80", ""),
        ("192.0.2.1:1,x", "192.0.2.1:1", "x"),
        ("[2001:DB8::1]:443", "[2001:db8::1]:443", ""),
        ("[2001:db8:0:0:0:0:0:1],[::2]", "[2001:db8::1]", "[::2]"),
        ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", ""),
        ("[::ffff:7f00:1]", "127.0.0.1", ""),
        ("x_y.1a.example", "x_y.1a.example", ""),
        ("localhost", "localhost", ""),
        ("1.2.3.example", "1.2.3.example", ""),
        ("//tcp//a:1//random", "a:1", ""),
        ("//tcp//a:1//random|||//tcp//b:2//random", "a:1", "//tcp//b:2//random"),
        ("//tcp//[::1]:1//round_robin ||| //tcp//b//x|||c", "[::1]:1", "//tcp//b//x|||c"),
        // Of two lines of a header.
        ("//tcp//a:1//random, //tcp//b:2//random|||c", "a:1", "//tcp//b:2//random|||c"),
        ("a|||b,c", "a", "b,c"),
        ("0x.example", "0x.example", ""),
    ] {
        assert_eq!(first(value), Ok((hop.to_owned(), rest.to_owned())), "{value}");
    }
}

#[test]
fn walks_to_the_end() {
    let mut rest = &b"a:1, b, [::1]:3"[..];
    let mut hops = Vec::new();
    while !rest.is_empty() {
        let (hop, after) = split(rest).expect("hop");
        hops.push(hop.to_string());
        rest = after;
    }
    assert_eq!(hops, ["a:1", "b", "[::1]:3"]);
}

#[test]
fn refuses() {
    for (value, error) in [
        ("", Error::Empty),
        (" ", Error::Empty),
        (",", Error::Empty),
        ("a,", Error::Empty),
        (",a", Error::Empty),
        ("a,,b", Error::Empty),
        ("a b", Error::BadHost),
        ("a/b", Error::BadHost),
        ("http://a", Error::BadPort),
        ("a|b", Error::BadHost),
        ("a|||", Error::Empty),
        ("a|||,b", Error::Empty),
        ("//tcp//a:1", Error::BadHost),
        ("//tcp//a:1//", Error::BadHost),
        ("//tcp//a:1//x y", Error::BadHost),
        ("//tcp//a:1//random//x", Error::BadHost),
        ("//tcp////random", Error::BadHost),
        ("//tcp//a:0//random", Error::BadPort),
        ("//tcp//127.1//random", Error::OddAddress),
        ("//tcp////tcp//a//x//x", Error::BadHost),
        ("//ssl//a:1//random", Error::BadProtocol),
        ("//", Error::BadHost),
        ("u@a", Error::BadByte),
        ("a\r\nx: y", Error::BadByte),
        ("a,b\0", Error::BadByte),
        ("\u{e9}.example", Error::BadByte),
        ("*.example", Error::BadByte),
        ("a%00", Error::BadByte),
        ("a..b", Error::BadHost),
        (".a", Error::BadHost),
        (".", Error::BadHost),
        ("a..", Error::BadHost),
        ("-a.example", Error::BadHost),
        ("a-.example", Error::BadHost),
        ("::1", Error::BadHost),
        ("2001:db8::1", Error::BadHost),
        ("[::1", Error::BadHost),
        ("[::1]x", Error::BadHost),
        ("[::1]:1:2", Error::BadHost),
        ("[127.0.0.1]", Error::BadHost),
        ("[::g]", Error::BadHost),
        ("[]", Error::BadHost),
        ("a]", Error::BadHost),
        ("a:", Error::BadPort),
        ("a:0", Error::BadPort),
        ("a:65536", Error::BadPort),
        ("a:http", Error::BadPort),
        ("a:00080x", Error::BadPort),
        (":80", Error::BadHost),
    ] {
        assert_eq!(first(value), Err(error), "{value:?}");
    }
}

#[test]
fn refuses_odd_addresses() {
    for value in [
        "2130706433",
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f000001",
        "0X7F000001",
        "0x7f.0x0.0x0.0x1",
        "0177.0.0.1",
        "127.0.0.01",
        "017700000001",
        "127.0.0.1.",
        "127.0.0.1.1",
        "256.0.0.1",
        "1.2.3.256",
        "0x",
        "a.0x",
        "a.1",
        "0",
        "127.0.0.0x1",
    ] {
        for port in ["", ":80"] {
            assert_eq!(first(&format!("{value}{port}")), Err(Error::OddAddress), "{value}{port}");
        }
    }
}

#[test]
fn lists_are_bounded() {
    let hops = |count: usize| vec!["a"; count].join(",");
    assert!(first(&hops(MAX_HOPS)).is_ok());
    assert_eq!(first(&hops(MAX_HOPS + 1)), Err(Error::TooLong));
    assert_eq!(first(&hops(MAX_HOPS + 1).replace(',', "|||")), Err(Error::TooLong));
    let long = |length: usize| format!("a,{}", "x".repeat(length - 2));
    assert!(first(&long(MAX_LIST)).is_ok());
    assert_eq!(first(&long(MAX_LIST + 1)), Err(Error::TooLong));
    let label = "x".repeat(63);
    assert!(first(&format!("{label}.{label}.{label}.{}", &label[..61])).is_ok());
    assert_eq!(first(&format!("{label}.{label}.{label}.{}", &label[..62])), Err(Error::BadHost));
    assert_eq!(first(&format!("{label}x")), Err(Error::BadHost));
}

#[test]
fn nothing_by_default() {
    for hop in ["a.example", "127.0.0.1", "[::1]:80"] {
        assert!(!is_allowed(hop, &[]));
    }
}

#[test]
fn patterns() {
    for (pattern, hop, want) in [
        ("a.example", "a.example", true),
        ("A.Example.", "a.eXample", true),
        ("a.example", "A.EXAMPLE.", true),
        ("a.example", "a.example:80", false),
        ("a.example:*", "a.example:80", true),
        ("a.example:*", "a.example", true),
        ("a.example:80", "a.example:80", true),
        ("a.example:80", "a.example:8080", false),
        ("a.example:80", "a.example", false),
        ("a.example", "b.a.example", false),
        ("a.example", "a.example.evil", false),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "A.B.EXAMPLE.COM.", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "evilexample.com", false),
        ("*.example.com", "example.com.evil", false),
        ("*.example.com:8443", "a.example.com:8443", true),
        ("*.example.com:8443", "a.example.com", false),
        ("10.0.0.0/8", "10.1.2.3", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.0/8", "10.1.2.3:80", false),
        ("10.0.0.0/8:80", "10.1.2.3:80", true),
        ("10.0.0.0/8:*", "10.1.2.3:80", true),
        ("10.0.0.0/8", "[::ffff:10.1.2.3]", true),
        ("10.0.0.0/8", "[::ffff:a01:203]", true),
        ("10.0.0.0/8", "[a00::1]", false),
        ("10.0.0.0/8", "10.example", false),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("192.0.2.1:80", "[::ffff:192.0.2.1]:80", true),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1:80", true),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "[2001:db8::1]", false),
        ("0.0.0.0/0", "a.example", false),
        ("[2001:db8::]/32", "[2001:db8:1::1]", true),
        ("[2001:db8::]/32:443", "[2001:db8:1::1]:443", true),
        ("[2001:db8::]/32", "[2001:db9::1]", false),
        ("[::]/0", "10.0.0.1", false),
        ("[::1]", "[0:0:0:0:0:0:0:1]", true),
        ("127.0.0.1", "127.1", false),
    ] {
        assert_eq!(is_allowed(hop, &[pattern]), want, "{pattern} {hop}");
        assert_eq!(is_allowed(hop, &["other.example", pattern]), want, "{pattern} {hop}");
    }
}

#[test]
fn refuses_patterns() {
    for text in [
        "",
        "*",
        "*:80",
        "*.",
        "**.example",
        "a.*.example",
        "*example",
        "*.10.0.0.1",
        "*.[::1]",
        "127.1",
        "2130706433",
        "a.example/8",
        "*.example.com/8",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "10.0.0.1/8",
        "10.0.0.0/8:0",
        "10.0.0.0/8:80:90",
        "10.0.0.0:80/8",
        "[2001:db8::]/129",
        "2001:db8::/32",
        "[::ffff:10.0.0.0]/104",
        "a:80:*",
        "a:",
        "a b",
        "http://a",
        "//tcp//a//random",
    ] {
        assert!(Pattern::parse(text).is_err_and(|error| error.starts_with("hop ")), "{text}");
    }
}

#[test]
fn noise_never_slips_past() {
    let mut noise = Noise::new(71);
    let patterns = ["*.example.com:*", "10.0.0.0/8:*"].map(|text| Pattern::parse(text).expect(text));
    let pieces: [&[u8]; 17] = [
        b"10.",
        b"0.0.1",
        b"127",
        b"[",
        b"]",
        b"::",
        b"ffff:",
        b".example.com",
        b"a",
        b":",
        b"80",
        b",",
        b"0x",
        b".",
        b"//tcp//",
        b"//x",
        b"|||",
    ];
    for _ in 0..60_000 {
        let list = noise.text(&pieces, 7);
        let Ok((hop, rest)) = split(&list) else { continue };
        assert!(list.ends_with(rest));
        if allowed(&hop, &patterns) {
            match hop.host {
                Host::Name(name) => assert!(name.to_ascii_lowercase().ends_with(".example.com")),
                Host::Ip(address) => assert!(address.to_string().starts_with("10.")),
            }
        }
        let text = hop.to_string();
        assert_eq!(split(text.as_bytes()), Ok((hop, &b""[..])), "{text}");
    }
}
