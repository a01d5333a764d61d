//! Which header lines a proxy leaves out when it passes a head on (RFC 9110 section 7.6.1). Knows nothing of the lines
//! that are written in their place.

use super::fields::Fields;
use super::framing::has_no_length;
use super::name::{Id, Ids, bits};
use super::{Head, Method};

/// Lines that are left out: one bit for each header line of a head. Reused from message to message.
#[derive(Debug, Default)]
pub struct Struck {
    /// The first 64 lines, which are all that nearly all heads have.
    first: u64,
    /// The others.
    more: Vec<u64>,
}

impl Clone for Struck {
    fn clone(&self) -> Self {
        Self { first: self.first, more: self.more.clone() }
    }

    /// Without another allocation where it has had as many lines before.
    fn clone_from(&mut self, other: &Self) {
        self.first = other.first;
        self.more.clone_from(&other.more);
    }
}

impl Struck {
    /// Strikes nothing, and makes room for the lines that `fields` has.
    pub fn clear(&mut self, fields: &Fields) {
        self.reset();
        self.more.resize(fields.list().len().div_ceil(64).saturating_sub(1), 0);
    }

    /// Strikes the line with that index.
    #[inline]
    pub fn strike(&mut self, index: usize) {
        if index < 64 {
            self.first |= 1 << index;
            return;
        }
        let at = index / 64 - 1;
        if at >= self.more.len() {
            self.more.resize(at + 1, 0);
        }
        self.more[at] |= 1 << (index % 64);
    }

    /// Whether nothing is struck.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first == 0 && self.more.iter().all(|&word| word == 0)
    }

    /// Strikes nothing.
    pub fn reset(&mut self) {
        self.first = 0;
        self.more.clear();
    }

    /// Strikes all lines whose id is one of `ids`.
    #[inline]
    pub fn strike_ids(&mut self, fields: &Fields, ids: Ids) {
        for index in fields.firsts(ids) {
            self.strike(index);
        }
        if fields.repeats_any(ids) {
            for (index, header) in fields.list().iter().enumerate() {
                if ids.has(header.id) {
                    self.strike(index);
                }
            }
        }
    }

    /// Whether the line is struck.
    #[must_use]
    #[inline]
    pub fn has(&self, index: usize) -> bool {
        let word = if index < 64 { Some(&self.first) } else { self.more.get(index / 64 - 1) };
        word.is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The struck lines, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + use<'_> {
        let more = self.more.iter().enumerate();
        bits(self.first).chain(more.flat_map(|(place, &word)| bits(word).map(move |bit| (place + 1) * 64 + bit)))
    }
}

/// Fields that are for one connection only.
const HOP: Ids = Ids::of(&[
    Id::Connection,
    Id::KeepAlive,
    Id::ProxyConnection,
    Id::Te,
    Id::TransferEncoding,
    Id::Upgrade,
    Id::ProxyAuthenticate,
    Id::ProxyAuthorization,
]);

/// Fields that `Connection` cannot remove though it lists them. By removing them a client could hide from the server
/// what a proxy in front of it said of the client, or change what the message is.
const ESSENTIAL: Ids = Ids::of(&[
    Id::Host,
    Id::ContentLength,
    Id::ContentType,
    Id::ContentEncoding,
    Id::ContentRange,
    Id::CacheControl,
    Id::Cookie,
    Id::SetCookie,
    Id::Authorization,
    Id::Forwarded,
    Id::XForwardedFor,
    Id::XForwardedProto,
    Id::XForwardedHost,
    Id::XForwardedPort,
    Id::XRealIp,
    Id::AnyproxyDomains,
    Id::Underscored,
    Id::Other,
]);

/// Strikes the lines that `Connection` lists, except these, which it cannot remove: `Host`, `Content-Length`, `-Type`,
/// `-Encoding` and `-Range`, `Cache-Control`, `Cookie`, `Set-Cookie`, `Authorization`, `Forwarded`, `X-Forwarded-For`,
/// `-Proto`, `-Host` and `-Port`, `X-Real-IP`, `anyproxy_domains`; and those that [`strip`] strikes, which mean something
/// until then. What was struck before stays so. For a head as it was sent: of lines that came to it since the sender knows
/// nothing.
#[inline]
pub fn strike_listed(head: &Head, buf: &[u8], struck: &mut Struck) {
    // What `Connection` usually lists goes anyway, or names no field.
    if head.listed().others {
        strike_all_listed(head.fields(), buf, struck);
    }
}

#[cold]
fn strike_all_listed(fields: &Fields, buf: &[u8], struck: &mut Struck) {
    let mut gone = Ids::NONE;
    for token in fields.tokens(buf, Id::Connection) {
        let id = Id::of(token);
        if !ESSENTIAL.has(id) {
            gone = gone.with(id);
        } else if !id.is_known() && !is_option(token) {
            strike_name(fields, buf, token, struck);
        }
    }
    struck.strike_ids(fields, gone.without(HOP));
}

/// Strikes the fixed lines that are for this connection only. What was struck before stays so. `upgrade`: the connection is
/// about to change its protocol, and `Upgrade` stays; who keeps it writes a new `Connection` line that names it.
pub fn strip(head: &Head, upgrade: bool, struck: &mut Struck) {
    struck.strike_ids(head.fields(), if upgrade { HOP.without(Ids::of(&[Id::Upgrade])) } else { HOP });
}

/// Strikes all lines of a response that are for this connection only, by [`strike_listed`] and [`strip`]; also a
/// `Content-Length` that repeats one before it, and any in a response that must not have one: 1xx, 204, and 2xx to
/// `CONNECT` (RFC 9110 section 8.6).
pub fn strip_response(head: &Head, buf: &[u8], method: Method, upgrade: bool, struck: &mut Struck) {
    let fields = head.fields();
    strike_listed(head, buf, struck);
    strip(head, upgrade, struck);
    if has_no_length(head.status(), method) {
        struck.strike_ids(fields, Ids::of(&[Id::ContentLength]));
    } else if fields.repeats(Id::ContentLength) {
        let lines = fields.list().iter().enumerate().filter(|(_, header)| header.id == Id::ContentLength);
        for (index, _) in lines.skip(1) {
            struck.strike(index);
        }
    }
}

/// Whether the member of `Connection` is a usual one that names no field.
fn is_option(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(b"close")
}

fn strike_name(fields: &Fields, buf: &[u8], name: &[u8], struck: &mut Struck) {
    for (index, header) in fields.list().iter().enumerate() {
        if !header.id.is_known() && header.name(buf).eq_ignore_ascii_case(name) {
            struck.strike(index);
        }
    }
}
