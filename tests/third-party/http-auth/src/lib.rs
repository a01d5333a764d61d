//! Asks an authentication service before a request is let in: a request of the module's own to an upstream that a directive
//! names. Beside it a relay of connections to an upstream that is named the same way.

use anyproxy_http_contract::{Answer, Body, Exchange, Hook, HookStage, Http, ID, Part, Speaks, To, VERSION, Which};
use anyproxy_module_api::*;

directive! {
    /// A request is let in if a peer of this upstream answers 2xx to GET of `path` with the request's credentials; 401 and 403
    /// are the client's answer, anything else is 500. What the service says in `X-User` is told to the local's peers.
    /// Absent: everybody is let in.
    "http_auth", Contexts::MSL,
    .args(&[ArgDesc::new("upstream", Kind::Upstream, "Who is asked.").required()])
    .props(&[
        ArgDesc::new("path", Kind::Text, "What is asked for.").default("/"),
        ArgDesc::new("version", Kind::Choice, "How it is asked.").choices(VERSIONS).default("1.1"),
    ])
    .example("http_auth \"accounts\" path=\"/verify\"")
}

directive! {
    /// Joins connections with a peer of this upstream.
    /// Absent: the local has another handler.
    "relay_to", Contexts::LOCAL,
    .args(&[ArgDesc::new("upstream", Kind::Upstream, "Where they go.").required()])
    .role(Role::Handler, "relay_to")
    .inherit(Inherit::Never)
    .example("relay_to \"accounts\"")
}

export_module!(HttpAuth, requires = ["http" 1.0]);

const VERSIONS: &[Str<'_>] = &[Str::new("1.1"), Str::new("2")];

/// The module: it keeps nothing itself.
#[derive(Debug)]
pub struct HttpAuth;

/// What a block says.
#[derive(Debug, Default)]
pub struct Conf {
    service: Option<(To, Box<[u8]>)>,
    relay: Option<Upstream>,
}

impl Module for HttpAuth {
    type Conf = Conf;
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.require(ID, VERSION.0, VERSION.1, false).handler::<RelayTo>();
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, scope: &Scope<'_, Self::Conf>, _: &mut Problems<'_>) -> Self::Conf {
        let upstream = |name| scope.node(name).and_then(|node| Upstream::of(node.arg(0)?));
        let service = scope.node("http_auth").and_then(|node| {
            let speaks = if node.prop("version").is_some_and(|v| v.num == 1) { Speaks::Http2 } else { Speaks::Http1 };
            let path = node.prop("path").map_or("/", |v| v.text.as_str());
            Some((To { upstream: Upstream::of(node.arg(0)?)?, speaks }, path.as_bytes().into()))
        });
        Conf { service, relay: upstream("relay_to") }
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        let Some(http) = Http::resolve(self) else {
            problems.fail("http_auth: nobody provides http");
            return false;
        };
        http.hook::<Verify>()
    }

    fn worker_start(&self, _: u32) {}
}

struct Verify;

/// What the service is told of the request.
const CREDENTIALS: [&str; 2] = ["Authorization", "Cookie"];

impl Hook<HttpAuth> for Verify {
    const NAME: &'static str = "auth_verify";
    const STAGE: HookStage = HookStage::Access;

    fn applies(exchange: &Exchange<HttpAuth>) -> bool {
        exchange.block().is_some_and(|conf| conf.service.is_some())
    }

    async fn run(exchange: Exchange<HttpAuth>, body: Body) -> Result<Answer, Error> {
        let Some((to, path)) = exchange.block().and_then(|conf| conf.service.as_ref()) else {
            return Ok(Answer::GoOn(body));
        };
        let mut headers = Vec::new();
        let mut tell = |name: &str, value: &[u8]| {
            [name.as_bytes(), b": ", value, b"\r\n"].iter().for_each(|part| headers.extend_from_slice(part));
        };
        tell("X-Asked", &exchange.part(Part::Target).unwrap_or_default());
        for name in CREDENTIALS {
            if let Some(value) = exchange.header(Which::Request, name) {
                tell(name, &value);
            }
        }
        let verdict = exchange.fetch_from(*to, "GET", path, &headers, Body::EMPTY).await;
        // Only the service says who somebody is.
        exchange.remove(Which::Request, "X-User");
        let status = match &verdict {
            Ok(verdict) if (200..300).contains(&verdict.status) => {
                if let Some(user) = verdict.header("X-User") {
                    exchange.set(Which::Request, "X-User", user);
                }
                return Ok(Answer::GoOn(body));
            }
            Ok(verdict) if matches!(verdict.status, 401 | 403) => verdict.status,
            Ok(_) | Err(_) => 500,
        };
        exchange.respond(status);
        if let Some(how) = verdict.as_ref().ok().and_then(|verdict| verdict.header("WWW-Authenticate")) {
            exchange.set(Which::Response, "WWW-Authenticate", how);
        }
        Ok(Answer::Respond(Body::EMPTY))
    }
}

struct RelayTo;

impl Handler<HttpAuth> for RelayTo {
    const NAME: &'static str = "relay_to";

    async fn handle(session: Session<HttpAuth>, client: Stream) -> Result<(), Error> {
        let upstream = session.block().and_then(|conf| conf.relay).ok_or(Error::bare(ErrorKind::NotFound))?;
        let (peer, lease) = session.connect_to(upstream).await?;
        let ended = session.relay(client, peer).await;
        lease.done(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 1, failure: 0 });
        ended
    }
}

#[cfg(test)]
mod tests;
