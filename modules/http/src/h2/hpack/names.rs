//! Field names that mean something here or to HPACK, as small numbers. Owns how a name is recognised and which values
//! it may have.

use super::super::text;
use super::stat;

/// What a name is to the rules about messages (RFC 9113 section 8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Method,
    Scheme,
    Authority,
    Path,
    Status,
    Protocol,
    ContentLength,
    Host,
    Te,
    /// One that no message may have: specific to a connection, an unknown pseudo header, or no name at all.
    Forbidden,
    /// Any other.
    #[default]
    Field,
}

impl Kind {
    /// How many kinds of pseudo header there are: those in front.
    pub(crate) const PSEUDO: usize = Self::ContentLength as usize;

    #[inline]
    pub(crate) const fn is_pseudo(self) -> bool {
        (self as usize) < Self::PSEUDO
    }

    /// Whether a field of this kind may have `value`.
    pub(super) fn allows(self, value: &[u8]) -> bool {
        match self {
            Self::Method => text::is_token(value),
            Self::Scheme => {
                let scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                value.first().is_some_and(u8::is_ascii_alphabetic) && value.iter().all(scheme)
            }
            // User information must not be there (RFC 9113 section 8.3.1).
            Self::Authority => !value.is_empty() && text::is_target(value) && !value.contains(&b'@'),
            Self::Path => (value.first() == Some(&b'/') && text::is_target(value)) || value == b"*",
            // Three digits, and not 101, which HTTP/2 does not have (RFC 9113 section 8.6).
            Self::Status => {
                value.len() == 3
                    && matches!(value[0], b'1'..=b'9')
                    && value.iter().all(u8::is_ascii_digit)
                    && value != b"101"
            }
            Self::Protocol => text::is_token(value),
            Self::ContentLength => !value.is_empty() && value.iter().all(u8::is_ascii_digit),
            Self::Te => value.eq_ignore_ascii_case(b"trailers"),
            Self::Forbidden => false,
            Self::Host | Self::Field => text::is_value(value),
        }
    }
}

/// A name: the index of its first entry in the static table, or of [`EXTRA`] behind that, or [`Name::OTHER`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name(u8);

/// Names that are known though the static table has them not.
const EXTRA: [&[u8]; 6] = [b"te", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b":protocol"];
const NAMES: usize = stat::COUNT + 1 + EXTRA.len();

/// What is known about a name.
struct Known {
    name: &'static [u8],
    /// Its last eight bytes, its first, and those behind: all of it where it has at most 24.
    words: [Folded; 3],
    kind: Kind,
    /// Whether the encoder may put it in the table.
    index: Index,
}

/// What a word must be once `case` is set in it: the bit that tells the case, of those bytes that are letters.
#[derive(Clone, Copy)]
struct Folded {
    lower: u64,
    case: u64,
}

impl Folded {
    const fn of(word: u64) -> Self {
        let bytes = word.to_le_bytes();
        let (mut case, mut at) = ([0; 8], 0);
        while at < bytes.len() {
            if bytes[at].is_ascii_alphabetic() {
                case[at] = CASE as u8;
            }
            at += 1;
        }
        Self { lower: word, case: u64::from_le_bytes(case) }
    }

    #[inline]
    const fn is(self, word: u64) -> bool {
        word | self.case == self.lower
    }
}

/// What the encoder does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    /// Puts it in the table once it repeats.
    Repeated,
    /// Does not: the value is another one each time, or is one user's own.
    No,
    /// Forbids every hop to do it (RFC 7541 section 7.1.3).
    Never,
}

static KNOWN: [Known; NAMES] = {
    let mut known =
        [const { Known { name: b"", words: [Folded::of(0); 3], kind: Kind::Field, index: Index::Repeated } }; NAMES];
    let mut at = 1;
    while at < NAMES {
        let name = if at <= stat::COUNT { stat::ROWS[at - 1].name() } else { EXTRA[at - stat::COUNT - 1] };
        let behind = if name.len() > 8 { name.split_at(8).1 } else { b"" };
        let words = [text::last_word(name), text::first_word(name), text::first_word(behind)];
        let words = [Folded::of(words[0]), Folded::of(words[1]), Folded::of(words[2])];
        known[at] = Known { name, words, kind: kind(name), index: index(name) };
        at += 1;
    }
    known
};

