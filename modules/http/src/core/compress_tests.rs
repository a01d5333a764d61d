use super::compress::{Compressor, DEFAULT_TYPES, PREFERENCE, cost, default_level, is_compressible, levels};
use super::encoding::Coding;
use super::noise_tests::Noise;
use std::io::{Read as _, Write as _};

const CODINGS: [Coding; 4] = [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Identity];

/// All that can be decoded of `packed`, which may be cut off.
fn unpack(coding: Coding, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Gzip => {
            let mut decoder = flate2::write::GzDecoder::new(Vec::new());
            decoder.write_all(packed).expect("gzip");
            decoder.flush().expect("gzip");
            plain.append(decoder.get_mut());
        }
        Coding::Brotli => {
            // Its end is an error where the stream is cut off; what came before is what a client sees.
            let mut decoder = brotli::Decompressor::new(packed, 4096);
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = decoder.read(&mut buffer) {
                plain.extend_from_slice(&buffer[..length]);
            }
        }
        Coding::Zstd => {
            let mut decoder = zstd_safe::DCtx::create();
            let mut source = zstd_safe::InBuffer::around(packed);
            let mut buffer = vec![0; 64 << 10];
            loop {
                let mut target = zstd_safe::OutBuffer::around(&mut buffer[..]);
                decoder.decompress_stream(&mut target, &mut source).expect("zstd");
                plain.extend_from_slice(target.as_slice());
                if target.as_slice().is_empty() && source.pos() == packed.len() {
                    break;
                }
            }
        }
        Coding::Identity => plain.extend_from_slice(packed),
    }
    plain
}

/// As [`unpack`], but an end that is missing is an error.
fn unpack_whole(coding: Coding, packed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Gzip => drop(flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).expect("whole gzip")),
        Coding::Brotli => drop(brotli::Decompressor::new(packed, 4096).read_to_end(&mut plain).expect("whole brotli")),
        Coding::Zstd => {
            let size = usize::try_from(zstd_safe::decompress_bound(packed).expect("whole zstd")).expect("size");
            plain.reserve(size + 1);
            zstd_safe::decompress(&mut plain, packed).expect("whole zstd");
        }
        Coding::Identity => plain.extend_from_slice(packed),
    }
    plain
}

fn text(noise: &mut Noise, length: usize) -> Vec<u8> {
    let words: [&[u8]; 8] =
        [b"<p>", b"</p>\n", b"the ", b"proxy ", b"of ", b"a stream ", b"\"id\": 12345, ", b"lorem "];
    let mut out = Vec::with_capacity(length + 4096);
    while out.len() < length {
        out.extend_from_slice(&noise.text(&words, 100));
    }
    out.truncate(length);
    out
}

fn random(noise: &mut Noise, length: usize) -> Vec<u8> {
    (0..length).map(|_| (noise.next() >> 32) as u8).collect()
}

#[test]
fn every_level_decodes() {
    let mut noise = Noise::new(1);
    let plain = [text(&mut noise, 300_000), random(&mut noise, 50_000), text(&mut noise, 300_000)].concat();
    for coding in CODINGS {
        for level in 0..=20 {
            let mut compressor = Compressor::new(coding, level).expect("compressor");
            let mut packed = Vec::new();
            compressor.push(&plain, &mut packed).expect("push");
            assert!(compressor.held_by_c() <= cost(coding, level), "{coding:?} {level}: {}", compressor.held_by_c());
            compressor.finish(&mut packed).expect("finish");
            assert!(unpack_whole(coding, &packed) == plain, "{coding:?} {level}");
            assert!(coding == Coding::Identity || packed.len() < plain.len() / 2, "{coding:?} {level}");
        }
        let (least, most) = levels(coding);
        assert!((least..=most).contains(&default_level(coding)));
        assert!(cost(coding, default_level(coding)) < 512 << 10);
    }
}

#[test]
fn levels_are_clamped() {
    let mut noise = Noise::new(2);
    let plain = text(&mut noise, 100_000);
    for coding in CODINGS {
        let (least, most) = levels(coding);
        let pack = |level| {
            let mut out = Vec::new();
            let mut compressor = Compressor::new(coding, level).expect("compressor");
            compressor.push(&plain, &mut out).expect("push");
            compressor.finish(&mut out).expect("finish");
            out
        };
        assert_eq!(pack(0), pack(least));
        assert_eq!(pack(255), pack(most));
        assert!(pack(most).len() <= pack(least).len());
    }
}

