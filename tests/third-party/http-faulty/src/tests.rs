//! The fake http finds what http does not believe, so that a module's unit tests do, too.

use super::HttpFaulty;
use anyproxy_http_contract::testing::*;
use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest};

/// Runs a hook where this goes wrong. That a hook was refused is `prepare`'s to see.
fn run(mode: &str, hook: &str, exchange: FakeExchange) -> (Outcome, Vec<Fetch>) {
    let host = FakeHost::new();
    let http = FakeHttp::on(&host);
    http.answer_fetch(200, &[], "");
    let local = Block::local().with(Directive::new("http_faulty").arg(mode));
    let module = ModuleUnderTest::<HttpFaulty>::start_on(host, &[Block::net().block(Block::server().block(local))]);
    let outcome = http.hook(&module, hook, exchange);
    module.stop();
    (outcome, http.fetched())
}

#[test]
fn a_request_of_its_own_is_framed_and_has_one_host() {
    for (mode, said, host, length) in [
        ("fetch_well", "status 200", "a.test", Some("5")),
        ("fetch_open", "status 200", "a.test", None),
        ("fetch_host", "status 200", "other.test", Some("0")),
        ("fetch_long", "Invalid", "", None),
        ("fetch_short", "Invalid", "", None),
        ("fetch_hosts", "Invalid", "", None),
        ("fetch_line", "Invalid", "", None),
    ] {
        let (outcome, fetched) = run(mode, "faulty_ask", FakeExchange::get("/"));
        assert_eq!(outcome.text(), said, "{mode}");
        assert_eq!(fetched.len(), usize::from(!host.is_empty()), "{mode}");
        for Fetch { head, .. } in fetched {
            let line = |name| head.header(name);
            assert_eq!((line("Host").as_deref(), line("Content-Length").as_deref()), (Some(host), length), "{mode}");
            assert_eq!(line("Transfer-Encoding").is_some(), length.is_none(), "{mode}");
            assert_eq!(line("Connection"), None, "{mode}");
        }
    }
}

#[test]
fn a_body_is_sent_where_the_answer_has_one() {
    let answered = |status| FakeExchange::get("/").answered(status);
    for (mode, exchange, status, text) in [
        ("again_well", answered(204), 200, "12345"),
        ("sent_well", answered(304), 304, ""),
        ("sent_well", FakeExchange::new("HEAD", "/").answered(200), 200, ""),
        ("sent_well", answered(200), 200, "12345"),
    ] {
        let (outcome, _) = run(mode, "faulty_send", exchange);
        assert_eq!((outcome.status(), outcome.text().as_str(), outcome.length), (status, text, Some(5)), "{mode}");
    }
}

#[test]
#[should_panic(expected = "answered with 101")]
fn a_101_is_no_answer() {
    run(
        "answer_101",
        "faulty_reply",
        FakeExchange::get("/").header("Connection", "upgrade").header("Upgrade", "other"),
    );
}

#[test]
#[should_panic(expected = "answered with 101")]
fn nor_of_an_answer() {
    let asked = FakeExchange::get("/").header("Connection", "upgrade").header("Upgrade", "other");
    run("again_101", "faulty_send", asked.answered(200));
}

#[test]
#[should_panic(expected = "a body says that it has")]
fn a_body_is_as_long_as_it_says() {
    run("answer_short", "faulty_reply", FakeExchange::get("/"));
}
