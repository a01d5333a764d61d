use super::huffman::*;

fn decoded(input: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    decode(input, &mut out).ok().map(|()| out)
}

/// Encoded whatever that makes of the length.
fn encoded(text: &[u8]) -> Vec<u8> {
    // Twenty `0`, of five bits each, save more than any other text may take.
    let zeros = vec![b'0'; 8 * text.len() + 8];
    let mut out = Vec::new();
    assert!(encode_shorter(&[&zeros, text].concat(), &mut out));
    out.split_off(zeros.len() * 5 / 8)
}

#[test]
fn every_byte_and_every_pair_come_back() {
    for one in 0..=255u8 {
        for other in 0..=255u8 {
            let text = [one, other, one];
            let bytes = encoded(&text);
            assert_eq!(bytes.len(), encoded_length(&text));
            assert_eq!(decoded(&bytes).as_deref(), Some(&text[..]));
        }
    }
}

#[test]
fn long_texts_come_back_and_are_only_encoded_where_shorter() {
    let mut state = 3u64;
    for length in 0..400 {
        for printable in [true, false] {
            let text: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let byte = (state >> 40) as u8;
                    if printable { b' ' + byte % 95 } else { byte }
                })
                .collect();
            assert_eq!(decoded(&encoded(&text)).as_deref(), Some(&text[..]));
            let mut out = b"before".to_vec();
            let shorter = encode_shorter(&text, &mut out);
            assert_eq!(shorter, encoded_length(&text) < text.len());
            assert!(out.starts_with(b"before"));
            assert_eq!(out.len(), 6 + if shorter { encoded_length(&text) } else { 0 });
        }
    }
}

#[test]
fn padding_is_of_fewer_than_eight_ones() {
    // `0` is 00000, `&` is 11111000.
    assert_eq!(decoded(&[]).as_deref(), Some(&b""[..]));
    assert_eq!(decoded(&[0b0000_0111]).as_deref(), Some(&b"0"[..]));
    assert_eq!(decoded(&[0xf8]).as_deref(), Some(&b"&"[..]));
    for bad in [
        // Padding of zeros, or with one.
        &[0b0000_0000, 0b0000_0000][..],
        &[0b0000_0110],
        &[0b0000_0011],
        // Eight ones, and more.
        &[0xff],
        &[0b0000_0111, 0xff],
        &[0xf8, 0xff],
        &[0xf8, 0xff, 0xff],
        &[0xf8, 0xff, 0xff, 0xff],
        // EOS: thirty ones, and what looks like padding behind it.
        &[0xff, 0xff, 0xff, 0xfc],
        &[0xff, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xf8, 0xff, 0xff, 0xff, 0xff, 0xf8],
        // A long code that is cut off: `\\` is nineteen bits.
        &[0xff, 0xfe],
        &[0xff, 0xff, 0x00],
    ] {
        assert_eq!(decoded(bad), None, "{bad:x?}");
    }
}

#[test]
fn what_decodes_is_what_encodes_to_it() {
    let mut state = 9u64;
    let mut good = 0;
    for round in 0..200_000 {
        let length = 1 + round % 9;
        let input: Vec<u8> = (0..length)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as u8 | if state >> 62 == 0 { 0xff } else { 0 }
            })
            .collect();
        if let Some(text) = decoded(&input) {
            assert_eq!(encoded(&text), input);
            good += 1;
        }
    }
    assert!(good > 1000);
}
