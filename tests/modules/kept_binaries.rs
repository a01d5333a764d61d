//! Modules built against released versions of the ABI are kept as they were built, and load for ever.

use std::path::Path;

use harness::{client, skip};

use crate::support::{serving, write};

#[test]
fn abi_1_0() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi/1.0/libanyproxy_hello.so");
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return skip("the kept binaries are for x86-64 Linux");
    }
    // A checkout may have made the file writable for others.
    let dir = harness::TempDir::new();
    let file = write(&dir, "libanyproxy_hello.so", &std::fs::read(&kept).expect("it is in the tree"));
    let proxy = serving(&file, "hello \"good day\\n\"").start();
    assert_eq!(client::exchange(proxy.addr(0), b""), b"good day\n");
    let status = proxy.status();
    let image = status["images"].as_array().expect("a list").iter().find(|i| i["module"] == "hello").expect("listed");
    assert_eq!((&image["abi"], &image["serving"]), (&"1.0".into(), &true.into()), "{image}");
    proxy.reload().assert(0, &[]);
    assert_eq!(client::exchange(proxy.addr(0), b""), b"good day\n");
}
