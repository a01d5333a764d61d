//! Heads that come in pieces: the same as those that come at once.

use super::differential_tests::{REQUESTS, RESPONSES};
use super::*;

type Parse = fn(&mut Head, &[u8], &Limits) -> Result<Step<usize>, Bad>;

/// What a head holds, to compare.
pub(super) fn shown(head: &Head, buf: &[u8]) -> String {
    let lines: Vec<_> = head.fields().list().iter().map(|at| (at.name(buf), at.value(buf), at.id)).collect();
    let first = (head.len(), head.version(), head.method_name(buf), head.target(buf), head.form());
    format!("{first:?} {} {lines:?}", head.fields().end())
}

/// Parses prefixes of `buf` that end at `ends`, then all of it, as one stream.
pub(super) fn in_pieces(parse: Parse, buf: &[u8], limits: &Limits, ends: &[usize]) -> Result<Option<String>, Bad> {
    let mut head = Head::default();
    for &end in ends.iter().chain([&buf.len()]) {
        if let Step::Done(length) = parse(&mut head, &buf[..end], limits)? {
            assert!(length <= end);
            return Ok(Some(shown(&head, buf)));
        }
    }
    Ok(None)
}

fn at_every_place(parse: Parse, buf: &[u8], limits: &Limits) {
    // A bad line is only sure to be seen once it ends.
    let buf = [buf, b"\r\n\r\n"].concat();
    let at_once = in_pieces(parse, &buf, limits, &[]);
    let each: Vec<_> = (0..buf.len()).collect();
    for ends in (0..buf.len()).map(|end| vec![end]).chain([each]) {
        assert_eq!(in_pieces(parse, &buf, limits, &ends), at_once, "{} at {ends:?}", buf.escape_ascii());
    }
}

#[test]
fn heads_split_at_every_place() {
    for headers in [2, 100] {
        for (line, head) in [(8192, 32_768), (16, 8192), (8192, 40), (20, 30), (40, 40)] {
            let limits = Limits { line, head, headers };
            for buf in REQUESTS {
                at_every_place(Head::request, buf, &limits);
            }
            for buf in RESPONSES {
                at_every_place(Head::response, buf, &limits);
            }
        }
    }
}

#[test]
fn a_line_that_comes_byte_by_byte_is_not_read_again_and_again() {
    // With a look at the whole line for each byte this would take minutes.
    let size = 1 << 20;
    let limits = Limits { line: size, head: size, headers: 1 };
    let buf = [b"GET /", &vec![b'a'; size as usize][..]].concat();
    let mut head = Head::default();
    for end in 0..size as usize {
        assert_eq!(head.request(&buf[..end], &limits), Ok(Step::More));
    }
    assert_eq!(head.request(&buf[..size as usize], &limits), Err(Bad::HeadTooLarge));
}
