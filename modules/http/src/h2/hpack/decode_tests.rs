use super::super::block::Block;
use super::rfc7541_tests::fields;
use super::*;

fn decode(decoder: &mut Decoder, input: &[u8]) -> Result<Block, Corrupt> {
    let mut block = Block::new(1000, 10);
    decoder.decode(input, &mut block).map(|()| block)
}

#[test]
fn what_is_no_block_is_refused() {
    for bad in [
        // Index 0, and one behind the table.
        &[0x80][..],
        &[0xbe],
        &[0x7e, 0x01, b'a'],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
        // Cut off.
        &[0x40],
        &[0x40, 0x01],
        &[0x40, 0x01, b'a'],
        &[0x40, 0x01, b'a', 0x02, b'b'],
        &[0xff],
        &[0x40, 0x81],
        // A string of 2^28 bytes, and bad Huffman code.
        &[0x40, 0x7f, 0x80, 0xff, 0xff, 0x7f, b'a'],
        &[0x40, 0x81, 0xff, 0x00],
        // A size behind a field, or above what is allowed.
        &[0x82, 0x20],
        &[0x3f, 0xe2, 0x1f],
    ] {
        assert!(decode(&mut Decoder::new(4096), bad).is_err(), "{bad:x?}");
    }
    assert!(decode(&mut Decoder::new(4096), &[0x3f, 0xe1, 0x1f, 0x20, 0x3f, 0xe1, 0x1f, 0x82]).is_ok());
}

#[test]
fn a_smaller_table_must_be_accepted_in_the_next_block() {
    let insert = [0x40, 1, b'a', 1, b'b'];
    let mut decoder = Decoder::new(64);
    // Before the acknowledgement, the initial size counts.
    assert!(decode(&mut decoder, &insert).is_ok() && decode(&mut decoder, &[0xbe]).is_ok());
    decoder.acknowledged(64);
    assert!(decode(&mut decoder.clone(), &[0xbe]).is_err());
    assert!(decode(&mut decoder.clone(), &[0x3f, 0x22]).is_err());
    assert!(decode(&mut decoder, &[0x3f, 0x21, 0xbe]).is_ok());
    assert!(decode(&mut decoder, &[0x20]).is_ok());
    assert!(decode(&mut decoder, &[0xbe]).is_err());
    // Entries that do not fit are sent all the same.
    let large = [&[0x40, 1, b'a', 40][..], &[b'b'; 40]].concat();
    let block = decode(&mut decoder, &[&[0x3f, 0x21][..], &large].concat()).unwrap();
    assert_eq!(block.fields().len(), 1);
    assert!(decode(&mut decoder, &[0xbe]).is_err());
}

#[test]
fn a_list_that_is_too_large_keeps_the_tables_in_step() {
    let mut decoder = Decoder::new(4096);
    let large = [&[0x40, 1, b'a', 0x7f, 0x81, 0x05][..], &[b'b'; 768]].concat();
    let mut block = Block::new(1000, 10);
    decoder.decode(&large, &mut block).unwrap();
    assert!(!block.is_too_large());
    // A bomb: each byte stands for 800. Nothing is kept of what is too much.
    let bomb = [&[0xbe; 10_000][..], &[0x40, 1, b'c', 1, b'd']].concat();
    decoder.decode(&bomb, &mut block).unwrap();
    assert!(block.is_too_large() && block.bytes().len() <= 1000);
    let block = decode(&mut decoder, &[0xbe, 0xbf]).unwrap();
    assert_eq!(fields(&block)[0], ("c".to_owned(), "d".to_owned()));
    // Too many, though small.
    assert!(decode(&mut decoder, &[0xbe; 10]).is_ok_and(|block| !block.is_too_large()));
    assert!(decode(&mut decoder, &[0xbe; 11]).is_ok_and(|block| block.is_too_large() && block.fields().len() == 10));
}

#[test]
fn what_a_table_has_is_judged_each_time() {
    for (name, value, malformed) in [
        ("x", "a", false),
        ("X", "a", true),
        ("", "a", true),
        ("a b", "a", true),
        ("x", "a\nb", true),
        ("x", " a", true),
        (":x", "a", true),
        (":path", "a", true),
        ("connection", "close", true),
        ("te", "trailers", false),
        ("te", "gzip", true),
        ("Content-Length", "1", true),
        ("content-length", "x", true),
    ] {
        let mut decoder = Decoder::new(4096);
        let literal = [&[0x40, name.len() as u8][..], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat();
        assert_eq!(decode(&mut decoder, &literal).unwrap().is_malformed(), malformed, "{name}: {value}");
        assert_eq!(decode(&mut decoder, &[0xbe]).unwrap().is_malformed(), malformed, "{name}: {value}");
        // The name with another value.
        let malformed = !matches!(name, "x");
        assert_eq!(decode(&mut decoder, &[0x7e, 1, b'b']).unwrap().is_malformed(), malformed, "{name}");
    }
}
