//! State in a zone outlives a reload: the same image gets it as it is, another as bytes; the image before does without. A
//! failed reload moves nothing.

use std::io::Write;
use std::net::TcpStream;
use std::path::PathBuf;

use harness::{Proxy, client};

use crate::support::{line, module, replace, text, versions};

#[track_caller]
fn again(mut stream: &TcpStream) -> String {
    stream.write_all(b"x").expect("write");
    line(stream)
}

/// A proxy with the first version of the counter, its file, and both versions. `None`: they are not there, which was said.
fn counting() -> Option<(Proxy, PathBuf, [PathBuf; 2])> {
    let versions = versions("zone_counter")?;
    let builder = Proxy::builder();
    let file = builder.dir().join("libanyproxy_zone_counter.so");
    replace(&file, &versions[0]);
    Some((builder.config(&text(&[&file], &["zone_counter"])).start(), file, versions))
}

#[test]
fn from_one_image_to_another() {
    let Some((proxy, file, [one, two])) = counting() else { return };
    let addr = proxy.addr(0);
    let old = client::connect(addr);
    assert_eq!((line(&old), again(&old)), ("1 1".to_owned(), "2 1".to_owned()));
    proxy.reload().assert(0, &[]);
    let same = client::connect(addr);
    assert_eq!(line(&same), "3 1", "the same image: the same state");
    assert_eq!(again(&old), "4 1", "both generations use it");
    replace(&file, &two);
    proxy.reload().assert(0, &[]);
    let new = client::connect(addr);
    assert_eq!(line(&new), "5 2", "another image: the state came as bytes");
    assert_eq!((again(&old), again(&same)), ("- 1".to_owned(), "- 1".to_owned()), "who gave it away does without");
    assert_eq!(again(&new), "6 2");
    // Back to the first image, which is still there.
    replace(&file, &one);
    proxy.reload().assert(0, &[]);
    assert_eq!(line(&client::connect(addr)), "7 1");
}

#[test]
fn not_for_a_reload_that_fails() {
    let (Some([one, two]), Some(faulty)) = (versions("zone_counter"), module("faulty")) else { return };
    let builder = Proxy::builder();
    let file = builder.dir().join("libanyproxy_zone_counter.so");
    replace(&file, &one);
    let text = |mode: &str| text(&[&file, &faulty], &["zone_counter", &format!("faulty \"{mode}\"")]);
    let good = text("echo");
    let bad = text("error_prepare");
    let proxy = builder.config(&good).start();
    let addr = proxy.addr(0);
    let old = client::connect(addr);
    assert_eq!(line(&old), "1 1");
    replace(&file, &two);
    proxy.reload_with(&bad).assert(1, &["told to fail"]);
    assert_eq!(again(&old), "2 1", "the state is where it was");
    assert_eq!(line(&client::connect(addr)), "3 1");
    proxy.reload_with(&good).assert(0, &[]);
    assert_eq!(line(&client::connect(addr)), "4 2");
}

#[test]
fn not_where_it_cannot_be_taken_out() {
    let Some([one, two]) = versions("zone_counter") else { return };
    let builder = Proxy::builder();
    let file = builder.dir().join("libanyproxy_zone_counter.so");
    replace(&file, &one);
    let text = text(&[&file], &["zone_counter"]).replace("worker_threads 2;", "worker_threads 2; pid \"run.pid\"");
    let proxy = builder.config(&text).start();
    let old = client::connect(proxy.addr(0));
    let spoil = || (&old).write_all(b"!").map(|()| line(&old)).expect("write");
    assert_eq!((line(&old), spoil()), ("1 1".to_owned(), "2 1".to_owned()));
    replace(&file, &two);
    proxy.reload().assert(1, &["zone_counter", "panic in export"]);
    assert_eq!(again(&old), "3 1", "the state is where it was, and is used on");
    // Nor does another process take over without it.
    assert_eq!(spoil(), "4 1");
    let hot = Proxy::builder().config(&text).arg("--control").arg(proxy.dir().join("control.sock"));
    let failed = hot.arg("--hot").arg(proxy.dir().join("run.pid")).try_start().expect_err("it is refused");
    failed.assert(4, &["zone_counter", "panicked in export"]);
    assert_eq!(again(&old), "5 1");
    proxy.reload().assert(0, &[]);
    assert_eq!(line(&client::connect(proxy.addr(0))), "6 2", "nothing was lost on the way");
}

#[test]
fn not_where_the_new_one_cannot_be_made() {
    let Some((proxy, file, [_, two])) = counting() else { return };
    let old = client::connect(proxy.addr(0));
    assert_eq!(line(&old), "1 1");
    (&old).write_all(b"?").expect("write");
    assert_eq!(line(&old), "2 1");
    replace(&file, &two);
    proxy.reload().assert(1, &["zone_counter", "the zone could not be made"]);
    assert_eq!(again(&old), "3 1", "what was taken out is where it was, and is used on");
    proxy.reload().assert(0, &[]);
    assert_eq!(line(&client::connect(proxy.addr(0))), "4 2", "nothing was lost on the way");
}

#[test]
fn not_for_a_check() {
    let Some((proxy, file, [one, two])) = counting() else { return };
    let old = client::connect(proxy.addr(0));
    assert_eq!(line(&old), "1 1");
    for (version, said) in [(&one, "nothing changed"), (&two, "the file of module zone_counter needs reload")] {
        replace(&file, version);
        proxy.send("check").assert(0, &[said]);
    }
    assert_eq!(again(&old), "2 1");
    assert_eq!(line(&client::connect(proxy.addr(0))), "3 1");
    proxy.reload().assert(0, &[]);
    assert_eq!(line(&client::connect(proxy.addr(0))), "4 2", "nothing was lost on the way");
}

#[test]
fn over_hot() {
    let Some(counter) = module("zone_counter") else { return };
    let text = text(&[&counter], &["zone_counter"]).replace("worker_threads 2;", "worker_threads 2; pid \"run.pid\"");
    let mut before = Proxy::start(&text);
    let addr = before.addr(0);
    assert_eq!(line(&client::connect(addr)), "1 1");
    let hot = |config: &str| {
        let builder = Proxy::builder().config(config).arg("--control").arg(before.dir().join("control.sock"));
        builder.arg("--hot").arg(before.dir().join("run.pid")).try_start()
    };
    // The state was handed over and nobody took it.
    let broken = text.replace("zone_counter; }", "zone_counter; }; bad_directive");
    hot(&broken).expect_err("broken");
    assert_eq!(line(&client::connect(addr)), "2 1");
    let _new = hot(&text).expect("it starts");
    // Until it has heard that it may end, the process before takes connections too, without the zone.
    before.wait_exit(harness::LIMIT);
    assert_eq!(line(&client::connect(addr)), "3 1");
}
