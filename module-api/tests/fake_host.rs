//! The fake host does what a host does: time, tasks, files, memory, metrics, zones, as a module sees them.
#![cfg(feature = "testing")]

use anyproxy_module_api::{testing::FakeHost, *};
use std::{cell::RefCell, future::poll_fn, rc::Rc, task::Poll, time::Duration};

#[test]
fn time_passes_only_when_told_and_timers_fire_in_order() {
    let host = FakeHost::new();
    let begun = now_ms();
    let order = Rc::new(RefCell::new(Vec::new()));
    for ms in [30, 10, 20] {
        let order = Rc::clone(&order);
        drop(spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            order.borrow_mut().push((ms, now_ms()));
        }));
    }
    host.run_until_stalled();
    assert!(order.borrow().is_empty());
    host.advance(Duration::from_millis(25));
    assert_eq!(*order.borrow(), [(10, begun + 10), (20, begun + 20)]);
    host.advance(Duration::from_millis(25));
    assert_eq!(order.borrow().len(), 3);
    assert_eq!(now_ms(), begun + 50);
    assert_eq!(host.held(), "");
}

#[test]
fn a_timer_starts_anew_and_a_time_limit_ends_a_future() {
    let host = FakeHost::new();
    let mut s = sleep(Duration::from_secs(1));
    host.advance(Duration::from_millis(900));
    s.reset(Duration::from_secs(1));
    host.advance(Duration::from_millis(900));
    assert!(host.poll_once(&mut s).is_pending());
    host.advance(Duration::from_millis(100));
    assert!(host.poll_once(&mut s).is_ready());

    let limited = spawn(async {
        let never = timeout(Duration::from_secs(1), std::future::pending::<Result<(), Error>>()).await;
        assert_eq!(never.expect_err("it never ends").kind, ErrorKind::TimedOut);
    });
    host.advance(Duration::from_secs(1));
    assert!(host.run(limited), "the task ended by itself");
}

#[test]
fn tasks_end_abort_and_break_and_say_which() {
    let host = FakeHost::new();
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let broken = spawn(async { panic!("in a task") });
    host.run_until_stalled();
    std::panic::set_hook(quiet);
    assert!(!host.run(broken));
    assert!(host.run(spawn(async {})));
    let reads = spawn_process(|| async {
        sleep(Duration::ZERO).await;
        // Neither of these futures can be sent.
        let file = File::open("/a", Open::TRUNCATE).await.expect("it is made");
        assert_eq!(run(Pool::Blocking, |_| 7).await.expect("it ran"), 7);
        assert_eq!(file.len().expect("it has one"), 0);
    });
    assert!(host.run(reads));

    let held = Rc::new(());
    let inside = Rc::clone(&held);
    let task = spawn(async move {
        let _inside = inside;
        std::future::pending::<()>().await;
    });
    host.run_until_stalled();
    task.abort();
    assert_eq!(Rc::strong_count(&held), 1, "its future is gone at once");
    assert!(!host.run(task));
}

#[test]
fn a_task_handle_may_be_used_on_another_thread() {
    let host = FakeHost::new();
    let task = spawn(std::future::pending());
    let timer = sleep(Duration::from_secs(1));
    std::thread::spawn(move || {
        task.abort();
        drop((task, timer));
    })
    .join()
    .expect("it does not panic");
    host.run_until_stalled();
    assert_eq!(host.held(), "");
}

#[test]
fn posted_functions_and_jobs_run_in_their_turn_and_cancel() {
    let host = FakeHost::new();
    host.place(Some(1), 2);
    assert_eq!((worker(), workers()), (Some(1), 2));
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let count = |n| {
        let ran = ran.clone();
        move || {
            ran.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        }
    };
    assert!(post(0, count(1)) && !post(2, count(100)));
    host.run_until_stalled();
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 1);

    assert_eq!(host.run(run(Pool::Compute, |_| 6 * 7)).expect("it ran"), 42);
    host.hold_jobs(true);
    let job = count(10);
    let unwanted = run(Pool::Blocking, move |_| job());
    drop(unwanted);
    assert!(host.run_jobs());
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 1, "nobody wanted it any more");
    let mut wanted = run(Pool::Blocking, |cancel| cancel.is_cancelled());
    assert!(host.poll_once(&mut wanted).is_pending());
    host.run_jobs();
    assert!(!host.run(wanted).expect("it ran"));
    assert_eq!(host.held(), "");

    host.hold_jobs(false);
    host.place(None, 2);
    assert_eq!(block_on(run(Pool::Blocking, |_| 1)).expect("prepare may block on a job"), 1);
}

#[test]
fn files_are_real_and_go_with_the_host() {
    let host = FakeHost::new();
    let f = host.run(File::open("a.txt", Open::READ.and(Open::TRUNCATE))).expect("a directory of its own");
    let b = host.run(f.write_at(2, Buf::from(b"cde".to_vec()))).expect("written");
    host.run(f.write_at(0, Buf::from(b"ab".to_vec()))).expect("written");
    host.run(f.sync()).expect("synced");
    drop(b);
    assert_eq!(f.len().expect("a file"), 5);
    let b = host.run(f.read_at(1, Buf::from(Vec::with_capacity(3)))).expect("read");
    assert_eq!(&b[..], b"bcd", "as far as there is room");
    assert_eq!(std::fs::read(host.dir().join("a.txt")).expect("it is there"), b"abcde");
    assert_eq!(host.run(File::open("none", Open::READ)).expect_err("missing").kind, ErrorKind::NotFound);

    let w = FileWatch::new("a.txt").expect("it is there");
    assert!(host.try_run(poll_fn(|cx| w.poll_change(cx))).is_none());
    host.file_changed("a.txt");
    host.run(poll_fn(|cx| w.poll_change(cx)));
    assert!(host.try_run(poll_fn(|cx| w.poll_change(cx))).is_none(), "once");
    drop((f, w));
    assert_eq!(host.held(), "");
    let dir = host.dir();
    drop((b, host));
    assert!(!dir.exists());
}

