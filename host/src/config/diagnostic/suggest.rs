//! Finds the word that was meant.

/// The candidate that `word` most likely misspells; `None`: none is near. Of equals, the first.
///
/// Near: at most a third of the word differs, or the word misspells the beginning of a longer candidate by at most a quarter.
/// Case and `-` for `_` count as no difference.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer than any name there is; the distance is quadratic.
    if word.is_empty() || word.len() > 128 {
        return None;
    }
    let plain = normal(word);
    let len = plain.chars().count();
    let mut best: Option<(f64, &str)> = None;
    for candidate in candidates {
        if candidate == word || candidate.len() > 128 {
            continue;
        }
        let other = normal(candidate);
        let whole = strsim::damerau_levenshtein(&plain, &other);
        let near = whole * 3 <= len.max(3) || {
            let start: String = other.chars().take(len).collect();
            len >= 4 && other.chars().count() > len && strsim::damerau_levenshtein(&plain, &start) * 4 <= len
        };
        let score = strsim::jaro_winkler(&plain, &other);
        if near && best.is_none_or(|(top, _)| score > top) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn normal(word: &str) -> String {
    word.to_lowercase().replace('-', "_")
}
