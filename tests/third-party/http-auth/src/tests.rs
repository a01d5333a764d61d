use super::HttpAuth;
use anyproxy_http_contract::testing::*;
use anyproxy_module_api::{
    ErrorKind,
    testing::{Block, Directive, FakeHost, ModuleUnderTest},
};

fn auth(directive: Directive) -> (FakeHttp, ModuleUnderTest<HttpAuth>) {
    let host = FakeHost::new();
    let http = FakeHttp::on(&host);
    let local = Block::local().with(directive);
    (http, ModuleUnderTest::start_on(host, &[Block::net().block(Block::server().block(local))]))
}

#[test]
fn the_service_says_who_somebody_is() {
    let (http, module) = auth(Directive::new("http_auth").arg("accounts").prop("path", "/verify"));
    http.answer_fetch(204, &[("X-User", "ada")], "");
    let request = FakeExchange::new("POST", "/a").header("Cookie", "s=1").header("X-User", "eve").body("abc");
    let outcome = http.hook(&module, "auth_verify", request);
    assert_eq!((outcome.went_on, outcome.text().as_str()), (true, "abc"));
    assert_eq!(outcome.request.header("X-User").as_deref(), Some("ada"));
    let fetch = &http.fetched()[0];
    assert_eq!((fetch.head.target.as_str(), fetch.head.header("Cookie").as_deref()), ("/verify", Some("s=1")));
    let whom = fetch.upstream.and_then(|number| module.host().upstream_name(number));
    assert_eq!(whom.as_deref(), Some("accounts"));
    module.stop();
}

#[test]
fn what_it_denies_is_denied_and_what_it_does_not_say_is_not_believed() {
    let (http, module) = auth(Directive::new("http_auth").arg("accounts"));
    for (answer, status) in [(401, 401), (403, 403), (302, 500), (503, 500)] {
        http.answer_fetch(answer, &[("WWW-Authenticate", "Bearer")], "no");
        let outcome = http.hook(&module, "auth_verify", FakeExchange::get("/"));
        assert_eq!((outcome.went_on, outcome.status(), outcome.body.len()), (false, status, 0));
    }
    // Nobody answers.
    assert_eq!(http.hook(&module, "auth_verify", FakeExchange::get("/")).status(), 500);
    module.stop();
}

#[test]
fn connections_go_to_the_upstream_that_is_named() {
    let (_http, module) = auth(Directive::new("relay_to").arg("accounts"));
    let mut run = module.handle("relay_to");
    module.host().run_until_stalled();
    // The test has no peer.
    let failed = run.result().expect("it ended").expect_err("there is no peer");
    assert_eq!(failed.kind, ErrorKind::NoPeer);
    assert_eq!(module.host().picked_of(), [Some("accounts".to_owned())]);
    drop(run);
    module.stop();
}
