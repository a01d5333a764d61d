//! Prefixes with values, found by the text they begin. Sorted, each with a link to the longest shorter one of the set:
//! a lookup is one binary search, by words where those tell, then as many steps as prefixes match or nest.

/// An immutable map from prefixes to values.
#[derive(Debug)]
pub(super) struct PrefixMap<V> {
    /// Sorted by prefix; the third is the index of the longest other entry that this one begins with.
    entries: Vec<(Box<[u8]>, V, Option<usize>)>,
    /// How all of them begin.
    common: usize,
    /// What follows that in each, as a number of the same order.
    words: Vec<u64>,
}

/// The first eight bytes. Texts with different ones are in their order; zeros stand for what is not there.
fn word(text: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    match text.first_chunk() {
        Some(all) => bytes = *all,
        None => bytes.iter_mut().zip(text).for_each(|(to, byte)| *to = *byte),
    }
    u64::from_be_bytes(bytes)
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
        let common = match (entries.first(), entries.last()) {
            // Whatever lies between two texts begins as both of them do.
            (Some(first), Some(last)) => first.0.iter().zip(&last.0).take_while(|(a, b)| a == b).count(),
            _ => 0,
        };
        let words = entries.iter().map(|entry| word(&entry.0[common..])).collect();
        Self { entries, common, words }
    }

    /// The longest prefix that `text` begins with.
    pub(super) fn longest(&self, text: &[u8]) -> Option<Found> {
        // Between a prefix and a text that begins with it there are only texts that begin with it too, so the nearest
        // entry before `text` is the match or has it among its links.
        let mut at = self.after(text)?.checked_sub(1)?;
        while !text.starts_with(&self.entries[at].0) {
            at = self.entries[at].2?;
        }
        Some(Found(at))
    }

    /// How many entries are not behind `text` in the order of texts. `None`: it does not begin as all of them do.
    fn after(&self, text: &[u8]) -> Option<usize> {
        let common = &self.entries.first()?.0[..self.common];
        let rest = text.strip_prefix(common)?;
        let key = word(rest);
        let from = self.words.partition_point(|word| *word < key);
        if self.words.get(from) != Some(&key) {
            return Some(from);
        }
        let same = self.words[from..].partition_point(|word| *word == key);
        Some(from + self.entries[from..from + same].partition_point(|entry| entry.0[self.common..] <= *rest))
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
        check(&prefixes, &map);
        // All begin alike, some go on alike for more than a word, some differ in what fills a word up.
        let alike = [
            "/shop/",
            "/shop/products/",
            "/shop/products/a",
            "/shop/products/b",
            "/shop/p\0",
            "/shop/p",
            "/shop/p\0\0",
        ];
        let prefixes = alike.map(str::to_owned);
        let map = PrefixMap::new(prefixes.iter().map(|p| (p.as_bytes().into(), p.clone())));
        assert_eq!(map.common, 6);
        check(&prefixes, &map);
        check(&[], &PrefixMap::new([]));
        let one = ["/only/one".to_owned()];
        check(&one, &PrefixMap::new([(one[0].as_bytes().into(), one[0].clone())]));
    }

    fn check(prefixes: &[String], map: &PrefixMap<String>) {
        let few = ["", "/", "/a", "/a/b/c", "/abc", "/b/c", "/b/cz", "/b/cd", "/n29/x", "/n299", "xxx", "y", "\u{ff}"];
        let shop = ["/shop", "/shop/", "/shop/p", "/shop/p\0", "/shop/p\0\0\0", "/shop/p\u{1}", "/shop/products/aa"];
        let others = ["/shop/products/0", "/shop/product", "/shop/products/c", "/only/one", "/only/one/", "/only/ones"];
        let own = prefixes.iter().map(String::as_str);
        for text in few.into_iter().chain(shop).chain(others).chain(own) {
            let first = map.longest(text.as_bytes());
            let found: Vec<_> =
                std::iter::successors(first, |&at| map.shorter(at)).map(|at| map.value(at).clone()).collect();
            let mut want: Vec<_> = prefixes.iter().filter(|p| text.starts_with(p.as_str())).cloned().collect();
            want.sort_by_key(|p| std::cmp::Reverse(p.len()));
            assert_eq!(found, want, "{text}");
        }
    }
}
