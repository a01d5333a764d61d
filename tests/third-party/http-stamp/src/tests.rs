use super::HttpStamp;
use anyproxy_http_contract::{FileHandle, FilePart, Segment, testing::*};
use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest};
use std::{fs::File, io::Write, sync::Arc};

fn stamp(directives: &[Directive]) -> (FakeHttp, ModuleUnderTest<HttpStamp>) {
    let host = FakeHost::new();
    let http = FakeHttp::on(&host);
    let local = directives.iter().cloned().fold(Block::local(), Block::with);
    (http, ModuleUnderTest::start_on(host, &[Block::net().block(Block::server().block(local))]))
}

#[test]
fn an_answer_is_stamped_and_in_capitals() {
    let (http, module) = stamp(&[Directive::new("http_stamp").arg("seen")]);
    assert!(http.applies(&module, "stamp"));
    let answer = || FakeExchange::get("/").answered(200).header("X-A", "b");
    let outcome = http.hook(&module, "stamp", answer().body("hello"));
    assert_eq!((outcome.went_on, outcome.text().as_str(), outcome.length), (true, "HELLO", Some(5)));
    assert_eq!(outcome.header("X-Stamp").as_deref(), Some("seen 1"));
    assert_eq!(outcome.header("X-A").as_deref(), Some("b"));
    // In pieces it stays one, and has no length.
    let outcome = http.hook(&module, "stamp", answer().pieces(["good ", "day"]));
    assert_eq!((outcome.text().as_str(), outcome.length), ("GOOD DAY", None));
    module.stop();
}

#[test]
fn a_part_of_a_file_is_in_capitals_too() {
    let (http, module) = stamp(&[Directive::new("http_stamp").arg("seen")]);
    let path = std::env::temp_dir().join(format!("http-stamp-{}", std::process::id()));
    File::create(&path).and_then(|mut f| f.write_all(&b"ab".repeat(100_000))).expect("a file");
    let file = FileHandle::new(Arc::new(File::open(&path).expect("it is there")));
    std::fs::remove_file(&path).expect("it is there");
    let part = FilePart { file, at: 1, len: 150_000 };
    let trailers = Segment::Trailers(b"X-End: 1\r\n".to_vec().into());
    let exchange = FakeExchange::get("/").answered(200).segments([Segment::File(part.clone()), trailers]);
    let outcome = http.hook(&module, "stamp", exchange);
    assert_eq!((outcome.body.len(), &outcome.body[..3]), (150_000, &b"BAB"[..]));
    // One that became shorter is not taken for the whole.
    let longer = FilePart { len: 300_000, ..part };
    let outcome = http.hook(&module, "stamp", FakeExchange::get("/").answered(200).segments([Segment::File(longer)]));
    assert!(outcome.error.is_some());
    module.stop();
}

#[test]
fn a_request_is_refused_or_counted() {
    let (http, module) = stamp(&[Directive::new("http_stamp").arg("seen")]);
    let outcome = http.hook(&module, "stamp_refuse", FakeExchange::get("/").header("X-Refuse", "1"));
    assert_eq!((outcome.went_on, outcome.status(), outcome.text().as_str()), (false, 403, "not today\n"));
    assert!(http.hook(&module, "stamp_refuse", FakeExchange::get("/")).went_on);
    let request = FakeExchange::new("POST", "/").header("X-Secret", "s").body("abc");
    let outcome = http.hook(&module, "stamp_count", request);
    assert_eq!((outcome.request.header("X-Stamped").as_deref(), outcome.text().as_str()), (Some("1"), "abc"));
    assert_eq!(outcome.request.header("X-Secret"), None);
    module.stop();
}

#[test]
fn a_block_that_says_nothing_has_no_part_in_it() {
    let (http, module) = stamp(&[]);
    assert!(!http.applies(&module, "stamp") && !http.applies(&module, "stamp_refuse"));
    module.stop();
}
