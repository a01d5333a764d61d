//! Between `-t` and the reload the file may become another one: the reload judges it anew.

use harness::{Proxy, client};

use crate::support::{replace, text, versions, write};

#[test]
fn between_check_and_reload() {
    let Some([one, two]) = versions("swap") else { return };
    let builder = Proxy::builder();
    let file = builder.dir().join("libanyproxy_swap.so");
    replace(&file, &one);
    let proxy = builder.config(&text(&[&file], &["swap"])).start();
    let addr = proxy.addr(0);
    let check = || proxy.control(&serde_json::json!({"cmd": "check"}));
    replace(&file, &two);
    check().expect("a good module");
    // To one that is cut short: the reload fails and the first goes on.
    let bytes = std::fs::read(&two).expect("built");
    write(proxy.dir(), "half.so", &bytes[..bytes.len() / 2]);
    replace(&file, &proxy.dir().join("half.so"));
    proxy.reload().assert(1, &["libanyproxy_swap.so", "cut short"]);
    assert_eq!(client::exchange(addr, b""), b"1\n");
    // And back again: `-t` says no, the reload that follows yes.
    check().expect_err("it is cut short");
    replace(&file, &two);
    proxy.reload().assert(0, &[]);
    assert_eq!(client::exchange(addr, b""), b"2\n");
    // Gone: nothing changes.
    std::fs::remove_file(&file).expect("own file");
    proxy.reload().assert(1, &["libanyproxy_swap.so"]);
    assert_eq!(client::exchange(addr, b""), b"2\n");
}
