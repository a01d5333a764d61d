use super::noise_tests::Noise;
use super::path::{Error, MAX_COMPONENT, MAX_PATH, Path, Refused, check_name, encode, normalise, split_query};

fn plain(raw: &[u8]) -> Result<String, Error> {
    normalise(raw, true).map(|path| path.as_bytes().escape_ascii().to_string())
}

/// The components joined by a bar, or why there are none.
fn names(raw: &[u8], merge: bool) -> Result<String, Refused> {
    let path = normalise(raw, merge).expect("a path");
    let names: Vec<String> = path.components()?.map(|name| name.escape_ascii().to_string()).collect();
    Ok(names.join("|"))
}

#[test]
fn normalises() {
    let table: [(&[u8], &str); 34] = [
        (b"/", "/"),
        (b"/a", "/a"),
        (b"/a/", "/a/"),
        (b"/a/b.html", "/a/b.html"),
        (b"/a%20b", "/a b"),
        (b"/%41%5a%7e", "/AZ~"),
        (b"/a+b", "/a+b"),
        (b"/\xc3\xa9", "/\\xc3\\xa9"),
        (b"/%C3%a9", "/\\xc3\\xa9"),
        (b"//", "/"),
        (b"///a//b///", "/a/b/"),
        (b"/./", "/"),
        (b"/.", "/"),
        (b"/./a/./b/.", "/a/b/"),
        (b"/a/..", "/"),
        (b"/a/../", "/"),
        (b"/a/b/..", "/a/"),
        (b"/a/b/../c", "/a/c"),
        (b"/a/b/../../c", "/c"),
        (b"/a//../b", "/b"),
        (b"/a/%2e%2e/b", "/b"),
        (b"/a/.%2E/b", "/b"),
        (b"/a/%2e/b", "/a/b"),
        (b"/a%2fb", "/a/b"),
        (b"/a%2f..%2fb", "/b"),
        (b"/%2fa", "/a"),
        // Names that merely look like segments of dots.
        (b"/...", "/..."),
        (b"/a/.../b", "/a/.../b"),
        (b"/..a/a../.b", "/..a/a../.b"),
        (b"/a./b..", "/a./b.."),
        (b"/.. /a", "/.. /a"),
        (b"/a/..;/b", "/a/..;/b"),
        // What one decoding leaves is a name.
        (b"/%252e%252e/a", "/%2e%2e/a"),
        (b"/%25252e", "/%252e"),
    ];
    for (raw, want) in table {
        assert_eq!(plain(raw).as_deref(), Ok(want), "{}", raw.escape_ascii());
    }
}

#[test]
fn keeps_slashes_when_told() {
    let table: [(&[u8], &str); 8] = [
        (b"//", "//"),
        (b"//a", "//a"),
        (b"/a//b", "/a//b"),
        (b"/a//", "/a//"),
        (b"/a//..", "/a/"),
        (b"/a//../b", "/a/b"),
        (b"/a/./b", "/a/b"),
        (b"//..", "/"),
    ];
    for (raw, want) in table {
        let path = normalise(raw, false).expect("a path");
        assert_eq!(path.as_bytes(), want.as_bytes(), "{}", raw.escape_ascii());
    }
}

#[test]
fn refuses() {
    let table: [(&[u8], Error); 30] = [
        (b"", Error::NotAbsolute),
        (b"*", Error::NotAbsolute),
        (b"a", Error::NotAbsolute),
        (b"../a", Error::NotAbsolute),
        (b"%2fa", Error::NotAbsolute),
        (b"\\a", Error::NotAbsolute),
        (b"http://host/a", Error::NotAbsolute),
        (b"file:///etc/passwd", Error::NotAbsolute),
        (b"host:443", Error::NotAbsolute),
        (b"/%", Error::BadEscape),
        (b"/%4", Error::BadEscape),
        (b"/%4g", Error::BadEscape),
        (b"/%g4", Error::BadEscape),
        (b"/%%41", Error::BadEscape),
        (b"/%u002e", Error::BadEscape),
        (b"/% 41", Error::BadEscape),
        (b"/\0", Error::Control),
        (b"/a%00.html", Error::Control),
        (b"/a\nb", Error::Control),
        (b"/\x1f", Error::Control),
        (b"/\x7f", Error::Control),
        (b"/..", Error::AboveRoot),
        (b"/../a", Error::AboveRoot),
        (b"/a/../../b", Error::AboveRoot),
        (b"/a/../../a/b", Error::AboveRoot),
        (b"/./../a", Error::AboveRoot),
        (b"//../a", Error::AboveRoot),
        (b"/%2e%2e/a", Error::AboveRoot),
        (b"/..%2fa", Error::AboveRoot),
        (b"/%2E.%2F%2e%2E%2fetc%2fpasswd", Error::AboveRoot),
    ];
    for (raw, want) in table {
        assert_eq!(plain(raw), Err(want), "{}", raw.escape_ascii());
    }
}

