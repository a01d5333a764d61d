//! Counts its answers in a zone, which goes from generation to generation and from image to image.
//! `SWAP_VERSION=2 cargo build -p zone-counter` makes another image.

use anyproxy_module_api::*;
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

directive! {
    /// Answers its calls so far, over all generations, and the version that the module was built as; again for each piece.
    /// After a piece that begins with `!` the state panics where another image wants it, once.
    /// Absent: the local has another handler.
    "zone_counter", Contexts::LOCAL,
    .role(Role::Handler, "zone_counter")
    .inherit(Inherit::Never)
}

export_module!(ZoneCounter);

const VERSION: &str = match option_env!("SWAP_VERSION") {
    Some(version) => version,
    None => "1",
};

/// What outlives a generation, and whether its next `export` panics.
#[derive(Debug, Default)]
pub struct Count(AtomicU64, AtomicBool);

impl ZoneState for Count {
    const SCHEMA: u32 = 1;

    fn export(&self) -> Vec<u8> {
        assert!(!self.1.swap(false, Relaxed), "told to panic in export");
        self.0.load(Relaxed).to_be_bytes().to_vec()
    }

    fn import(schema: u32, bytes: &[u8]) -> Option<Self> {
        let bytes = (schema == Self::SCHEMA).then_some(bytes)?;
        Some(Self(AtomicU64::new(u64::from_be_bytes(bytes.try_into().ok()?)), AtomicBool::default()))
    }
}

/// The module of one generation: its hold on the zone.
#[derive(Debug, Default)]
pub struct ZoneCounter {
    count: OnceLock<ZoneRef<Count>>,
}

impl ZoneCounter {
    /// The number of this connection; `None` once the zone moved to another image.
    fn next(&self) -> Option<u64> {
        Some(self.count.get()?.live()?.0.fetch_add(1, Relaxed) + 1)
    }
}

impl Module for ZoneCounter {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<Counted>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        match zone("connections") {
            Ok(count) => self.count.set(count).is_ok(),
            Err(e) => {
                problems.fail(&format!("zone_counter: {e}"));
                false
            }
        }
    }

    fn worker_start(&self, _: u32) {}
}

struct Counted;

impl Handler<ZoneCounter> for Counted {
    const NAME: &'static str = "zone_counter";

    async fn handle(session: Session<ZoneCounter>, mut stream: Stream) -> Result<(), Error> {
        let mut piece = [0; 4096];
        loop {
            // One answer a line: an old connection asks again after the zone has moved.
            let number = session.module().next().map_or("-".to_owned(), |n| n.to_string());
            stream.write_all(format!("{number} {VERSION}\n").as_bytes()).await?;
            stream.flush().await?;
            if stream.read(&mut piece).await? == 0 {
                return stream.shutdown().await;
            }
            if let Some(count) = session.module().count.get().filter(|_| piece[0] == b'!') {
                count.1.store(true, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
