//! Files of a directory: what a browser, a download manager and an attacker ask for.

use std::io::Write;

use harness::{Proxy, TempDir, client, eventually, pattern};

use crate::support::{answer, ask, get, once, server};

/// A directory with a few files, and a server of it.
struct Site {
    dir: TempDir,
    proxy: Proxy,
}

impl Site {
    fn new(more: &str) -> Self {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.join("html/sub")).expect("a fresh directory");
        dir.write("html/index.html", "<h1>home</h1>");
        dir.write("html/sub/index.htm", "sub");
        dir.write("html/data.bin", pattern::bytes(1000));
        dir.write("html/large.bin", pattern::bytes(3 << 20));
        dir.write("html/a b.txt", "spaces");
        dir.write("secret.txt", "secret");
        let root = dir.join("html");
        let proxy = server(&format!("local {{ http_static \"{}\" {more}; }}", root.display())).start();
        Self { dir, proxy }
    }

    fn get(&self, path: &str, headers: &str) -> crate::support::Answer {
        once(&self.proxy, format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"))
    }
}

#[test]
fn a_file_comes_with_type_length_and_validators() {
    let site = Site::new("");
    let mut stream = client::connect(site.proxy.addr(0));
    for (path, kind, len) in [
        ("/index.html", "text/html; charset=utf-8", 13),
        ("/data.bin", "application/octet-stream", 1000),
        ("/large.bin", "application/octet-stream", 3 << 20),
        ("/a%20b.txt", "text/plain; charset=utf-8", 6),
    ] {
        let a = ask(&mut stream, get(path));
        assert_eq!((a.status, a.header("content-type"), a.body.len()), (200, Some(kind), len), "{path}");
        assert!(
            a.header("etag").is_some_and(|t| t.starts_with('"')) && a.header("last-modified").is_some(),
            "{}",
            a.head
        );
        assert_eq!(a.header("accept-ranges"), Some("bytes"));
        let head = ask(&mut stream, format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(head.header("content-length"), Some(len.to_string().as_str()), "{path}");
    }
    assert!(ask(&mut stream, get("/large.bin")).body == pattern::bytes(3 << 20));
    assert!(ask(&mut stream, get("/data.bin")).body == pattern::bytes(1000));
}

#[test]
fn a_directory_that_is_not_there_is_told_of() {
    let none = server("local { http_static \"none\"; }").check();
    none.assert(0, &["main.kdl:8:9: warning:", "/none is no directory: all is answered with 404"]);
}

#[test]
fn the_example_serves_its_files() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/examples/http.kdl");
    let checked = harness::command(["-c".as_ref(), file.as_os_str(), "-t".as_ref()]);
    checked.assert(0, &["the configuration is well"]);
    assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
    let text = std::fs::read_to_string(&file).expect("it is there");
    let html = file.with_file_name("../html");
    let text = text.replace("../html", &html.display().to_string()).replace("127.0.0.1:8080", "127.0.0.1:0");
    let proxy = Proxy::builder().config(&text).start();
    let a = once(&proxy, "GET /static/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((a.status, a.header("content-type")), (200, Some("text/html; charset=utf-8")), "{}", a.head);
    assert_eq!(once(&proxy, "GET /old HTTP/1.1\r\nHost: a\r\n\r\n").header("location"), Some("/new"));
}

#[test]
fn types_may_be_said() {
    let dir = TempDir::new();
    for name in ["a.log", "a.ts", "README"] {
        dir.write(name, "x");
    }
    let root = dir.path().display();
    // Two locals of the same files, which are kept at hand.
    let proxy = server(&format!(
        "local {{ rule \"${{http_request_host}}\" text=\"b\"; http_static \"{root}\" types=\"log=text/plain .ts=text/x-ts\" \
         default_type=\"text/plain\"; }}\nlocal {{ http_static \"{root}\"; }}"
    ))
    .start();
    for _ in 0..2 {
        for (host, path, kind) in [
            ("a", "/a.log", "text/plain; charset=utf-8"),
            ("b", "/a.log", "text/plain; charset=utf-8"),
            ("a", "/a.ts", "video/mp2t"),
            ("b", "/a.ts", "text/x-ts; charset=utf-8"),
            ("a", "/README", "application/octet-stream"),
            ("b", "/README", "text/plain; charset=utf-8"),
        ] {
            let a = once(&proxy, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert_eq!(a.header("content-type"), Some(kind), "{host} {path}");
        }
    }
    for (types, said) in [("ts", "\"ts\" is not name=type"), ("ts=x", "\"x\" is no media type")] {
        server(&format!("local {{ http_static \".\" types=\"{types}\"; }}")).check().assert(1, &[said]);
    }
}

#[test]
fn a_directory_is_its_index_file_or_nothing() {
    let site = Site::new("index=\"index.html index.htm\"");
    assert_eq!(site.get("/", "").text(), "<h1>home</h1>");
    assert_eq!(site.get("/sub/", "").text(), "sub");
    let moved = site.get("/sub?x=y", "");
    assert_eq!((moved.status, moved.header("location")), (301, Some("/sub/?x=y")));
    assert_eq!(site.get("/data.bin/", "").status, 404);
    assert_eq!(site.get("/none", "").status, 404);
    let plain = Site::new("index=\"none.html\"");
    assert_eq!(plain.get("/sub/", "").status, 404, "no listing unless told");
}

#[test]
fn a_directory_is_listed_where_that_is_wanted() {
    let site = Site::new("index=\"none\" listing=\"html\"");
    site.dir.write("html/.hidden", "served all the same");
    std::fs::create_dir(site.dir.join("html/.git")).expect("a fresh directory");
    assert_eq!(site.get("/.hidden", "").text(), "served all the same");
    let html = site.get("/", "");
    assert_eq!(html.header("content-type"), Some("text/html; charset=utf-8"));
    let text = html.text();
    assert!(text.contains("a%20b.txt") && text.contains("sub/") && !text.contains("secret"), "{text}");
    assert!(!text.contains(".hidden") && !text.contains(".git"), "{text}");
    let json = Site::new("index=\"none\" listing=\"json\"").get("/", "");
    assert_eq!(json.header("content-type"), Some("application/json"));
    let list: serde_json::Value = serde_json::from_str(&json.text()).expect("JSON");
    assert_eq!(list.as_array().expect("a list").len(), 5, "{list}");
}

#[test]
fn what_the_client_has_is_not_sent_again() {
    let site = Site::new("");
    let a = site.get("/data.bin", "");
    let (tag, date) = (a.header("etag").expect("a tag"), a.header("last-modified").expect("a date"));
    for (headers, status) in [
        (format!("If-None-Match: {tag}\r\n"), 304),
        (format!("If-None-Match: \"x\", W/{tag}\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"x\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {date}\r\n"), 304),
        ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 200),
        (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"), 200),
        (format!("If-Match: {tag}\r\n"), 200),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 412),
    ] {
        let a = site.get("/data.bin", &headers);
        assert_eq!(a.status, status, "{headers}");
        if status == 304 {
            assert_eq!((a.header("etag"), a.header("content-type")), (Some(tag), None), "{headers}");
        }
    }
}

#[test]
fn parts_of_a_file_are_sent_alone_or_several_at_once() {
    let site = Site::new("");
    let whole = pattern::bytes(1000);
    for (range, from, to) in
        [("0-0", 0, 1), ("10-19", 10, 20), ("990-", 990, 1000), ("-5", 995, 1000), ("900-5000", 900, 1000)]
    {
        let a = site.get("/data.bin", &format!("Range: bytes={range}\r\n"));
        let says = format!("bytes {from}-{}/1000", to - 1);
        assert_eq!((a.status, a.header("content-range")), (206, Some(says.as_str())), "{range}");
        assert!(a.body == whole[from..to], "{range}");
    }
    let a = site.get("/data.bin", "Range: bytes=1000-\r\n");
    assert_eq!((a.status, a.header("content-range")), (416, Some("bytes */1000")));
    for ignored in ["bytes=5-1", "lines=1-2", "bytes=x"] {
        assert_eq!(site.get("/data.bin", &format!("Range: {ignored}\r\n")).status, 200, "{ignored}");
    }
    let a = site.get("/data.bin", "Range: bytes=0-9,100-109\r\n");
    assert_eq!(a.status, 206);
    let kind = a.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").expect("several parts").trim_matches('"');
    let text = a.body.split(|b| *b == b'\n').filter(|l| l.starts_with(b"--")).count();
    assert_eq!(text, 3, "two parts and the end, by {boundary}");
    assert!(a.body.windows(10).any(|w| w == &whole[..10]) && a.body.windows(10).any(|w| w == &whole[100..110]));
    let stale = site.get("/data.bin", "Range: bytes=0-9\r\nIf-Range: \"x\"\r\n");
    assert_eq!((stale.status, stale.body.len()), (200, 1000));
    let many: String = (0..100).map(|n| format!("{}-{},", n * 10, n * 10 + 1)).collect();
    assert_eq!(site.get("/data.bin", &format!("Range: bytes={many}\r\n")).status, 200, "too many to be meant well");
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let site = Site::new("");
    for path in [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/sub/..%2f..%2fsecret.txt",
        "/sub/../../secret.txt",
        "/%2e%2e%2fsecret.txt",
        "/..%5csecret.txt",
        "/..%c0%afsecret.txt",
        "/%252e%252e/secret.txt",
        "//../secret.txt",
        "/./../secret.txt",
        "/sub/%00../secret.txt",
        "/.../secret.txt",
    ] {
        let a = site.get(path, "");
        assert!(matches!(a.status, 400 | 404), "{path}: {}", a.status);
        assert!(!a.text().contains("secret"), "{path}");
    }
}

#[test]
fn links_are_followed_as_far_as_they_may() {
    for (policy, inside, outside) in [("follow", 200, 200), ("beneath", 200, 404), ("deny", 404, 404)] {
        let site = Site::new(&format!("symlinks=\"{policy}\""));
        std::os::unix::fs::symlink("data.bin", site.dir.join("html/in")).expect("a link");
        std::os::unix::fs::symlink("../secret.txt", site.dir.join("html/out")).expect("a link");
        assert_eq!((site.get("/in", "").status, site.get("/out", "").status), (inside, outside), "{policy}");
        assert_eq!(site.get("/data.bin", "").status, 200, "{policy}");
    }
}

#[test]
fn whoever_may_follow_links_opens_none_for_who_may_not() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.join("html")).expect("a fresh directory");
    dir.write("secret.txt", "secret");
    for name in ["one", "two"] {
        std::os::unix::fs::symlink("../secret.txt", dir.join("html").join(name)).expect("a link");
    }
    let root = dir.join("html");
    let local = |prefix: &str, policy: &str| {
        let rewrite = format!("http_rewrite \"^{prefix}(/.*)$\" \"$1\" \"break\"");
        // What was found is known for long: by one worker, whichever local asks.
        let files = format!("http_static \"{}\" symlinks=\"{policy}\" open_files_valid=\"1h\"", root.display());
        format!("local {{ rule \"${{path}}\" prefix=\"{prefix}/\"; {rewrite}; {files}; }}")
    };
    let all = [local("/open", "follow"), local("/beneath", "beneath"), local("/deny", "deny")];
    let proxy = server(&all.join("\n")).start();
    let status = |path: &str| once(&proxy, get(path)).status;
    assert_eq!(["/open/one", "/beneath/one", "/deny/one"].map(status), [200, 404, 404]);
    // Nor is there nothing for the former because the latter did not see it.
    assert_eq!(["/deny/two", "/beneath/two", "/open/two"].map(status), [404, 404, 200]);
}

#[test]
fn a_file_that_was_compressed_before_is_sent_to_who_takes_it() {
    let site = Site::new("precompressed=\"br gzip\"");
    site.dir.write("html/data.bin.gz", "zipped");
    site.dir.write("html/index.html.br", "brotli");
    site.dir.write("html/index.html.gz", "zipped");
    let coded = |path: &str, accepts: &str| {
        let a = site.get(path, &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!(a.header("vary"), Some("Accept-Encoding"), "{}", a.head);
        (a.header("content-encoding").map(str::to_owned), a.text())
    };
    let gzip = (Some("gzip".to_owned()), "zipped".to_owned());
    assert_eq!(coded("/data.bin", "br, gzip"), gzip, "the other is not there");
    assert_eq!(coded("/", "gzip, br"), (Some("br".to_owned()), "brotli".to_owned()));
    assert_eq!(coded("/", "gzip, br;q=0"), gzip);
    assert_eq!(coded("/", "identity").0, None);
    assert_eq!(site.get("/", "").text(), "<h1>home</h1>");
    assert_eq!(site.get("/", "Accept-Encoding: br\r\n").header("content-type"), Some("text/html; charset=utf-8"));
}

#[test]
fn a_file_that_changes_is_seen_to_change() {
    let site = Site::new("open_files_valid=\"100ms\"");
    let first = site.get("/data.bin", "");
    site.dir.write("html/data.bin", "other");
    eventually("the new content", || (site.get("/data.bin", "").text() == "other").then_some(()));
    assert_ne!(site.get("/data.bin", "").header("etag"), first.header("etag"));
    assert_eq!(site.get("/new.txt", "").status, 404);
    site.dir.write("html/new.txt", "new");
    eventually("the new file", || (site.get("/new.txt", "").status == 200).then_some(()));
    std::fs::remove_file(site.dir.join("html/new.txt")).expect("it is there");
    eventually("it is gone", || (site.get("/new.txt", "").status == 404).then_some(()));
}

#[test]
fn a_file_is_kept_open_once_it_is_asked_for_often_enough() {
    for (more, from) in [("", 1), ("open_files_min_uses=3", 3), ("open_files=0", usize::MAX)] {
        let site = Site::new(&format!("open_files_valid=\"1h\" {more}"));
        let is_open = || {
            let fds = std::fs::read_dir(format!("/proc/{}/fd", site.proxy.pid())).expect("it runs");
            fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).any(|file| file.ends_with("html/data.bin"))
        };
        for request in 1..=4 {
            assert_eq!(site.get("/data.bin", "").body.len(), 1000);
            eventually("it is kept, or closed", || (is_open() == (request >= from)).then_some(()));
        }
    }
}

#[test]
fn only_what_reads_is_allowed() {
    let site = Site::new("");
    let mut stream = client::connect(site.proxy.addr(0));
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc").expect("write");
    let a = answer(&mut stream, "POST");
    assert_eq!((a.status, a.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(ask(&mut stream, get("/")).status, 200, "the connection goes on");
}

#[test]
fn caches_are_told_how_long_it_keeps() {
    let dir = TempDir::new();
    dir.write("x", "x");
    let proxy = server(&format!("expires \"1h\"\nlocal {{ http_static \"{}\"; }}", dir.path().display())).start();
    let a = once(&proxy, get("/x"));
    assert_eq!(a.header("cache-control"), Some("max-age=3600"));
    assert!(a.header("expires").is_some());
}

#[test]
fn a_mistake_in_the_directive_is_named() {
    for (more, what) in [("index=\"a/b\"", "no file name"), ("precompressed=\"rar\"", "none of br, zstd, gzip")] {
        let output = server(&format!("local {{ http_static \"/tmp\" {more}; }}")).check();
        assert_eq!(output.code, Some(1), "{more}");
        assert!(output.stderr.contains(what), "{}", output.stderr);
    }
}