#[test]
fn escaped_control_bytes_are_of_a_path_and_of_no_name() {
    for (raw, decoded) in [(&b"/a%0d%0ab"[..], &b"/a\r\nb"[..]), (b"/%1F/%09", b"/\x1f/\t"), (b"/%7f", b"/\x7f")] {
        let path = normalise(raw, true).expect("a path");
        assert_eq!(path.as_bytes(), decoded);
        assert_eq!(path.components().map(|_| ()), Err(Refused::BadName));
    }
    // What `..` takes away again is not opened.
    assert!(normalise(b"/%0a/../b", true).expect("a path").components().is_ok());
}

#[test]
fn reports() {
    let table: [(&[u8], bool, bool, bool); 9] = [
        // encoded slash, backslash, directory
        (b"/a/b", false, false, false),
        (b"/a%2fb", true, false, false),
        (b"/a%2fb%20c", true, false, false),
        (b"/a%2F", true, false, true),
        (b"/a/..%2fb", true, false, false),
        (b"/a\\b/", false, true, true),
        (b"/a%5cb", false, true, false),
        (b"/a%252fb", false, false, false),
        (b"/", false, false, true),
    ];
    for (raw, slash, backslash, directory) in table {
        let path = normalise(raw, true).expect("a path");
        let got = (path.had_encoded_slash(), path.has_backslash(), path.is_directory());
        assert_eq!(got, (slash, backslash, directory), "{}", raw.escape_ascii());
    }
}

#[test]
fn components() {
    let table: [(&[u8], bool, Result<&str, Refused>); 21] = [
        (b"/", true, Ok("")),
        (b"/a", true, Ok("a")),
        (b"/a/b/", true, Ok("a|b")),
        (b"//etc//passwd", true, Ok("etc|passwd")),
        (b"/a/../b", true, Ok("b")),
        (b"/.../..a", true, Ok("...|..a")),
        (b"/%252e%252e/a", true, Ok("%2e%2e|a")),
        // Overlong forms of a dot and a slash are bytes like any others.
        (b"/%c0%ae%c0%ae/a", true, Ok("\\xc0\\xae\\xc0\\xae|a")),
        (b"/..%c0%af..", true, Ok("..\\xc0\\xaf..")),
        (b"/%e0%80%ae", true, Ok("\\xe0\\x80\\xae")),
        // A full-width dot is no dot.
        (b"/\xef\xbc\x8e\xef\xbc\x8e/a", true, Ok("\\xef\\xbc\\x8e\\xef\\xbc\\x8e|a")),
        (b"//", false, Err(Refused::Empty)),
        (b"//etc/passwd", false, Err(Refused::Empty)),
        (b"/a//b", false, Err(Refused::Empty)),
        (b"/a%2fb", true, Err(Refused::EncodedSlash)),
        (b"/a/..%2fb", true, Err(Refused::EncodedSlash)),
        (b"/..%5c..%5cetc", true, Err(Refused::Backslash)),
        (b"/..\\..\\etc", true, Err(Refused::Backslash)),
        (b"/\\\\host\\share", true, Err(Refused::Backslash)),
        (b"/a\\", true, Err(Refused::Backslash)),
        (b"/a\\b/../c", true, Err(Refused::Backslash)),
    ];
    for (raw, merge, want) in table {
        assert_eq!(names(raw, merge).as_deref(), want.as_ref().map(|want| *want), "{}", raw.escape_ascii());
    }
}

#[test]
fn lengths() {
    let of = |length: usize| [&b"/"[..], &vec![b'a'; length]].concat();
    assert!(names(&of(MAX_COMPONENT), true).is_ok());
    assert_eq!(names(&of(MAX_COMPONENT + 1), true), Err(Refused::TooLong));
    let deep = b"/a".repeat(MAX_PATH / 2);
    assert!(names(&deep, true).is_ok());
    assert_eq!(names(&[&deep[..], b"/"].concat(), true), Err(Refused::TooLong));
    // A long target that normalises to a short path is fine.
    assert_eq!(names(&b"/a/..".repeat(10_000), true).as_deref(), Ok(""));
}

