//! Prefixes with values, found by the text they begin. Sorted, each with a link to the longest shorter one of the set:
//! a lookup is one binary search, then as many steps as prefixes match or nest.

/// An immutable map from prefixes to values.
#[derive(Debug)]
pub(super) struct PrefixMap<V> {
    /// Sorted by prefix; the third is the index of the longest other entry that this one begins with.
    entries: Vec<(Box<[u8]>, V, Option<usize>)>,
}

impl<V> PrefixMap<V> {
    /// Prefixes must be different from each other.
    pub(super) fn new(prefixes: impl IntoIterator<Item = (Box<[u8]>, V)>) -> Self {
        let mut entries: Vec<_> = prefixes.into_iter().map(|(prefix, value)| (prefix, value, None)).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        // The entries that the current one begins with, shortest first.
        let mut open: Vec<usize> = Vec::new();
        for at in 0..entries.len() {
            while open.last().is_some_and(|&last| !entries[at].0.starts_with(&entries[last].0)) {
                open.pop();
            }
            entries[at].2 = open.last().copied();
            open.push(at);
        }
        Self { entries }
    }

    /// The longest prefix that `text` begins with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<Found> {
        // Between a prefix and a text that begins with it there are only texts that begin with it too, so the nearest
        // entry before `text` is the match or has it among its links.
        let after = self.entries.partition_point(|entry| *entry.0 <= *text);
        let mut at = after.checked_sub(1)?;
        while !text.starts_with(&self.entries[at].0) {
            at = self.entries[at].2?;
        }
        Some(Found(at))
    }

    /// The next shorter prefix that the same text begins with.
    pub(super) fn shorter(&self, found: Found) -> Option<Found> {
        self.entries[found.0].2.map(Found)
    }

    /// The value of what was found in this map.
    pub(super) fn value(&self, found: Found) -> &V {
        &self.entries[found.0].1
    }
}

/// A place in the map that a lookup found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found(usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_prefix_is_found_as_by_plain_search() {
        let mut prefixes: Vec<String> =
            ["", "/", "/a", "/a/", "/a/b", "/ab", "/b/c", "/b/cd/e", "x", "xx"].map(str::to_owned).into();
        prefixes.extend((0..300).map(|n| format!("/n{n}")));
        let map = PrefixMap::new(prefixes.iter().map(|p| (p.as_bytes().into(), p.clone())));
        for text in ["", "/", "/a", "/a/b/c", "/abc", "/b/c", "/b/cz", "/b/cd", "/n29/x", "/n299", "xxx", "y", "\u{ff}"]
        {
            let first = map.longest(text.as_bytes());
            let found: Vec<_> =
                std::iter::successors(first, |&at| map.shorter(at)).map(|at| map.value(at).clone()).collect();
            let mut want: Vec<_> = prefixes.iter().filter(|p| text.starts_with(p.as_str())).cloned().collect();
            want.sort_by_key(|p| std::cmp::Reverse(p.len()));
            assert_eq!(found, want, "{text}");
        }
    }
}
