//! Field names that the proxy has a use for, as small numbers. Owns how a name is recognised; knows nothing of what a
//! field means.

macro_rules! ids {
    ($($id:ident $name:literal)+) => {
        /// A field name that is known here, or [`Id::Other`]. There are at most 64, so that [`Ids`] is one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Id {
            $(#[doc = concat!("`", $name, "`")] $id,)+
            /// Any other name.
            Other,
        }

        const ALL: &[Id] = &[$(Id::$id),+];
        const NAMES: &[&str] = &[$($name),+, ""];
    };
}

ids! {
    Host "Host"
    Connection "Connection"
    ContentLength "Content-Length"
    TransferEncoding "Transfer-Encoding"
    Te "TE"
    Trailer "Trailer"
    Upgrade "Upgrade"
    KeepAlive "Keep-Alive"
    ProxyConnection "Proxy-Connection"
    Expect "Expect"
    Range "Range"
    IfRange "If-Range"
    IfMatch "If-Match"
    IfNoneMatch "If-None-Match"
    IfModifiedSince "If-Modified-Since"
    IfUnmodifiedSince "If-Unmodified-Since"
    AcceptEncoding "Accept-Encoding"
    ContentEncoding "Content-Encoding"
    ContentType "Content-Type"
    ContentRange "Content-Range"
    Authorization "Authorization"
    ProxyAuthorization "Proxy-Authorization"
    ProxyAuthenticate "Proxy-Authenticate"
    Forwarded "Forwarded"
    XForwardedFor "X-Forwarded-For"
    XForwardedProto "X-Forwarded-Proto"
    XForwardedHost "X-Forwarded-Host"
    XForwardedPort "X-Forwarded-Port"
    XRealIp "X-Real-IP"
    XRequestId "X-Request-Id"
    TraceParent "Traceparent"
    Via "Via"
    Date "Date"
    Server "Server"
    Location "Location"
    Refresh "Refresh"
    SetCookie "Set-Cookie"
    Cookie "Cookie"
    CacheControl "Cache-Control"
    Expires "Expires"
    Age "Age"
    ETag "ETag"
    LastModified "Last-Modified"
    Vary "Vary"
    Accept "Accept"
    AcceptRanges "Accept-Ranges"
    AcceptLanguage "Accept-Language"
    UserAgent "User-Agent"
    Origin "Origin"
    Referer "Referer"
    AltSvc "Alt-Svc"
    WwwAuthenticate "WWW-Authenticate"
    SecWebSocketKey "Sec-WebSocket-Key"
    SecWebSocketVersion "Sec-WebSocket-Version"
    SecWebSocketProtocol "Sec-WebSocket-Protocol"
    SecWebSocketExtensions "Sec-WebSocket-Extensions"
    SecWebSocketAccept "Sec-WebSocket-Accept"
    AnyproxyDomains "anyproxy_domains"
}

/// Where [`hash`] puts each known name. Built by the compiler, which refuses a list with a collision: then another
/// factor is needed.
static PLACES: [Id; 256] = {
    assert!(Id::COUNT <= 64);
    let mut places = [Id::Other; 256];
    let mut at = 0;
    while at < ALL.len() {
        let name = NAMES[at].as_bytes();
        let place = hash(name.len(), last_word(name));
        assert!(matches!(places[place], Id::Other), "two names in one place");
        places[place] = ALL[at];
        at += 1;
    }
    places
};

/// A name that is known, in words that may overlap: its last, its first, and the one between them.
struct Known {
    length: usize,
    words: [Folded; 3],
}

/// What a word must be once `case` is set in it: the bit that tells the case, of those bytes that are letters.
#[derive(Clone, Copy)]
struct Folded {
    lower: u64,
    case: u64,
}

impl Folded {
    const fn of(word: u64) -> Self {
        let mut bytes = word.to_le_bytes();
        let mut case = [0; 8];
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at].is_ascii_alphabetic() {
                bytes[at] = bytes[at].to_ascii_lowercase();
                case[at] = CASE as u8;
            }
            at += 1;
        }
        Self { lower: u64::from_le_bytes(bytes), case: u64::from_le_bytes(case) }
    }

    #[inline]
    fn is(self, word: u64) -> bool {
        word | self.case == self.lower
    }
}

/// What each known name must be. Nothing has the length of [`Id::Other`].
static KNOWN: [Known; Id::COUNT] = {
    let mut known = [const { Known { length: usize::MAX, words: [Folded { lower: 0, case: 0 }; 3] } }; Id::COUNT];
    let mut id = 0;
    while id < ALL.len() {
        let name = NAMES[id].as_bytes();
        assert!(name.len() <= 24, "three words do not hold the name");
        let words = [last_word(name), first_word(name), middle_word(name)];
        known[id] =
            Known { length: name.len(), words: [Folded::of(words[0]), Folded::of(words[1]), Folded::of(words[2])] };
        id += 1;
    }
    known
};

/// The bit that tells the case of a letter, in each byte.
const CASE: u64 = 0x2020_2020_2020_2020;

