//! Memory that reloads have freed. The allocator gives it back piece by piece, by thousands of calls, of which each interrupts
//! all workers: that waits until reloads are over, and the next one finds it meanwhile.

use super::reload::off_the_loop;
use crate::services::{platform, rt};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How long nothing more was freed, by then.
const QUIET: Duration = Duration::from_secs(2);

/// Asks for it; the last who does has it done.
pub(super) fn give_back_later() {
    static ASKED: AtomicU64 = AtomicU64::new(0);
    let mine = ASKED.fetch_add(1, Relaxed) + 1;
    tokio::spawn(async move {
        rt::sleep(QUIET).await;
        if ASKED.load(Relaxed) == mine {
            // Without a thread it is done another time.
            drop(off_the_loop(platform::give_memory_back).await);
        }
    });
}
