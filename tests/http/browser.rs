//! A browser before the proxy: a page, what it asks for, and a WebSocket, over HTTP/1 (browsers speak HTTP/2 with TLS only).

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use harness::{LIMIT, Origin, Proxy, TempDir, eventually, program, skip};

use crate::support::{FORMAT, OK, head};

const PAGE: &str = "<!doctype html><title>t</title><p id=out>waiting</p><img src=/hold><script src=/page.js></script>";

/// The page is complete, and shown, with its picture: that comes once the message has come back.
const SCRIPT: &str = "
const s = new WebSocket('ws://' + location.host + '/socket');
s.onopen = () => s.send('from the browser');
s.onmessage = async e => {
    document.getElementById('out').textContent = 'echoed: ' + e.data;
    document.title = 'closed';
    s.close(1000);
    await fetch('/heard', { method: 'POST', body: e.data });
};
";

#[test]
fn a_page_opens_a_websocket_and_shows_what_comes_back() {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let Some(browser) = names.into_iter().find_map(program) else {
        return skip("no Chromium is installed");
    };
    let heard = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&heard);
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = head(&mut conn) {
            if head.starts_with("POST /heard ") {
                let mut body = [0; 16];
                std::io::Read::read_exact(&mut conn, &mut body)?;
                told.store(&body == b"from the browser", Relaxed);
            } else {
                eventually("the message", || told.load(Relaxed).then_some(()));
            }
            conn.write_all(OK)?;
        }
        Ok(())
    });
    let dir = TempDir::new();
    dir.write("html/index.html", PAGE);
    dir.write("html/page.js", SCRIPT);
    let proxy = Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\" \"websocket\"\nnet {{\naccess_log \"access.log\" flush=0 format=\"{FORMAT}\"\n\
         server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n\
         local {{ rule \"${{path}}\" text=\"/socket\"; websocket_echo; }}\n\
         local {{ rule \"${{path}}\" text=\"/hold\"; proxy_pass_tcp \"{origin}\"; }}\n\
         local {{ rule \"${{path}}\" text=\"/heard\"; proxy_pass_tcp \"{origin}\"; }}\n\
         local {{ http_static \"{}\"; }}\n}} }}\n",
        dir.join("html").display(),
        origin = origin.addr(),
    ));
    let file = |name: &str| std::fs::File::create(dir.join(name)).expect("a fresh directory");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--no-proxy-server", "--dump-dom"])
        .args(["--disable-background-networking", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", dir.join("profile").display()))
        .arg(format!("http://{}/", proxy.addr(0)))
        .env("HOME", dir.path())
        .stdin(Stdio::null())
        .stdout(file("dom"))
        .stderr(file("err"))
        .spawn()
        .expect("it runs");
    // A browser's first start takes its time.
    harness::within(LIMIT * 3, || child.try_wait().transpose());
    let _ = child.kill();
    let _ = child.wait();
    let read = |name: &str| String::from_utf8_lossy(&std::fs::read(dir.join(name)).unwrap_or_default()).into_owned();
    let dom = read("dom");
    assert!(
        dom.contains("echoed: from the browser") && dom.contains("<title>closed</title>"),
        "{dom}\n{}",
        read("err")
    );
    assert!(heard.load(Relaxed));
    for line in [
        "status=200 method=GET path=/page.js ",
        "status=101 method=GET path=/socket ",
        "status=200 method=POST path=/heard ",
    ] {
        proxy.await_line("access.log", line, LIMIT);
    }
}
