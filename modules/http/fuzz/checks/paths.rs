//! Targets and paths.

use anyproxy_http::core::path::{self, MAX_COMPONENT, MAX_PATH, check_name, normalise, split_query};

/// Targets: an accepted path names nothing outside of its root, and has one spelling.
pub(crate) fn path(input: &[u8]) -> bool {
    let (raw, query) = split_query(input);
    let question: &[u8] = if query.is_some() { b"?" } else { b"" };
    assert_eq!([raw, question, query.unwrap_or_default()].concat(), input);
    assert!(!raw.contains(&b'?'));
    let mut accepted = false;
    for merge in [false, true] {
        // A question mark may stand in a path where it was escaped, so that all of the input is tried as one.
        for raw in [raw, input] {
            accepted |= path_of(raw, merge);
        }
    }
    accepted
}

fn path_of(raw: &[u8], merge: bool) -> bool {
    let normalised = normalise(raw, merge);
    let mut plain = normalise(b"/%2f\\", merge).expect("a path");
    let before = plain.clone();
    if plain.set_plain(raw) {
        let anyway = normalise(split_query(raw).0, merge);
        assert_eq!(anyway.as_ref(), Ok(&plain), "what is plain is what it is anyway");
    } else {
        assert_eq!(plain, before);
    }
    let path = match normalised {
        Ok(path) => path,
        Err(error) => {
            assert_eq!(error == path::Error::NotAbsolute, raw.first() != Some(&b'/'));
            // Slashes that stay are levels that `..` can leave, so that merging them never makes a path a good one.
            assert!(merge || normalise(raw, true) == Err(error));
            return false;
        }
    };
    let bytes = path.as_bytes();
    assert!(bytes.starts_with(b"/") && bytes.len() <= raw.len());
    assert!(!bytes.contains(&0));
    assert!(bytes.split(|&byte| byte == b'/').all(|name| name != b"." && name != b".."));
    assert!(!merge || !bytes.windows(2).any(|pair| pair == b"//"));
    assert_eq!(path.is_directory(), bytes.ends_with(b"/"));
    // Two spellings of one path are told apart, also where `..` took them away again. In a good path each percent sign
    // begins an escape.
    let escapes = |escape: &[u8]| raw.windows(3).any(|three| three.eq_ignore_ascii_case(escape));
    assert_eq!(path.had_encoded_slash(), escapes(b"%2f"));
    assert_eq!(path.has_backslash(), raw.contains(&b'\\') || escapes(b"%5c"));
    // Written as a target again it is the same path.
    let mut target = String::new();
    path::encode(bytes, &mut target);
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()) && target.len() <= bytes.len() * 3);
    let again = normalise(target.as_bytes(), merge).expect("a path");
    assert_eq!((again.as_bytes(), again.had_encoded_slash()), (bytes, false));

    let Ok(names) = path.components() else { return true };
    let names: Vec<_> = names.collect();
    assert!(!path.had_encoded_slash() && !path.has_backslash() && bytes.len() <= MAX_PATH);
    for name in &names {
        assert!(!matches!(*name, b"" | b"." | b"..") && name.len() <= MAX_COMPONENT);
        assert!(
            !name.iter().any(|byte| b"/\\".contains(byte) || byte.is_ascii_control()) && check_name(name) == Ok(())
        );
    }
    let slash: &[u8] = if path.is_directory() && !names.is_empty() { b"/" } else { b"" };
    assert_eq!([b"/", &names.join(&b'/')[..], slash].concat(), bytes);
    #[cfg(unix)]
    {
        let root = std::path::Path::new("/srv/root");
        let joined = path.join(root).expect("its components are good");
        assert!(joined.starts_with(root));
        let below = joined.strip_prefix(root).expect("below its root").components();
        assert!(below.clone().all(|part| matches!(part, std::path::Component::Normal(_))));
        assert_eq!(below.count(), names.len());
    }
    true
}
