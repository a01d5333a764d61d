//! A session that is kept beyond its end, with what is in its slot.

use super::*;

/// What is in the slot.
struct Kept(&'static str);

impl Drop for Kept {
    fn drop(&mut self) {
        tracing::info!("kept: {} given up", self.0);
    }
}

/// Holds the session in a task that ends some turns after it. The slot's value is made before or after the end.
pub(crate) fn beyond_the_end(session: &Session<Faulty>, late: bool) {
    let session = session.clone();
    drop(spawn(async move {
        let early = (!late).then(|| session.slot(|| Kept("early")));
        while session.close_reason.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        // Whatever is done at the end is done by then.
        sleep(Duration::from_millis(1)).await;
        let kept = early.unwrap_or_else(|| session.slot(|| Kept("late")));
        tracing::info!("kept: {} looked at", kept.0);
    }));
}