pub(super) const fn kind(name: &[u8]) -> Kind {
    match name {
        b":method" => Kind::Method,
        b":scheme" => Kind::Scheme,
        b":authority" => Kind::Authority,
        b":path" => Kind::Path,
        b":status" => Kind::Status,
        b":protocol" => Kind::Protocol,
        b"content-length" => Kind::ContentLength,
        b"host" => Kind::Host,
        b"te" => Kind::Te,
        // RFC 9113 section 8.2.2.
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => Kind::Forbidden,
        _ => Kind::Field,
    }
}

const fn index(name: &[u8]) -> Index {
    match name {
        // Whether a pseudo header is put in the table is told by what sends it.
        b":method" | b":scheme" | b":authority" | b":path" | b":status" | b":protocol" => Index::No,
        b"content-length" | b"content-range" | b"set-cookie" | b"cookie" | b"etag" | b"location" => Index::No,
        b"age" | b"if-none-match" | b"if-modified-since" | b"if-match" | b"if-range" | b"range" => Index::No,
        b"authorization" | b"proxy-authorization" => Index::Never,
        _ => Index::Repeated,
    }
}

/// Where [`hash`] puts each known name. Built by the compiler, which refuses a collision: then another factor is needed.
static PLACES: [Name; 256] = {
    let mut places = [Name::OTHER; 256];
    let mut at = 1;
    while at < NAMES {
        let name = if at <= stat::COUNT { stat::ROWS[at - 1].name() } else { EXTRA[at - stat::COUNT - 1] };
        let place = hash(name.len(), text::last_word(name));
        let there = places[place].0 as usize;
        if there == 0 {
            places[place] = Name(at as u8);
        } else {
            // Only further entries of the same name may come.
            assert!(there <= stat::COUNT && at <= stat::COUNT, "two names in one place");
            assert!(same(stat::ROWS[there - 1].name(), name), "two names in one place");
        }
        at += 1;
    }
    places
};

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// The bit that tells the case of a letter, in each byte.
const CASE: u64 = 0x2020_2020_2020_2020;

/// Length and last word tell all known names apart. Folding with 0x20 is exact enough: what is found is compared.
#[inline]
const fn hash(length: usize, last: u64) -> usize {
    (((last | CASE) ^ length as u64).wrapping_mul(0x738a_72c6_1bb6_8e55) >> 56) as usize
}

impl Name {
    /// Any that is not known.
    pub(super) const OTHER: Self = Self(0);
    pub(super) const AUTHORITY: Self = Self(1);
    pub(super) const METHOD: Self = Self(2);
    pub(super) const PATH: Self = Self(4);
    pub(super) const SCHEME: Self = Self(6);
    pub(super) const STATUS: Self = Self(8);
    pub(super) const PROTOCOL: Self = Self(NAMES as u8 - 1);

