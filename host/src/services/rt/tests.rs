use super::*;
use std::{
    io::{Read, Write},
    sync::mpsc,
    time::Instant,
};

/// Runs `f` on a loop of a thread's own, to its end.
fn on_a_loop<F: Future<Output = ()> + 'static>(f: impl FnOnce() -> F) {
    crate::process::start().unwrap();
    run(Wait::Readiness, |r| r.unwrap(), f, || {}, |_| {});
}

/// Tells when it is dropped.
struct Told(mpsc::Sender<&'static str>, &'static str);

impl Drop for Told {
    fn drop(&mut self) {
        let how = if std::thread::panicking() { "while it panicked" } else { self.1 };
        self.0.send(how).unwrap();
    }
}

#[test]
fn tasks_take_turns_and_a_wake_up_of_itself_starves_nobody() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (a, b) = (Rc::clone(&seen), Rc::clone(&seen));
    on_a_loop(|| async move {
        let greedy = spawn(async move {
            loop {
                a.borrow_mut().push('a');
                yield_now().await;
            }
        });
        sleep(Duration::from_millis(2)).await;
        b.borrow_mut().push('b');
        assert!(!greedy.is_finished());
    });
    let seen = seen.borrow();
    let at = seen.iter().position(|c| *c == 'b').expect("the other one had its turn");
    // The loop ends with its root, after the turns that had begun.
    assert!(at > 1 && seen.len() - at <= 3, "{at} of {}", seen.len());
}

#[test]
fn an_aborted_task_is_dropped_at_its_next_turn_and_the_others_with_the_loop() {
    let (tell, told) = mpsc::channel();
    let (first, second, mine) = (Told(tell.clone(), "first"), Told(tell.clone(), "second"), Told(tell, "root"));
    on_a_loop(|| async move {
        let _mine = mine;
        let task = spawn(async move {
            let _first = first;
            std::future::pending().await
        });
        spawn(async move {
            let _second = second;
            std::future::pending().await
        });
        yield_now().await;
        task.abort();
        task.abort();
        assert!(!task.is_finished());
        yield_now().await;
        assert!(task.is_finished());
        task.abort();
    });
    assert_eq!(told.iter().collect::<Vec<_>>(), ["first", "root", "second"]);
}

#[test]
fn a_task_that_ends_while_it_is_queued_is_over_once_and_its_place_another_s() {
    let (tell, told) = mpsc::channel();
    on_a_loop(|| async move {
        for n in 0..100 {
            let dropped = Told(tell.clone(), "dropped");
            let task = spawn(std::future::poll_fn(move |cx| {
                let _dropped = &dropped;
                // Queued again, and by another thread too, before it is over.
                cx.waker().wake_by_ref();
                let waker = cx.waker().clone();
                std::thread::spawn(move || waker.wake()).join().unwrap();
                Poll::Ready(())
            }));
            // Its place in the loop may be this one's, which nobody wakes before its time.
            let other = spawn(sleep(Duration::from_millis(1)));
            while !task.is_finished() || (n % 2 == 0 && !other.is_finished()) {
                yield_now().await;
            }
            task.abort();
        }
    });
    assert_eq!(told.into_iter().count(), 100);
}

