//! Which answers of a connection of HTTP/2 come first: those that the client calls urgent (RFC 9218).

use std::collections::BTreeMap;

use crate::h2::*;
use crate::support::server;

/// Bytes of each answer, all of which are at hand.
const ALL: usize = 1 << 20;

/// Asks for all of these at once, in order, with their priorities; bytes of each that came before the end of the last one.
fn before_the_end_of_the_last(more: &str, asked: &[Option<&str>]) -> Vec<usize> {
    let config = format!("http_error_page 404 file=\"large\"\n{more}\nlocal {{ return 404; }}");
    let proxy = server(&config).file("large", vec![b'x'; ALL]).start();
    let mut raw = Raw::open(proxy.addr(0));
    // Windows that nobody waits for.
    let mut bytes = frame(SETTINGS, 0, 0, &[&[0, 4][..], &(16_u32 << 20).to_be_bytes()].concat());
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &(64_u32 << 20).to_be_bytes()));
    let ids: Vec<u32> = (0..asked.len() as u32).map(|n| 1 + 2 * n).collect();
    for (id, priority) in ids.iter().zip(asked) {
        let mut head = section(false, "/");
        if let Some(priority) = priority {
            // A literal that nobody keeps.
            head.extend_from_slice(b"\x00\x08priority");
            head.push(priority.len() as u8);
            head.extend_from_slice(priority.as_bytes());
        }
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, *id, &head));
    }
    raw.write(&bytes);
    let (mut came, mut at_its_end) = (BTreeMap::new(), Vec::new());
    let mut open = ids.len();
    while open > 0 {
        let f = raw.frame().expect("a frame");
        assert!(f.kind != RST_STREAM && f.kind != GOAWAY, "{f:?}");
        if f.kind != DATA {
            continue;
        }
        *came.entry(f.stream).or_insert(0) += f.payload.len();
        if f.flags & END_STREAM != 0 {
            open -= 1;
            if Some(&f.stream) == ids.last() {
                at_its_end = ids.iter().map(|id| came.get(id).copied().unwrap_or(0)).collect();
            }
        }
    }
    assert!(came.values().all(|n| *n == ALL), "{came:?}");
    at_its_end
}

#[test]
fn the_urgent_answer_comes_before_those_that_were_asked_for_earlier() {
    let came = before_the_end_of_the_last("", &[Some("u=7"), None, Some("i, u=0")]);
    assert!(came[2] == ALL && came[0] < ALL / 2 && came[1] < ALL / 2, "{came:?}");
}

#[test]
fn without_a_word_they_come_side_by_side() {
    let came = before_the_end_of_the_last("", &[None, Some("u=9"), Some("u=3")]);
    assert!(came.iter().all(|n| *n > ALL / 2), "{came:?}");
}

#[test]
fn what_the_configuration_leaves_out_says_nothing() {
    let remove = "http_request_header \"remove\" \"Priority\"";
    let came = before_the_end_of_the_last(remove, &[Some("u=7"), None, Some("u=0")]);
    assert!(came.iter().all(|n| *n > ALL / 2), "{came:?}");
}
