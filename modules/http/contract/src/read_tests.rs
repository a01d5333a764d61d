use crate::{Body, FileHandle, FilePart, Segment};
use anyproxy_module_api::{Error, ErrorKind, testing::FakeHost, yield_now};
use std::{fs::File, sync::Arc, task::Poll};

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
    // One that waits wakes whoever reads.
    let mut body = Body::stream(None, |_| std::future::pending());
    let polled = host.poll_once(&mut Box::pin(body.next()));
    assert!(matches!(polled, Poll::Pending));
}
