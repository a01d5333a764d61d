//! The examples of RFC 7541 Appendix C, those of integers aside.

use super::super::block::Block;
use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// All fields of a block, pseudo headers first.
pub(super) fn fields(block: &Block) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let status = block.status().map(|status| status.to_string());
    let pseudo = [
        (":status", status.as_deref().map(str::as_bytes)),
        (":method", block.method()),
        (":scheme", block.scheme()),
        (":path", block.path()),
        (":authority", block.authority()),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, value)| Some((name.to_owned(), text(value?))));
    pseudo.chain(block.iter().map(|(name, value)| (text(name), text(value)))).collect()
}

fn decoded(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<(String, String)>, Corrupt> {
    let mut fields_of = Block::new(1 << 16, 100);
    decoder.decode(block, &mut fields_of)?;
    Ok(fields(&fields_of))
}

fn list(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Decodes a block; then the table must be that, from the newest entry on.
fn example(decoder: &mut Decoder, hex: &str, expected: &[(&str, &str)], table: &[(&str, &str)]) {
    assert_eq!(decoded(decoder, &bytes(hex)), Ok(list(expected)));
    for (index, field) in table.iter().enumerate() {
        assert_eq!(decoded(decoder, &[0x80 | (62 + index) as u8]), Ok(list(&[*field])));
    }
    assert!(decoded(decoder, &[0x80 | (62 + table.len()) as u8]).is_err());
    let size = table.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>();
    assert_eq!(decoder.table_size() as usize, size);
}

#[test]
fn c_2_representations() {
    let mut decoder = Decoder::new(4096);
    let custom = [("custom-key", "custom-header")];
    example(&mut decoder, "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", &custom, &custom);
    let mut decoder = Decoder::new(4096);
    example(&mut decoder, "040c 2f73 616d 706c 652f 7061 7468", &[(":path", "/sample/path")], &[]);
    let secret = "1008 7061 7373 776f 7264 0673 6563 7265 74";
    example(&mut decoder, secret, &[("password", "secret")], &[]);
    example(&mut decoder, "82", &[(":method", "GET")], &[]);
    let mut block = Block::new(1000, 10);
    assert_eq!(decoder.decode(&bytes(secret), &mut block), Ok(()));
    assert!(block.fields()[0].sensitive);
}

const AUTHORITY: (&str, &str) = (":authority", "www.example.com");
const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");
const CUSTOM: (&str, &str) = ("custom-key", "custom-value");

fn requests(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(4096);
    let (get, http, https) = ((":method", "GET"), (":scheme", "http"), (":scheme", "https"));
    example(&mut decoder, blocks[0], &[get, http, (":path", "/"), AUTHORITY], &[AUTHORITY]);
    let second = [get, http, (":path", "/"), AUTHORITY, NO_CACHE];
    example(&mut decoder, blocks[1], &second, &[NO_CACHE, AUTHORITY]);
    let third = [get, https, (":path", "/index.html"), AUTHORITY, CUSTOM];
    example(&mut decoder, blocks[2], &third, &[CUSTOM, NO_CACHE, AUTHORITY]);
}

#[test]
fn c_3_requests() {
    requests([
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ]);
}

#[test]
fn c_4_requests_with_huffman_coding() {
    requests([
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ]);
}

/// With a table of 256 bytes, so that entries are evicted.
fn responses(blocks: [&str; 3]) {
    let mut decoder = Decoder::new(4096);
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let later = ("date", "Mon, 21 Oct 2013 20:13:22 GMT");
    let (private, location) = (("cache-control", "private"), ("location", "https://www.example.com"));
    let (found, temporary, ok) = ((":status", "302"), (":status", "307"), (":status", "200"));
    let cookie = ("set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1");
    let gzip = ("content-encoding", "gzip");
    let first = format!("3fe1 01 {}", blocks[0]);
    example(&mut decoder, &first, &[found, private, date, location], &[location, date, private, found]);
    example(&mut decoder, blocks[1], &[temporary, private, date, location], &[temporary, location, date, private]);
    example(&mut decoder, blocks[2], &[ok, private, later, location, gzip, cookie], &[cookie, gzip, later]);
}

#[test]
fn c_5_responses() {
    responses([
        "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d
         546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f
         6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b
         2076 6572 7369 6f6e 3d31",
    ]);
}

#[test]
fn c_6_responses_with_huffman_coding() {
    responses([
        "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7
         8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ]);
}