#[test]
fn no_wake_up_is_lost_between_its_own_thread_s_and_others() {
    const EACH: usize = 20_000;
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    on_a_loop(|| async move {
        let mut threads = None;
        std::future::poll_fn(move |cx| {
            threads.get_or_insert_with(|| {
                [0, 1].map(|_| {
                    let (waker, count) = (cx.waker().clone(), Arc::clone(&count));
                    std::thread::spawn(move || {
                        for _ in 0..EACH {
                            count.fetch_add(1, SeqCst);
                            waker.wake_by_ref();
                        }
                    })
                })
            });
            let now = count.load(SeqCst);
            if now.is_multiple_of(3) {
                cx.waker().wake_by_ref();
            }
            if now == 2 * EACH { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
}

#[test]
fn a_panic_ends_one_task_whose_future_learns_of_it() {
    let (tell, told) = mpsc::channel();
    on_a_loop(|| async move {
        let task = spawn(async move {
            let _told = Told(tell, "in order");
            yield_now().await;
            panic!("on purpose");
        });
        while !task.is_finished() {
            yield_now().await;
        }
    });
    assert_eq!(told.iter().collect::<Vec<_>>(), ["while it panicked"]);
}

#[test]
fn wakers_work_from_other_threads_and_outlive_their_task() {
    let (tell, wakers) = mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || {
        let mut kept = Vec::new();
        for waker in wakers {
            waker.wake_by_ref();
            kept.push(waker);
        }
        kept
    });
    on_a_loop(|| async move {
        for _ in 0..1000 {
            let mut told = false;
            std::future::poll_fn(|cx| {
                if std::mem::replace(&mut told, true) {
                    return Poll::Ready(());
                }
                tell.send(cx.waker().clone()).unwrap();
                Poll::Pending
            })
            .await;
        }
    });
    let kept = thread.join().unwrap();
    assert_eq!(kept.len(), 1000);
    // Their task is over and its loop gone.
    kept.iter().for_each(Waker::wake_by_ref);
}

#[test]
fn timers_fire_in_their_order_and_not_before_their_time() {
    let (tell, told) = mpsc::channel();
    on_a_loop(|| async move {
        let began = Instant::now();
        let tasks: Vec<_> = [30, 10, 20]
            .map(|ms| {
                let tell = tell.clone();
                spawn(async move {
                    sleep(Duration::from_millis(ms)).await;
                    tell.send((ms, began.elapsed() >= Duration::from_millis(ms))).unwrap();
                })
            })
            .into();
        drop(sleep(Duration::from_secs(3600)));
        assert!(within(Duration::from_millis(1), std::future::pending::<()>()).await.is_none());
        assert_eq!(within(Duration::from_secs(3600), std::future::ready(7)).await, Some(7));
        while tasks.iter().any(|t| !t.is_finished()) {
            sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(told.iter().collect::<Vec<_>>(), [(10, true), (20, true), (30, true)]);
}

/// A connected pair: one end of a thread's own, the other the loop's.
fn pair() -> (std::net::TcpStream, mio::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let far = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let near = listener.accept().unwrap().0;
    near.set_nonblocking(true).unwrap();
    (far, mio::net::TcpStream::from_std(near))
}

async fn read(io: &Io<mio::net::TcpStream>, to: &mut [u8]) -> Result<usize> {
    std::future::poll_fn(|cx| io.poll_read(cx, to.len(), |mut s| s.read(to))).await
}

#[test]
fn a_socket_tells_when_it_can_be_read_and_that_the_other_side_has_ended() {
    on_a_loop(|| async {
        let (mut far, near) = pair();
        let io = Io::new(near).unwrap();
        let mut to = [0; 8];
        let early = within(Duration::from_millis(5), read(&io, &mut to)).await;
        assert!(early.is_none());
        for _ in 0..3 {
            far.write_all(b"abc").unwrap();
            assert_eq!(read(&io, &mut to).await.unwrap(), 3);
            assert!(!io.is_ready(READ), "a short read says that there is no more");
        }
        // The end comes with the bytes: a short read does not hide it.
        far.write_all(b"x").unwrap();
        drop(far);
        assert_eq!(read(&io, &mut to).await.unwrap(), 1);
        assert_eq!(read(&io, &mut to).await.unwrap(), 0);
        assert_eq!(read(&io, &mut to).await.unwrap(), 0);
        assert!(io.seen().is_closed());
    });
}

#[test]
fn a_slot_is_used_again_and_what_was_said_of_it_before_is_forgotten() {
    on_a_loop(|| async {
        let (far, near) = pair();
        let io = Io::new(near).unwrap();
        drop(far);
        let mut to = [0; 8];
        assert_eq!(read(&io, &mut to).await.unwrap(), 0);
        let slot = io.token();
        drop(io);
        let (_far, near) = pair();
        let io = Io::new(near).unwrap();
        assert_eq!(io.token(), slot);
        assert!(!io.is_ready(READ) && !io.seen().is_closed());
        let early = within(Duration::from_millis(5), read(&io, &mut to)).await;
        assert!(early.is_none());
        // Registered nowhere any more, and as good as before.
        let near = io.into_inner().unwrap();
        let io = Io::new(near).unwrap();
        assert!(within(Duration::from_millis(5), read(&io, &mut to)).await.is_none());
    });
}

#[test]
fn a_socket_that_outlives_its_loop_touches_none_of_the_next_one() {
    let left = Rc::new(RefCell::new(None));
    let leaves = Rc::clone(&left);
    let (_far, near) = pair();
    on_a_loop(|| async move { *leaves.borrow_mut() = Some(Io::new(near).unwrap()) });
    let (mut far, near) = pair();
    on_a_loop(|| async move {
        let io = Io::new(near).unwrap();
        drop(left.take());
        far.write_all(b"abc").unwrap();
        let mut to = [0; 8];
        let told = within(Duration::from_secs(10), read(&io, &mut to)).await;
        assert_eq!(told.expect("its slot is there").unwrap(), 3);
    });
}

#[test]
#[should_panic(expected = "the root of a loop panicked")]
fn a_root_that_panics_ends_its_loop_and_says_so() {
    on_a_loop(|| async { panic!("on purpose") });
}

#[test]
#[cfg(unix)]
fn a_socket_with_bytes_is_registered_when_somebody_waits() {
    on_a_loop(|| async {
        let (mut far, near) = pair();
        far.write_all(b"abc").unwrap();
        let io = Io::with_bytes(near).unwrap();
        let mut to = [0; 8];
        assert_eq!(read(&io, &mut to).await.unwrap(), 3);
        // Given back before, and after, and as good as a new one each time.
        let io = Io::with_bytes(io.into_inner().unwrap()).unwrap();
        assert!(within(Duration::from_millis(5), read(&io, &mut to)).await.is_none());
        let io = Io::new(io.into_inner().unwrap()).unwrap();
        far.write_all(b"defg").unwrap();
        assert_eq!(read(&io, &mut to).await.unwrap(), 4);
        let io = Io::with_bytes(io.into_inner().unwrap()).unwrap();
        drop(far);
        assert_eq!(read(&io, &mut to).await.unwrap(), 0);
    });
}

#[test]
fn what_needs_a_loop_says_so_where_there_is_none() {
    let (_far, near) = pair();
    assert_eq!(Io::new(near).unwrap_err().kind(), std::io::ErrorKind::Unsupported);
    assert!(spawn(async { panic!("it never runs") }).is_finished());
}

#[tokio::test]
async fn a_guest_does_the_same_beside_tasks_of_its_host() {
    crate::process::start().unwrap();
    attach().unwrap();
    let (mut far, near) = pair();
    let io = Io::new(near).unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    spawn(async move {
        let mut to = [0; 8];
        let n = read(&io, &mut to).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        tell.send(n).unwrap();
    });
    tokio::task::yield_now().await;
    // A task of tokio's waits for a timer of the loop's.
    sleep(Duration::from_millis(1)).await;
    let thread = std::thread::spawn(move || far.write_all(b"abc").map(|()| far));
    assert_eq!(told.await.unwrap(), 3);
    thread.join().unwrap().unwrap();
}
