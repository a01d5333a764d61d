//! Classes of code points of KDL 2.0 (section "Full Grammar" and the tables it refers to).

/// `unicode-space`.
pub(super) fn is_space(c: char) -> bool {
    matches!(c, '\t' | ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

/// `newline`; CR LF is two of these and counts once, see `newline_len`.
pub(super) fn is_newline(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{B}' | '\u{C}' | '\u{2028}' | '\u{2029}')
}

/// `disallowed-literal-code-points`. A scalar value is never a surrogate.
pub(super) fn is_disallowed(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{8}'
            | '\u{E}'..='\u{1F}'
            | '\u{7F}'
            | '\u{200E}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}'
            | '\u{FEFF}'
    )
}

/// `identifier-char`.
pub(super) fn is_ident(c: char) -> bool {
    !matches!(c, '\\' | '/' | '(' | ')' | '{' | '}' | ';' | '[' | ']' | '"' | '#' | '=')
        && !is_space(c)
        && !is_newline(c)
        && !is_disallowed(c)
}

/// ASCII identifier characters, for the fast path.
pub(super) const ASCII_IDENT: [bool; 128] = {
    let mut table = [false; 128];
    let mut b = 0x21;
    while b < 0x7F {
        table[b as usize] =
            !matches!(b, b'\\' | b'/' | b'(' | b')' | b'{' | b'}' | b';' | b'[' | b']' | b'"' | b'#' | b'=');
        b += 1;
    }
    table
};

/// Length in bytes of the newline at the start of `text`; 0: none there.
pub(super) fn newline_len(text: &str) -> usize {
    match text.as_bytes().first() {
        Some(b'\n' | 0xB | 0xC) => 1,
        Some(b'\r') if text.as_bytes().get(1) == Some(&b'\n') => 2,
        Some(b'\r') => 1,
        Some(0xC2 | 0xE2) => match text.chars().next() {
            Some(c) if is_newline(c) => c.len_utf8(),
            _ => 0,
        },
        _ => 0,
    }
}
