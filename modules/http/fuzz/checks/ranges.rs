//! `Range`.

use super::trim;
use anyproxy_http::core::range::{self, Multipart, Ranges};

/// Whether `header`, which is well-formed, asks for byte `at` of `len`.
fn asks_for(header: &str, at: u128, len: u128) -> bool {
    header.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()).any(|member| {
        let (first, last) = member.split_once('-').expect("a dash");
        // A number too large for this one is beyond every length.
        let number = |text: &str| text.parse::<u128>().unwrap_or(u128::MAX);
        match (first, last) {
            ("", size) => len.saturating_sub(number(size)) <= at,
            (first, "") => number(first) <= at,
            (first, last) => (number(first)..=number(last)).contains(&at),
        }
    })
}

/// `Range`: what comes of it lies within the representation, is disjoint, and is what was asked for.
pub(crate) fn range(input: &[u8]) -> bool {
    let mut accepted = false;
    for most in [0, 1, 3, 100] {
        // Whether a header is well-formed has nothing to do with the file.
        let ignored = range::parse(input, 1, most) == Ranges::Ignore;
        for len in [0, 1, 10, 1000, u64::MAX] {
            let ranges = match range::parse(input, len, most) {
                Ranges::Ignore => {
                    assert!(ignored || len == 0);
                    continue;
                }
                ranges => {
                    assert!(!ignored && most > 0);
                    assert_eq!(range::parse(input, len, 1000), ranges, "more would have been allowed");
                    ranges
                }
            };
            let header = std::str::from_utf8(trim(input)).expect("digits, dashes and commas").split_once('=');
            let header = header.expect("an equals sign").1;
            let Ranges::Some(ranges) = ranges else {
                assert!((0..u128::from(len.min(10))).all(|at| !asks_for(header, at, len.into())));
                continue;
            };
            accepted = true;
            assert!(!ranges.is_empty() && ranges.len() <= most);
            assert!(ranges.iter().all(|&(start, end)| start < end && end <= len));
            let mut sorted = ranges.clone();
            sorted.sort_unstable();
            assert!(sorted.windows(2).all(|pair| pair[0].1 < pair[1].0), "{ranges:?}");
            // Each edge, and what lies beside it.
            let edges =
                ranges.iter().flat_map(|&(start, end)| [start.checked_sub(1), Some(start), Some(end - 1), Some(end)]);
            for at in edges.flatten().filter(|&at| at < len) {
                let served = ranges.iter().any(|&(start, end)| (start..end).contains(&at));
                assert_eq!(served, asks_for(header, at.into(), len.into()), "{at} of {len}");
            }
            // Asked for in the words of the answer, the same comes again.
            let words: Vec<_> = ranges.iter().map(|&(start, end)| format!("{start}-{}", end - 1)).collect();
            let value = format!("bytes={}", words.join(","));
            assert_eq!(range::parse(value.as_bytes(), len, most), Ranges::Some(ranges.clone()));
            for (word, &(start, end)) in words.iter().zip(&ranges) {
                assert_eq!(range::content_range(start, end, len), format!("bytes {word}/{len}"));
            }
            let parts = Multipart::new("b", Some("text/plain"), len).expect("a good boundary");
            let heads =
                ranges.iter().enumerate().map(|(index, &range)| parts.part_head(index == 0, range).len() as u64);
            let bytes = ranges.iter().map(|&(start, end)| end - start).sum::<u64>();
            let total = bytes.checked_add(heads.sum::<u64>() + parts.closing().len() as u64);
            assert_eq!(parts.content_length(&ranges), total);
        }
    }
    accepted
}
