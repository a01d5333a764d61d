use super::websocket::accept;

#[test]
fn the_examples_of_the_rfc() {
    assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    // Section 4.1: four bits are set behind the last byte.
    assert!(accept(b"AQIDBAUGBwgJCgsMDQ4PEC==").is_some());
}

#[test]
fn what_is_no_key_has_no_answer() {
    for key in [
        &b""[..],
        b"==",
        b"dGhlIHNhbXBsZSBub25jZQ",
        b"dGhlIHNhbXBsZSBub25jZ===",
        b"dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ==",
        b"dGhlIHNhbXBsZSBub25j Q==",
        b"dGhlIHNhbXBsZSBub25-ZQ==",
        b"dGhlIHNhbXBsZSBub25jZQA=",
    ] {
        assert_eq!(accept(key), None, "{:?}", String::from_utf8_lossy(key));
    }
}
