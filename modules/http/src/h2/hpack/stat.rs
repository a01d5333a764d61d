//! The static table (RFC 7541 Appendix A).

/// Name and value, one behind the other, and where the value begins.
pub(super) struct Row {
    pub(super) pair: &'static [u8],
    pub(super) name_len: usize,
}

impl Row {
    pub(super) const fn name(&self) -> &'static [u8] {
        self.pair.split_at(self.name_len).0
    }
}

macro_rules! rows {
    ($($name:literal $value:literal)+) => {
        &[$(Row { pair: concat!($name, $value).as_bytes(), name_len: $name.len() }),+]
    };
}

/// The index of an entry, from 1 on, is its place here and one. Entries of one name are neighbours.
pub(super) static ROWS: &[Row; COUNT] = rows! {
    ":authority" ""
    ":method" "GET"
    ":method" "POST"
    ":path" "/"
    ":path" "/index.html"
    ":scheme" "http"
    ":scheme" "https"
    ":status" "200"
    ":status" "204"
    ":status" "206"
    ":status" "304"
    ":status" "400"
    ":status" "404"
    ":status" "500"
    "accept-charset" ""
    "accept-encoding" "gzip, deflate"
    "accept-language" ""
    "accept-ranges" ""
    "accept" ""
    "access-control-allow-origin" ""
    "age" ""
    "allow" ""
    "authorization" ""
    "cache-control" ""
    "content-disposition" ""
    "content-encoding" ""
    "content-language" ""
    "content-length" ""
    "content-location" ""
    "content-range" ""
    "content-type" ""
    "cookie" ""
    "date" ""
    "etag" ""
    "expect" ""
    "expires" ""
    "from" ""
    "host" ""
    "if-match" ""
    "if-modified-since" ""
    "if-none-match" ""
    "if-range" ""
    "if-unmodified-since" ""
    "last-modified" ""
    "link" ""
    "location" ""
    "max-forwards" ""
    "proxy-authenticate" ""
    "proxy-authorization" ""
    "range" ""
    "referer" ""
    "refresh" ""
    "retry-after" ""
    "server" ""
    "set-cookie" ""
    "strict-transport-security" ""
    "transfer-encoding" ""
    "user-agent" ""
    "vary" ""
    "via" ""
    "www-authenticate" ""
};

/// How many entries there are: the dynamic table begins behind them.
pub(super) const COUNT: usize = 61;
