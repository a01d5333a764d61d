//! Counts its answers in a zone, which goes from generation to generation and from image to image.
//! `SWAP_VERSION=2 cargo build -p zone-counter` makes another image.

use anyproxy_module_api::*;
use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

directive! {
    /// Answers its calls so far, over all generations, and the version that the module was built as; again for each piece.
    /// After a piece that begins with `!` the state panics where another image wants it, once; after one that begins with `?` that
    /// image does not understand it, and panics over an empty one, once.
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

/// What outlives a generation; whether its next `export` panics, and whether what that makes cannot be understood.
#[derive(Debug)]
pub struct Count(AtomicU64, AtomicBool, AtomicBool);

/// The next one that is made empty panics.
static EMPTY_PANICS: AtomicBool = AtomicBool::new(false);

impl Default for Count {
    fn default() -> Self {
        assert!(!EMPTY_PANICS.swap(false, Relaxed), "told to panic over an empty one");
        Self::of(0)
    }
}

impl Count {
    const fn of(count: u64) -> Self {
        Self(AtomicU64::new(count), AtomicBool::new(false), AtomicBool::new(false))
    }
}

impl ZoneState for Count {
    const SCHEMA: u32 = 1;

    fn export(&self) -> Vec<u8> {
        assert!(!self.1.swap(false, Relaxed), "told to panic in export");
        if self.2.swap(false, Relaxed) {
            return Vec::new();
        }
        self.0.load(Relaxed).to_be_bytes().to_vec()
    }

    fn import(schema: u32, bytes: &[u8]) -> Option<Self> {
        EMPTY_PANICS.store(bytes.is_empty(), Relaxed);
        let bytes = (schema == Self::SCHEMA).then_some(bytes)?;
        Some(Self::of(u64::from_be_bytes(bytes.try_into().ok()?)))
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
            match (session.module().count.get(), piece[0]) {
                (Some(count), b'!') => count.1.store(true, Relaxed),
                (Some(count), b'?') => count.2.store(true, Relaxed),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
