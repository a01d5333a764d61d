//! Who is let in, and how fast: rates, credentials, other origins.

use crate::{
    conn::within,
    core::{
        auth,
        cors::{Names, Origin, Policy},
        limit::{Limiter, Rate, Verdict},
        password::Hash,
    },
    exchange::Request,
    h1::{self, HeaderAt, Id, Method},
    reply::{Call, Reply},
    respond::refuse,
};
use anyproxy_module_api::*;
use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{Arc, OnceLock},
    task::Poll,
};

directive! {
    /// Lets so many requests through for each value of the key; others wait for their turn (`delay`), or get 429.
    /// Lines that say the same count together, wherever they stand; in one place they count once.
    "http_limit_requests", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "Requests a second, or `/m`, `/h`, `/d`: `\"10/m\"`.").required().bounds(1, 1_000_000)])
    .props(&[
        ArgDesc::new("key", Kind::Template, "What is counted by. Without a value a request is not counted.").default("${client_ip}"),
        ArgDesc::new("per", Kind::Time, "The time that the rate is of, in place of its second: `\"10/s\" per=\"90s\"` is ten in 90 seconds.").default("1s").bounds(1_000_000, 86_400_000_000_000),
        ArgDesc::new("burst", Kind::Int, "Requests at once beyond the rate.").default("0").bounds(0, 1_000_000),
        ArgDesc::new("delay", Kind::Int, "Of the burst: so many pass at once, the rest waits for its turn. Without, all pass at once.")
            .bounds(0, 1_000_000),
        ArgDesc::new("status", Kind::Int, "What a request gets that is one too many.").default("429").bounds(400, 599),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_limit_requests \"10/s\" key=\"${client_ip}\" burst=20")
}

directive! {
    /// Asks for a user and a password of this file (`htpasswd`: bcrypt, apr1, SHA-1; `openssl passwd`: -1, -5, -6). `off`: not here.
    "http_auth_basic", Contexts::MSL,
    .args(&[ArgDesc::new("realm", Kind::Text, "What browsers show; `off`: nobody is asked.").required()])
    .props(&[ArgDesc::new("users", Kind::Path, "The file; read with the configuration.")])
    .example("http_auth_basic \"staff\" users=\"/etc/anyproxy/users\"")
}

directive! {
    /// Pages of these origins may use the answers (Fetch, CORS). Preflight requests are answered here.
    "http_cors", Contexts::MSL,
    .args(&[ArgDesc::new("origin", Kind::Text, "`https://a.example`, `https://*.example.com`, or `*`.").required().repeated()])
    .props(&[
        ArgDesc::new("methods", Kind::Text, "Beside GET, HEAD and POST; `*`: all.").default("PUT PATCH DELETE"),
        ArgDesc::new("headers", Kind::Text, "Of requests; `*`: all that are asked for.").default("Content-Type Authorization"),
        ArgDesc::new("expose", Kind::Text, "Of answers, for scripts to read."),
        ArgDesc::new("credentials", Kind::Bool, "With cookies; not for `*`.").default("#false"),
        ArgDesc::new("max_age", Kind::Time, "How long a browser may keep what it was told."),
    ])
    .example("http_cors \"https://app.example.com\" credentials=#true max_age=\"1h\"")
}

/// What a rate is in a second, exactly: of `10/m` the number alone would say 1, and let six times as many through.
fn a_second(rate: &Value<'_>) -> f64 {
    let seconds =
        |per: &str| [("m", 60.0), ("h", 3600.0), ("d", 86_400.0)].iter().find(|(unit, _)| *unit == per).map(|u| u.1);
    let exact =
        rate.text.as_str().split_once('/').and_then(|(n, per)| Some(n.parse::<u32>().ok()? as f64 / seconds(per)?));
    exact.unwrap_or(rate.num as f64)
}

/// Longest file of users, bytes.
const LONGEST: u64 = 64 << 20;
/// Keys that are counted, in the process.
const KEYS: usize = 200_000;
const SHARDS: usize = 64;
/// A verified password is known for so long.
const KNOWN_MS: u64 = 60_000;
/// How many are, a worker.
const KNOWN: usize = 1000;

/// What a block says of access.
#[derive(Debug, Default)]
pub(crate) struct Access {
    limits: Vec<Limit>,
    auth: Option<Auth>,
    cors: Option<Policy>,
}

#[derive(Debug)]
struct Limit {
    /// Distinguishes it from others with the same key.
    name: Vec<u8>,
    key: Option<u32>,
    rate: Rate,
    status: u16,
}

