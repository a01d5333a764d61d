//! Integers with a prefix (RFC 7541 section 5.1).

use super::Corrupt;

/// Above any size that is accepted anywhere; five bytes hold it.
const MOST: u64 = (1 << 28) - 1;

/// Reads an integer whose prefix is what `mask` leaves of `first`; `rest` is what follows, and is moved on.
#[inline]
pub(super) fn decode(first: u8, mask: u8, rest: &mut &[u8]) -> Result<u32, Corrupt> {
    let prefix = first & mask;
    if prefix != mask { Ok(u32::from(prefix)) } else { long(mask, rest) }
}

#[inline(never)]
fn long(mask: u8, rest: &mut &[u8]) -> Result<u32, Corrupt> {
    let mut number = u64::from(mask);
    // A longer one than five bytes could only be too large, or padded with zeros.
    for shift in [0, 7, 14, 21, 28] {
        let Some((&byte, behind)) = rest.split_first() else { return Err(Corrupt("an integer is cut off")) };
        *rest = behind;
        number += u64::from(byte & 0x7f) << shift;
        if number > MOST {
            break;
        }
        if byte & 0x80 == 0 {
            return Ok(number as u32);
        }
    }
    Err(Corrupt("an integer is too large"))
}

/// Appends `number` with a prefix as wide as `mask`; `pattern` has the bits above it.
#[inline]
pub(super) fn encode(number: usize, mask: u8, pattern: u8, out: &mut Vec<u8>) {
    if number < usize::from(mask) {
        out.push(pattern | number as u8);
        return;
    }
    out.push(pattern | mask);
    let mut left = number - usize::from(mask);
    while left >= 0x80 {
        out.push(0x80 | (left & 0x7f) as u8);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], mask: u8) -> Result<(u32, usize), Corrupt> {
        let mut rest = &bytes[1..];
        decode(bytes[0], mask, &mut rest).map(|number| (number, rest.len()))
    }

    #[test]
    fn examples_of_rfc_7541_c_1() {
        for (number, mask, bytes) in [(10, 0x1f, &[10][..]), (1337, 0x1f, &[31, 154, 10]), (42, 0xff, &[42])] {
            let mut out = Vec::new();
            encode(number, mask, 0, &mut out);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes, mask), Ok((number as u32, 0)));
        }
    }

    #[test]
    fn every_prefix_takes_every_size() {
        for bits in 4..=7 {
            let mask = (1 << bits) - 1;
            for number in (0..600).chain([16_383, 16_384, 65_535, 1 << 20, MOST as usize]) {
                let mut out = Vec::new();
                encode(number, mask, 0, &mut out);
                out.push(7);
                assert_eq!(read(&out, mask), Ok((number as u32, 1)));
            }
        }
    }

    #[test]
    fn what_is_too_large_padded_or_cut_off_is_refused() {
        for bytes in [
            &[0x7f, 0xff, 0xff, 0xff, 0x7f][..],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0x7f],
            &[0x7f, 0x80],
        ] {
            assert!(read(bytes, 0x7f).is_err(), "{bytes:?}");
        }
        assert_eq!(read(&[0x7f, 0x80, 0x80, 0x00], 0x7f), Ok((127, 0)));
    }
}
