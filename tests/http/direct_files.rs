//! `http_static … directio`: large files are read past the page cache, and come out the same.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use harness::{Proxy, client, pattern, program, skip};
use rustix::fs::{Advice, fadvise};

use crate::support::{Answer, ask, get, server};

const LARGE: usize = (3 << 20) + 12_345;

fn files(text: &str) -> Proxy {
    let proxy = server(&format!("{text}\nlocal {{ http_static \"html\" directio=\"1MiB\"; }}"));
    std::fs::create_dir(proxy.dir().join("html")).expect("own directory");
    proxy.file("html/large", pattern::bytes(LARGE)).file("html/small", pattern::bytes(100_000)).start()
}

/// Bytes of a file that the cache holds; `None`: nobody tells.
fn cached(path: &Path) -> Option<u64> {
    let out = Command::new(program("fincore")?).args(["-b", "-n", "-r", "-o", "RES"]).arg(path).output().ok()?;
    String::from_utf8_lossy(&out.stdout).trim().parse().ok()
}

/// Lets go what the cache holds of a file.
fn let_go(path: &Path) {
    let file = File::open(path).expect("a file");
    file.sync_all().expect("synced");
    fadvise(file.as_fd(), 0, None, Advice::DontNeed).expect("advised");
}

fn range(proxy: &Proxy, range: &str) -> Answer {
    let request = format!("GET /large HTTP/1.1\r\nHost: a\r\nRange: bytes={range}\r\n\r\n");
    ask(&mut client::connect(proxy.addr(0)), request)
}

#[test]
fn a_large_file_leaves_nothing_in_the_cache() {
    let proxy = files("");
    let path = proxy.dir().join("html/large");
    let_go(&path);
    match cached(&path) {
        Some(0) => {}
        Some(_) => return skip("this file system keeps its files in memory"),
        None => return skip("fincore is not installed"),
    }
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        assert!(ask(&mut stream, get("/large")).body == pattern::bytes(LARGE));
    }
    let held = cached(&path).expect("as before");
    assert!(held < 100_000, "{held}");
    // What is smaller is read as ever.
    let small = proxy.dir().join("html/small");
    let_go(&small);
    assert!(ask(&mut stream, get("/small")).body == pattern::bytes(100_000));
    assert!(cached(&small) >= Some(100_000));
}

#[test]
fn parts_of_it_begin_and_end_anywhere() {
    let proxy = files("");
    let all = pattern::bytes(LARGE);
    for (from, to) in
        [(0, 0), (0, 4095), (1, 4096), (4095, 4096), (100, 1 << 20), (524_287, 1_048_577), (LARGE - 5000, LARGE - 1)]
    {
        let a = range(&proxy, &format!("{from}-{to}"));
        assert_eq!(a.status, 206);
        assert!(a.body == all[from..=to], "{from}-{to}");
    }
    assert!(range(&proxy, "-10000").body == all[LARGE - 10_000..]);
    let a = range(&proxy, "5-100004,2000000-2100000");
    assert_eq!(a.status, 206);
    assert!(a.header("content-type").is_some_and(|t| t.starts_with("multipart/byteranges")));
    let has = |part: &[u8]| a.body.windows(part.len()).any(|w| w == part);
    assert!(has(&all[5..=100_004]) && has(&all[2_000_000..=2_100_000]));
    let a = ask(&mut client::connect(proxy.addr(0)), "HEAD /large HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(a.header("content-length"), Some(LARGE.to_string().as_str()));
}

#[test]
fn so_it_is_for_clients_of_http_2_and_at_a_rate() {
    for more in ["", "http_limit_rate \"8MiB/s\""] {
        let proxy = files(more);
        assert!(ask(&mut client::connect(proxy.addr(0)), get("/large")).body == pattern::bytes(LARGE));
        let Some(curl) = program("curl") else { return skip("curl is not installed") };
        let url = format!("http://{}/large", proxy.addr(0));
        let out = Command::new(curl).args(["-sS", "--http2-prior-knowledge", "--noproxy", "*", &url]).output();
        assert!(out.expect("curl runs").stdout == pattern::bytes(LARGE), "{more}");
    }
}

#[test]
fn one_that_becomes_shorter_is_cut() {
    let proxy = files("http_limit_rate \"2MiB/s\"");
    let mut stream = client::connect(proxy.addr(0));
    std::io::Write::write_all(&mut stream, get("/large").as_bytes()).expect("write");
    crate::support::head(&mut stream).expect("a head");
    let file = File::options().write(true).open(proxy.dir().join("html/large")).expect("own file");
    file.set_len(1 << 20).expect("shorter");
    assert!(client::read_to_end(&stream).len() < LARGE);
    proxy.await_line("access.log", "reason=proxy_transfer_closed", harness::LIMIT);
}
