//! The module on the fake host: every extension point by what it does, without sockets.

mod access;
mod conf;
mod handler;
mod headers;
mod relay;
mod shaped;
mod spill;

use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest, Peer, Running};
use anyproxy_tcp::Tcp;

/// A directive with one argument.
fn say(name: &str, value: impl Into<anyproxy_module_api::testing::Given>) -> Directive {
    Directive::new(name).arg(value)
}

/// The module with these directives in a local.
fn local(directives: impl IntoIterator<Item = Directive>) -> ModuleUnderTest<Tcp> {
    let block = directives.into_iter().fold(Block::local(), Block::with);
    ModuleUnderTest::start(&[block])
}

/// A relay at work.
struct Pair {
    // In this order: what a test that fails leaves goes before the module that it is of.
    run: Running<()>,
    upstream: Peer,
    module: ModuleUnderTest<Tcp>,
}

impl Pair {
    fn new(relay: &str, directives: impl IntoIterator<Item = Directive>) -> Self {
        Self::of(relay, local(directives))
    }

    /// With temporary files in the fake host's directory.
    fn with_files(directives: impl IntoIterator<Item = Directive>) -> Self {
        let host = FakeHost::new();
        let dir = host.dir().to_str().expect("a plain name").to_owned();
        let block = directives.into_iter().fold(Block::local().with(say("tmp_file_path", dir)), Block::with);
        Self::of("shaped", ModuleUnderTest::start_on(host, &[block]))
    }

    fn of(relay: &str, module: ModuleUnderTest<Tcp>) -> Self {
        let (run, upstream) = module.relay(relay).expect("the relay takes it");
        let pair = Self { module, run, upstream };
        pair.go();
        pair
    }

    fn client(&self) -> &Peer {
        &self.run.client
    }

    /// As far as it goes without the clock.
    fn go(&self) {
        self.module.host().run_until_stalled();
    }

    fn pass(&self, ms: u64) {
        self.module.host().advance(std::time::Duration::from_millis(ms));
    }

    /// Sends from the upstream and takes at the client until nothing moves; what the client got.
    fn drain(&self) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            self.go();
            let more = self.client().received();
            if more.is_empty() {
                return all;
            }
            all.extend(more);
        }
    }

    /// Ends everything; nothing may be left.
    fn stop(self) {
        let Self { module, run, upstream } = self;
        drop((run, upstream));
        module.stop();
    }
}

/// Bytes that differ at every place of a block, so that a swap or a loss shows.
fn pattern(len: usize) -> Vec<u8> {
    let mut x = 0x9e37_79b9_u32;
    (0..len)
        .map(|_| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^= x << 5;
            x as u8
        })
        .collect()
}
