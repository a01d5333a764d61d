use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest, Running, pair};
use http_body_util::{BodyExt, Full};

fn start() -> ModuleUnderTest<HyperEcho> {
    ModuleUnderTest::start(&[Block::local().with(Directive::new("hyper_echo").prop("max_body", "64KiB"))])
}

/// The handler, and the client's end of its stream.
fn serve(module: &ModuleUnderTest<HyperEcho>) -> (Running<()>, Stream) {
    let (stream, client) = module.host().stream();
    let (_, nobody) = pair();
    (module.handle_with("hyper_echo", module.host().session(), stream, nobody), client.into_stream())
}

#[test]
fn http1_requests_come_back_on_one_connection() {
    let module = start();
    let mut run = module.handle("hyper_echo");
    run.client.fragment(5);
    for body in ["one", "two"] {
        run.client.send(format!("POST /a?b HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\n{body}").as_bytes());
        module.host().run_until_stalled();
        let answer = run.client.received_text();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("x-echo-target: /a?b\r\n") && answer.contains("x-echo-host: x\r\n"), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
    run.client.finish();
    module.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_ok());
}

#[test]
fn http2_requests_come_back_side_by_side() {
    let module = start();
    let (run, stream) = serve(&module);
    let answers = module.host().run(async {
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(rt::Worker, rt::Io::new(stream)).await.expect("it speaks HTTP/2");
        drop(spawn(async move { drop(connection.await) }));
        let request = |body: &'static str| {
            Request::post("http://x/").header("x-test", body).body(Full::new(Bytes::from_static(body.as_bytes())))
        };
        let one = client.send_request(request("one").expect("it is valid"));
        let two = client.send_request(request("two").expect("it is valid"));
        let mut answers = Vec::new();
        for answer in [two.await, one.await] {
            let (head, body) = answer.expect("an answer").into_parts();
            let name = head.headers["x-echo-x-test"].to_str().expect("it is text").to_owned();
            answers.push((name, body.collect().await.expect("a body").to_bytes()));
        }
        answers
    });
    assert_eq!(answers, [("two".to_owned(), Bytes::from("two")), ("one".to_owned(), Bytes::from("one"))]);
    drop(run);
}

#[test]
fn a_body_beyond_the_bound_is_refused_and_a_silent_client_is_closed() {
    let module = start();
    let run = module.handle("hyper_echo");
    run.client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 65537\r\n\r\n");
    module.host().run_until_stalled();
    assert!(run.client.received_text().starts_with("HTTP/1.1 413 "));

    let mut silent = module.handle("hyper_echo");
    module.host().advance(FIRST_BYTES);
    assert_eq!(silent.result().expect("it ended").expect_err("it failed").kind, ErrorKind::TimedOut);
}

#[test]
fn a_retired_generation_ends_connections_after_the_exchange() {
    let module = start();
    let mut run = module.handle("hyper_echo");
    run.client.send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\non");
    module.host().run_until_stalled();
    run.session.draining.set(1);
    run.client.send(b"e");
    module.host().run_until_stalled();
    assert!(run.client.received_text().ends_with("one"));
    assert!(run.result().expect("it ended").is_ok());
}
