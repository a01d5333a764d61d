//! The PROXY protocol, both versions, in and out, byte by byte, alone and from a sender that cuts it into pieces.

use std::io::{Read, Write};
use std::sync::mpsc;

use harness::{Origin, client};

use crate::support::{field, local, logged, server};

/// Hands over all that comes in, once the client has ended.
fn recorder() -> (Origin, mpsc::Receiver<Vec<u8>>) {
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let origin = Origin::start(move |mut conn| {
        let mut all = Vec::new();
        conn.read_to_end(&mut all)?;
        let _ = tell.lock().expect("no other thread panicked").send(all);
        Ok(())
    });
    (origin, told)
}

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let mut all = SIGNATURE.to_vec();
    all.extend([0x20 | command, family]);
    all.extend((addresses.len() as u16).to_be_bytes());
    all.extend(addresses);
    all
}

#[test]
fn both_versions_are_sent() {
    let cases = [("version=1", 1), ("version=2", 2), ("version=2 checksum=#true", 2)];
    for (properties, version) in cases {
        let (origin, told) = recorder();
        let text = format!("proxy_protocol {properties}\nproxy_pass_tcp \"@ORIGIN@\"");
        let proxy = local(&text).set("ORIGIN", origin.addr()).start();
        let to = proxy.addr(0);
        let mut stream = client::connect(to);
        let from = stream.local_addr().expect("address");
        stream.write_all(b"data").expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("half-close");
        let got = told.recv_timeout(harness::LIMIT).expect("bytes");
        if version == 1 {
            let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\ndata", from.port(), to.port());
            assert_eq!(String::from_utf8_lossy(&got), line);
            continue;
        }
        assert!(got.starts_with(SIGNATURE) && got.ends_with(b"data"), "{got:?}");
        assert_eq!(got[12..14], [0x21, 0x11]);
        let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
        assert_eq!(got[16..28], [&[127, 0, 0, 1, 127, 0, 0, 1][..], &ports].concat());
        let length = usize::from(u16::from_be_bytes([got[14], got[15]]));
        assert_eq!(got.len(), 16 + length + 4);
        // PP2_TYPE_CRC32C
        assert_eq!(got[28..got.len() - 4].first() == Some(&3), properties.contains("checksum"), "{got:?}");
    }
}

#[test]
fn both_versions_are_believed() {
    let ipv4 = [192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 80];
    let mut ipv6 = [0_u8; 36];
    ipv6[..4].copy_from_slice(&[0x20, 1, 0x0d, 0xb8]);
    ipv6[15] = 9;
    ipv6[32..34].copy_from_slice(&[0x12, 0x34]);
    let cases: [(Vec<u8>, Option<&str>); 5] = [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 4660 80\r\n".to_vec(), Some("192.0.2.7:4660")),
        (b"PROXY TCP6 2001:db8::9 ::1 4660 80\r\n".to_vec(), Some("[2001:db8::9]:4660")),
        (v2(1, 0x11, &ipv4), Some("192.0.2.7:4660")),
        (v2(1, 0x21, &ipv6), Some("[2001:db8::9]:4660")),
        // LOCAL: the sender speaks for itself.
        (v2(0, 0, &[]), None),
    ];
    for (head, expected) in cases {
        for piece in [1, head.len()] {
            let (origin, told) = recorder();
            let text = "proxy_protocol_accept \"127.0.0.1\"\nlocal { proxy_pass_tcp \"@ORIGIN@\"; }";
            let proxy = server(text).set("ORIGIN", origin.addr()).start();
            let mut stream = client::connect(proxy.addr(0));
            let own = stream.local_addr().expect("address").to_string();
            for part in head.chunks(piece) {
                stream.write_all(part).expect("write");
            }
            stream.write_all(b"data").expect("write");
            drop(stream);
            assert_eq!(told.recv_timeout(harness::LIMIT).expect("bytes"), b"data", "the header is taken off");
            let line = logged(&proxy, 0);
            assert_eq!(field(&line, "client"), expected.unwrap_or(&own), "{line}");
        }
    }
}

#[test]
fn what_came_in_goes_out() {
    let (origin, told) = recorder();
    let text = "proxy_protocol_accept \"127.0.0.1\"\nlocal {\nproxy_protocol version=1\nproxy_pass_tcp \"@ORIGIN@\"\n}";
    let proxy = server(text).set("ORIGIN", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(&v2(1, 0x11, &[192, 0, 2, 7, 127, 0, 0, 1, 0x12, 0x34, 0, 80])).expect("write");
    drop(stream);
    let got = told.recv_timeout(harness::LIMIT).expect("bytes");
    assert!(got.starts_with(b"PROXY TCP4 192.0.2.7 127.0.0.1 4660 "), "{got:?}");
}
