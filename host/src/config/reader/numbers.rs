//! `number` of KDL 2.0, as text on its own.

use super::syntax::Value;

/// The number that all of `word` is. `None`: it is none.
pub(super) fn parse(word: &str) -> Option<Value<'static>> {
    let (negative, digits) = match word.as_bytes().first()? {
        b'-' => (true, &word[1..]),
        b'+' => (false, &word[1..]),
        _ => (false, word),
    };
    let radix = match digits.get(..2) {
        Some("0x") => 16,
        Some("0o") => 8,
        Some("0b") => 2,
        _ => return decimal(word, digits, negative),
    };
    integer(&digits[2..], radix, negative)
}

fn decimal(word: &str, digits: &str, negative: bool) -> Option<Value<'static>> {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    if fraction.is_none() && exponent.is_none() {
        return integer(whole, 10, negative);
    }
    let exponent_digits = exponent.map(|e| e.strip_prefix(['+', '-']).unwrap_or(e));
    let good = is_digits(whole, 10)
        && fraction.is_none_or(|f| is_digits(f, 10))
        && exponent_digits.is_none_or(|e| is_digits(e, 10));
    if !good {
        return None;
    }
    word.replace('_', "").parse().ok().map(Value::Float)
}

fn integer(digits: &str, radix: u32, negative: bool) -> Option<Value<'static>> {
    if !is_digits(digits, radix) {
        return None;
    }
    let mut value = 0i64;
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        let digit = i64::from(digit);
        // Counted downwards: the lowest number has no positive counterpart.
        let next = value.checked_mul(i64::from(radix)).and_then(|v| v.checked_sub(digit));
        let Some(next) = next else {
            return Some(Value::BigInt);
        };
        value = next;
    }
    if negative {
        return Some(Value::Int(value));
    }
    Some(value.checked_neg().map_or(Value::BigInt, Value::Int))
}

/// `digit (digit | '_')*`.
fn is_digits(text: &str, radix: u32) -> bool {
    text.chars().next().is_some_and(|c| c.is_digit(radix)) && text.chars().all(|c| c == '_' || c.is_digit(radix))
}
