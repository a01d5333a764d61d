//! `-s NAME` speaks to the running process, waits for the outcome, and works when the configuration on disk is broken.

use harness::{LIMIT, Output, Proxy, client, command};

use crate::support::{HELLO, hello};

/// Runs `-s` as a user does who knows the configuration only.
fn send(proxy: &Proxy, name: &str) -> Output {
    let config = proxy.dir().join("main.kdl");
    command(["-c", config.to_str().expect("a plain name"), "-s", name])
}

#[test]
fn nobody_runs() {
    let output = Proxy::builder().config(&HELLO.replace("@COMMON@", "")).run(["-c", "main.kdl", "-s", "reload"]);
    output.assert(1, &["anyproxy.sock", "is it running?"]);
}

#[test]
fn check_says_what_a_reload_would_need() {
    let proxy = hello("").start();
    proxy.send("check").assert(0, &[]);
    proxy.dir().write("main.kdl", "net {");
    proxy.send("check").assert(1, &["main.kdl:1:"]);
    proxy.dir().write("main.kdl", HELLO.replace("@COMMON@", "worker_threads_blocking 7"));
    let changes = proxy.control(&serde_json::json!({"cmd": "check"})).expect("well");
    assert!(changes["changes"].to_string().contains("worker_threads_blocking"), "{changes}");
    assert!(changes["changes"].to_string().contains("reinit"), "{changes}");
}

#[test]
fn a_broken_file_still_names_the_process() {
    for common in ["control \"c.sock\"", "pid \"run.pid\""] {
        let config = HELLO.replace("@COMMON@", common);
        // The last --control wins: none is left that the file does not name.
        let name = if common.starts_with("control") { "c.sock" } else { "anyproxy.sock" };
        let mut proxy = Proxy::builder().config(&config).arg("--control").arg(name).start();
        assert!(proxy.dir().join(name).exists());
        proxy.dir().write("main.kdl", config.replace("net {", "net { \"\"\" {"));
        send(&proxy, "reload").assert(1, &["main.kdl:"]);
        assert_eq!(client_word(&proxy), b"good day\n");
        send(&proxy, "stop").assert(0, &[]);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    }
}

#[test]
fn so_does_what_a_broken_file_includes() {
    let config = HELLO.replace("@COMMON@", "include \"sub/*.kdl\"");
    let builder = Proxy::builder().config(&config).file("sub/names.kdl", "pid \"run.pid\"\n");
    let mut proxy = builder.arg("--control").arg("sub/anyproxy.sock").start();
    proxy.dir().write("main.kdl", format!("{config}\nnet {{"));
    // That they include each other is one more thing that is wrong, and the guess ends all the same.
    proxy.dir().write("sub/names.kdl", "// pid \"no.pid\"\npid \"run.pid\"\ninclude \"../main.kdl\"\n");
    send(&proxy, "reload").assert(1, &["main.kdl:"]);
    send(&proxy, "stop").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    send(&proxy, "reload").assert(1, &["sub/anyproxy.sock", "main.kdl cannot be read, so that this is a guess"]);
}

#[test]
fn what_is_unknown_beside_it_does_not_hide_the_control_socket() {
    let config = HELLO.replace("@COMMON@", "");
    let mut proxy = Proxy::builder().config(&config).arg("--control").arg("c.sock").start();
    proxy.dir().write("where.kdl", "control \"c.sock\"");
    // Of a module, whose table is not at hand; from another file, so that looking through the text does not find it.
    let with_include = "include \"where.kdl\"; word_of_a_module 7";
    proxy.dir().write("main.kdl", HELLO.replace("@COMMON@", with_include));
    send(&proxy, "check").assert(1, &["word_of_a_module"]);
    // In one line, in a file that cannot be read.
    let lines = HELLO.replace("common {\n", "common { ").replace("worker_threads 2\n", "worker_threads 2; ");
    proxy.dir().write("main.kdl", lines.replace("@COMMON@", "control \"c.sock\"; \"\"\""));
    send(&proxy, "check").assert(1, &["main.kdl:"]);
    send(&proxy, "stop").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

fn client_word(proxy: &Proxy) -> Vec<u8> {
    let log = proxy.log();
    let at =
        log.lines().next().and_then(|line| line.rsplit(' ').next()).expect("the first line ends with the listener");
    client::exchange(at.parse().expect("an address"), b"")
}
