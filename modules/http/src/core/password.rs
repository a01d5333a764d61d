//! Hashes of passwords as `htpasswd` writes them. The libraries do the hashing; which form a line has is told here.

use super::auth::{base64, constant_time_eq};
use md5::{Digest, Md5};

/// One user's password as a file has it.
#[derive(Clone, PartialEq, Eq)]
pub enum Hash {
    /// `$2y$…`: bcrypt.
    Bcrypt(String),
    /// `$apr1$salt$hash`: MD5 a thousand times, as Apache does; `$1$…` the same as crypt does.
    Md5 {
        /// What stands in front.
        mark: &'static str,
        /// Up to 8 bytes.
        salt: String,
        /// 22 characters.
        hash: String,
    },
    /// `$5$…` and `$6$…`: SHA-256 and SHA-512 as crypt does.
    Sha2(String),
    /// `{SHA}…`: SHA-1 of the password alone.
    Sha1(Vec<u8>),
}

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bcrypt(_) => "bcrypt",
            Self::Md5 { .. } => "md5",
            Self::Sha2(_) => "sha2",
            Self::Sha1(_) => "sha1",
        })
    }
}

impl Hash {
    /// Reads what stands behind the user in a line; `None`: a form that is not known, plain text among them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        for mark in ["$apr1$", "$1$"] {
            let Some(rest) = text.strip_prefix(mark) else { continue };
            let (salt, hash) = rest.split_once('$')?;
            let fits = (1..=8).contains(&salt.len()) && hash.len() == 22;
            return fits.then(|| Self::Md5 { mark, salt: salt.to_owned(), hash: hash.to_owned() });
        }
        if let Some(rest) = text.strip_prefix("{SHA}") {
            return base64(rest.as_bytes(), 28).filter(|h| h.len() == 20).map(Self::Sha1);
        }
        let bcrypt = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|p| text.starts_with(p));
        if bcrypt && text.len() == 60 && text.parse::<bcrypt::HashParts>().is_ok() {
            return Some(Self::Bcrypt(text.to_owned()));
        }
        is_sha2(text).then(|| Self::Sha2(text.to_owned()))
    }

    /// Whether it is that of `password`. Slow on purpose, but for SHA-1.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Self::Bcrypt(hash) => bcrypt::verify(password, hash).unwrap_or(false),
            Self::Md5 { mark, salt, hash } => {
                constant_time_eq(md5(password, mark, salt.as_bytes()).as_bytes(), hash.as_bytes())
            }
            Self::Sha2(hash) => {
                let Ok(password) = std::str::from_utf8(password) else { return false };
                if hash.starts_with("$5$") {
                    sha_crypt::sha256_check(password, hash).is_ok()
                } else {
                    sha_crypt::sha512_check(password, hash).is_ok()
                }
            }
            Self::Sha1(hash) => constant_time_eq(&sha1::Sha1::digest(password), hash),
        }
    }
}

/// Whether it is `$5$` or `$6$`, perhaps rounds, a salt and a hash as long as it has to be.
fn is_sha2(text: &str) -> bool {
    let (rest, length) = match (text.strip_prefix("$5$"), text.strip_prefix("$6$")) {
        (Some(rest), _) => (rest, 43),
        (_, Some(rest)) => (rest, 86),
        _ => return false,
    };
    let rest = match rest.strip_prefix("rounds=").map(|r| r.split_once('$')) {
        // As many as the library takes.
        Some(Some((rounds, rest))) if matches!(rounds.parse(), Ok(1000..=999_999_999_u32)) => rest,
        Some(_) => return false,
        None => rest,
    };
    let digits = |hash: &str| hash.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
    rest.split_once('$').is_some_and(|(salt, hash)| salt.len() <= 16 && hash.len() == length && digits(hash))
}

/// MD5 in the manner of crypt with this mark, as text.
fn md5(password: &[u8], mark: &str, salt: &[u8]) -> String {
    let inner = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut outer = Md5::new().chain_update(password).chain_update(mark).chain_update(salt);
    let mut left = password.len();
    while left > 0 {
        outer.update(&inner[..left.min(16)]);
        left = left.saturating_sub(16);
    }
    let mut bits = password.len();
    while bits > 0 {
        outer.update(if bits & 1 == 1 { &[0][..] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = outer.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        if round % 2 == 1 {
            next.update(password)
        } else {
            next.update(digest)
        };
        if round % 3 != 0 {
            next.update(salt);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        if round % 2 == 1 {
            next.update(digest)
        } else {
            next.update(password)
        };
        digest = next.finalize();
    }
    const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(22);
    let mut put = |mut value: u32, digits: usize| {
        for _ in 0..digits {
            text.push(DIGITS[(value & 63) as usize] as char);
            value >>= 6;
        }
    };
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        put(u32::from(digest[a]) << 16 | u32::from(digest[b]) << 8 | u32::from(digest[c]), 4);
    }
    put(u32::from(digest[11]), 2);
    text
}
