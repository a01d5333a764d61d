//! Access logs that programs read: lines in JSON, and values of clients that stay in their field.

use std::io::Write;
use std::net::SocketAddr;

use harness::{Builder, Proxy, client, eventually};
use serde_json::{Value, json};

/// A server of HTTP with these access logs.
fn http(logs: &str) -> Builder {
    Proxy::builder().config(&format!(
        "load_module \"tcp\" \"http\"\ncommon {{ worker_threads 2; }}\nnet {{\n{logs}\nserver {{\n\
         port_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal {{ http_echo body=\"hi\"; }}\n}}\n}}\n"
    ))
}

/// Sends a request with this value of `User-Agent`.
fn ask(addr: SocketAddr, agent: &[u8]) {
    let mut stream = client::connect(addr);
    let mut request = b"GET /a HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nUser-Agent: ".to_vec();
    request.extend_from_slice(agent);
    request.extend_from_slice(b"\r\n\r\n");
    stream.write_all(&request).expect("write");
    assert!(client::read_to_end(&stream).starts_with(b"HTTP/1.1 200"));
}

/// The lines of a file, once there are so many.
#[track_caller]
fn lines(proxy: &Proxy, file: &str, n: usize) -> Vec<String> {
    eventually(&format!("{n} lines in {file}"), || {
        let text = proxy.read(file);
        (text.ends_with('\n') && text.lines().count() >= n).then(|| text.lines().map(str::to_owned).collect())
    })
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}

#[test]
fn a_line_is_an_object_with_the_default_fields() {
    let proxy = http("access_log \"a.json\" format=\"json\" flush=0").start();
    ask(proxy.addr(0), b"x");
    let line = parsed(&lines(&proxy, "a.json", 1)[0]);
    assert_eq!((&line["status"], &line["close_reason"]), (&json!(200), &json!("client_transfer_done")));
    assert!(line["client_bytes_sent"].as_u64() > Some(0) && line["session_time"].is_f64(), "{line}");
    assert!(line["local_time"].as_str().expect("text").contains('T'), "{line}");
    assert_eq!((&line["upstream_addr"], &line["upstream_connect_time"]), (&Value::Null, &Value::Null));
    assert_eq!(line["local_addr"], json!(proxy.addr(0).to_string()));
}

/// What a header may hold in HTTP/1.1: no control bytes but the tab.
const HOSTILE: [&[u8]; 5] = [
    b"\" , \"status\": 500, \"x\": \"",
    b"a\\\" b\\",
    b"tab\there",
    b"\xff\xfe caf\xc3\xa9 \xc3",
    b"${status} 127.0.0.1 - \x80\x81",
];

#[test]
fn what_clients_send_stays_in_its_field() {
    let proxy = http(
        "access_log \"a.json\" flush=0 {\nfield \"agent\" \"${http_request_user_agent}\"\n\
         field \"status\" \"${status}\" as=\"number\"\nfield \"line\" \"${http_request_method} ${path}\"\n\
         field \"none\" \"${http_request_referer}\"\nfield \"late\" \"${is_timeout_exit}\" as=\"bool\"\n}\n\
         access_log \"a.log\" flush=0 format=#\"\"${http_request_user_agent}\" ${status}\"#",
    )
    .start();
    for agent in HOSTILE {
        ask(proxy.addr(0), agent);
    }
    let all = lines(&proxy, "a.json", HOSTILE.len());
    let agents: Vec<Value> = all.iter().map(|line| parsed(line)["agent"].clone()).collect();
    for (line, agent) in all.iter().zip(&agents) {
        let rest = json!({ "agent": agent, "status": 200, "line": "GET /a", "none": null, "late": false });
        assert_eq!(parsed(line), rest);
    }
    for agent in HOSTILE {
        let text = json!(String::from_utf8_lossy(agent));
        assert!(agents.contains(&text), "{text} in {agents:?}");
    }
    let text = lines(&proxy, "a.log", HOSTILE.len());
    assert_eq!(text.len(), HOSTILE.len(), "one line a request");
    for line in &text {
        assert!(line.is_ascii() && line.bytes().all(|b| b >= 0x20), "{line:?}");
        assert!(line.starts_with('"') && line.ends_with("\" 200"), "{line:?}");
        assert_eq!(line.matches('"').count(), 2, "no quote but the format's own: {line:?}");
    }
}

#[test]
fn a_value_longer_than_a_line_is_cut_and_the_line_still_json() {
    let fields: String = (0..6).map(|n| format!("field \"v{n}\" \"${{http_request_user_agent}}\"\n")).collect();
    let proxy = http(&format!(
        "http_header_size \"64KiB\"\naccess_log \"a.json\" flush=0 {{\n{fields}field \"end\" \"${{status}}\" as=\"number\"\n}}"
    ))
    .start();
    ask(proxy.addr(0), &b"\"".repeat(20 << 10));
    let all = lines(&proxy, "a.json", 1);
    assert!(all[0].len() < 64 << 10);
    let line = parsed(&all[0]);
    assert_eq!(line["v0"].as_str().map(str::len), Some(20 << 10));
    assert_eq!(line.as_object().expect("an object").len(), 7);
}

#[test]
fn what_is_wrong_is_told_when_the_file_is_read() {
    for (log, text) in [
        ("format=\"${status}\" {\nfield \"a\" \"b\"\n}", "both say what a line is"),
        ("{\nfield \"a\" \"b\"\nfield \"a\" \"c\"\n}", "a line has the field \"a\" twice"),
        ("{\nfield \"a\" \"${statos}\"\n}", "statos"),
        ("{\nfield \"a\" \"b\" as=\"date\"\n}", "\"date\" is not one of its words"),
        ("{\nfeld \"a\" \"b\"\n}", "did you mean \"field\""),
    ] {
        let config = format!(
            "load_module \"tcp\" \"hello\"\nnet {{\naccess_log \"a.json\" {log}\nserver {{\n\
             port_listen_tcp \"127.0.0.1:0\"\nlocal {{ hello \"hi\"; }}\n}}\n}}\n"
        );
        harness::check(&config).assert(1, &[text]);
    }
}
