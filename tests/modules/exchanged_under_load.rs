//! A reload exchanges a module's code under load: new connections run the new code, old ones finish on the old, and nobody
//! sees an error.

use std::thread;

use harness::client::{self, Load};

use crate::support::{await_one_generation, echo, faults, line, replace, text, versions};

#[test]
fn nobody_sees_an_error() {
    let Some([one, two]) = versions("swap") else { return };
    let builder = harness::Proxy::builder();
    let file = builder.dir().join("libanyproxy_swap.so");
    replace(&file, &one);
    let proxy = builder.config(&text(&[&file], &["swap"])).start();
    let addr = proxy.addr(0);
    let old: Vec<_> = (0..20).map(|_| client::connect(addr)).collect();
    for stream in &old {
        assert_eq!(line(stream), "1");
    }
    thread::scope(|scope| {
        // Each connects, reads the version and gets its bytes back.
        let load = scope.spawn(|| {
            let mut seen = [0_u32; 2];
            for n in 0..1500 {
                let answer = client::exchange(addr, b"good day");
                match &answer[..] {
                    b"1\ngood day" => seen[0] += 1,
                    b"2\ngood day" => seen[1] += 1,
                    other => panic!("request {n}: {:?}", String::from_utf8_lossy(other)),
                }
            }
            seen
        });
        for with in [&two, &one, &two] {
            replace(&file, with);
            proxy.reload().assert(0, &[]);
        }
        let seen = load.join().expect("no request failed");
        assert!(seen[1] > 0, "{seen:?}");
    });
    assert_eq!(client::exchange(addr, b""), b"2\n");
    for stream in &old {
        echo(stream, b"still here");
    }
    let images = proxy.status()["images"].clone();
    let serving: Vec<_> = images.as_array().expect("a list").iter().filter(|i| i["module"] == "swap").collect();
    assert_eq!(serving.len(), 2, "a content that was seen before is no new image: {images}");
    assert_eq!((&serving[0]["serving"], &serving[1]["serving"]), (&false.into(), &true.into()), "{images}");
    drop(old);
    await_one_generation(&proxy);
    assert_eq!(faults(&proxy, "swap", "panics"), 0);
}

#[test]
fn a_file_overwritten_in_place_is_no_concern_of_what_runs() {
    let Some([one, two]) = versions("swap") else { return };
    let builder = harness::Proxy::builder();
    let file = builder.dir().join("libanyproxy_swap.so");
    replace(&file, &one);
    let mut proxy = builder.config(&text(&[&file], &["swap"])).start();
    let addr = proxy.addr(0);
    let old = client::connect(addr);
    assert_eq!(line(&old), "1");
    // With the version in front an answer is no plain echo: connections that have read it are.
    let streams: Vec<_> = (0..8).map(|_| client::connect(addr)).collect();
    streams.iter().for_each(|s| assert_eq!(line(s), "1"));
    // Not renamed: the very file, as `cp` does; for a moment it is no module at all.
    std::fs::write(&file, vec![0; 1 << 20]).expect("own file");
    for stream in &streams {
        for _ in 0..50 {
            echo(stream, b"ping");
        }
    }
    assert_eq!(client::exchange(addr, b"x"), b"1\nx");
    proxy.reload().assert(1, &["libanyproxy_swap.so"]);
    assert_eq!(client::exchange(addr, b"x"), b"1\nx");
    std::fs::write(&file, std::fs::read(&two).expect("built")).expect("own file");
    proxy.reload().assert(0, &[]);
    assert_eq!(client::exchange(addr, b"x"), b"2\nx");
    echo(&old, b"ping");
    assert!(proxy.alive());
}

#[test]
fn a_load_of_echoes_over_many_reloads() {
    let Some(faulty) = crate::support::module("faulty") else { return };
    let proxy = crate::support::serving(&faulty, "faulty \"echo\"").start();
    let load = Load::echo(proxy.addr(0), "ping").connections(8).requests(u64::MAX).limit(3 * harness::LIMIT).start();
    load.await_more(100);
    for _ in 0..5 {
        proxy.reload().assert(0, &[]);
        load.await_more(50);
    }
    let report = load.stop();
    assert_eq!(report.errors, 0, "{:?}", report.samples);
}
