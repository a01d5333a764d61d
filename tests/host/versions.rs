//! `-V` names the host's version and ABI, and the modules that a configuration loads.

use harness::{Proxy, command};

use crate::support::HELLO;

#[test]
fn alone_it_names_the_host() {
    let output = command(["-V"]);
    output.assert(0, &["anyproxy 0.", "ABI 1.", "rustc"]);
    assert_eq!(output.stdout.lines().count(), 1);
}

#[test]
fn with_a_configuration_it_names_its_modules() {
    let output = Proxy::builder().config(&HELLO.replace("@COMMON@", "")).run(["-c", "main.kdl", "-V"]);
    output.assert(0, &["  tcp 0.", "  hello 0.", "libanyproxy_tcp.so"]);
    assert_eq!(output.stdout.lines().count(), 3, "{}", output.stdout);
}
