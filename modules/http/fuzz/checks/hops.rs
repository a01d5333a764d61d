//! What other hops say.

use super::{is_token, is_value, trim};
use anyproxy_http::core::forwarded::{
    Element, Node, append_forwarded, append_x_forwarded_for, client_by_forwarded, client_by_x_forwarded_for,
    is_request_id, traceparent,
};
use anyproxy_http::h1::{field, headers};
use std::net::{IpAddr, Ipv4Addr};

/// `X-Forwarded-For`, `Forwarded` and the other headers of hops: nobody is believed who is not trusted, and nothing that
/// a client sends changes how the word of a trusted proxy is read.
pub(crate) fn forwarded(input: &[u8]) -> bool {
    let address = |last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
    let trusted = |ip: IpAddr| matches!(ip, IpAddr::V4(ip) if ip.octets()[0] == 10);
    let (client, stranger) = (IpAddr::from([203, 0, 113, 5]), IpAddr::from([192, 0, 2, 9]));
    type Read = fn(IpAddr, &[u8], &dyn Fn(IpAddr) -> bool) -> IpAddr;
    let by_list: Read = |peer, value, trusted| client_by_x_forwarded_for(peer, value, trusted);
    let by_elements: Read = |peer, value, trusted| client_by_forwarded(peer, value, trusted);
    let mut accepted = false;
    for by in [by_list, by_elements] {
        assert_eq!(by(stranger, input, &trusted), stranger);
        assert_eq!(by(address(1), input, &|_| false), address(1));
        let found = by(address(1), input, &trusted);
        assert_eq!(found.to_canonical(), found);
        accepted |= found != address(1);
        // Who trusts everybody hears of whoever is furthest away, who trusts nobody more hears of somebody nearer: the
        // addresses on the way do not depend on who asks.
        let way = std::cell::RefCell::new(Vec::new());
        let furthest = by(address(1), input, &|ip| {
            way.borrow_mut().push(ip);
            true
        });
        let way = way.into_inner();
        assert_eq!((way.first(), way.last()), (Some(&address(1)), Some(&furthest)));
        assert_eq!(found, way.iter().copied().find(|&ip| !trusted(ip)).unwrap_or(furthest));
    }

    // What stands left of a word that is no address was vouched for by nobody.
    assert_eq!(by_list(address(1), &[input, b", unknown, 10.0.0.2"].concat(), &trusted), address(2));
    assert_eq!(by_elements(address(1), &[input, b", for=unknown, for=10.0.0.2"].concat(), &trusted), address(2));
    // Three hops, each of which passes on what it got: a client, which sends anything, and two proxies.
    let hops = [client, address(3), address(2)];
    let mut list = input.to_vec();
    for hop in hops {
        list = append_x_forwarded_for(Some(&list), hop);
    }
    assert_eq!(by_list(address(1), &list, &trusted), client);
    let text = String::from_utf8_lossy(input);
    let elements = [
        Element { host: Some(input), proto: Some(input), ..Element::default() },
        Element { by: Some(Node::Hidden(&text)), host: Some(input), ..Element::default() },
        Element { by: Some(Node::Unknown), proto: Some(b"https"), ..Element::default() },
    ];
    let mut value = input.to_vec();
    for (hop, element) in hops.into_iter().zip(elements) {
        let text = Element { from: Some(Node::Address(hop)), ..element }.text();
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && is_element(&text), "{text}");
        value = append_forwarded(Some(&value), &text);
    }
    assert_eq!(by_elements(address(1), &value, &trusted), client);
    // All that was added can stand in a header line.
    if is_value(input) {
        let mut out = Vec::new();
        assert_eq!(
            field(b"X-Forwarded-For", &list, &mut out).and_then(|()| field(b"Forwarded", &value, &mut out)),
            Ok(())
        );
    }

    if let Some(parent) = traceparent(input) {
        let (trace, span) = (String::from_utf8_lossy(parent.trace_id), String::from_utf8_lossy(parent.parent_id));
        let text = format!("{:02x}-{trace}-{span}-{:02x}", parent.version, parent.flags);
        assert!(trim(input).starts_with(text.as_bytes()) && parent.version < 255);
        assert!(parent.version > 0 || trim(input) == text.as_bytes());
        assert_eq!(traceparent(text.as_bytes()), Some(parent));
        assert!([&trace, &span].iter().all(|id| id.bytes().any(|byte| byte != b'0')));
        accepted = true;
    }
    if is_request_id(input) {
        assert!(is_token(input) && input.len() <= 128);
    }
    accepted
}

/// Whether `text` is one element of `Forwarded` (RFC 7239 section 4), read from the left.
fn is_element(text: &str) -> bool {
    let mut rest = text.as_bytes();
    loop {
        let Some(equals) = rest.iter().position(|&byte| byte == b'=') else { return false };
        let name = &rest[..equals];
        rest = &rest[equals + 1..];
        let length = if rest.first() == Some(&b'"') {
            let mut at = 1;
            while let Some(&byte) = rest.get(at)
                && byte != b'"'
            {
                at += if byte == b'\\' { 2 } else { 1 };
            }
            at + 1
        } else {
            rest.iter().take_while(|byte| is_token(&[**byte])).count()
        };
        if !is_token(name) || length == 0 || length > rest.len() {
            return false;
        }
        rest = match &rest[length..] {
            [] => return true,
            [b';', rest @ ..] => rest,
            _ => return false,
        };
    }
}
