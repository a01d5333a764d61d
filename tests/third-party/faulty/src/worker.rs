//! An action that asks a worker before it answers, and misbehaves as it is told: `"never"` has no answer, `"panic"` panics.

use super::Faulty;
use anyproxy_module_api::*;
use std::{
    future::{pending, poll_fn},
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
};

/// What the worker said, and who waits for it.
type Answer = Arc<Mutex<(Option<u32>, Option<Waker>)>>;

pub(super) struct Worker;

impl ActionLater<Faulty> for Worker {
    const NAME: &'static str = "worker";
    const DOC: &'static str = "The number of the first worker, as that says it.";

    async fn run(_: &Faulty, args: String) -> Result<String, String> {
        if args.contains("never") {
            pending::<()>().await;
        }
        assert!(!args.contains("panic"), "as it was told");
        let answer = Answer::default();
        let to = Arc::clone(&answer);
        let asked = post(0, move || {
            let mut answer = to.lock().unwrap_or_else(PoisonError::into_inner);
            answer.0 = worker();
            if let Some(waker) = answer.1.take() {
                waker.wake();
            }
        });
        if !asked {
            return Err("there is no worker".to_owned());
        }
        let number = poll_fn(|cx| {
            let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
            answer.1 = Some(cx.waker().clone());
            answer.0.map_or(Poll::Pending, Poll::Ready)
        });
        Ok(number.await.to_string())
    }
}
