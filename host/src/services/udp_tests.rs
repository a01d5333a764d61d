use super::*;
use anyproxy_module_api::abi::task::with_ffi;
use std::{future::poll_fn, net::SocketAddr, rc::Rc, time::Duration};

fn bound() -> Udp {
    let socket = bind_datagram(&SocketAddr::from(([127, 0, 0, 1], 0)), &SocketOptions::default());
    Udp::new(socket.unwrap()).unwrap()
}

async fn recv(u: &Udp) -> (Received, Vec<u8>) {
    let mut memory = vec![0; 64 << 10];
    let mut meta = [Received::default()];
    let n = poll_fn(|cx| u.poll_recv(cx, &mut [IoSliceMut::new(&mut memory)], &mut meta)).await.unwrap();
    assert_eq!(n, 1);
    memory.truncate(meta[0].len);
    (meta[0], memory)
}

async fn send(u: &Udp, t: Transmit<'_>) -> isize {
    poll_fn(|cx| match with_ffi(cx, |f| u.send(f, &t)) {
        PENDING => Poll::Pending,
        n => Poll::Ready(n),
    })
    .await
}

#[tokio::test]
async fn a_datagram_arrives_with_who_sent_it_and_where_to() {
    crate::services::rt::for_test();
    let (a, b) = (bound(), bound());
    assert_eq!(send(&a, Transmit::new(b.local(), b"hello").ecn(2)).await, 5);
    let (meta, bytes) = recv(&b).await;
    assert_eq!(bytes, b"hello");
    assert_eq!(meta.from, a.local());
    assert_eq!(meta.to.port(), b.local().port());
    assert_eq!(meta.ecn, 2);
}

#[tokio::test]
async fn a_run_of_datagrams_arrives_whole_in_datagrams_of_its_size() {
    crate::services::rt::for_test();
    let (a, b) = (bound(), bound());
    let segments = a.state.max_gso_segments().min(4);
    let bytes: Vec<u8> = (0..segments * 100).map(|n| n as u8).collect();
    assert_eq!(send(&a, Transmit::new(b.local(), &bytes).segment(100)).await, bytes.len().cast_signed());
    let mut got = Vec::new();
    while got.len() < bytes.len() {
        let (meta, part) = recv(&b).await;
        assert_eq!(meta.segment, 100);
        got.extend(part);
    }
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn each_of_several_waiting_tasks_is_woken() {
    crate::services::rt::for_test();
    let local = tokio::task::LocalSet::new();
    let u = Rc::new(bound());
    let to = u.local();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let u = Rc::clone(&u);
            local.spawn_local(async move { recv(&u).await.1 })
        })
        .collect();
    let run = async {
        tokio::task::yield_now().await;
        let from = bound();
        for n in 0..3 {
            send(&from, Transmit::new(to, &[n])).await;
        }
        let mut got = Vec::new();
        for w in waiting {
            got.extend(w.await.unwrap());
        }
        got.sort_unstable();
        got
    };
    // A task that is not woken would wait for ever.
    let got = tokio::time::timeout(Duration::from_secs(30), local.run_until(run)).await.unwrap();
    assert_eq!(got, [0, 1, 2]);
}

#[tokio::test]
async fn what_the_path_does_not_take_is_lost_and_no_error() {
    crate::services::rt::for_test();
    let (a, b) = (bound(), bound());
    let bytes = vec![0; 65_508];
    assert_eq!(send(&a, Transmit::new(b.local(), &bytes)).await, 65_508);
}

#[tokio::test]
async fn the_functions_of_the_table_work_on_an_object() {
    crate::services::rt::for_test();
    // SAFETY: the object is made, used and given up here.
    unsafe {
        let Outcome::Ok(u) = udp(SocketAddr::from(([127, 0, 0, 1], 0)).into(), std::ptr::null()) else {
            panic!("cannot bind")
        };
        let to = udp_addr(u);
        assert!(udp_segments(u, true) >= 1 && udp_segments(u, false) >= 1);
        poll_fn(|cx| match with_ffi(cx, |f| udp_writable(u, f)) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
        send(&bound(), Transmit::new(to, b"x")).await;
        let mut byte = [0; 16];
        let mut meta = Received::default();
        let n = poll_fn(|cx| {
            let mut buf = RecvBuf { ptr: byte.as_mut_ptr(), len: byte.len() };
            match with_ffi(cx, |f| udp_recv(u, f, &raw mut buf, &raw mut meta, 1)) {
                PENDING => Poll::Pending,
                n => Poll::Ready(n),
            }
        })
        .await;
        assert_eq!((n, meta.len, byte[0]), (1, 1, b'x'));
        udp_drop(u);
        assert!(matches!(udp(Addr::NONE, std::ptr::null()), Outcome::Err(_)));
    }
}
