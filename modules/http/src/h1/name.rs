//! Field names that the proxy has a use for, as small numbers. Owns how a name is recognised; knows nothing of what a
//! field means.

use super::block::Pattern;
use super::scan;
use super::wide::{Look, Plain, WIDE};

macro_rules! ids {
    ($($id:ident $name:literal)+) => {
        /// A field name that is known here, or one of two kinds of others. There are at most 64, so that [`Ids`] is one word.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Id {
            $(#[doc = concat!("`", $name, "`")] $id,)+
            /// Another name with `_` in it. Whoever makes variables of names (CGI, RFC 3875 section 4.1.18) takes it for the one
            /// with `-`.
            Underscored,
            /// Any other name.
            #[default]
            Other,
        }

        const ALL: &[Id] = &[$(Id::$id),+];
        const NAMES: &[&str] = &[$($name),+, "", ""];
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
    Priority "Priority"
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
static PLACES: [Id; 512] = {
    assert!(Id::COUNT <= 64);
    let mut places = [Id::Other; 512];
    let mut at = 0;
    while at < ALL.len() {
        let name = NAMES[at].as_bytes();
        let place = hash(name.len(), end(name));
        assert!(matches!(places[place], Id::Other), "two names in one place");
        places[place] = ALL[at];
        at += 1;
    }
    places
};

/// How long each known name is. Nothing is as those that are not known: see [`FIRST`].
static LENGTHS: [u8; Id::COUNT] = {
    let mut lengths = [0; Id::COUNT];
    let mut at = 0;
    while at < ALL.len() {
        assert!(NAMES[at].len() < WIDE, "a look does not hold the name and the colon");
        lengths[at] = NAMES[at].len() as u8;
        at += 1;
    }
    lengths
};

/// What each known name must be, the colon behind it included. Nothing is as those of names that are not known.
static FIRST: [Pattern<WIDE>; Id::COUNT] = {
    let mut patterns = [Pattern::NEVER; Id::COUNT];
    let mut at = 0;
    while at < ALL.len() {
        patterns[at] = Pattern::of(NAMES[at].as_bytes(), b":");
        at += 1;
    }
    patterns
};

/// The length and the last three bytes tell all known names apart. `end` is these and the colon. The letters are folded
/// with 0x20, which is exact enough for tokens: whether the name is the one in its place is compared after that.
#[inline(always)]
const fn hash(length: usize, end: [u8; 4]) -> usize {
    ((u32::from_le_bytes(end) | 0x2020_2020).wrapping_mul(0xf237_e45b) >> 24) as usize + length
}

/// What [`hash`] takes of a name.
const fn end(name: &[u8]) -> [u8; 4] {
    match *name {
        [.., a, b, c] => [a, b, c, b':'],
        [a, b] => [0, a, b, b':'],
        _ => [0; 4],
    }
}

impl Id {
    /// How many ids there are, [`Id::Other`] included.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// The id of a name, in any case; [`Id::Underscored`] or [`Id::Other`] for one that is not known.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        Self::of_token(name).unwrap_or(Self::Other)
    }

    /// The same of a name that need not be a token; `None` for one that is not.
    pub(super) fn of_token(name: &[u8]) -> Option<Self> {
        // Known names are tokens, and nearly all others consist of words.
        match Self::known(name) {
            None if scan::is_words(name) => Some(Self::Other),
            None if !scan::is_token(name) => None,
            None if name.contains(&b'_') => Some(Self::Underscored),
            None => Some(Self::Other),
            known => known,
        }
    }

    /// Whether it is one name only.
    #[must_use]
    pub const fn is_known(self) -> bool {
        !matches!(self, Self::Underscored | Self::Other)
    }

    /// The id of a name that is known. Then it is a token.
    pub(super) fn known(name: &[u8]) -> Option<Self> {
        let id = *PLACES.get(hash(name.len(), end(name)))?;
        if name.len() != usize::from(LENGTHS[id as usize]) {
            return None;
        }
        let mut start = [0; WIDE];
        start.get_mut(..name.len())?.copy_from_slice(name);
        *start.get_mut(name.len())? = b':';
        Plain.begins(&start, &FIRST[id as usize]).then_some(id)
    }

    /// As [`Id::known`], for the name before the first colon of `start`, which is at `colon`. `None` also for names of less
    /// than three bytes.
    #[inline(always)]
    pub(super) fn known_before(look: impl Look, colon: usize, start: &[u8; WIDE]) -> Option<Self> {
        let last = colon.wrapping_sub(3);
        if last > WIDE - 4 {
            return None;
        }
        // One by one, so that their places are seen to be inside.
        let end = [start[last], start[last + 1], start[last + 2], start[last + 3]];
        let id = *PLACES.get(hash(colon, end))?;
        // The colon is compared too: so the length is the same.
        look.begins(start, &FIRST[id as usize]).then_some(id)
    }

    /// The length of the name that begins `start`, if it is this one.
    #[inline(always)]
    pub(super) fn is_before(self, look: impl Look, start: &[u8; WIDE]) -> Option<usize> {
        look.begins(start, &FIRST[self as usize]).then_some(usize::from(LENGTHS[self as usize]))
    }

    /// The name as it is usually written; empty for one that is not known.
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

    /// This set and the ids of `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
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
        assert_eq!((Id::Other.name(), Id::Underscored.name()), ("", ""));
    }

    #[test]
    fn known_names_are_tokens() {
        assert!(ALL.iter().all(|id| scan::is_token(id.name().as_bytes())));
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
                    let unknown = match other.contains(&b'_') && scan::is_token(&other) {
                        true => Id::Underscored,
                        false => Id::Other,
                    };
                    assert_eq!(Id::of(&other), found.copied().unwrap_or(unknown));
                    assert_eq!(Id::of(&other) == id, same);
                }
            }
            assert_ne!(Id::of(&name[1..]), id);
            assert_ne!(Id::of(&[name, b"s"].concat()), id);
        }
        for name in [&b""[..], b"a", b"ab", b"x-custom", b"content length_"] {
            assert_eq!(Id::of(name), Id::Other);
        }
        for name in [&b"_"[..], b"a_", b"content_length", b"x-custom-name-that-is-long_"] {
            assert_eq!(Id::of(name), Id::Underscored);
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
