use super::super::block::Block;
use super::*;

type Fields<'a> = &'a [(&'a str, &'a str)];

fn encode(encoder: &mut Encoder, fields: Fields<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        assert_eq!(encoder.field(name.as_bytes(), value.as_bytes(), false, &mut out), Ok(()));
    }
    encoder.end(&mut out);
    out
}

/// Encodes and decodes, and returns how long that was.
fn through(encoder: &mut Encoder, decoder: &mut Decoder, fields: Fields<'_>) -> usize {
    let bytes = encode(encoder, fields);
    let mut block = Block::new(1 << 20, 1000);
    decoder.decode(&bytes, &mut block).unwrap();
    let lower: Vec<_> = fields.iter().map(|(name, value)| (name.to_lowercase(), *value)).collect();
    let expected: Vec<_> = lower.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    assert_eq!(block.iter().collect::<Vec<_>>(), expected);
    assert!(!block.is_malformed());
    bytes.len()
}

#[test]
fn a_field_that_repeats_takes_one_byte() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let fields: Fields<'_> =
        &[("Server", "x"), ("X-Custom-Name-That-Is-Long", "some value"), ("content-type", "text/plain")];
    for _ in 0..2 {
        assert!(through(&mut encoder, &mut decoder, fields) > 10);
    }
    for _ in 0..10 {
        assert_eq!(through(&mut encoder, &mut decoder, fields), fields.len());
    }
}

#[test]
fn what_changes_each_time_does_not_push_out_what_repeats() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for round in 0..1000 {
        let id = format!("{round:040}");
        let fields: Fields<'_> = &[("server", "x"), ("x-request-id", &id)];
        let length = through(&mut encoder, &mut decoder, fields);
        assert!(round < 2 || length < 60);
        let mut out = Vec::new();
        let mut encoder = encoder.clone();
        encoder.begin(&mut out);
        assert_eq!(encoder.field(b"server", b"x", false, &mut out), Ok(()));
        encoder.end(&mut out);
        assert!(round < 2 || out.len() == 1, "evicted in round {round}");
    }
}

#[test]
fn some_fields_are_never_in_the_table() {
    for name in ["content-length", "set-cookie", "etag", "location", "authorization", "Cookie"] {
        let mut encoder = Encoder::new();
        let first = encode(&mut encoder, &[(name, "12345678")]);
        for _ in 0..3 {
            assert_eq!(encode(&mut encoder, &[(name, "12345678")]), first);
        }
        assert_eq!(first[0] & 0xf0, if name == "authorization" { 0x10 } else { 0 }, "{name}");
    }
    let mut encoder = Encoder::new();
    for _ in 0..3 {
        let mut out = Vec::new();
        assert_eq!(encoder.field(b"server", b"x", true, &mut out), Ok(()));
        assert_eq!(out[0] & 0xf0, 0x10);
    }
}

#[test]
fn names_and_values_of_any_kind_come_through() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut state = 5u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let long = "v".repeat(3000);
    let names =
        ["a", "B", "te", "host", "x-forwarded-for", "ACCEPT", "accept-encoding", "a^", "a~", "x-a-very-long-name-0123"];
    let values =
        ["", "x", "trailers", "gzip, deflate", "\u{e9}", "0123456789abcdef", &long, &long[..126], &long[..127]];
    for _ in 0..3000 {
        if below(20) == 0 {
            let size = [0, 40, 100, 4096, 8192][below(5)];
            encoder.allowed(size);
            encoder.allowed([4096, size][below(2)]);
            if below(3) == 0 {
                encode(&mut encoder, &[("lost", "x"), ("lost", "x"), ("lost", "x")]);
                encoder.forget();
            }
        }
        let fields: Vec<_> = (0..below(8))
            .map(|_| {
                let name = names[below(names.len())];
                (name, if name == "te" { "trailers" } else { values[below(values.len())] })
            })
            .filter(|(name, _)| *name != "host")
            .collect();
        through(&mut encoder, &mut decoder, &fields);
    }
}

