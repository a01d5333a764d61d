//! A reload that fails changes nothing: what is wrong is printed through `-s reload` with exit code 1, the configuration
//! before goes on, and systemd hears that the process is ready.

use harness::client::Load;
use harness::{Origin, client, skip};

use crate::support::{echoes, relay, says, text};

/// What the process must have after as before: threads, descriptors once all is quiet, generation.
fn standing(proxy: &harness::Proxy) -> (u64, usize, usize) {
    let epoch = proxy.status()["generation"]["epoch"].as_u64().expect("a number");
    (epoch, proxy.status()["listeners"].as_array().map_or(0, Vec::len), proxy.descriptors())
}

#[test]
fn whatever_fails() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|at| (at, taken)).expect("bound");
    let held = client::connect(proxy.addr(0));
    assert!(echoes(&held));
    let before = standing(&proxy);
    let unknown_balancer = format!(
        "{}\nupstream \"u\" {{ balancer \"wieght\"; proxy_pass_tcp \"127.0.0.1:1\"; }}\n",
        text(&origin, "", "")
    );
    let cases: [(&str, String, &[&str]); 6] = [
        ("syntax", format!("{}\nnet {{", text(&origin, "", &says("x"))), &["main.kdl:", "error"]),
        ("directive", text(&origin, "", "servre { }"), &["servre", "server"]),
        ("balancer", unknown_balancer, &["wieght", "weight"]),
        (
            "upstream",
            text(&origin, "", "server { port_listen_tcp \"127.0.0.1:0\"; local { proxy_pass_upstream \"nix\"; }; }"),
            &["nix"],
        ),
        (
            "access log",
            text(&origin, "", &format!("access_log \"no/such/dir/a.log\"; {}", says("x"))),
            &["main.kdl:", "no/such/dir/a.log"],
        ),
        (
            "port",
            text(&origin, "", &format!("{}; {}", says("x"), says("y").replace("127.0.0.1:0", &taken.0.to_string()))),
            &["cannot listen on", "listens there"],
        ),
    ];
    let load = Load::echo(proxy.addr(0), "ping").connections(2).requests(u64::MAX).start();
    for (n, (name, config, said)) in cases.iter().enumerate() {
        let output = proxy.reload_with(config);
        output.assert(1, said);
        let status = proxy.status();
        assert_eq!(status["failed_reloads"], n + 1, "{name}");
        assert!(status["last_error"].as_str().is_some_and(|e| said.iter().all(|s| e.contains(s))), "{name}: {status}");
        assert!(proxy.log_contains("reload failed"), "{name}");
        // Read now and then: the kernel keeps ten.
        proxy.notifications();
        load.await_more(3);
    }
    let report = load.stop();
    assert_eq!(report.errors, 0, "{:?}", report.samples);
    assert!(echoes(&held) && echoes(&client::connect(proxy.addr(0))));
    harness::eventually("descriptors are as before", || (standing(&proxy) == before).then_some(()));
    let told = proxy.notifications();
    assert_eq!(told.iter().filter(|line| *line == "READY=1").count(), 1 + cases.len(), "{told:?}");
    // And the next good one is taken.
    proxy.reload_with(&text(&origin, "", &says("at last"))).assert(0, &[]);
    assert_eq!(client::exchange(proxy.addr(1), b""), b"at last");
    assert_eq!(proxy.status()["last_error"], serde_json::Value::Null);
}

/// A file that a full disk or a template emptied would close every listener.
#[test]
fn nothing_is_left_to_listen_on() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    const NOTHING: &str = "main.kdl:1:1: error: there is nothing in this configuration";
    const CLOSED: &str = "error: there is no server: every listener would be closed";
    let cases = [
        ("", NOTHING),
        ("// a comment\n", NOTHING),
        ("include \"sites/*.kdl\"\n", NOTHING),
        ("net { }\n", CLOSED),
        ("load_module \"tcp\"\ncommon { worker_threads 2; }\n", CLOSED),
    ];
    for (config, said) in cases {
        proxy.reload_with(config).assert(1, &[said]);
        proxy.send("check").assert(1, &[said]);
        proxy.send("reinit").assert(1, &[said]);
        assert!(echoes(&client::connect(proxy.addr(0))), "{config}");
    }
    assert!(proxy.alive());
    // Who began without any may go on so.
    let proxy = harness::Proxy::start("net { }\n");
    proxy.await_log("listening on nothing", harness::LIMIT);
    proxy.reload().assert(0, &["warning: nothing is listened on"]);
}

