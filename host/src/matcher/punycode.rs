//! Punycode of one label (RFC 3492), to suggest the A-label of a name that was written in its own script.

/// The A-label of `label`. None: it is ASCII, or its A-label is longer than 63 bytes.
pub(super) fn a_label(label: &str) -> Option<String> {
    // No mapping beyond lower case: a suggestion, which a person reads.
    let chars: Vec<u32> = label.chars().take(64).flat_map(char::to_lowercase).map(u32::from).collect();
    let mut out: String = chars.iter().filter_map(|&c| char::from_u32(c).filter(char::is_ascii)).collect();
    let basic = out.len() as u32;
    let mut handled = basic;
    if handled as usize == chars.len() {
        return None;
    }
    if handled > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias) = (128, 0u32, 72);
    while (handled as usize) < chars.len() {
        let next = chars.iter().copied().filter(|&c| c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for &c in &chars {
            if c < n {
                delta = delta.checked_add(1)?;
            } else if c == n {
                digits(&mut out, delta, bias);
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    (out.len() + 4 <= 63).then(|| format!("xn--{out}"))
}

/// One number as variable-length digits (section 6.3).
fn digits(out: &mut String, mut rest: u32, bias: u32) {
    let digit = |value: u32| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[value as usize % 36]);
    for k in (36u32..).step_by(36) {
        let threshold = k.saturating_sub(bias).clamp(1, 26);
        if rest < threshold {
            break;
        }
        out.push(digit(threshold + (rest - threshold) % (36 - threshold)));
        rest = (rest - threshold) / (36 - threshold);
    }
    out.push(digit(rest));
}

/// Bias of the next number (section 6.1).
fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::a_label;

    #[test]
    fn labels_encode_as_registries_write_them() {
        for (label, want) in [
            ("bücher", "xn--bcher-kva"),
            ("BÜCHER", "xn--bcher-kva"),
            ("münchen", "xn--mnchen-3ya"),
            ("例子", "xn--fsqu00a"),
            ("中国", "xn--fiqs8s"),
            ("пример", "xn--e1afmkfd"),
        ] {
            assert_eq!(a_label(label).as_deref(), Some(want), "{label}");
        }
    }

    #[test]
    fn ascii_and_overlong_labels_have_none() {
        assert_eq!(a_label("plain"), None);
        assert_eq!(a_label(&"ü".repeat(300)), None);
        assert_eq!(a_label(&"\u{10ffff}a".repeat(64)), None);
    }
}