/// The last eight bytes of a name; all of a shorter one.
#[inline]
const fn last_word(name: &[u8]) -> u64 {
    if let Some(word) = name.last_chunk() {
        return u64::from_le_bytes(*word);
    }
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32,
        _ => match *name {
            [a] => a as u64,
            [a, b] => u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]),
            [a, b, c] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]),
            _ => 0,
        },
    }
}

/// The first eight bytes of a name; 0 for a shorter one.
#[inline]
const fn first_word(name: &[u8]) -> u64 {
    if let Some(word) = name.first_chunk() { u64::from_le_bytes(*word) } else { 0 }
}

/// The second eight bytes of a name; 0 for a shorter one.
#[inline]
const fn middle_word(name: &[u8]) -> u64 {
    if let Some((_, rest)) = name.split_first_chunk::<8>() { first_word(rest) } else { 0 }
}

/// Length and last word tell all known names apart. The letters are folded with 0x20, which is exact enough for tokens:
/// whether the name is the one in its place is compared after that.
#[inline]
const fn hash(length: usize, last: u64) -> usize {
    (((last | CASE) ^ length as u64).wrapping_mul(0x6bbe_026b_5e4d_0c25) >> 56) as usize
}

impl Id {
    /// How many ids there are, [`Id::Other`] included.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// The id of a name, in any case; [`Id::Other`] for one that is not known.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        Self::known(name).unwrap_or(Self::Other)
    }

    /// The id of a name that is known. Then it is a token.
    #[inline]
    pub(super) fn known(name: &[u8]) -> Option<Self> {
        let length = name.len();
        let last = last_word(name);
        let id = PLACES[hash(length, last)];
        let known = &KNOWN[id as usize];
        let [known_last, known_first, known_middle] = known.words;
        let same = length == known.length
            && known_last.is(last)
            && (length <= 8 || known_first.is(first_word(name)))
            && (length <= 16 || known_middle.is(middle_word(name)));
        same.then_some(id)
    }

    /// The name as it is usually written; empty for [`Id::Other`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// A set of ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids(u64);

impl Ids {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set of these ids.
    #[must_use]
    pub const fn of(ids: &[Id]) -> Self {
        let mut set = Self::NONE;
        let mut at = 0;
        while at < ids.len() {
            set = set.with(ids[at]);
            at += 1;
        }
        set
    }

    /// This set and `id`.
    #[must_use]
    pub const fn with(self, id: Id) -> Self {
        Self(self.0 | 1 << id as u8)
    }

    /// This set without the ids of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `id` is in the set.
    #[must_use]
    pub const fn has(self, id: Id) -> bool {
        self.0 >> id as u8 & 1 == 1
    }

    /// The ids that the sets have in common, as numbers.
    pub(super) fn shared(self, other: Self) -> impl Iterator<Item = usize> {
        bits(self.0 & other.0)
    }

    /// Whether the sets have an id in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// The places of the set bits, from the lowest on.
#[inline]
pub(super) fn bits(word: u64) -> impl Iterator<Item = usize> {
    let mut left = word;
    std::iter::from_fn(move || {
        let bit = left.trailing_zeros() as usize;
        // Clears the lowest bit; there is none only where the word is empty.
        left &= left.checked_sub(1)?;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for &id in ALL {
            for name in [id.name().to_owned(), id.name().to_lowercase(), id.name().to_uppercase()] {
                assert_eq!(Id::of(name.as_bytes()), id, "{name}");
            }
        }
        assert_eq!(Id::Other.name(), "");
    }

    #[test]
    fn known_names_are_tokens() {
        assert!(ALL.iter().all(|id| super::super::scan::is_token(id.name().as_bytes())));
        for name in [&b""[..], b"\0", b"\0\0\0\0", &[0; 8], &[0; 16], &[0; 24], b"a:", b"Host "] {
            assert_eq!(Id::known(name), None);
        }
    }

    #[test]
    fn a_name_that_differs_by_any_one_byte_is_another() {
        for &id in ALL {
            let name = id.name().as_bytes();
            for at in 0..name.len() {
                for byte in 0..=255u8 {
                    let mut other = name.to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name);
                    let found = ALL.iter().find(|id| other.eq_ignore_ascii_case(id.name().as_bytes()));
                    assert_eq!(Id::of(&other), found.copied().unwrap_or(Id::Other));
                    assert_eq!(Id::of(&other) == id, same);
                }
            }
            assert_ne!(Id::of(&name[1..]), id);
            assert_ne!(Id::of(&[name, b"s"].concat()), id);
        }
        for name in [&b""[..], b"a", b"ab", b"content_length", b"x-custom"] {
            assert_eq!(Id::of(name), Id::Other);
        }
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let set = Ids::of(&[Id::Host, Id::Other]).with(Id::Cookie);
        assert!(set.has(Id::Host) && set.has(Id::Other) && set.has(Id::Cookie) && !set.has(Id::Te));
        assert!(set.meets(Ids::of(&[Id::Te, Id::Host])) && !set.meets(Ids::of(&[Id::Te])));
        assert!(!set.without(Ids::of(&[Id::Host])).has(Id::Host));
    }
}
