//! A reset of one side reaches the other as a reset, and the log says whose it was.

use std::io::{Read, Write};
use std::sync::mpsc;

use harness::client::End;
use harness::{Origin, client};

use crate::support::{field, local, logged};

const WAYS: [&str; 3] = ["splice #false", "splice_after 0", "stream_delay \"1ms\""];

#[test]
fn from_the_server_to_the_client() {
    for directives in WAYS {
        let origin = Origin::resetting(1);
        let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(b"x").expect("write");
        assert_eq!(client::end(&stream), End::Reset, "{directives}");
        let line = logged(&proxy, 0);
        assert_eq!(field(&line, "reason"), "upstream_transfer_reset", "{line}");
    }
}

#[test]
fn from_the_client_to_the_server() {
    for directives in WAYS {
        let (tell, told) = mpsc::channel();
        let tell = std::sync::Mutex::new(tell);
        let origin = Origin::start(move |mut conn| {
            conn.read_exact(&mut [0])?;
            conn.write_all(b"y")?;
            let end = conn.read(&mut [0; 16]).map_err(|error| error.kind());
            let _ = tell.lock().expect("no other thread panicked").send(end);
            Ok(())
        });
        let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(b"x").expect("write");
        client::read_exact(&stream, 1);
        client::reset(stream);
        let end = told.recv_timeout(harness::LIMIT).expect("the origin saw the end");
        assert_eq!(end, Err(std::io::ErrorKind::ConnectionReset), "{directives}");
        let line = logged(&proxy, 0);
        assert_eq!(field(&line, "reason"), "client_transfer_reset", "{line}");
    }
}
