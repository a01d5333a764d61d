//! The end of one direction is passed on while the other one goes on, whichever side ends first.

use harness::origin::tcp::sink_answer;
use harness::{Origin, client, pattern};

use crate::support::{field, local, logged};

#[test]
fn the_client_ends_and_is_answered_afterwards() {
    for directives in ["splice #false", "splice_after 0", "stream_delay \"5ms\""] {
        let origin = Origin::sink();
        let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
        let data = pattern::bytes(3 << 20);
        assert_eq!(client::exchange(proxy.addr(0), &data), sink_answer(&data).as_bytes(), "{directives}");
        let line = logged(&proxy, 0);
        assert_eq!(field(&line, "reason"), "client_transfer_done", "{line}");
    }
}

#[test]
fn the_server_ends_and_the_client_goes_on_sending() {
    for directives in ["splice #false", "splice_after 0", "stream_delay \"5ms\""] {
        let (origin, gate) = Origin::half_closed_first();
        let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
        let stream = client::connect(proxy.addr(0));
        // The server's end came through before anything was sent.
        assert_eq!(client::read_to_end(&stream), b"");
        let data = pattern::bytes(3 << 20);
        std::io::Write::write_all(&mut &stream, &data).expect("write");
        drop(stream);
        assert_eq!(gate.text(), sink_answer(&data), "{directives}");
        let line = logged(&proxy, 0);
        assert_eq!(field(&line, "reason"), "upstream_transfer_done", "{line}");
    }
}
