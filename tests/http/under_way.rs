//! What is under way is shown as it stands: by `interval=` of an access log, and by `ctl sessions`.

use std::io::{Read, Write};
use std::net::TcpStream;

use harness::{LIMIT, Origin, Proxy, client, eventually};
use serde_json::{Value, json};

use crate::support::{OK, ask, get, head};

const CHAT: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n";

/// Begins long answers, changes to a protocol that comes back as it went, and takes uploads without an answer.
fn origin() -> Origin {
    Origin::start(|mut conn| {
        while let Some(request) = head(&mut conn) {
            match request.split(' ').nth(1) {
                Some("/slow") => {
                    conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n")?;
                    conn.write_all(&[b'x'; 4000])?;
                }
                Some("/chat") => {
                    conn.write_all(
                        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n",
                    )?;
                    let mut buf = [0; 4096];
                    while let n @ 1.. = conn.read(&mut buf)? {
                        conn.write_all(&buf[..n])?;
                    }
                }
                Some("/upload") => {}
                _ => {
                    conn.write_all(OK)?;
                    continue;
                }
            }
            // To the client's end.
            std::io::copy(&mut conn, &mut std::io::sink())?;
        }
        Ok(())
    })
}

fn proxy(origin: &Origin) -> Proxy {
    let log = "access_log \"open.log\" flush=0 interval=\"1s\" format=\"${http_request_uri} ${status} ${upstream_addr} \
               ${client_bytes_received} ${client_bytes_sent} ${upstream_bytes_received} ${close_reason}\"";
    Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\nnet {{\n{log}\nserver {{ port_listen_tcp \
         \"127.0.0.1:0\"; http; local {{ proxy_pass_tcp \"{}\"; }} }} }}\n",
        origin.addr()
    ))
}

fn open(proxy: &Proxy, request: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(request.as_ref()).expect("write");
    stream
}

/// The exchanges under way.
fn exchanges(proxy: &Proxy) -> Vec<Value> {
    let rows = proxy.control(&json!({"cmd": "sessions"})).expect("a list");
    rows.as_array().expect("a list").iter().filter(|row| !row["connection"].is_null()).cloned().collect()
}

#[test]
fn requests_are_shown_with_what_they_moved_and_where_to() {
    let origin = origin();
    let proxy = proxy(&origin);
    // One that waits for nothing has nothing to say.
    let mut idle = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut idle, get("/idle")).text(), "ok");
    let mut slow = open(&proxy, get("/slow"));
    let answer = head(&mut slow).expect("a head").len() + client::read_exact(&slow, 4000).len();
    let sent = get("/slow").len();
    let line = format!("/slow 200 {} {sent} {answer} ", origin.addr());
    proxy.await_line("open.log", &line, LIMIT);
    assert!(
        proxy.read("open.log").lines().all(|l| l.ends_with(" -") || l.starts_with("/idle 200 ")),
        "{}",
        proxy.read("open.log")
    );

    let rows = exchanges(&proxy);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let row = &rows[0];
    assert_eq!(row["client"], slow.local_addr().expect("connected").to_string());
    assert_eq!(row["peer"], origin.addr().to_string());
    assert_eq!((&row["client_received"], &row["client_sent"]), (&sent.into(), &answer.into()), "{row}");
    // Its connection ends with it.
    let id = row["id"].as_u64().expect("a number").to_string();
    proxy.ctl(&["sessions", "show", &id]).assert(0, &["\"connection\": "]);
    proxy.ctl(&["sessions", "kill", &id]).assert(0, &["\"killed\": 1"]);
    client::end(&slow);
    eventually("none is left", || exchanges(&proxy).is_empty().then_some(()));
    assert_eq!(ask(&mut idle, get("/idle")).text(), "ok");
}

#[test]
fn an_upload_and_another_protocol_are_too() {
    let origin = origin();
    let proxy = proxy(&origin);
    let upload = "POST /upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9000\r\n\r\n";
    let uploading = open(&proxy, [upload.as_bytes(), &[b'y'; 5000]].concat());
    let mut chat = open(&proxy, CHAT);
    let begun = head(&mut chat).expect("a head").len();
    for _ in 0..3 {
        chat.write_all(&[b'z'; 1000]).expect("write");
        chat.read_exact(&mut [0; 1000]).expect("all comes back");
    }
    proxy.await_line("open.log", &format!("/upload - {} {} 0 0 -", origin.addr(), upload.len() + 5000), LIMIT);
    let (received, sent) = (CHAT.len() + 3000, begun + 3000);
    proxy.await_line("open.log", &format!("/chat 101 {} {received} {sent} ", origin.addr()), LIMIT);
    let rows = exchanges(&proxy);
    assert!(rows.iter().any(|r| r["client_received"] == received && r["client_sent"] == sent), "{rows:?}");
    drop((uploading, chat));
    eventually("none is left", || exchanges(&proxy).is_empty().then_some(()));
    let end = format!("/chat 101 {} {received} {sent} ", origin.addr());
    eventually("the last word is the same", || {
        proxy.read("open.log").lines().any(|l| l.starts_with(&end) && !l.ends_with(" -")).then_some(())
    });
}