#[test]
fn single_names() {
    assert_eq!(check_name(b"index.html"), Ok(()));
    assert_eq!(check_name(b"a/b"), Err(Refused::BadName));
    assert_eq!(check_name(b"a\0"), Err(Refused::BadName));
    assert_eq!(check_name(b".."), Err(Refused::BadName));
}

#[cfg(unix)]
#[test]
fn joins() {
    use std::path::Path;
    let root = Path::new("/srv/www");
    let join = |raw: &[u8]| normalise(raw, true).expect("a path").join(root);
    assert_eq!(join(b"/a/b.html").as_deref(), Ok(Path::new("/srv/www/a/b.html")));
    assert_eq!(join(b"//etc/passwd").as_deref(), Ok(Path::new("/srv/www/etc/passwd")));
    assert_eq!(join(b"/").as_deref(), Ok(root));
    assert_eq!(join(b"/a%2fb"), Err(Refused::EncodedSlash));
}

#[test]
fn queries() {
    assert_eq!(split_query(b"/a?b?c"), (&b"/a"[..], Some(&b"b?c"[..])));
    assert_eq!(split_query(b"/a?"), (&b"/a"[..], Some(&b""[..])));
    assert_eq!(split_query(b"/a%3fb"), (&b"/a%3fb"[..], None));
    assert_eq!(split_query(b""), (&b""[..], None));
}

#[test]
fn encodes() {
    let mut out = String::new();
    encode(b"/a b/%2e?#\xe9:\"<\r\n~", &mut out);
    assert_eq!(out, "/a%20b/%252e%3F%23%E9%3A%22%3C%0D%0A~");
}

#[test]
fn noise_never_escapes() {
    let mut noise = Noise::new(6);
    let pieces: [&[u8]; 16] = [
        b"/", b".", b"..", b"../", b"%2e", b"%2E", b"%2f", b"%5c", b"\\", b"%25", b"%252e", b"%c0%ae", b"a", b"b/",
        b"//", b"%0a",
    ];
    let mut good = 0;
    for _ in 0..100_000 {
        let mut raw = b"/".to_vec();
        raw.extend(noise.text(&pieces, 14));
        let merge = noise.below(2) == 0;
        let Ok(path) = normalise(&raw, merge) else { continue };
        good += 1;
        let bytes = path.as_bytes();
        assert!(bytes.starts_with(b"/") && bytes.len() <= raw.len(), "{}", raw.escape_ascii());
        assert!(!bytes.contains(&0));
        assert!(bytes.split(|&byte| byte == b'/').all(|name| name != b".." && name != b"."));
        assert!(!merge || !bytes.windows(2).any(|pair| pair == b"//"));
        // Escaped again it comes to the same.
        let mut again = String::new();
        encode(bytes, &mut again);
        assert_eq!(normalise(again.as_bytes(), merge).expect("a path").as_bytes(), bytes);
        if let Ok(names) = path.components() {
            for name in names {
                assert!(!name.is_empty() && name != b"." && name != b".." && name.len() <= MAX_COMPONENT);
                assert!(!name.iter().any(|byte| b"/\\".contains(byte) || byte.is_ascii_control()));
            }
        }
    }
    assert!(good > 10_000, "{good}");
}

#[test]
fn a_path_that_is_plain_is_what_normalising_makes_of_it() {
    let mut path = normalise(b"/", true).expect("a path");
    let mut check = |target: &[u8]| {
        let (raw, _) = split_query(target);
        let pairs = raw.windows(2).any(|pair| matches!(pair, b"//" | b"/."));
        let odd = raw.iter().any(|byte| matches!(byte, b'%' | b'\\' | 0x7f | ..0x20));
        let before: Path = path.clone();
        let plain = path.set_plain(target);
        assert_eq!(plain, raw.first() == Some(&b'/') && !pairs && !odd, "{}", raw.escape_ascii());
        let same = if plain { normalise(raw, true) } else { Ok(before) };
        assert_eq!(Ok(&path), same.as_ref(), "{}", raw.escape_ascii());
    };
    check(b"");
    for length in 1..50 {
        let mut raw = vec![b'a'; length];
        raw[0] = b'/';
        check(&raw);
        for at in 0..length {
            for byte in 0..=255 {
                let mut other = raw.clone();
                other[at] = byte;
                check(&other);
                for next in [b'/', b'.', b'a'] {
                    if let Some(to) = other.get_mut(at + 1) {
                        *to = next;
                        check(&other);
                    }
                }
            }
        }
    }
}
