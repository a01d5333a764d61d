//! `Accept-Encoding`.

use anyproxy_http::core::encoding::{Coding, negotiate, parse_weight, type_matches};

/// `Accept-Encoding`: the choice is one that the server has and the client accepts, and others on offer do not matter to
/// a client that would not take them.
pub(crate) fn accept_encoding(input: &[u8]) -> bool {
    const ALL: [Coding; 4] = [Coding::Gzip, Coding::Brotli, Coding::Zstd, Coding::Identity];
    let pairs = ALL.map(|first| ALL.map(|second| negotiate(Some(input), &[first, second])));
    let alone = |coding: Coding| pairs[coding as usize][coding as usize].is_some();
    let twice = [input, b",", input].concat();
    let spread = [b" ,, ", input, b"\t,"].concat();
    let capitals = input.to_ascii_uppercase();
    for subset in 0..16 {
        let mut available: Vec<_> = ALL.into_iter().filter(|&coding| subset >> coding as u32 & 1 == 1).collect();
        for _ in 0..2 {
            let chosen = negotiate(Some(input), &available);
            match available.iter().position(|&coding| Some(coding) == chosen) {
                // It would be chosen before each other one, too, if there were no third.
                Some(place) => {
                    let coding = available[place] as usize;
                    assert!(alone(available[place]));
                    assert!(available[..place].iter().all(|&other| pairs[other as usize][coding] == chosen));
                    assert!(available[place..].iter().all(|&other| pairs[coding][other as usize] == chosen));
                }
                None => assert!(chosen.is_none() && !available.iter().any(|&coding| alone(coding))),
            }
            available.reverse();
        }
    }
    for same in [&twice, &spread, &capitals] {
        assert_eq!(negotiate(Some(same), &ALL), negotiate(Some(input), &ALL));
        assert_eq!(
            ALL.map(|coding| negotiate(Some(same), &[coding])),
            ALL.map(|coding| negotiate(Some(input), &[coding]))
        );
    }
    // What is not named is not sent.
    let names = |name: &[u8]| capitals.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name));
    for coding in ALL {
        assert_eq!(Coding::from_name(coding.name().as_bytes()), Some(coding));
        // The first of two weights counts.
        for (weight, acceptable) in [("0", false), ("0.001", true)] {
            let value = [format!("{};q={weight},", coding.name()).as_bytes(), input].concat();
            assert_eq!(negotiate(Some(&value), &[coding]).is_some(), acceptable);
        }
        assert!(!alone(coding) || coding == Coding::Identity || names(b"*") || names(coding.name().as_bytes()));
    }
    assert!(alone(Coding::Identity) || names(b"identity") || names(b"*"));

    for weight in input.split(|byte| b",;=".contains(byte)) {
        if let Some(thousandths) = parse_weight(weight) {
            assert!(thousandths <= 1000 && weight.len() <= 5);
            let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
            assert_eq!(parse_weight(text.as_bytes()), Some(thousandths));
        }
    }
    let any = type_matches(input, &["*/*"]);
    for pattern in ["text/*", "application/json", "application/*+xml"] {
        let matched = type_matches(input, &[pattern]);
        assert!(any || !matched);
        assert_eq!(type_matches(&capitals, &[pattern]), matched);
    }
    let text = String::from_utf8_lossy(input);
    // A type without parameters is a pattern for itself.
    assert!(!any || text.contains([';', ' ', '\t']) || type_matches(input, &[&text]));
    ALL[..3].iter().any(|&coding| alone(coding))
}
