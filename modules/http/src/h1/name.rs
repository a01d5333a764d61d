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

/// Where [`hash`] puts each known name. Built by the compiler, which refuses a list with a collision: then other
/// factors are needed.
static PLACES: [Id; 256] = {
    assert!(Id::COUNT <= 64);
    let mut places = [Id::Other; 256];
    let mut at = 0;
    while at < ALL.len() {
        let place = hash(NAMES[at].as_bytes());
        assert!(matches!(places[place], Id::Other), "two names in one place");
        places[place] = ALL[at];
        at += 1;
    }
    places
};

/// The names in lower case, filled up with zeros.
static LOWER: [[u8; 24]; Id::COUNT] = {
    let mut lower = [[0; 24]; Id::COUNT];
    let mut id = 0;
    while id < Id::COUNT {
        let name = NAMES[id].as_bytes();
        let mut at = 0;
        while at < name.len() {
            lower[id][at] = name[at].to_ascii_lowercase();
            at += 1;
        }
        id += 1;
    }
    lower
};

/// Length and three letters tell all known names apart. The letters are folded with 0x20, which is exact enough for
/// tokens: whether the name is the one in its place is compared after that. `name` is not empty.
const fn hash(name: &[u8]) -> usize {
    let length = name.len();
    let first = (name[0] | 0x20) as usize;
    let middle = (name[length / 2] | 0x20) as usize;
    let near_last = (name[length.saturating_sub(2)] | 0x20) as usize;
    (length * 95 + first * 66 + middle * 250 + near_last * 191) & 0xff
}

/// Whether `name` is `lower` in some case. Both have the same length. In words, which may overlap: with
/// `eq_ignore_ascii_case` this would be a quarter of the time that a head takes.
#[inline]
fn same(name: &[u8], lower: &[u8]) -> bool {
    let (mut left, mut right) = (name, lower);
    while let (Some((a, a_rest)), Some((b, b_rest))) = (left.split_first_chunk(), right.split_first_chunk()) {
        if differ(u64::from_le_bytes(*a), u64::from_le_bytes(*b)) {
            return false;
        }
        (left, right) = (a_rest, b_rest);
    }
    if let (Some(a), Some(b)) = (name.last_chunk(), lower.last_chunk()) {
        return !differ(u64::from_le_bytes(*a), u64::from_le_bytes(*b));
    }
    let half = |bytes: &[u8; 4]| u64::from(u32::from_le_bytes(*bytes));
    match (name.first_chunk(), lower.first_chunk(), name.last_chunk(), lower.last_chunk()) {
        (Some(a), Some(b), Some(c), Some(d)) => !differ(half(a), half(b)) && !differ(half(c), half(d)),
        _ => name.eq_ignore_ascii_case(lower),
    }
}

/// Whether the bytes differ in more than the case of letters, which are those bytes of `lower` with the two bits 0x60.
#[inline]
fn differ(word: u64, lower: u64) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    let letters = lower & (lower >> 1) & CASE;
    (word ^ lower) & !letters != 0
}

impl Id {
    /// How many ids there are, [`Id::Other`] included.
    pub const COUNT: usize = Self::Other as usize + 1;

    /// The id of a name, in any case; [`Id::Other`] for one that is not known.
    #[must_use]
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        if name.is_empty() {
            return Self::Other;
        }
        let id = PLACES[hash(name)];
        let lower = &LOWER[id as usize][..NAMES[id as usize].len()];
        if name.len() == lower.len() && same(name, lower) { id } else { Self::Other }
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

    /// Whether the sets have an id in common.
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
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
