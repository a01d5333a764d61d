//! Which pages of other origins may read an answer (Fetch standard, 3.2, the CORS protocol). Owns the decision and the
//! header lines; to answer a preflight with 204 and to add the lines to other answers is for the caller.

use super::{is_token, trim};

/// Longest `Origin` that is looked at, in bytes.
pub const MAX_ORIGIN: usize = 512;
/// Most names of `Access-Control-Request-Headers` that are looked at; with more, the preflight is refused.
pub const MAX_HEADERS: usize = 64;
/// Longest header name or method that is repeated to a client, in bytes.
const MAX_NAME: usize = 64;

/// A header line to add to an answer.
pub type Line = (&'static str, String);

/// An origin, or a set of them, that a policy lets in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// `*`: all, even `null`.
    Any,
    /// One origin, as a browser writes it.
    Exact(String),
    /// All origins below a domain, but not the domain itself.
    Subdomains {
        /// `https://`
        scheme: String,
        /// `.example.com`, or `.example.com:8443`
        suffix: String,
    },
}

impl Origin {
    /// Reads `*`, an origin like `https://example.com:8443`, or `https://*.example.com`. A default port is dropped, as
    /// browsers do.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.eq_ignore_ascii_case("null") {
            return Err("origin null: any page can make itself that origin in a sandbox".to_owned());
        }
        let text = text.to_ascii_lowercase();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("origin {text:?}: expected scheme://host[:port] or *"));
        };
        if !is_token(scheme.as_bytes()) || text.len() > MAX_ORIGIN {
            return Err(format!("origin {text:?}: not a scheme, or too long"));
        }
        let rest = match scheme {
            "http" => rest.strip_suffix(":80").unwrap_or(rest),
            "https" => rest.strip_suffix(":443").unwrap_or(rest),
            _ => rest,
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        if port.is_some_and(|port| port.is_empty() || port.parse::<u16>().is_err()) {
            return Err(format!("origin {text:?}: not a port"));
        }
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let valid = match (bracketed, host.strip_prefix("*.")) {
            (Some(address), _) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            (None, Some(domain)) => is_host(domain),
            (None, None) => is_host(host),
        };
        if !valid {
            return Err(format!("origin {text:?}: not a host name; a * stands for subdomains only as *.example.com"));
        }
        Ok(match rest.strip_prefix('*') {
            Some(suffix) => Self::Subdomains { scheme: format!("{scheme}://"), suffix: suffix.to_owned() },
            None => Self::Exact(format!("{scheme}://{rest}")),
        })
    }

    /// Whether it is, or has, this value of `Origin`.
    #[must_use]
    pub fn matches(&self, origin: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(own) => own.as_bytes() == origin,
            Self::Subdomains { scheme, suffix } => origin
                .strip_prefix(scheme.as_bytes())
                .and_then(|rest| rest.strip_suffix(suffix.as_bytes()))
                .is_some_and(|below| std::str::from_utf8(below).is_ok_and(is_host)),
        }
    }
}

/// Whether it is labels of letters, digits, `-` and `_` with dots between them, in lower case.
fn is_host(host: &str) -> bool {
    host.split('.').all(|label| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    })
}

/// Names of methods or headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    /// `*`: whatever is asked for.
    Any,
    /// These, and what needs no permission.
    List(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Names {
    fn has(&self, name: &[u8], ignore_case: bool) -> bool {
        match self {
            Self::Any => true,
            Self::List(names) if ignore_case => names.iter().any(|own| own.as_bytes().eq_ignore_ascii_case(name)),
            Self::List(names) => names.iter().any(|own| own.as_bytes() == name),
        }
    }
}

/// Who may read the answers of one place. Check it with [`validate`](Self::validate) before use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// The origins that may; none by default.
    pub origins: Vec<Origin>,
    /// The methods that may be used beside `GET`, `HEAD` and `POST`. Case counts.
    pub methods: Names,
    /// The request headers that may be sent beside those that need no permission.
    pub headers: Names,
    /// The response headers that may be read beside those that need no permission.
    pub exposed: Names,
    /// Whether requests may have cookies and other credentials.
    pub credentials: bool,
    /// How long a browser may keep the outcome of a preflight, in seconds. Unset: what browsers take, 5 seconds.
    pub max_age: Option<u32>,
}

/// The answer to a preflight: 204 with these lines, whether allowed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// Whether the browser will send the request, for logs.
    pub allowed: bool,
    /// The lines of the answer.
    pub lines: Vec<Line>,
}

impl Policy {
    /// Checks what no single part shows.
    ///
    /// # Errors
    ///
    /// What is wrong, above all `*` together with credentials, which lets any page act in the name of a user.
    pub fn validate(&self) -> Result<(), String> {
        if self.credentials && self.origins.contains(&Origin::Any) {
            return Err("credentials with origin *: name the origins that may act in a user's name".to_owned());
        }
        if self.credentials && self.exposed == Names::Any {
            return Err("credentials with exposed headers *: name the headers".to_owned());
        }
        for (what, names) in [("method", &self.methods), ("header", &self.headers), ("exposed header", &self.exposed)] {
            let Names::List(names) = names else { continue };
            if let Some(bad) = names.iter().find(|name| !is_token(name.as_bytes()) || name.len() > MAX_NAME) {
                return Err(format!("{what} {bad:?}: not a name"));
            }
            if names.iter().any(|name| name == "*") {
                return Err(format!("{what} * in a list: it stands alone"));
            }
        }
        Ok(())
    }