#[test]
fn pseudo_headers() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for round in 0..4 {
        for status in [100, 103, 200, 204, 206, 304, 400, 404, 418, 500, 999] {
            let (mut out, mut block) = (Vec::new(), Block::new(1000, 10));
            assert_eq!(encoder.status(status, &mut out), Ok(()));
            decoder.decode(&out, &mut block).unwrap();
            assert_eq!(block.status(), Some(status));
            assert!(round < 2 || out.len() == 1, "{status}");
        }
        for (method, scheme, path) in [("GET", "http", "/"), ("POST", "https", "/index.html"), ("PUT", "x", "/a?b")] {
            let (mut out, mut block) = (Vec::new(), Block::new(1000, 10));
            assert_eq!(encoder.method(method.as_bytes(), &mut out), Ok(()));
            assert_eq!(encoder.scheme(scheme.as_bytes(), &mut out), Ok(()));
            assert_eq!(encoder.authority(b"example.com:80", &mut out), Ok(()));
            assert_eq!(encoder.path(path.as_bytes(), &mut out), Ok(()));
            assert_eq!(encoder.protocol(b"websocket", &mut out), Ok(()));
            decoder.decode(&out, &mut block).unwrap();
            assert_eq!(block.method(), Some(method.as_bytes()));
            assert_eq!(block.scheme(), Some(scheme.as_bytes()));
            assert_eq!(block.authority(), Some(&b"example.com:80"[..]));
            assert_eq!(block.path(), Some(path.as_bytes()));
            assert_eq!(block.protocol(), Some(&b"websocket"[..]));
        }
    }
    let mut out = Vec::new();
    assert_eq!(encoder.status(99, &mut out), Err(BadField::Value));
    assert_eq!(encoder.status(1000, &mut out), Err(BadField::Value));
    assert_eq!(encoder.path(b"a", &mut out), Err(BadField::Value));
    assert_eq!(encoder.method(b"", &mut out), Err(BadField::Value));
    assert!(out.is_empty());
}

#[test]
fn what_the_peer_could_not_take_is_not_sent() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    for _ in 0..3 {
        for name in ["", "a b", "a:", ":status", ":path", "\u{e9}", "a\r\n"] {
            assert_eq!(encoder.field(name.as_bytes(), b"200", false, &mut out), Err(BadField::Name), "{name}");
        }
        for value in [" a", "a ", "a\nb", "\r", "a\0b", "\x7f"] {
            assert_eq!(encoder.field(b"x", value.as_bytes(), false, &mut out), Err(BadField::Value), "{value}");
        }
    }
    assert!(out.is_empty());
}

#[test]
fn a_block_that_begins_as_the_last_one_is_the_same_for_the_peer() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let mut state = 11u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % limit
    };
    let long = "l".repeat(600);
    let dates = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"];
    let fields: [(u8, &str, &[&str]); 6] = [
        (54, "Server", &["x"]),
        (33, "Date", &dates),
        (0, "X-Custom", &["a", "b", &long]),
        (31, "Content-Type", &["text/plain", "text/html"]),
        (28, "Content-Length", &["1", "22", "22"]),
        (34, "ETag", &["\"a\"", "\"b\""]),
    ];
    let mut one_byte_each = 0;
    for round in 0..5000 {
        let (mut out, mut expected) = (Vec::new(), Vec::new());
        let status = [200, 200, 200, 302][below(4)];
        encoder.begin(&mut out);
        assert_eq!(encoder.status(status, &mut out), Ok(()));
        let count = if below(4) == 0 { below(fields.len() + 1) } else { fields.len() };
        for (index, name, values) in &fields[..count] {
            let value = values[if below(6) == 0 { below(values.len()) } else { 0 }];
            let sensitive = below(50) == 0;
            let written = if *index == 0 || round % 100 < 50 {
                encoder.field(name.as_bytes(), value.as_bytes(), sensitive, &mut out)
            } else {
                encoder.known(*index, value.as_bytes(), sensitive, &mut out)
            };
            assert_eq!(written, Ok(()));
            expected.push((name.to_lowercase(), value, sensitive));
            if below(100) == 0 {
                assert_eq!(encoder.field(b"x", b" bad", false, &mut out), Err(BadField::Value));
            }
        }
        encoder.end(&mut out);
        let mut block = Block::new(1 << 20, 100);
        decoder.decode(&out, &mut block).unwrap();
        assert_eq!(block.status(), Some(status));
        let told: Vec<_> = block.fields().iter().map(|at| (block.name(at), block.value(at), at.sensitive)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(name, value, s)| (name.as_bytes(), value.as_bytes(), *s)).collect();
        assert_eq!(told, expected);
        one_byte_each += usize::from(out.len() < 15);
        match below(40) {
            0 => encoder.allowed([0, 100, 4096][below(3)]),
            1 => encoder.forget(),
            _ => {}
        }
    }
    assert!(one_byte_each > 500);
    assert!(encoder.held() < 16_000, "{}", encoder.held());
}

#[test]
fn a_name_by_its_index() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    for index in [0, 1, 2, 3, 4, 8, 14, 62, 255] {
        assert_eq!(encoder.known(index, b"200", false, &mut out), Err(BadField::Name), "{index}");
    }
    assert_eq!(encoder.known(54, b" x", false, &mut out), Err(BadField::Value));
    assert!(out.is_empty());
}