    /// The name of bytes in any case.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Self {
        let last = text::last_word(name);
        let found = PLACES[hash(name.len(), last)];
        let known = &KNOWN[usize::from(found.0)];
        let [known_last, known_first, known_middle] = known.words;
        let length = name.len();
        let same = length == known.name.len()
            && known_last.is(last)
            && (length <= 8 || known_first.is(text::first_word(name)))
            && (length <= 16 || known_middle.is(text::first_word(&name[8..])))
            && (length <= 24 || text::is_lower(name, known.name));
        if same { found } else { Self::OTHER }
    }

    /// The name of bytes as they were received, and what it is: upper-case letters make it none.
    pub(super) fn received(name: &[u8]) -> (Self, Kind) {
        let found = Self::of(name);
        if found == Self::OTHER {
            return (found, if text::is_name(name) { Kind::Field } else { Kind::Forbidden });
        }
        (found, if name == found.bytes() { found.kind() } else { Kind::Forbidden })
    }

    /// The name of an entry of the static table, by its index.
    pub(super) const fn of_static(index: usize) -> Self {
        let mut first = index;
        while first > 1 && same(stat::ROWS[first - 2].name(), stat::ROWS[index - 1].name()) {
            first -= 1;
        }
        Self(first as u8)
    }

    /// The name of an index in the static table; [`Name::OTHER`] for one that is no name's first.
    #[inline]
    pub(super) fn of_index(index: u8) -> Self {
        if KNOWN.get(usize::from(index)).is_some() && index <= stat::COUNT as u8 { Self(index) } else { Self::OTHER }
    }

    /// What it is. A name that is not known may be an ordinary one, or none at all.
    #[inline]
    pub(super) fn kind(self) -> Kind {
        KNOWN[usize::from(self.0)].kind
    }

    #[inline]
    pub(super) fn index(self) -> Index {
        KNOWN[usize::from(self.0)].index
    }

    /// The bytes of a known name; empty for [`Name::OTHER`].
    #[inline]
    pub(super) fn bytes(self) -> &'static [u8] {
        KNOWN[usize::from(self.0)].name
    }

    #[inline]
    pub(super) fn number(self) -> u8 {
        self.0
    }

    /// The index of the first entry in the static table that has this name; 0 where none has.
    #[inline]
    pub(crate) const fn static_index(self) -> u8 {
        if self.0 as usize <= stat::COUNT { self.0 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_and_nothing_else() {
        for (at, known) in KNOWN.iter().enumerate().skip(1) {
            let name = known.name;
            let found = Name::of(name);
            assert_eq!(found.bytes(), name);
            assert_eq!(Name::of(&name.to_ascii_uppercase()), found);
            assert_eq!(Name::received(&name.to_ascii_uppercase()).1, Kind::Forbidden);
            assert_eq!(Name::received(name), (found, found.kind()));
            assert_ne!(Name::of(&name[1..]), found);
            assert_ne!(Name::of(&[name, b"s"].concat()), found);
            if at <= stat::COUNT {
                assert_eq!(found, Name::of_static(at));
            }
        }
        assert_eq!(Name::of(b""), Name::OTHER);
        for (name, bytes) in [
            (Name::AUTHORITY, ":authority"),
            (Name::METHOD, ":method"),
            (Name::PATH, ":path"),
            (Name::SCHEME, ":scheme"),
            (Name::STATUS, ":status"),
            (Name::PROTOCOL, ":protocol"),
        ] {
            assert_eq!(name.bytes(), bytes.as_bytes());
        }
    }

    #[test]
    fn values_by_kind() {
        for (kind, good, bad) in [
            (Kind::Method, &["GET", "x-y"][..], &["", "G T", "G\u{e9}"][..]),
            (Kind::Scheme, &["http", "a+b-c.1"], &["", "1a", "a:b"]),
            (Kind::Authority, &["a:80", "[::1]"], &["", "u@a", "a b", "a\0"]),
            (Kind::Path, &["/", "/a?b", "*", "/\u{e9}"], &["", "a", "/ ", "/#", "**", "*a", "/\x7f"]),
            (Kind::Status, &["100", "200", "999"], &["", "20", "2000", "099", "2x0", "101", " 20"]),
            (Kind::Protocol, &["websocket"], &["", "a b"]),
            (Kind::ContentLength, &["0", "12"], &["", "-1", "+1", "1 ", "1,1"]),
            (Kind::Te, &["trailers", "Trailers"], &["", "gzip", "trailers, deflate"]),
            (Kind::Field, &["", "a b"], &[" a", "a\t", "a\r\nb", "a\0"]),
            (Kind::Forbidden, &[], &["", "a"]),
        ] {
            assert!(good.iter().all(|value| kind.allows(value.as_bytes())), "{kind:?}");
            assert!(!bad.iter().any(|value| kind.allows(value.as_bytes())), "{kind:?}");
        }
    }
}
