//! A fake http for unit tests of hooks and handlers, on the fake host of `anyproxy_module_api::testing`: requests are made up,
//! and what became of them can be looked at. What needs a real client or peer is for tests with the real http.
//!
//! ```text
//! let host = FakeHost::new();
//! let http = FakeHttp::on(&host);
//! let module = ModuleUnderTest::<Stamp>::start_on(host, &blocks);
//! let outcome = http.hook(&module, "stamp", FakeExchange::get("/").answered(200).body("hello"));
//! assert_eq!((outcome.header("X-Stamp"), outcome.text()), (Some("seen"), "HELLO"));
//! ```

mod exchange;
mod provider;

pub use exchange::{FakeExchange, FakeHead, Outcome};

use crate::{Answer, Body, HttpTable, ID, LAYOUT, Registered, Segment, VERSION};
use anyproxy_module_api::{
    Error, Module, Session,
    testing::{FakeHost, ModuleUnderTest},
};
use provider::{Fake, Registry};

/// A fake http: what modules register with it, and what they ask peers.
#[derive(Debug)]
pub struct FakeHttp(&'static Fake);

/// A request of the module's own, as a peer would get it.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// `Upstream::number` of whom it went to (`FakeHost::upstream_name`); `None`: the local's peers.
    pub upstream: Option<u32>,
    /// Method, target and headers.
    pub head: FakeHead,
    /// Body.
    pub body: Vec<u8>,
}

impl FakeHttp {
    /// Offers the contract on this host; the module is started on it after that.
    pub fn on(host: &FakeHost) -> Self {
        // For as long as the host, whoever drops that: a few hundred bytes a test.
        let fake: &'static Fake = Box::leak(Box::default());
        let table: &'static HttpTable = fake.table.get_or_init(|| HttpTable::new(fake));
        // SAFETY: the table that these name, and it is never given up.
        unsafe { host.provide(ID, VERSION, LAYOUT, std::ptr::from_ref(table).cast()) };
        Self(fake)
    }

    /// Runs the hook of that name, of whichever stage, whether it applies or not (see [`FakeHttp::applies`]). For a hook of
    /// the answer's stages the exchange is one that was answered.
    ///
    /// # Panics
    /// When there is no such hook, when it waits for what nothing in the test will do, and where http would end the connection or
    /// answer with 500: a body that is not as long as it says, an answer without a status, a 101 or an `Upgrade` that is none.
    pub fn hook<M: Module>(&self, module: &ModuleUnderTest<M>, name: &str, exchange: FakeExchange) -> Outcome {
        let hook = self.0.registry().hook(name);
        self.run(module, hook, exchange)
    }

    /// The same with a handler for `http_router`.
    ///
    /// # Panics
    /// As [`FakeHttp::hook`].
    pub fn handler<M: Module>(&self, module: &ModuleUnderTest<M>, name: &str, exchange: FakeExchange) -> Outcome {
        let handler = self.0.registry().handler(name);
        self.run(module, handler, exchange)
    }

    /// Whether the hook has a part in exchanges of the block that the module stands in (`ModuleUnderTest::select`).
    ///
    /// # Panics
    /// When there is no such hook.
    pub fn applies<M: Module>(&self, module: &ModuleUnderTest<M>, name: &str) -> bool {
        let hook = self.0.registry().hook(name);
        let session = module.host().session();
        // SAFETY: the test's own session, on its only thread.
        let exchange = unsafe { Session::of(&raw const *session, self.0) };
        hook.applies(self.0.table(), &exchange)
    }

    /// The answer to the next request of the module's own that has none yet; a request without one fails with `NoPeer`.
    pub fn answer_fetch(&self, status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        self.0.answers().push_back((status, lines.collect::<String>().into_bytes(), body.into()));
    }

    /// Requests of the module's own so far.
    pub fn fetched(&self) -> Vec<Fetch> {
        self.0.fetches().clone()
    }

    fn run<M: Module>(&self, module: &ModuleUnderTest<M>, hook: &'static Registered, given: FakeExchange) -> Outcome {
        let session = module.host().session();
        let answered = given.parts.answer.status != 0;
        let id = self.0.begin(&raw const *session, given.parts);
        // SAFETY: as above.
        let exchange = unsafe { Session::of(&raw const *session, self.0) };
        let ran = module.host().run(async {
            let answer = hook.run(self.0.table(), &exchange, given.body).await?;
            let (request, head) = self.0.heads(id);
            // What http sends none with.
            let bare = head.status != 0 && (request.method == "HEAD" || matches!(head.status, 100..=199 | 204 | 304));
            let mut outcome = match answer {
                Answer::GoOn(body) => Outcome { went_on: true, ..read(body, bare).await? },
                Answer::Respond(body) => read(body, bare).await?,
                Answer::Upgrade(upgraded) => Outcome { upgraded: Some(upgraded), ..Outcome::default() },
            };
            // What a body does as it is read counts, too.
            (outcome.request, outcome.answer) = self.0.heads(id);
            Ok(outcome)
        });
        self.0.end(id);
        let outcome = ran.unwrap_or_else(|e| Outcome { error: Some(e), ..Outcome::default() });
        if let Some(wrong) = outcome.wrong(answered) {
            panic!("hook {:?} {wrong}", hook.name);
        }
        outcome
    }
}

/// All of a body, as whoever sends it would have it. `bare`: nobody asks for it.
async fn read(body: Body, bare: bool) -> Result<Outcome, Error> {
    let (said, mut body) = (body.length(), body.flat());
    let mut outcome = Outcome { length: said, ..Outcome::default() };
    if bare {
        return Ok(outcome);
    }
    while let Some(segment) = body.next().await? {
        match segment {
            Segment::Bytes(bytes) => outcome.body.extend_from_slice(&bytes),
            Segment::Trailers(lines) => {
                outcome.trailers = lines.to_vec();
                break;
            }
            Segment::File(_) => {}
        }
    }
    let length = outcome.body.len() as u64;
    assert!(said.is_none_or(|said| said == length), "a body says that it has {said:?} bytes, and has {length}");
    Ok(outcome)
}

impl Outcome {
    /// What http answers with 500 and an error in the log. `answered`: somebody had answered before.
    fn wrong(&self, answered: bool) -> Option<&'static str> {
        match (self.answer.status, &self.upgraded) {
            _ if self.error.is_some() => None,
            (_, Some(_)) if answered => Some("changes the protocol of what was answered"),
            (_, Some(_)) if self.request.header("Upgrade").is_none() => {
                Some("changes the protocol of a request that does not ask for it")
            }
            (0, None) if !self.went_on => Some("answered without a status"),
            (101, None) if !self.went_on || answered => {
                Some("answered with 101 and does not go on by another protocol")
            }
            _ => None,
        }
    }
}

impl Registry {
    fn hook(&self, name: &str) -> &'static Registered {
        self.hooks.iter().find(|h| *h.name == *name).unwrap_or_else(|| panic!("nobody registered a hook {name:?}"))
    }

    fn handler(&self, name: &str) -> &'static Registered {
        let found = self.handlers.iter().find(|h| *h.name == *name);
        found.unwrap_or_else(|| panic!("nobody registered a handler {name:?}"))
    }
}
