//! First bytes of any kind, mutated from good ones by a fixed seed, on a listener that reads every header there is: the process
//! lives, no module panics, and each session ends.

use std::io::{Read, Write};

use harness::client::tls::ClientHello;
use harness::{Origin, client, eventually};

use crate::servers;

/// xorshift64*, the same each time.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n
    }
}

fn mutated(seed: &[u8], random: &mut Seeded) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1)).min(bytes.len().saturating_sub(1));
        match random.below(4) {
            0 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
            1 => bytes.truncate(at),
            2 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            _ => bytes.insert(at, random.below(256) as u8),
        }
    }
    bytes
}

#[test]
fn harm_nobody() {
    let origin = Origin::echo();
    let text = "proxy_protocol_accept \"127.0.0.1\"\nproxy_protocol_hello_accept \"127.0.0.1\"\n\
                server {\ndefault_server\ndomain \"a.test\"\ndomain_listen_tcp \"127.0.0.1:@PORT@\"\n\
                local {\nproxy_protocol version=2\nproxy_pass_tcp \"@A@\"\n}\n}\n";
    let proxy = servers(text).set("A", origin.addr()).start();
    let addr = proxy.addr(0);
    let hello = ClientHello::new().server_name("a.test").alpn("h2").record();
    let proxied = |bytes: &[u8]| [b"PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n".as_slice(), bytes].concat();
    let seeds: Vec<Vec<u8>> = vec![
        proxied(&hello),
        proxied(b"GET http://a.test:80/ HTTP/1.1\r\nHost: a.test\r\nX: y\r\n\r\nbody"),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02hello".to_vec(),
        b"\xf5apx\x01\x01\0\x18\x01\0\x01a\x02\0\x02id\x04\0\x06a.test".to_vec(),
    ];
    let mut random = Seeded(0x9e37_79b9_7f4a_7c15);
    for n in 0..600 {
        let bytes = mutated(&seeds[n % seeds.len()], &mut random);
        let mut stream = client::connect(addr);
        // It may be closed while it is written to.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    }
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    assert_eq!(proxy.status()["generation"]["panics"], 0, "{}", proxy.log());
    let answer = client::exchange(addr, &proxied(&hello));
    assert!(answer.ends_with(&hello), "behind the header that was sent: {answer:?}");
}
