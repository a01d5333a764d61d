//! The host of an HTTP/1 request chooses the server, whatever its case, port and place among the headers; the request passes on
//! as it came.

use harness::{Origin, client};

use crate::support::{field, logged};
use crate::{server, servers};

#[test]
fn chooses_the_server_and_passes_the_request_on() {
    let (a, b) = (Origin::http("from a"), Origin::http("from b"));
    let both = server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")
        + &server("domain \"b.test\" \"192.0.2.1\"", "proxy_pass_tcp \"@B@\"");
    let proxy = servers(&both).set("A", a.addr()).set("B", b.addr()).start();
    let cases = [
        ("a.test", "from a"),
        ("A.TEST:8080", "from a"),
        ("b.test", "from b"),
        ("b.test.", "from b"),
        ("192.0.2.1:80", "from b"),
    ];
    for (n, (host, body)) in cases.into_iter().enumerate() {
        let mut stream = client::connect(proxy.addr(0));
        let answer = client::http_get_from(&mut stream, host, "/x");
        assert_eq!((answer.status, String::from_utf8_lossy(&answer.body).as_ref()), (200, body), "{host}");
        drop(stream);
        logged(&proxy, n);
    }
}

#[test]
fn a_head_in_single_bytes_is_read_as_well() {
    let origin = Origin::echo();
    let proxy = servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    let request = b"POST /x HTTP/1.1\r\nAccept: */*\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc";
    for byte in request {
        std::io::Write::write_all(&mut stream, &[*byte]).expect("write");
    }
    assert_eq!(client::read_exact(&stream, request.len()), request);
    drop(stream);
    let line = logged(&proxy, 0);
    assert_eq!(field(&line, "domain"), "a.test", "{line}");
}

#[test]
fn what_follows_the_head_arrives_whole_though_the_client_has_ended_already() {
    let origin = Origin::echo();
    let proxy = servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start();
    for body in [0, 1, 5000, 300_000] {
        let mut request = b"POST /x HTTP/1.1\r\nHost: a.test\r\n\r\n".to_vec();
        request.extend((0..body).map(|n| n as u8));
        // Ends its side before it reads; what is read ahead for the domain is not all there is.
        let answer = client::exchange(proxy.addr(0), &request);
        assert!(answer == request, "{body}: {} of {} bytes", answer.len(), request.len());
    }
}
