//! Contracts between modules: a missing provider and a wrong version are one line each; a provider that is exchanged serves
//! the new generation while the consumer's image stays, each generation with handles of its own.

use std::io::Write;
use std::net::TcpStream;

use harness::{Proxy, client};

use crate::support::{await_one_generation, module, patched, replace, text, write};

fn config(modules: &[&std::path::Path], suffix: &str) -> String {
    let with = if suffix.is_empty() { String::new() } else { format!("echo_provider_suffix \"{suffix}\"\n") };
    text(modules, &["consumer_echo"]).replace("net {", &format!("{with}net {{"))
}

#[track_caller]
fn answers(mut stream: &TcpStream, text: &str) {
    stream.write_all(b"good day").expect("write");
    assert_eq!(String::from_utf8_lossy(&client::read_exact(stream, text.len())), text);
}

#[test]
fn a_missing_provider_is_one_line() {
    let Some(consumer) = module("echo_consumer") else { return };
    let failed = Proxy::builder().config(&config(&[&consumer], "")).try_start().expect_err("nobody provides");
    failed.assert(1, &["echo_consumer", "sample.echo"]);
    Proxy::builder().config(&config(&[&consumer], "")).check().assert(1, &["sample.echo"]);
}

#[test]
fn a_wrong_version_names_both() {
    let (Some(newer), Some(provider)) = (module("echo_newer"), module("echo_provider")) else { return };
    let Some(swap) = module("swap") else { return };
    let failed =
        Proxy::builder().config(&text(&[&provider, &newer, &swap], &["swap"])).try_start().expect_err("too old");
    failed.assert(1, &["module echo_newer needs the contract sample.echo 1.7, module echo_provider provides 1.0"]);
}

#[test]
fn a_header_that_says_another_version_than_the_code_is_refused() {
    let (Some(consumer), Some(provider)) = (module("echo_consumer"), module("echo_provider")) else { return };
    for (of, what, with) in [
        (&consumer, "requires sample.echo 1.0", "requires sample.echo 2.0"),
        (&provider, "provides sample.echo 1.0", "provides sample.echo 1.7"),
    ] {
        let builder = Proxy::builder();
        let liar = write(builder.dir(), "libanyproxy_liar.so", &patched(of, what, with));
        let modules = if of == &consumer { [&provider, &liar] } else { [&liar, &consumer] };
        let failed = builder.config(&config(&modules.map(|m| m.as_path()), "!")).check();
        failed.assert(
            1,
            &["libanyproxy_liar.so", &format!("says it {with} in its header"), "sample.echo 1.0 in its code"],
        );
    }
}

#[test]
fn an_exchanged_provider_serves_the_new_generation_only() {
    let (Some(consumer), Some(provider)) = (module("echo_consumer"), module("echo_provider")) else { return };
    let builder = Proxy::builder();
    let file = builder.dir().join("libanyproxy_echo_provider.so");
    replace(&file, &provider);
    // The consumer first: order of start comes from the contracts.
    let proxy = builder.config(&config(&[&consumer, &file], "!")).start();
    let addr = proxy.addr(0);
    let old = client::connect(addr);
    answers(&old, "GOOD DAY!");
    // Another image of the provider: the same code, another content.
    let mut bytes = std::fs::read(&provider).expect("built");
    bytes.push(0);
    write(proxy.dir(), "second.so", &bytes);
    replace(&file, &proxy.dir().join("second.so"));
    proxy.reload_with(&config(&[&consumer, &file], "?")).assert(0, &[]);
    let status = proxy.status();
    let images = |id: &str| status["images"].as_array().expect("a list").iter().filter(|i| i["module"] == id).count();
    assert_eq!((images("echo_provider"), images("echo_consumer")), (2, 1), "{}", status["images"]);
    let new = client::connect(addr);
    for _ in 0..3 {
        answers(&old, "GOOD DAY!");
        answers(&new, "GOOD DAY?");
    }
    drop(old);
    await_one_generation(&proxy);
    answers(&new, "GOOD DAY?");
    let own =
        proxy.status()["modules"].as_array().expect("a list").iter().find(|m| m["id"] == "echo_provider").cloned();
    assert_eq!(own.expect("listed")["status"]["calls"], 4);
}
