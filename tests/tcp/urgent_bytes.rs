//! An urgent byte is none of the stream, and splicing takes nothing that is behind it: that is copied, and costs no more.

use std::io::Write;
use std::net::Shutdown;

use harness::{Origin, client, eventually, origin::tcp::sink_answer, pattern};
use rustix::net::{SendFlags, send};

use crate::support::{config, metric};

const LEN: usize = 8 << 20;

#[test]
fn hold_nothing_up() {
    for common in ["", "io_uring #false;"] {
        for after in ["", "splice_after 0;"] {
            let origin = Origin::sink();
            let top = format!("common {{ worker_threads 1; {common} }}");
            let local = format!(
                "server {{ port_listen_tcp \"127.0.0.1:0\"; local {{ {after} proxy_pass_tcp \"{}\"; }} }}",
                origin.addr()
            );
            let proxy = harness::Proxy::builder().config(&config(&top, &local)).start();
            let mut stream = client::connect(proxy.addr(0));
            let all = pattern::bytes(LEN);
            stream.write_all(&all[..LEN / 2]).expect("it is open");
            eventually("it is spliced", || (metric(&proxy, "anyproxy_tcp_splices") >= 1).then_some(()));
            send(&stream, b"!", SendFlags::OOB).expect("it is open");
            stream.write_all(&all[LEN / 2..LEN - 9]).expect("it is open");
            eventually("it is past it", || (origin.received() == LEN as u64 - 9).then_some(()));
            // Nor does the end hide what is behind one.
            send(&stream, b"!", SendFlags::OOB).expect("it is open");
            stream.write_all(&all[LEN - 9..]).expect("it is open");
            stream.shutdown(Shutdown::Write).expect("it is open");
            assert_eq!(client::read_to_end(&stream), sink_answer(&all).as_bytes(), "{common} {after}");
        }
    }
}