#[test]
fn a_module_that_refuses_in_prepare() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("third-party/target/debug/libanyproxy_faulty.so");
    if !path.exists() {
        return skip("tests/third-party is not built");
    }
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    let load_module = format!("load_module \"tcp\" \"balancer\" \"hello\" \"{}\"", path.display());
    for mode in ["error_prepare", "panic_prepare"] {
        let server = format!("server {{ port_listen_tcp \"127.0.0.1:0\"; local {{ faulty \"{mode}\"; }}; }}");
        let config = text(&origin, "", &server).replace("load_module \"tcp\" \"balancer\" \"hello\"", &load_module);
        proxy.reload_with(&config).assert(1, &["faulty"]);
        assert!(echoes(&client::connect(proxy.addr(0))));
        assert_eq!(proxy.status()["listeners"].as_array().map(Vec::len), Some(1));
    }
}

fn pipe(path: impl rustix::path::Arg) {
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)
        .expect("own directory");
}

#[test]
fn a_named_pipe_is_not_waited_for() {
    const SAID: &str = "it is no regular file";
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    pipe(proxy.dir().join("f"));
    let plain = text(&origin, "", "");
    let http = |line: &str| {
        let server = format!("server {{ port_listen_tcp \"127.0.0.1:0\"; http; {line}; local {{ http_echo; }}; }}");
        text(&origin, "", &server).replace("\"hello\"", "\"hello\" \"http\"")
    };
    let cases = [
        format!("{plain}\ninclude \"f\"\n"),
        plain.replace("worker_threads 2", "worker_threads 2; pid (file)\"f\""),
        plain.replace("\"hello\"", "\"./f\""),
        http("http_error_page 404 file=\"f\""),
        http("http_auth_basic \"r\" users=\"f\""),
    ];
    let main = proxy.dir().join("main.kdl").display().to_string();
    for config in cases {
        proxy.reload_with(&config).assert(1, &["main.kdl:", SAID]);
        proxy.send("check").assert(1, &[SAID]);
        harness::command(["-t", "-c", &main]).assert(1, &[SAID]);
        proxy.reload_with(&plain).assert(0, &[]);
    }
    assert!(echoes(&client::connect(proxy.addr(0))));
}

#[test]
fn a_module_that_became_a_pipe_and_is_put_back() {
    let origin = Origin::echo();
    let mine = harness::binary().with_file_name("libanyproxy_hello.so");
    let config = text(&origin, "", &says("x")).replace("\"hello\"", "\"./mine.so\"");
    let builder = harness::Proxy::builder().config(&config);
    let path = builder.dir().join("mine.so");
    std::fs::copy(&mine, &path).expect("it is built");
    let proxy = builder.start();
    std::fs::remove_file(&path).expect("ours");
    pipe(&path);
    proxy.reload().assert(1, &["mine.so", "no regular file"]);
    std::fs::remove_file(&path).expect("ours");
    std::fs::copy(&mine, &path).expect("it is built");
    proxy.reload().assert(0, &[]);
    assert_eq!(client::exchange(proxy.addr(1), b""), b"x");
}

#[test]
fn files_that_it_made_are_gone() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|at| (at, taken)).expect("bound");
    let path = proxy.dir().join("new.sock");
    let addresses = format!("\"unix:{}\" \"{}\"", path.display(), taken.0);
    let server = says("x").replace("\"127.0.0.1:0\"", &addresses);
    proxy.reload_with(&text(&origin, "", &server)).assert(1, &["listens there"]);
    assert!(!path.exists());
    proxy.dir().write("new.sock", "precious");
    proxy.reload().assert(1, &["new.sock", "what is there is not a socket"]);
    assert_eq!(proxy.read("new.sock"), "precious");
}
