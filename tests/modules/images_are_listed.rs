//! Images stay for as long as the process lives: status lists them, and a warning comes after the eighth of one module.

use harness::LIMIT;

use crate::support::{module, text, write};

#[test]
fn with_a_warning_after_eight() {
    let Some(swap) = module("swap") else { return };
    let bytes = std::fs::read(&swap).expect("it is there");
    let builder = harness::Proxy::builder();
    // What follows the last section is nobody's: another content, the same code.
    let with = |n: usize| [&bytes[..], &vec![0; n]].concat();
    let file = write(builder.dir(), "libanyproxy_swap.so", &bytes);
    let proxy = builder.config(&text(&[&file], &["swap"])).start();
    for n in 1..8 {
        write(proxy.dir(), "libanyproxy_swap.so", &with(n));
        proxy.reload().assert(0, &[]);
    }
    assert!(!proxy.log_contains("many images"), "{}", proxy.log());
    let status = proxy.status();
    let images: Vec<_> =
        status["images"].as_array().expect("a list").iter().filter(|i| i["module"] == "swap").collect();
    assert_eq!(images.len(), 8);
    for (n, image) in images.iter().enumerate() {
        assert_eq!(image["number"], n + 1, "{image}");
        assert_eq!(image["serving"], n == 7, "{image}");
        assert_eq!(image["size"], bytes.len() + n, "{image}");
        assert_eq!(image["abi"], "1.0", "{image}");
        assert!(image["memory"].as_u64() > Some(0), "private memory, bytes: {image}");
    }
    write(proxy.dir(), "libanyproxy_swap.so", &with(8));
    proxy.reload().assert(0, &[]);
    let line = proxy.await_log("many images of one module", LIMIT);
    assert!(line.contains("swap") && line.contains('9'), "{line}");
}
