//! A head that is used again: what it was before makes no difference, however much the next message is like it.

use super::differential_tests::{REQUESTS, RESPONSES, Random};
use super::split_tests::shown;
use super::*;

type Parse = fn(&mut Head, &[u8], &Limits) -> Result<Step<usize>, Bad>;

/// Everything that a head tells.
fn told(head: &Head, buf: &[u8]) -> String {
    let fields = head.fields();
    let of_ids: Vec<_> = fields.list().iter().map(|line| (fields.first_at(line.id), fields.repeats(line.id))).collect();
    let says = (connection(head, buf), head.plain_host(buf), fields.seen(), fields.start());
    format!("{} {says:?} {of_ids:?}", shown(head, buf))
}

/// What comes of `buf`, which comes up to each of `ends` first.
fn parsed(parse: Parse, head: &mut Head, buf: &[u8], limits: &Limits, ends: &[usize]) -> Result<Option<String>, Bad> {
    for &end in ends.iter().chain([&buf.len()]) {
        if let Step::Done(_) = parse(head, &buf[..end], limits)? {
            return Ok(Some(told(head, buf)));
        }
    }
    Ok(None)
}

#[test]
fn what_a_head_was_before_makes_no_difference() {
    let mut random = Random(5);
    let (mut done, mut refused) = (0, 0);
    for (corpus, parse) in [(REQUESTS, Head::request as Parse), (RESPONSES, Head::response)] {
        let (mut head, mut last) = (Head::default(), corpus[0].to_vec());
        for _ in 0..60_000 {
            let limits = Limits { line: 1 << 16, head: 1 << 16, headers: [200, 200, 200, 3][random.below(4)] };
            // The same again, nearly the same, or another.
            let buf = match random.below(8) {
                0 | 1 => last.clone(),
                2..5 => random.mutation(&[&last]),
                5 => random.mutation(corpus),
                _ => corpus[random.below(corpus.len())].to_vec(),
            };
            head.clear();
            let ends = random.places(buf.len());
            let again = parsed(parse, &mut head, &buf, &limits, &ends);
            let fresh = parsed(parse, &mut Head::default(), &buf, &limits, &ends);
            assert_eq!(again, fresh, "{} after {}", buf.escape_ascii(), last.escape_ascii());
            match again {
                Ok(Some(_)) => done += 1,
                Ok(None) => {}
                Err(_) => refused += 1,
            }
            // What is done with heads between two messages.
            let mut bytes = buf.clone();
            match random.below(8) {
                0 if again.as_ref().is_ok_and(Option::is_some) => {
                    head.append(b"Via", b"1.1 x", &mut bytes).expect("a line");
                    head.append(b"X-Own", b" y ", &mut bytes).expect("a line");
                }
                1 => {
                    bytes.clear();
                    head.make_response(503, b"Unavailable", &mut bytes).expect("a status");
                    for _ in 0..random.below(4) {
                        head.append(b"Host", b"other", &mut bytes).expect("a line");
                    }
                }
                2 => {
                    bytes.clear();
                    head.make_request(b"GET", b"/", &mut bytes).expect("a request");
                }
                3 => head.clear(),
                4 => head.set_status(404),
                _ => {}
            }
            // Else it would grow, and hardly one would be right any more.
            let good = again.is_ok() || random.below(4) == 0;
            last = if good && buf.len() < 1000 { buf } else { corpus[random.below(2)].to_vec() };
        }
    }
    assert!(done > 40_000 && refused > 10_000, "{done} {refused}");
}

#[test]
fn lines_move_with_the_line_in_front_of_them() {
    let lines = "Host: h\r\nAccept:\t*/*  \r\nCookie: a\r\nCookie: b\r\nX-A: \u{e9}\r\nConnection: close, x\r\n\r\n";
    let mut head = Head::default();
    for path in ["/", "/longer", "/much/longer/than/that", "/", ""] {
        for behind in ["", "body", "GET / HTTP/1.1\r\n"] {
            let buf = format!("GET /{path} HTTP/1.1\r\n{lines}{behind}").into_bytes();
            head.clear();
            let again = parsed(Head::request, &mut head, &buf, &Limits::default(), &[]);
            assert_eq!(again, parsed(Head::request, &mut Head::default(), &buf, &Limits::default(), &[]));
            assert_eq!(head.fields().list().len(), 6);
            assert!(head.fields().repeats(Id::Cookie) && connection(&head, &buf).close);
        }
    }
}

