//! What the host says of a module's file: the memory that its image takes, and what is wrong with a file, its path once.

use harness::{Proxy, TempDir, check};

use crate::support::hello;

#[test]
fn status_tells_the_memory_of_each_image() {
    let proxy: Proxy = hello("").start();
    for image in proxy.status()["images"].as_array().expect("images") {
        assert!(image["memory"].as_u64().is_some_and(|bytes| bytes > 0), "relocations at least are private: {image}");
    }
}

#[test]
fn an_error_names_the_path_once() {
    let dir = TempDir::new();
    let path = dir.write("libmine.so", "no module at all");
    let path = path.to_str().expect("a plain name");
    let output = check(&format!("load_module \"{path}\"\n"));
    output.assert(1, &["libmine.so is not a module"]);
    let headline = output.stderr.lines().find(|l| l.contains("is not a module")).expect("the error");
    assert_eq!(headline.matches(path).count(), 1, "{headline}");
}
