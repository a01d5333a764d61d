use super::HttpStore;
use anyproxy_http_contract::testing::*;
use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest};

fn store() -> (FakeHttp, ModuleUnderTest<HttpStore>) {
    let host = FakeHost::new();
    let http = FakeHttp::on(&host);
    let local = Block::local().with(Directive::new("http_store").arg("/nowhere"));
    (http, ModuleUnderTest::start_on(host, &[Block::net().block(Block::server().block(local))]))
}

#[test]
fn what_was_answered_once_is_answered_from_memory() {
    let (http, module) = store();
    assert!(http.hook(&module, "store_lookup", FakeExchange::get("/a?b")).went_on);
    let answer = FakeExchange::get("/a?b").answered(200).header("X-A", "b").pieces(["good ", "day"]);
    assert_eq!(http.hook(&module, "store", answer).text(), "good day");
    let outcome = http.hook(&module, "store_lookup", FakeExchange::get("/a?b"));
    assert_eq!((outcome.went_on, outcome.status(), outcome.text().as_str()), (false, 200, "good day"));
    assert_eq!((outcome.header("X-A").as_deref(), outcome.header("X-Store").as_deref()), (Some("b"), Some("hit")));
    // Another target, another host, another method.
    for other in [FakeExchange::get("/a"), FakeExchange::get("/a?b").header("Host", "b.test")] {
        assert!(http.hook(&module, "store_lookup", other).went_on);
    }
    assert!(http.hook(&module, "store_lookup", FakeExchange::new("POST", "/a?b")).went_on);
    assert_eq!(http.handler(&module, "purge", FakeExchange::new("PURGE", "/a?b")).status(), 200);
    assert_eq!(http.handler(&module, "purge", FakeExchange::new("PURGE", "/a?b")).status(), 404);
    module.stop();
}

#[test]
fn peers_are_asked_twice() {
    let (http, module) = store();
    http.answer_fetch(200, &[("X-N", "1")], "abc");
    http.answer_fetch(203, &[], "def");
    let outcome = http.handler(&module, "twice", FakeExchange::get("/x"));
    assert_eq!((outcome.status(), outcome.text().as_str()), (203, "abcdef"));
    let fetched = http.fetched();
    assert_eq!((fetched.len(), fetched[1].head.target.as_str()), (2, "/x"));
    assert_eq!((fetched[1].head.header("X-Turn").as_deref(), fetched[1].upstream), (Some("2"), None));
    // Nobody answers.
    assert!(http.handler(&module, "twice", FakeExchange::get("/x")).error.is_some());
    module.stop();
}