#[test]
fn other_lines_may_come_and_go() {
    let all = ["Host: h", "A: 1", "B: 22", "C: 333", "Cookie: 4", "Accept: 5"];
    let mut head = Head::default();
    // Every subset after every other.
    for now in 0..64 {
        for before in 0..64 {
            for lines in [before, now] {
                let chosen: Vec<_> =
                    (0..6).filter(|n| lines >> n & 1 == 1).map(|n| format!("{}\r\n", all[n])).collect();
                let buf = format!("HTTP/1.1 200 OK\r\n{}\r\n", chosen.concat()).into_bytes();
                head.clear();
                let again = parsed(Head::response, &mut head, &buf, &Limits::default(), &[]);
                assert_eq!(again, parsed(Head::response, &mut Head::default(), &buf, &Limits::default(), &[]));
            }
        }
    }
}

#[test]
fn what_is_refused_is_refused_again() {
    let listed = format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: close{}\r\n\r\n", ", x".repeat(33));
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(9));
    let few = Limits { headers: 9, ..Limits::default() };
    for (text, why) in [
        (&listed[..], Bad::ConnectionList),
        (&many, Bad::TooManyHeaders),
        ("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", Bad::ManyHosts),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Bad::Host),
        ("GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", Bad::NoHost),
        ("GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", Bad::Name),
    ] {
        let mut head = Head::default();
        for _ in 0..3 {
            head.clear();
            assert_eq!(head.request(text.as_bytes(), &few), Err(why));
        }
    }
    // What one limit bears is not for another one.
    let mut head = Head::default();
    assert!(matches!(head.request(many.as_bytes(), &Limits::default()), Ok(Step::Done(_))));
    head.clear();
    assert_eq!(head.request(many.as_bytes(), &few), Err(Bad::TooManyHeaders));
    // HTTP/1.0 needs no host, HTTP/1.1 does.
    let old = "GET / HTTP/1.0\r\nAccept: */*\r\n\r\n";
    head.clear();
    assert!(matches!(head.request(old.as_bytes(), &few), Ok(Step::Done(_))));
    head.clear();
    assert_eq!(head.request(old.replace("1.0", "1.1").as_bytes(), &few), Err(Bad::NoHost));
}

/// What was known of the host was that of the last request that had one. A section that only began with the one before was taken
/// for that after it was kept, and so was one of an answer, which has no host that is looked at.
#[test]
fn what_is_known_of_a_host_is_of_the_same_section_only() {
    let limits = Limits::default();
    for host in ["a b", "a,b", "h.example:80"] {
        for before in ["GET / HTTP/1.0\r\n", "GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n"] {
            for lines in ["X: y\r\n".to_owned(), format!("X: y\r\nHost: {host}\r\n")] {
                let mut head = Head::default();
                assert!(head.request(b"GET / HTTP/1.1\r\nHost: plain.example\r\n\r\n", &limits).is_ok());
                head.clear();
                let parse = if before.starts_with("HTTP") { Head::response as Parse } else { Head::request };
                let _ = parse(&mut head, format!("{before}{lines}\r\n").as_bytes(), &limits);
                let buf = format!("GET / HTTP/1.1\r\nX: y\r\nHost: {host}\r\n\r\n").into_bytes();
                for _ in 0..2 {
                    head.clear();
                    let again = parsed(Head::request, &mut head, &buf, &limits, &[]);
                    assert_eq!(
                        again,
                        parsed(Head::request, &mut Head::default(), &buf, &limits, &[]),
                        "{before}{lines}"
                    );
                }
            }
        }
    }
}

#[test]
fn sections_of_trailers_are_read_as_if_none_had_been_before() {
    let mut random = Random(6);
    let (mut fields, mut last) = (Fields::default(), b"A: b\r\nX-Sum: 12\r\nContent-Length: 3\r\n\r\n".to_vec());
    let mut good = 0;
    for _ in 0..20_000 {
        let buf = if random.below(2) == 0 { last.clone() } else { random.mutation(&[&last]) };
        let most = [100, 100, 2][random.below(3)];
        let mut fresh = Fields::default();
        let found = fields.parse(&buf, most);
        assert_eq!(found, fresh.parse(&buf, most), "{} after {}", buf.escape_ascii(), last.escape_ascii());
        if found.is_ok() {
            good += 1;
            let ends = |fields: &Fields| (fields.end(), fields.seen(), fields.repeats(Id::Other));
            assert_eq!((fields.list(), ends(&fields)), (fresh.list(), ends(&fresh)), "{}", buf.escape_ascii());
        }
        last = if found.is_ok() && buf.len() < 200 { buf } else { b"A: b\r\nB: c\r\n\r\n".to_vec() };
    }
    assert!(good > 5_000, "{good}");
}
