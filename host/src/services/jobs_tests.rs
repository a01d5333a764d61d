use super::*;
use std::sync::{
    atomic::AtomicUsize,
    mpsc::{Receiver, Sender, channel},
};

fn pool(most: usize) -> &'static Threads {
    Box::leak(Box::new(Threads::new("test", most)))
}

/// Keeps a pool of one thread busy until the sender is dropped.
fn occupy(pool: &'static Threads) -> (Ticket, Sender<()>) {
    let (end, wait): (Sender<()>, Receiver<()>) = channel();
    let (begun, began) = channel();
    let ticket = pool.submit(Box::new(move |_| {
        let _ = begun.send(());
        let _ = wait.recv();
        true
    }));
    began.recv().unwrap();
    (ticket.unwrap(), end)
}

#[tokio::test]
async fn the_result_comes_back() {
    assert_eq!(run_blocking(|| 6 * 7).await.unwrap(), 42);
}

#[tokio::test]
async fn a_panic_ends_only_its_job() {
    let e = run_blocking(|| -> u32 { panic!("on purpose") }).await.unwrap_err();
    assert_eq!(e.kind, ErrorKind::Panicked);
    assert_eq!(run_blocking(|| 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_running_job_sees_that_its_result_is_not_wanted() {
    let (begun, began) = channel();
    let (saw, seen) = channel();
    let ticket = pool(1).submit(Box::new(move |cancelled| {
        let _ = begun.send(());
        while cancelled.load(Relaxed) == 0 {
            std::thread::yield_now();
        }
        saw.send(()).is_ok()
    }));
    began.recv().unwrap();
    drop(ticket.unwrap());
    seen.recv().unwrap();
}

#[tokio::test]
async fn a_job_that_has_not_begun_is_given_up_without_being_run() {
    let pool = pool(1);
    let (first, end) = occupy(pool);
    let ran = Arc::new(AtomicUsize::new(0));
    let (count, (held, dropped)) = (Arc::clone(&ran), channel::<()>());
    let second = pool.submit(Box::new(move |_| {
        let _held = &held;
        count.fetch_add(1, Relaxed);
        true
    }));
    drop(second.unwrap());
    drop(end);
    first.await.unwrap();
    // Ends when what the job holds is dropped.
    assert!(dropped.recv().is_err());
    assert_eq!(ran.load(Relaxed), 0);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let pool = pool(1);
    let (first, end) = occupy(pool);
    let waiting: Vec<_> = (0..MOST_WAITING).map(|_| pool.submit(Box::new(|_| true)).unwrap()).collect();
    assert_eq!(pool.submit(Box::new(|_| true)).unwrap_err().kind, ErrorKind::Limit);
    assert_eq!(pool.counts().refused, 1);
    drop(end);
    first.await.unwrap();
    for t in waiting {
        t.await.unwrap();
    }
    assert_eq!(pool.counts().waiting, 0);
}

#[tokio::test]
async fn there_are_no_more_threads_than_configured() {
    let pool = pool(2);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let jobs: Vec<_> = (0..50)
        .map(|_| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            pool.submit(Box::new(move |_| {
                most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
                std::thread::yield_now();
                now.fetch_sub(1, Relaxed);
                true
            }))
            .unwrap()
        })
        .collect();
    for j in jobs {
        j.await.unwrap();
    }
    assert!((1..=2).contains(&most.load(Relaxed)));
    assert!(pool.counts().threads <= 2);
    assert_eq!(pool.counts().done, 50);
}
