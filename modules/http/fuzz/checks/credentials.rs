//! Credentials.

use super::trim;
use anyproxy_http::core::auth::{Credentials, MAX_BASIC, base64, basic, constant_time_eq, password_lines};

/// `plain` in base64 (RFC 4648 section 4).
fn to_base64(plain: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in plain.chunks(3) {
        let bits = (0..3).fold(0, |sum, at| sum << 8 | u32::from(group.get(at).copied().unwrap_or(0)));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - place * 6) & 63) as usize];
            text.push(if place <= group.len() { digit } else { b'=' });
        }
    }
    text
}

/// `Authorization` and password files: one text has one spelling, and what is taken out was there.
pub(crate) fn auth(input: &[u8]) -> bool {
    let encoded = to_base64(input);
    assert_eq!(base64(&encoded, encoded.len()).as_deref(), Some(input));
    assert!(encoded.is_empty() || base64(&encoded, encoded.len() - 1).is_none());
    if let Some(plain) = base64(input, input.len()) {
        assert_eq!(to_base64(&plain), input);
    }

    // What a client means with these bytes as user and password, and with these as the whole header.
    let sound = encoded.len() <= MAX_BASIC && input.contains(&b':') && !input.iter().any(u8::is_ascii_control);
    assert_eq!(basic(&[b"bAsIc ", &encoded[..]].concat()).is_some(), sound);
    let credentials = basic(input);
    if let Some(Credentials { user, password }) = &credentials {
        assert!(!user.contains(&b':') && ![user, password].iter().any(|part| part.iter().any(u8::is_ascii_control)));
        let text = to_base64(&[user, &b":"[..], password].concat());
        let (scheme, rest) = trim(input).split_at(5);
        assert!(scheme.eq_ignore_ascii_case(b"Basic") && rest.starts_with(b" ") && trim(rest) == text);
        assert!(text.len() <= MAX_BASIC);
        // Nothing of the password is shown.
        let other = Credentials { user: user.clone(), password: b"other".to_vec() };
        assert_eq!(format!("{credentials:?}"), format!("{:?}", Some(other)));
    }

    let lines: Vec<_> = input.split(|&byte| byte == b'\n').collect();
    let mut before = 0;
    for line in password_lines(input) {
        match line {
            Ok((number, user, rest)) => {
                assert!(before < number && number <= lines.len());
                before = number;
                assert!(!user.is_empty() && !rest.is_empty() && !user.contains(&b':') && !user.starts_with(b"#"));
                let line = [user, b":", rest].concat();
                assert!(lines.iter().any(|whole| whole.strip_suffix(b"\r").unwrap_or(whole) == line));
            }
            Err(bad) => {
                assert!(before < bad.line && bad.line <= lines.len());
                before = bad.line;
            }
        }
    }

    let (left, right) = input.split_at(input.len() / 2);
    assert_eq!(constant_time_eq(left, right), left == right);
    assert!(constant_time_eq(input, input));
    credentials.is_some()
}
