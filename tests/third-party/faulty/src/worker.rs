//! An action that asks a worker before it answers, and misbehaves as it is told: `"never"` has no answer, `"panic"` panics, `"spawn"`
//! spawns where there is no worker, `"process"` waits for what the process's loop has.

use super::Faulty;
use anyproxy_module_api::*;
use std::{
    future::{pending, poll_fn},
    sync::{Arc, Mutex, PoisonError},
    task::{Poll, Waker},
    time::Duration,
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
        if args.contains("spawn") {
            return Ok(spawn(async {}).await.to_string());
        }
        if args.contains("process") {
            return waits().await.map_err(|e| e.to_string());
        }
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

/// A timer, a name, a job and a file: none of their futures can be sent, and a task of the process has them all the same.
async fn waits() -> Result<String, Error> {
    let done = Arc::new(Mutex::new(None));
    let to = Arc::clone(&done);
    spawn_process(move || async move {
        let all = async {
            sleep(Duration::from_millis(1)).await;
            let names = resolve("localhost", 80).await?;
            let sum = run(Pool::Blocking, |_| 3).await?;
            let file = File::open("/dev/null", Open::READ).await?;
            Ok::<_, Error>(format!("{} {sum} {}", !names.is_empty(), file.len()?))
        };
        *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(all.await);
    })
    .await;
    let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
    done.unwrap_or(Err(Error::new(ErrorKind::Cancelled, "the task did not end")))
}
