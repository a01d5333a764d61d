use super::auth::{BadLine, Credentials, MAX_BASIC, base64, basic, constant_time_eq, password_lines};
use super::noise_tests::Noise;

/// A user and a password.
type Pair<'a> = (&'a [u8], &'a [u8]);
/// The number of a line, a user and the rest.
type Line<'a> = (usize, &'a [u8], &'a [u8]);

#[test]
fn decodes() {
    let table: [(&str, Option<&[u8]>); 24] = [
        ("", Some(b"")),
        ("Zg==", Some(b"f")),
        ("Zm8=", Some(b"fo")),
        ("Zm9v", Some(b"foo")),
        ("Zm9vYg==", Some(b"foob")),
        ("Zm9vYmE=", Some(b"fooba")),
        ("Zm9vYmFy", Some(b"foobar")),
        ("+/+/", Some(b"\xfb\xff\xbf")),
        ("AAAA", Some(b"\0\0\0")),
        ("-_-_", None),
        ("Zg", None),
        ("Zg=", None),
        ("Zm9", None),
        ("Z", None),
        ("Z===", None),
        ("====", None),
        ("==", None),
        ("Zg==Zg==", None),
        ("Zg==Zm9v", None),
        ("=Zm9", None),
        ("Zh==", None),
        ("Zm9=", None),
        ("Zm 9v", None),
        ("Zm9v\n", None),
    ];
    for (text, want) in table {
        assert_eq!(base64(text.as_bytes(), 100).as_deref(), want, "{text}");
    }
    assert_eq!(base64(b"Zm9v", 4).as_deref(), Some(&b"foo"[..]));
    assert_eq!(base64(b"Zm9v", 3), None);
}

#[test]
fn basics() {
    let table: [(&[u8], Option<Pair<'_>>); 17] = [
        // The examples of RFC 7617.
        (b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some((b"Aladdin", b"open sesame"))),
        (b"Basic dGVzdDoxMjPCow==", Some((b"test", b"123\xc2\xa3"))),
        (b"bASIC   YTpi ", Some((b"a", b"b"))),
        (b"Basic YTpiOmM=", Some((b"a", b"b:c"))),
        (b"Basic Og==", Some((b"", b""))),
        (b"Basic YTo=", Some((b"a", b""))),
        (b"Basic YQ==", None),
        (b"Basic", None),
        (b"Basic ", None),
        (b"BasicYTpi", None),
        (b"Basic\tYTpi", None),
        (b"Bearer YTpi", None),
        (b"Basic YTpi, x", None),
        (b"Basic YTp!", None),
        (b"Basic YTpiCg==", None),
        (b"Basic AGE6Yg==", None),
        (b"", None),
    ];
    for (value, want) in table {
        let want = want.map(|(user, password)| Credentials { user: user.to_vec(), password: password.to_vec() });
        assert_eq!(basic(value), want, "{}", value.escape_ascii());
    }
}

#[test]
fn basic_is_bounded() {
    let of = |groups: usize| format!("Basic YTpi{}", "YWFh".repeat(groups - 1));
    assert!(basic(of(MAX_BASIC / 4).as_bytes()).is_some());
    assert_eq!(basic(of(MAX_BASIC / 4 + 1).as_bytes()), None);
}

#[test]
fn debug_hides_the_password() {
    let shown = format!("{:?}", basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").expect("credentials"));
    assert!(shown.contains("Aladdin") && !shown.contains("sesame"));
}

#[test]
fn files() {
    let text = b"# users\nann:{PLAIN}a:b\r\n\n  \nbob:$2y$x\n:x\nnobody\neve:\n\xff:y";
    let got: Vec<_> = password_lines(text).collect();
    let want: Vec<Result<Line<'_>, BadLine>> = vec![
        Ok((2, b"ann", b"{PLAIN}a:b")),
        Ok((5, b"bob", b"$2y$x")),
        Err(BadLine { line: 6 }),
        Err(BadLine { line: 7 }),
        Err(BadLine { line: 8 }),
        Ok((9, b"\xff", b"y")),
    ];
    assert_eq!(got, want);
    assert_eq!(password_lines(b"").count(), 0);
}

#[test]
fn compares() {
    let table: [(&[u8], &[u8], bool); 8] = [
        (b"", b"", true),
        (b"a", b"a", true),
        (b"abc", b"abc", true),
        (b"abc", b"abd", false),
        (b"abc", b"ab", false),
        (b"ab", b"abc", false),
        (b"", b"a", false),
        (b"a\0", b"a", false),
    ];
    for (presented, expected, want) in table {
        assert_eq!(constant_time_eq(presented, expected), want);
    }
    // A difference in length that is a multiple of 256 does not get lost.
    assert!(!constant_time_eq(&[0; 256], b""));
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(11);
    for _ in 0..50_000 {
        let text = noise.text(&[b"YTpi", b"Zg", b"=", b"/", b"+", b":", b"\n", b"#"], 10);
        if let Some(plain) = base64(&text, 1000) {
            assert_eq!(plain.len(), text.len() / 4 * 3 - text.iter().filter(|&&byte| byte == b'=').count());
        }
        if let Some(credentials) = basic(&[b"Basic ", &text[..]].concat()) {
            assert!(!credentials.user.contains(&b':'));
        }
        for (_, user, rest) in password_lines(&text).flatten() {
            assert!(!user.is_empty() && !rest.is_empty() && !user.contains(&b':'));
        }
        assert!(constant_time_eq(&text, &text));
    }
}