struct Auth {
    challenge: String,
    users: Arc<HashMap<Vec<u8>, Hash>>,
    /// Of the file's content: what was verified by another is not known.
    version: u64,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

impl Access {
    pub(crate) fn new<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Self {
        let mut limits: Vec<Limit> = Vec::new();
        for node in scope.all("http_limit_requests") {
            let per = node.num("per") as f64 / 1e9;
            let a_second = node.arg(0).map_or(0.0, a_second) / per;
            if node.written("per").is_some() && node.arg(0).is_some_and(|v| !v.text.as_str().ends_with("/s")) {
                problems.error(&node.span, "two times for one rate", "leave per= out, or write the rate with /s");
            }
            let (burst, delay) = (node.num("burst"), node.prop("delay").map(|v| v.num as u32));
            let Some(rate) = Rate::per_second(a_second, burst as u32, delay) else {
                problems.error(&node.span, "this is no rate", "from 1 in 24 hours to 1,000,000 in a second");
                continue;
            };
            let (key, status) = (node.written("key"), node.num("status") as u16);
            let text = key.map_or("", |v| v.text.as_str());
            if key.is_some() && text.is_empty() {
                let help = "leave key= out to count by the client's address";
                problems.error(&node.span, "an empty key: nothing would be limited", help);
            }
            // All of what it says: two counts in one would be used up twice as fast.
            let name = format!("{text} {a_second} {burst} {delay:?} {status} ").into_bytes();
            if limits.iter().all(|l| l.name != name) {
                limits.push(Limit { name, key: key.map(|v| v.num as u32), rate, status });
            }
        }
        Self { limits, auth: basic(scope, problems), cors: cors(scope, problems) }
    }

    /// Nothing is said.
    pub(crate) const fn is_empty(&self) -> bool {
        self.limits.is_empty() && self.auth.is_none() && self.cors.is_none()
    }

    /// Lets the request pass, perhaps after a wait, or answers it.
    pub(crate) async fn check(&self, call: &Call<'_>) -> Option<Reply> {
        for limit in &self.limits {
            if let Some(refused) = limit.check(call).await {
                return Some(refused);
            }
        }
        if let Some(policy) = &self.cors
            && let Some(reply) = preflight(policy, call)
        {
            return Some(reply);
        }
        let auth = self.auth.as_ref()?;
        match auth.is_known(call).await {
            Ok(true) => None,
            Ok(false) => {
                let reply = refuse(call, 401);
                let _ = call.state.parts.borrow_mut().response.add("WWW-Authenticate", auth.challenge.as_bytes());
                Some(reply)
            }
            // Nobody has looked: a browser must not forget its user's password for that.
            Err(e) => {
                tracing::warn!(session = call.exchange.id, "a password is not verified: {e}");
                Some(refuse(call, 503))
            }
        }
    }

    /// Adds what an answer says to pages of other origins.
    pub(crate) fn finish(&self, call: &Call<'_>) {
        let Some(policy) = &self.cors else { return };
        let parts = &mut *call.state.parts.borrow_mut();
        let Request { request, response, .. } = parts;
        let told = |l: &HeaderAt| l.name(&response.bytes).eq_ignore_ascii_case(b"Access-Control-Allow-Origin");
        // A preflight is answered already, and a peer may speak for itself.
        let asks = |l: &HeaderAt| l.name(&request.bytes).eq_ignore_ascii_case(b"Access-Control-Request-Method");
        let preflight = response.status() == 204 && request.head.method() == Method::Options;
        if response.lines().any(told) || preflight && request.lines().any(asks) {
            return;
        }
        for (name, value) in policy.simple(request.value(Id::Origin)) {
            let _ = response.add(name, value.as_bytes());
        }
    }
}

impl Limit {
    async fn check(&self, call: &Call<'_>) -> Option<Reply> {
        let mut key = self.name.clone();
        let before = key.len();
        match self.key {
            Some(template) => {
                call.exchange.render(template, &mut key);
            }
            None => {
                let client = call.exchange.client.get();
                key.extend_from_slice(client.ip().map_or_else(String::new, |ip| ip.to_string()).as_bytes());
            }
        }
        if key.len() == before {
            return None;
        }
        let limiter = call.exchange.module().limiter()?;
        let retry_us = match limiter.check(&key, self.rate, now().as_micros() as u64) {
            Verdict::Allow => return None,
            Verdict::Delay(us) => {
                // A session that is told to end does not wait for its turn.
                let turn = within(call.watch, us.div_ceil(1000), |_| Poll::<Result<(), Error>>::Pending).await;
                return turn.err().filter(|e| e.kind != ErrorKind::TimedOut).map(|_| refuse(call, 503));
            }
            Verdict::Refuse { retry_after_us } => retry_after_us,
        };
        let reply = refuse(call, self.status);
        let seconds = retry_us.div_ceil(1_000_000).max(1).to_string();
        call.state.parts.borrow_mut().response.put("Retry-After", seconds.as_bytes());
        Some(reply)
    }
}

impl ZoneState for Limiter {
    const SCHEMA: u32 = 2;

    fn export(&self) -> Vec<u8> {
        Self::export(self, now().as_micros() as u64)
    }

