use crate::{Body, FileHandle, FilePart, Segment};
use anyproxy_module_api::{Error, ErrorKind, testing::FakeHost, yield_now};
use std::{
    cell::RefCell,
    fs::File,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
};

fn file(bytes: &[u8]) -> FileHandle {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    static N: AtomicU32 = AtomicU32::new(0);
    let path = std::env::temp_dir().join(format!("read-{}-{}", std::process::id(), N.fetch_add(1, Relaxed)));
    std::fs::write(&path, bytes).expect("a file");
    let file = File::open(&path).expect("it is there");
    std::fs::remove_file(&path).expect("it is there");
    FileHandle::new(Arc::new(file))
}

fn bytes(text: &str) -> Segment {
    Segment::Bytes(text.as_bytes().to_vec().into())
}

#[test]
fn bytes_files_and_trailers_are_collected() {
    let host = FakeHost::new();
    let part = |at, len| Segment::File(FilePart { file: file(&b"0123456789".repeat(20_000)), at, len });
    let segments =
        || [bytes("a"), part(5, 150_000), bytes("b"), part(0, 1), Segment::Trailers(b"A: b\r\n".to_vec().into())];
    let all = host.run(Body::of(segments()).collect(1 << 20)).expect("all of it");
    assert_eq!((all.len(), &all[..4], &all[150_001..]), (150_003, &b"a567"[..], &b"b0"[..]));
    // In pieces of a bound, none of which is empty.
    let mut body = Body::of(segments());
    let mut lengths = Vec::new();
    while let Some(bytes) = host.run(body.next_bytes()).expect("it is there") {
        lengths.push(bytes.len());
    }
    assert_eq!(lengths, [1, 65_536, 65_536, 18_928, 1, 1]);
    assert!(host.run(body.next_bytes()).expect("it stays so").is_none());
    let limited = host.run(Body::of(segments()).collect(150_002));
    assert_eq!(limited.expect_err("one byte more").kind, ErrorKind::Limit);
    let short = host.run(Body::of([part(199_999, 2)]).collect(9));
    assert_eq!(short.expect_err("the file ends before").kind, ErrorKind::UnexpectedEof);
}

#[test]
fn a_body_is_made_as_it_is_asked_for() {
    let host = FakeHost::new();
    let mut body = Body::stream(Some(3), |out| async move {
        out.put(b"a".to_vec()).await;
        yield_now().await;
        out.put(b"bc".to_vec()).await;
        out.put_segment(Segment::Trailers(b"A: b\r\n".to_vec().into())).await;
        Ok(())
    });
    assert_eq!(body.length(), Some(3));
    let mut next = || host.run(body.next()).expect("it does not fail");
    assert!(matches!(next(), Some(Segment::Bytes(b)) if *b == *b"a"));
    assert!(matches!(next(), Some(Segment::Bytes(b)) if *b == *b"bc"));
    assert!(matches!(next(), Some(Segment::Trailers(_))));
    assert!(next().is_none());
}

#[test]
fn what_came_before_an_error_comes_before_it() {
    let host = FakeHost::new();
    let mut body = Body::stream(None, |out| async move {
        out.put(b"a".to_vec()).await;
        Err(Error::new(ErrorKind::Reset, "no more"))
    });
    assert!(matches!(host.run(body.next()), Ok(Some(Segment::Bytes(_)))));
    assert_eq!(host.run(body.next()).expect_err("it failed").kind, ErrorKind::Reset);
}

/// How often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Woken {
    fn poll<T>(self: &Arc<Self>, future: &mut (impl Future<Output = T> + Unpin)) -> Poll<T> {
        let waker = Arc::clone(self).into();
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }

    fn times(&self) -> usize {
        self.0.swap(0, Relaxed)
    }
}

#[test]
fn what_a_body_waits_for_wakes_whoever_reads() {
    let _host = FakeHost::new();
    let event: Rc<RefCell<Option<Waker>>> = Rc::default();
    let fired = Rc::clone(&event);
    let mut body = Body::stream(None, |out| async move {
        let mut waited = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut waited, true) {
                return Poll::Ready(());
            }
            *fired.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
        for piece in [b"a", b"b", b"c"] {
            out.put(piece.to_vec()).await;
        }
        Ok(())
    });
    let reader = Arc::new(Woken::default());
    assert!(reader.poll(&mut pin!(body.next())).is_pending());
    event.take().expect("it waits").wake();
    assert_eq!(reader.times(), 1);
    for piece in ["a", "b", "c"] {
        let next = reader.poll(&mut pin!(body.next()));
        assert!(matches!(&next, Poll::Ready(Ok(Some(Segment::Bytes(b)))) if **b == *piece.as_bytes()), "{next:?}");
    }
    assert!(matches!(reader.poll(&mut pin!(body.next())), Poll::Ready(Ok(None))));
}

#[test]
fn pieces_that_another_task_puts_wake_whoever_reads_and_their_places_whoever_puts() {
    let _host = FakeHost::new();
    let mut pieces = None;
    let mut body = Body::stream(None, |out| {
        pieces = Some(out);
        std::future::pending()
    });
    let pieces = pieces.expect("it is called at once");
    let [reader, one, two] = [(); 3].map(|()| Arc::new(Woken::default()));
    assert!(reader.poll(&mut pin!(body.next())).is_pending());
    assert!(one.poll(&mut pin!(pieces.put(b"a".to_vec()))).is_ready());
    assert_eq!(reader.times(), 1);
    let (mut second, mut third) = (Box::pin(pieces.put(b"b".to_vec())), Box::pin(pieces.put(b"c".to_vec())));
    assert!(one.poll(&mut second).is_pending() && two.poll(&mut third).is_pending());
    assert!(reader.poll(&mut pin!(body.next())).is_ready());
    assert_eq!((one.times(), two.times()), (1, 1));
    assert!(two.poll(&mut third).is_ready() && one.poll(&mut second).is_pending());
    assert!(reader.poll(&mut pin!(body.next())).is_ready());
    assert_eq!((one.times(), two.times()), (1, 0));
    assert!(one.poll(&mut second).is_ready());
}

#[test]
fn whoever_polls_a_put_only_when_it_was_woken_hears_of_its_place() {
    let _host = FakeHost::new();
    // As `FuturesUnordered` does, in the future that makes the body.
    let child = Arc::new(Woken::default());
    let awaited = Arc::clone(&child);
    let mut body = Body::stream(None, |out| async move {
        out.put(b"a".to_vec()).await;
        let mut put = Box::pin(out.put(b"b".to_vec()));
        let mut begun = false;
        poll_fn(|_| {
            if std::mem::replace(&mut begun, true) && awaited.times() == 0 {
                Poll::Pending
            } else {
                awaited.poll(&mut put)
            }
        })
        .await;
        Ok(())
    });
    let reader = Arc::new(Woken::default());
    for piece in ["a", "b"] {
        let next = reader.poll(&mut pin!(body.next()));
        assert!(matches!(&next, Poll::Ready(Ok(Some(Segment::Bytes(b)))) if **b == *piece.as_bytes()), "{next:?}");
    }
    assert_eq!(child.times(), 0);
}
