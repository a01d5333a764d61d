//! The functions that every template has. Byte functions throughout: letters are ASCII letters, positions are bytes.

use super::{Arity, Call};

/// A function of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `lower(text)`: ASCII letters in lower case.
    Lower,
    /// `upper(text)`: ASCII letters in upper case.
    Upper,
    /// `len(text)`: number of bytes, decimal.
    Len,
    /// `sub(text, start[, len])`: bytes from `start` (negative: counted from the end). Outside the text: empty.
    Sub,
    /// `default(a, b)`: `a` when it has a value that is not empty, else `b`.
    Default,
    /// `replace(text, from, to)`: every occurrence, from left to right, not overlapping. An empty `from` changes nothing.
    Replace,
    /// `path_base(text)`: what follows the last `/`.
    PathBase,
}

const TABLE: [(&str, Builtin, Arity); 7] = [
    ("lower", Builtin::Lower, Arity::exactly(1)),
    ("upper", Builtin::Upper, Arity::exactly(1)),
    ("len", Builtin::Len, Arity::exactly(1)),
    ("sub", Builtin::Sub, Arity { min: 2, max: 3 }),
    ("default", Builtin::Default, Arity::exactly(2)),
    ("replace", Builtin::Replace, Arity::exactly(3)),
    ("path_base", Builtin::PathBase, Arity::exactly(1)),
];

/// Names of the functions of the host; a module must not register one of these.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|(name, _, _)| *name)
}

impl Builtin {
    pub(super) fn by_name(name: &str) -> Option<(Self, Arity)> {
        TABLE.iter().find(|(known, _, _)| *known == name).map(|(_, builtin, arity)| (*builtin, *arity))
    }

    /// Which argument must be a number when it is written as text in the template.
    pub(super) fn wants_integer(self, argument: usize) -> bool {
        self == Self::Sub && argument > 0
    }

    /// False: no result, because the text has no value.
    pub(super) fn call(self, call: &mut Call<'_>) -> bool {
        match self {
            Self::Lower => copied(call, <[u8]>::make_ascii_lowercase),
            Self::Upper => copied(call, <[u8]>::make_ascii_uppercase),
            Self::Len => length(call),
            Self::Sub => sub(call),
            Self::Default => {
                let chosen = usize::from(call.argument(0).is_none_or(<[u8]>::is_empty));
                call.push_argument(chosen, 0..usize::MAX);
                call.argument(chosen).is_some()
            }
            Self::Replace => replace(call),
            Self::PathBase => {
                let Some(text) = call.argument(0) else {
                    return false;
                };
                let from = text.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
                call.push_argument(0, from..usize::MAX);
                true
            }
        }
    }
}

fn copied(call: &mut Call<'_>, change: fn(&mut [u8])) -> bool {
    call.push_argument(0, 0..usize::MAX);
    change(call.result_mut());
    call.argument(0).is_some()
}

fn length(call: &mut Call<'_>) -> bool {
    let Some(mut rest) = call.argument(0).map(<[u8]>::len) else {
        return false;
    };
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    call.push(&digits[at..]);
    true
}

/// An argument that is not a number gives no result: it can only come from a variable, literals are checked before.
fn sub(call: &mut Call<'_>) -> bool {
    let Some(len) = call.argument(0).map(<[u8]>::len) else {
        return false;
    };
    let Some(start) = call.argument(1).and_then(integer) else {
        return false;
    };
    let start = match usize::try_from(start) {
        Ok(start) => start,
        Err(_) => len.saturating_sub(usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX)),
    };
    let take = if call.count() < 3 {
        usize::MAX
    } else {
        match call.argument(2).and_then(integer).map(usize::try_from) {
            Some(Ok(take)) => take,
            _ => return false,
        }
    };
    call.push_argument(0, start..start.saturating_add(take));
    true
}

pub(super) fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn replace(call: &mut Call<'_>) -> bool {
    let Some(text) = call.argument(0) else {
        return false;
    };
    let end = text.len();
    let width = call.argument(1).map_or(0, <[u8]>::len);
    let mut at = 0;
    while let (Some(text), Some(from)) = (call.argument(0), call.argument(1)) {
        let Some(found) = find(&text[at..], from).filter(|_| !call.is_over()) else {
            break;
        };
        call.push_argument(0, at..at + found);
        call.push_argument(2, 0..usize::MAX);
        at += found + width;
    }
    call.push_argument(0, at..end);
    true
}

/// The needle comes from the configuration and is short; the first byte is looked for, then the rest compared.
fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let last = text.len().checked_sub(needle.len())?;
    (0..=last).find(|&at| text[at] == first && text[at..].starts_with(needle))
}