    fn import(schema: u32, bytes: &[u8]) -> Option<Self> {
        let limiter = Self::default();
        (schema == <Self as ZoneState>::SCHEMA && Self::import(&limiter, bytes, now().as_micros() as u64).is_ok())
            .then_some(limiter)
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new(SHARDS, KEYS)
    }
}

fn basic<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Option<Auth> {
    let node = scope.node("http_auth_basic")?;
    let realm = node.arg(0).map_or("", |v| v.text.as_str());
    if realm == "off" {
        return None;
    }
    let Some(file) = node.prop("users").map(|v| v.text.as_str()) else {
        problems.error(&node.span, "users are missing", "users=\"/path/of/htpasswd\"");
        return None;
    };
    let text = match read_regular(file, LONGEST) {
        Ok(text) => text,
        Err(e) => {
            problems.error(&node.span, &format!("{file}: {e}"), "");
            return None;
        }
    };
    let mut users = HashMap::new();
    for line in auth::password_lines(&text) {
        let known = line.map_err(|bad| bad.to_string()).and_then(|(number, user, hash)| {
            let hash = std::str::from_utf8(hash).ok().and_then(Hash::parse).ok_or_else(|| {
                let user = String::from_utf8_lossy(user);
                format!("line {number}: the password of {user} is in no form that is known")
            });
            Ok((user.to_vec(), hash?))
        });
        match known {
            // Of two lines the first counts, as for other servers.
            Ok((user, hash)) => users.entry(user).or_insert(hash),
            Err(wrong) => {
                problems.error(&node.span, &format!("{file}: {wrong}"), "make it with htpasswd -B");
                return None;
            }
        };
    }
    let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", realm.replace(['"', '\\'], "'"));
    if h1::field(b"WWW-Authenticate", challenge.as_bytes(), &mut Vec::new()).is_err() {
        problems.error(&node.span, "the realm has a control character", "");
    }
    // The same for every block with this file.
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    let version = SECRET.get_or_init(RandomState::new).hash_one(&text);
    Some(Auth { challenge, users: Arc::new(users), version })
}

/// Passwords that were verified, as keyed hashes, until when: the hashes of files are made to be slow.
#[derive(Debug, Default)]
pub(crate) struct Known {
    until: RefCell<HashMap<u64, u64>>,
    secret: RandomState,
}

impl Auth {
    /// # Errors
    /// When too many others are being verified.
    async fn is_known(&self, call: &Call<'_>) -> Result<bool, Error> {
        let given = call.state.parts.borrow().request.value(Id::Authorization).and_then(auth::basic);
        let Some(given) = given else { return Ok(false) };
        let known = &call.exchange.worker().known;
        let mark = known.secret.hash_one((self.version, &given.user, &given.password));
        let now = now_ms();
        if known.until.borrow().get(&mark).is_some_and(|until| *until > now) {
            return Ok(true);
        }
        let users = Arc::clone(&self.users);
        let verified = run(Pool::Compute, move |_| {
            // Who is not there takes no less time.
            let hash = users.get(&given.user).or_else(|| users.values().next());
            hash.is_some_and(|h| h.is_of(&given.password)) && users.contains_key(&given.user)
        });
        if !verified.await? {
            tracing::info!(session = call.exchange.id, "a user and password that are not in the file");
            return Ok(false);
        }
        let until = &mut *known.until.borrow_mut();
        if until.len() >= KNOWN {
            until.retain(|_, until| *until > now);
        }
        if until.len() < KNOWN {
            until.insert(mark, now + KNOWN_MS);
        }
        Ok(true)
    }
}

fn cors<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Option<Policy> {
    let node = scope.node("http_cors")?;
    let names = |name: &str, default: &str| match node.prop(name).map_or(default, |v| v.text.as_str()) {
        "*" => Names::Any,
        list => Names::List(list.split_whitespace().map(str::to_owned).collect()),
    };
    let mut origins = Vec::new();
    for arg in node.args.as_slice() {
        match Origin::parse(arg.text.as_str()) {
            Ok(origin) => origins.push(origin),
            Err(wrong) => problems.error(&arg.span, &wrong, ""),
        }
    }
    let policy = Policy {
        origins,
        methods: names("methods", "PUT PATCH DELETE"),
        headers: names("headers", "Content-Type Authorization"),
        exposed: names("expose", ""),
        credentials: node.prop("credentials").is_some_and(|v| v.num != 0),
        max_age: node.prop("max_age").map(|v| v.time().as_secs().min(86_400) as u32),
    };
    if let Err(wrong) = policy.validate() {
        problems.error(&node.span, &wrong, "");
        return None;
    }
    Some(policy)
}

fn preflight(policy: &Policy, call: &Call<'_>) -> Option<Reply> {
    let parts = &mut *call.state.parts.borrow_mut();
    let value = |name: &str| {
        let request = &parts.request;
        let mut lines = request.lines();
        Some(
            lines
                .find(|l| l.name(&request.bytes).eq_ignore_ascii_case(name.as_bytes()))?
                .value(&request.bytes)
                .to_vec(),
        )
    };
    let (origin, method) = (value("Origin"), value("Access-Control-Request-Method"));
    let headers = value("Access-Control-Request-Headers");
    let name = parts.method_name().to_vec();
    let made = policy.preflight(&name, origin.as_deref(), method.as_deref(), headers.as_deref())?;
    parts.response.answer(204);
    for (name, value) in made.lines {
        let _ = parts.response.add(name, value.as_bytes());
    }
    Some(Reply::whole(Vec::new()))
}
