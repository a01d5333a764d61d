//! How urgent an answer is to its client (RFC 9218).

use super::trim;

/// Where a client says nothing (section 4.1).
pub const USUAL: u8 = 3;

/// The urgency of the values of `Priority`, in order: from 0, what is needed first, to 7. They are read as far as that needs:
/// members that are not `u` may be anything, but a comma within a text ends it.
pub fn urgency<'a>(values: impl Iterator<Item = &'a [u8]>) -> u8 {
    let mut urgency = USUAL;
    for member in values.flat_map(|value| value.split(|&byte| byte == b',')).map(trim) {
        // The last one counts (RFC 8941 section 3.2). What is no urgency is as good as none.
        match member {
            [b'u', b'=', digit @ b'0'..=b'7'] | [b'u', b'=', digit @ b'0'..=b'7', b';' | b' ', ..] => {
                urgency = digit - b'0';
            }
            [b'u'] | [b'u', b'=' | b';', ..] => urgency = USUAL,
            _ => {}
        }
    }
    urgency
}

#[cfg(test)]
mod tests {
    use super::{USUAL, urgency};

    #[test]
    fn the_last_urgency_counts_if_it_is_one() {
        for (values, want) in [
            (&[][..], USUAL),
            (&[""], USUAL),
            (&["u=0"], 0),
            (&["u=7, i"], 7),
            (&["i,u=1"], 1),
            (&[" \tu=2 "], 2),
            (&["u=5;x=1, i"], 5),
            (&["i", "u=6"], 6),
            (&["u=1", "u=2"], 2),
            (&["u=1, u=8"], USUAL),
            (&["u=-1"], USUAL),
            (&["u=1.5"], USUAL),
            (&["u=10"], USUAL),
            (&["u"], USUAL),
            (&["u=1,u"], USUAL),
            (&["u=\"1\""], USUAL),
            (&["U=1"], USUAL),
            (&["urgency=1, x=u=1"], USUAL),
            (&["u=1, \u{fc}=="], 1),
        ] {
            assert_eq!(urgency(values.iter().map(|v| v.as_bytes())), want, "{values:?}");
        }
    }
}