    /// The answer to a preflight (Fetch 3.2.2), or `None` if the request is none: its method is not `OPTIONS`, or
    /// `Origin` or `Access-Control-Request-Method` is missing.
    #[must_use]
    pub fn preflight(
        &self,
        method: &[u8],
        origin: Option<&[u8]>,
        request_method: Option<&[u8]>,
        request_headers: Option<&[u8]>,
    ) -> Option<Preflight> {
        let (b"OPTIONS", Some(origin), Some(wanted)) = (method, origin, request_method) else { return None };
        let wanted = trim(wanted);
        let mut lines = Vec::with_capacity(6);
        let Some(allow) = self.allow_origin(origin) else {
            lines.push(vary_preflight());
            return Some(Preflight { allowed: false, lines });
        };
        lines.push(("Access-Control-Allow-Origin", allow));
        if self.credentials {
            lines.push(("Access-Control-Allow-Credentials", "true".to_owned()));
        }
        let known = matches!(wanted, b"GET" | b"HEAD" | b"POST");
        let method_fits = known || (is_name(wanted) && self.methods.has(wanted, false));
        match &self.methods {
            // What is asked for and not `*`, which means nothing to a browser once there are credentials.
            Names::Any => lines.extend(name(wanted).map(|name| ("Access-Control-Allow-Methods", name))),
            Names::List(names) if !names.is_empty() => lines.push(("Access-Control-Allow-Methods", names.join(", "))),
            Names::List(_) => {}
        }
        let asked = header_names(request_headers.unwrap_or_default());
        let headers_fit = asked.as_ref().is_some_and(|asked| asked.iter().all(|name| self.headers.has(name, true)));
        let allow_headers = match &self.headers {
            // `*` would leave out `Authorization`.
            Names::Any => join(asked.as_deref().unwrap_or_default()),
            Names::List(names) => names.join(", "),
        };
        if !allow_headers.is_empty() {
            lines.push(("Access-Control-Allow-Headers", allow_headers));
        }
        if let Some(seconds) = self.max_age {
            lines.push(("Access-Control-Max-Age", seconds.to_string()));
        }
        lines.push(vary_preflight());
        Some(Preflight { allowed: method_fits && headers_fit, lines })
    }

    /// The lines to add to the answer to any other request (Fetch 3.2.3), errors included. Where the answer depends on
    /// the origin there is a `Vary` even if the request has none, or a cache would serve it to all.
    #[must_use]
    pub fn simple(&self, origin: Option<&[u8]>) -> Vec<Line> {
        let mut lines = Vec::with_capacity(4);
        if let Some(allow) = origin.and_then(|origin| self.allow_origin(origin)) {
            lines.push(("Access-Control-Allow-Origin", allow));
            if self.credentials {
                lines.push(("Access-Control-Allow-Credentials", "true".to_owned()));
            }
            match &self.exposed {
                Names::Any => lines.push(("Access-Control-Expose-Headers", "*".to_owned())),
                Names::List(names) if !names.is_empty() => {
                    lines.push(("Access-Control-Expose-Headers", names.join(", ")));
                }
                Names::List(_) => {}
            }
        }
        if !self.is_public() && !self.origins.is_empty() {
            lines.push(("Vary", "Origin".to_owned()));
        }
        lines
    }

    /// Everyone gets the same: a cache need not tell origins apart.
    fn is_public(&self) -> bool {
        !self.credentials && self.origins.contains(&Origin::Any)
    }

    /// The value of `Access-Control-Allow-Origin`, if the origin may read.
    fn allow_origin(&self, origin: &[u8]) -> Option<String> {
        let origin = trim(origin);
        if self.is_public() {
            return Some("*".to_owned());
        }
        // A `*` next to credentials, which `validate` refuses, lets nobody in.
        let fits = |own: &Origin| *own != Origin::Any && own.matches(origin);
        if origin.len() > MAX_ORIGIN || !self.origins.iter().any(fits) {
            return None;
        }
        std::str::from_utf8(origin).ok().map(str::to_owned)
    }
}

fn vary_preflight() -> Line {
    ("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers".to_owned())
}

/// The names in a list, or `None` if one is malformed or there are too many.
fn header_names(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut names = Vec::new();
    for name in value.split(|&byte| byte == b',').map(trim).filter(|name| !name.is_empty()) {
        if names.len() == MAX_HEADERS || !is_name(name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

fn is_name(name: &[u8]) -> bool {
    name.len() <= MAX_NAME && is_token(name)
}

fn name(name: &[u8]) -> Option<String> {
    is_name(name).then(|| name.iter().map(|&byte| char::from(byte)).collect())
}

fn join(names: &[&[u8]]) -> String {
    names.iter().filter_map(|&own| name(own)).collect::<Vec<_>>().join(", ")
}
