use super::*;
use anyproxy_module_api::abi::net::Addr;
use std::net::{Ipv4Addr, Ipv6Addr};

fn v4(a: u8, port: u16) -> Addr {
    SocketAddr::from(([192, 0, 2, a], port)).into()
}

/// A name server that answers by the first label of the question: `two`: two addresses for 7 s, `no`: no such name,
/// `bare`: no address; anything else: silence.
async fn server() -> SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut bytes = [0; 1500];
        while let Ok((n, from)) = socket.recv_from(&mut bytes).await {
            let Some(answer) = answer(&bytes[..n]) else { continue };
            socket.send_to(&answer, from).await.unwrap();
        }
    });
    at
}

/// RFC 1035 section 4: the question back, with answers that point to its name.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name_len = query[12..].iter().position(|b| *b == 0)? + 1;
    let question = &query[12..12 + name_len + 4];
    let label = &query[13..13 + usize::from(query[12])];
    let is_a = question[name_len..name_len + 2] == [0, 1];
    let (code, addresses): (u8, &[u8]) = match label {
        b"two" if is_a => (0, &[1, 2]),
        b"two" | b"bare" => (0, &[]),
        b"no" => (3, &[]),
        _ => return None,
    };
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1, 0, addresses.len() as u8, 0, 0, 0, 0]);
    out.extend(question);
    for a in addresses {
        out.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 7, 0, 4, 192, 0, 2, *a]);
    }
    Some(out)
}

#[tokio::test]
async fn literals_are_addresses_at_once() {
    rt::for_test();
    for (text, ip) in [
        ("192.0.2.1", IpAddr::from(Ipv4Addr::new(192, 0, 2, 1))),
        ("2001:db8::1", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
        ("[2001:db8::1]", Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ] {
        let found = lookup(text, 80).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].addr, Addr::from(SocketAddr::new(ip, 80)));
    }
}

#[tokio::test]
async fn what_cannot_be_a_name_is_refused_without_asking() {
    rt::for_test();
    assert_eq!(lookup("", 80).await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(lookup(&"a.".repeat(200), 80).await.unwrap_err().kind, ErrorKind::Invalid);
}

// One test, for what is configured is the process's.
#[tokio::test]
async fn configured_servers_are_asked() {
    rt::for_test();
    configure(&[server().await], Duration::from_secs(20));
    let found = lookup("two.example.com", 443).await.unwrap();
    let mut addresses: Vec<_> = found.iter().map(|r| r.addr.to_string()).collect();
    addresses.sort();
    assert_eq!(addresses, [v4(1, 443).to_string(), v4(2, 443).to_string()]);
    assert!(found.iter().all(|r| r.ttl_s <= 7), "{found:?}");
    assert_eq!(lookup_fresh("two.example.com", 80).await.unwrap().len(), 2);
    assert_eq!(lookup("no.example.com", 80).await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(lookup("bare.example.com", 80).await.unwrap_err().kind, ErrorKind::NotFound);

    // SAFETY: the name is copied; the list is given up once.
    unsafe {
        let list: Result<Object, Error> = resolve_thunk(Str::new("two.example.com"), 5).await.into();
        let list = list.unwrap();
        assert_eq!(resolved(list).len(), 2);
        resolved_drop(list);
    }

    configure(&[server().await], Duration::from_millis(300));
    assert_eq!(lookup("silent.example.com", 80).await.unwrap_err().kind, ErrorKind::TimedOut);
    configure(&[], Duration::ZERO);
}