#[test]
fn random_splits() {
    let mut noise = Noise::new(3);
    for round in 0..24 {
        for coding in CODINGS {
            let (least, most) = levels(coding);
            let level = least + (round % (u64::from(most - least) + 1)) as u8;
            let mut compressor = Compressor::new(coding, level).expect("compressor");
            let (mut plain, mut packed) = (Vec::new(), Vec::new());
            for _ in 0..noise.below(30) {
                let length = [0, 1, 7, 1000, 8192, 16_384, 40_000][noise.below(7)];
                let piece = if noise.below(4) == 0 { random(&mut noise, length) } else { text(&mut noise, length) };
                plain.extend_from_slice(&piece);
                compressor.push(&piece, &mut packed).expect("push");
                if noise.below(5) == 0 {
                    compressor.flush(&mut packed).expect("flush");
                    assert!(unpack(coding, &packed) == plain, "{coding:?} {level}");
                }
            }
            compressor.finish(&mut packed).expect("finish");
            assert!(unpack_whole(coding, &packed) == plain, "{coding:?} {level}");
        }
    }
}

#[test]
fn flush_shows_every_event() {
    for coding in CODINGS {
        let mut compressor = Compressor::new(coding, default_level(coding)).expect("compressor");
        let (mut plain, mut packed) = (Vec::new(), Vec::new());
        for number in 0..200 {
            let event = format!("id: {number}\ndata: hello\n\n");
            plain.extend_from_slice(event.as_bytes());
            compressor.push(event.as_bytes(), &mut packed).expect("push");
            compressor.flush(&mut packed).expect("flush");
            assert_eq!(unpack(coding, &packed), plain, "{coding:?} {number}");
            let length = packed.len();
            compressor.flush(&mut packed).expect("flush");
            assert_eq!(packed.len(), length, "a second flush adds nothing");
        }
        compressor.finish(&mut packed).expect("finish");
        assert_eq!(unpack_whole(coding, &packed), plain);
    }
}

#[test]
fn flush_into_any_room() {
    let mut noise = Noise::new(4);
    for spare in 0..300 {
        for coding in CODINGS {
            let plain = random(&mut noise, 200);
            let mut compressor = Compressor::new(coding, 1).expect("compressor");
            let mut packed = Vec::with_capacity(spare);
            compressor.push(&plain, &mut packed).expect("push");
            compressor.flush(&mut packed).expect("flush");
            assert_eq!(unpack(coding, &packed), plain);
        }
    }
}

#[test]
fn empty() {
    for coding in CODINGS {
        for flushed in [false, true] {
            let mut compressor = Compressor::new(coding, 3).expect("compressor");
            let mut packed = b"before".to_vec();
            compressor.push(b"", &mut packed).expect("push");
            if flushed {
                compressor.flush(&mut packed).expect("flush");
            }
            assert_eq!(packed, b"before");
            compressor.finish(&mut packed).expect("finish");
            assert_eq!(unpack_whole(coding, &packed[6..]), b"");
            assert_eq!(packed.len() > 6, coding != Coding::Identity);
        }
    }
}

#[test]
fn ten_mebibytes() {
    let mut noise = Noise::new(5);
    let plain = text(&mut noise, 10 << 20);
    for coding in CODINGS {
        let mut compressor = Compressor::new(coding, default_level(coding)).expect("compressor");
        let (mut packed, mut most) = (Vec::new(), 0);
        for piece in plain.chunks(16 << 10) {
            let before = packed.len();
            compressor.push(piece, &mut packed).expect("push");
            most = most.max(packed.len() - before);
        }
        compressor.finish(&mut packed).expect("finish");
        assert!(most <= 96 << 10, "{coding:?}: output comes as the input does, {most} at once");
        assert!(unpack_whole(coding, &packed) == plain, "{coding:?}");
    }
}

#[test]
fn noise_hardly_grows() {
    let mut noise = Noise::new(6);
    let plain = random(&mut noise, 1 << 20);
    for coding in CODINGS {
        let mut compressor = Compressor::new(coding, 255).expect("compressor");
        let mut packed = Vec::new();
        compressor.push(&plain, &mut packed).expect("push");
        compressor.finish(&mut packed).expect("finish");
        assert!(packed.len() < plain.len() + plain.len() / 500 + 100, "{coding:?} {}", packed.len());
    }
}

#[test]
fn moves_between_threads() {
    fn check<T: Send>() {}
    check::<Compressor>();
    assert_eq!(format!("{:?}", Compressor::new(Coding::Zstd, 1).expect("compressor")).split(',').next(), {
        Some("Compressor { coding: Zstd")
    });
    assert_eq!(PREFERENCE.last(), Some(&Coding::Identity));
}

#[test]
fn types() {
    for (value, want) in [
        ("text/html", true),
        ("TEXT/HTML; charset=utf-8", true),
        ("text/event-stream", true),
        ("application/json", true),
        ("application/problem+json", true),
        ("image/svg+xml", true),
        ("image/png", false),
        ("application/octet-stream", false),
        ("textual/html", false),
        ("text", false),
        ("", false),
    ] {
        assert_eq!(is_compressible(value.as_bytes(), &DEFAULT_TYPES), want, "{value}");
    }
    let own = ["text/html".to_owned(), "font/*".to_owned()];
    for (value, want) in [("text/html;x=y", true), ("text/plain", false), ("Font/woff", true), ("fonts/woff", false)] {
        assert_eq!(is_compressible(value.as_bytes(), &own), want, "{value}");
    }
}