#[test]
fn buffers_end_at_the_limit_and_come_back() {
    let host = FakeHost::new();
    host.memory_limit(100);
    let one = buf(64).expect("room");
    assert!(buf(64).is_none());
    assert_eq!(host.memory_used(), 64);
    let two = spawn(async { drop(poll_fn(|cx| poll_buf(cx, 64)).await) });
    host.run_until_stalled();
    drop(one);
    assert!(host.run(two), "whoever waits is woken when one comes back");
    assert_eq!((host.memory_used(), host.held().as_str()), (0, ""));
}

#[test]
fn metrics_are_kept_by_name_and_labels() {
    let host = FakeHost::new();
    let c = Counter::new("requests", "Requests.", "code=200");
    c.add(2);
    Counter::new("requests", "Requests.", "code=200").add(1);
    Gauge::new("open", "Open.", "").add(-1);
    Histogram::new("time", "Time.", "", "seconds").observe(5);
    assert_eq!(host.metric("requests", "code=200").expect("registered").value, 3);
    assert!(host.metric("requests", "").is_none());
    assert_eq!(host.metric("open", "").expect("registered").value.cast_signed(), -1);
    assert_eq!(host.metric("time", "").expect("registered").observed, [5]);
}

#[derive(Default)]
struct Count(std::sync::atomic::AtomicU32);

impl ZoneState for Count {
    const SCHEMA: u32 = 3;
    fn export(&self) -> Vec<u8> {
        self.0.load(std::sync::atomic::Ordering::Relaxed).to_le_bytes().to_vec()
    }
    fn import(schema: u32, bytes: &[u8]) -> Option<Self> {
        let n = u32::from_le_bytes(bytes.try_into().ok()?);
        (schema == 3).then(|| Self(n.into()))
    }
}

#[test]
fn a_zone_is_shared_within_an_image_and_goes_to_another_as_bytes() {
    let host = FakeHost::new();
    let count = |z: &ZoneRef<Count>| z.0.load(std::sync::atomic::Ordering::Relaxed);
    let first = zone::<Count>("hits").expect("made");
    first.0.store(7, std::sync::atomic::Ordering::Relaxed);
    let same = zone::<Count>("hits").expect("the same");
    same.0.store(8, std::sync::atomic::Ordering::Relaxed);
    assert_eq!((count(&first), first.is_frozen()), (8, false));
    host.next_image();
    let moved = zone::<Count>("hits").expect("imported");
    assert!(first.is_frozen() && same.live().is_none() && !moved.is_frozen());
    moved.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    assert_eq!((count(&moved), count(&first)), (9, 8));

    let (schema, bytes) = host.export_zone("hits").expect("it exists");
    assert!(moved.is_frozen());
    drop((first, same, moved));
    assert_eq!(host.held(), "");
    let other = FakeHost::new();
    other.import_zone("hits", schema, &bytes);
    assert_eq!(count(&zone("hits").expect("imported")), 9);
    other.import_zone("hits", 2, &bytes);
    assert_eq!(count(&zone("hits").expect("not understood: empty")), 0);
}

#[test]
fn a_zone_asked_for_as_another_type_is_an_error() {
    #[derive(Debug, Default)]
    struct Text(String);
    impl ZoneState for Text {
        const SCHEMA: u32 = 1;
        fn export(&self) -> Vec<u8> {
            self.0.clone().into_bytes()
        }
        fn import(_: u32, _: &[u8]) -> Option<Self> {
            None
        }
    }
    let host = FakeHost::new();
    let hits = zone::<Count>("hits").expect("made");
    assert_eq!(zone::<Text>("hits").expect_err("another type").kind, ErrorKind::Invalid);
    drop(hits);
    assert_eq!(host.held(), "");
}

#[test]
fn texts_are_interned_and_two_hosts_on_one_thread_stack() {
    let outer = FakeHost::new();
    assert!(std::ptr::eq(intern("abc"), intern("abc")));
    {
        let inner = FakeHost::new();
        inner.advance(Duration::from_secs(5));
        Counter::new("c", "C.", "").add(1);
        assert!(inner.metric("c", "").is_some());
    }
    assert!(outer.metric("c", "").is_none());
    assert_eq!(now_ms(), 1000, "the outer one's clock again");
}

#[test]
#[should_panic(expected = "waits for what nothing")]
fn a_future_that_nothing_ends_is_said_to_be_one() {
    FakeHost::new().run(std::future::pending::<()>());
}

#[test]
#[should_panic(expected = "keep waking")]
fn a_task_that_spins_is_said_to_be_one() {
    let host = FakeHost::new();
    drop(spawn(poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::<()>::Pending
    })));
    host.run_until_stalled();
}

#[test]
fn whoever_is_entered_runs_until_it_is_left() {
    let _host = FakeHost::new();
    let objects = [0_u8; 2];
    let [one, two] = [0, 1].map(|n| Owner::of((&raw const objects[n]).cast()));
    let nobody = Owner::running();
    {
        let _one = one.enter();
        assert_eq!(Owner::running(), one);
        {
            let _two = two.enter();
            assert_eq!(Owner::running(), two);
        }
        assert_eq!(Owner::running(), one);
        let _host = nobody.enter();
        assert_eq!(Owner::running(), one);
    }
    assert_eq!(Owner::running(), nobody);
}
