//! The Huffman code (RFC 7541 section 5.2 and Appendix B). It is canonical: codes of one length follow each other in the
//! order of their symbols, and shorter ones come first, so that the lengths tell all of it.

use super::Corrupt;

/// The length of each symbol's code in bits; the last is EOS (RFC 7541 Appendix B).
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const EOS: usize = 256;
const LONGEST: usize = 30;

/// Symbols in the order of their codes, and for each length its first code, left-aligned in 32 bits, and the place of
/// that code's symbol.
struct Order {
    symbols: [u16; 257],
    first: [u32; LONGEST + 2],
    place: [u16; LONGEST + 2],
}

const ORDER: Order = {
    let mut order = Order { symbols: [0; 257], first: [u32::MAX; LONGEST + 2], place: [0; LONGEST + 2] };
    let (mut code, mut placed, mut length) = (0u64, 0, 1);
    while length <= LONGEST {
        order.first[length] = (code << (32 - length)) as u32;
        order.place[length] = placed as u16;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == length {
                order.symbols[placed] = symbol as u16;
                placed += 1;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    assert!(placed == 257 && code == 1 << (LONGEST + 1), "the code is complete");
    order
};

static LONG: Order = ORDER;

/// Code and length of each byte: the code above the low eight bits, which are the length.
static CODES: [u64; 256] = {
    let mut codes = [0; 256];
    let mut length = 1;
    while length <= LONGEST {
        let end = if length == LONGEST { 257 } else { ORDER.place[length + 1] as usize };
        let mut place = ORDER.place[length] as usize;
        while place < end {
            let symbol = ORDER.symbols[place] as usize;
            if symbol != EOS {
                let first = (ORDER.first[length] >> (32 - length)) as u64;
                codes[symbol] = (first + (place - ORDER.place[length] as usize) as u64) << 8 | length as u64;
            }
            place += 1;
        }
        length += 1;
    }
    codes
};

/// Symbol and length of the code that the next eight bits begin with; length 0 where the code is longer.
static SHORT: [(u8, u8); 256] = {
    let mut short = [(0, 0); 256];
    let mut symbol = 0;
    while symbol < 256 {
        let length = LENGTHS[symbol] as u32;
        if length <= 8 {
            let first = ((CODES[symbol] >> 8) << (8 - length)) as usize;
            let mut bits = first;
            while bits < first + (1 << (8 - length)) {
                short[bits] = (symbol as u8, length as u8);
                bits += 1;
            }
        }
        symbol += 1;
    }
    short
};

/// Appends what `input` stands for.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    // `bits` has the next `count` bits of input at its top; below may be some of those that follow, or zeros.
    let (mut bits, mut count, mut rest) = (0u64, 0u32, input);
    loop {
        if let Some(&word) = rest.first_chunk::<8>() {
            bits |= u64::from_be_bytes(word) >> count;
            let taken = (63 - count) >> 3;
            rest = &rest[taken as usize..];
            count += taken * 8;
        } else {
            while count <= 56
                && let Some((&byte, behind)) = rest.split_first()
            {
                bits |= u64::from(byte) << (56 - count);
                count += 8;
                rest = behind;
            }
        }
        if count < 56 {
            break;
        }
        // Enough for seven codes of eight bits, without a look at how many are left.
        let (mut symbols, mut decoded) = ([0; 8], 0);
        while decoded < 7 {
            let (symbol, length) = SHORT[(bits >> 56) as usize];
            if length == 0 {
                break;
            }
            symbols[decoded] = symbol;
            decoded += 1;
            bits <<= length;
            count -= u32::from(length);
        }
        out.extend_from_slice(&symbols);
        out.truncate(out.len() - 8 + decoded);
        if decoded < 7 && count >= LONGEST as u32 {
            let (symbol, length) = long(bits)?;
            out.push(symbol);
            bits <<= length;
            count -= length;
        }
    }
    // The last bits: codes as long as they are whole, then the padding.
    while count > 0 {
        let (symbol, length) = SHORT[(bits >> 56) as usize];
        let (symbol, length) = match length {
            0 if count > 8 => long(bits)?,
            0 => break,
            _ => (symbol, u32::from(length)),
        };
        if length > count {
            break;
        }
        out.push(symbol);
        bits <<= length;
        count -= length;
    }
    // It is the beginning of EOS: ones, fewer than eight (RFC 7541 section 5.2).
    if count >= 8 || bits >> 56 != u64::from(!(0xffu8 >> count)) {
        return Err(Corrupt("a Huffman code is cut off, or padded with anything but ones"));
    }
    Ok(())
}

/// The symbol and the length of a code of more than eight bits at the top of `bits`.
#[inline(never)]
fn long(bits: u64) -> Result<(u8, u32), Corrupt> {
    let top = (bits >> 32) as u32;
    let mut length = 9;
    while length < LONGEST && top >= LONG.first[length + 1] {
        length += 1;
    }
    let place = usize::from(LONG.place[length]) + ((top - LONG.first[length]) >> (32 - length)) as usize;
    match LONG.symbols.get(place).copied().map(u8::try_from) {
        Some(Ok(symbol)) => Ok((symbol, length as u32)),
        _ => Err(Corrupt("EOS in a Huffman string")),
    }
}

/// Appends `text` encoded, or gives up where that takes as many bytes as `text` or more: then `out` is as it was.
pub(super) fn encode_shorter(text: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // What is written may be longer than `text` by what the last word adds; a code has at most 30 bits.
    let (mut bits, mut count) = (0u64, 0u32);
    for &byte in text {
        let code = CODES[usize::from(byte)];
        let length = code as u8;
        bits = bits << length | code >> 8;
        count += u32::from(length);
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    if count > 0 {
        // Ones behind the last code, up to a whole word; only the bytes that are begun are kept.
        let word = ((bits << (32 - count)) as u32) | (u32::MAX.checked_shr(count).unwrap_or(0));
        out.extend_from_slice(&word.to_be_bytes()[..count.div_ceil(8) as usize]);
    }
    if out.len() - start < text.len() {
        return true;
    }
    out.truncate(start);
    false
}

/// How many bytes `text` has encoded.
pub(super) fn encoded_length(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| CODES[usize::from(byte)] as u8 as usize).sum();
    bits.div_ceil(8)
}
