//! Messages that are used again and again: what one was before makes no difference to what it is now, however alike they are
//! and whatever was done with it in between. Each is compared with one that was never used, in all that can be asked of it.

use super::*;
use crate::h1::{Authority, Limits, Random, Step};
use std::fmt::{Debug, Write};

/// Lines as they may come. Whatever is wrong with one has others beside it that are nearly the same.
const LINES: &[&str] = &[
    "Host: h.example\r\n",
    "Host: h.example\r\n",
    "Host: h.example\r\n",
    "host: g.example\r\n",
    "Host: h.example:80\r\n",
    "Host: h.exa ple\r\n",
    "Host:\r\n",
    "Host: [::1]\r\n",
    "Cookie: a=1\r\n",
    "Cookie: b=22\r\n",
    "Authorization: Basic eA==\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 15\r\n",
    "content-length: 5\r\n",
    "Content-Length:5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-encoding:\tchunked \r\n",
    "Transfer-Encoding: gzip\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: x-secret\r\n",
    "connection: X-A, te , cookie\r\n",
    "Connection: close, x_y, upgrade\r\n",
    "X-Secret: 1\r\n",
    "X-secret: 1\r\n",
    "X-A: b\r\n",
    "X-A:b\r\n",
    "X-A:  b\r\n",
    "X-A: b \r\n",
    "X-A: b\t\r\n",
    "X-A: b \t c\r\n",
    "X-A:\r\n",
    "X-A: \r\n",
    "X-A: \u{e9}\r\n",
    "x_y: 1\r\n",
    "x-y: 1\r\n",
    "TE: trailers\r\n",
    "Via: 1.1 a\r\n",
    "A:b\r\n",
    "Set-Cookie: a=1\r\n",
    "Set-Cookie: b=2; Path=/\r\n",
    "Content-Type: text/html; charset=utf-8\r\n",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n",
    "Sec-WebSocket-Extensions: a\r\n",
    "X-A-Name-That-Is-Longer-Than-Thirty-Two-Bytes: a value\r\n",
    " folded\r\n",
    "X-A: b\n",
    "X-A: b\rc\r\n",
    "X-A: b\0\r\n",
    "X A: b\r\n",
    ": b\r\n",
];

/// Start lines: the first is the usual one, the last is wrong.
const LINE_OF_REQUEST: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "\r\nPOST /longer?a HTTP/1.1\r\n",
    "GET / HTTP/1.0\r\n",
    "PUT http://h/ HTTP/1.1\r\n",
    "G\r\n",
];
const LINE_OF_ANSWER: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 103 \r\n",
    "HTTP/1.0 404 Not Found\r\n",
    "HTTP/1.1 204\r\n",
    "HTTP/1.1 2 OK\r\n",
];

/// Makes of the lines of one head those of the next.
fn change(lines: &mut Vec<Vec<u8>>, random: &mut Random) {
    let (at, other) = (random.below(lines.len()), random.below(lines.len()));
    let new = || random_line(&mut Random(at as u64 + 1));
    let new = if random.below(8) == 0 { new() } else { random_line(random) };
    match random.below(14) {
        0 if !lines.is_empty() => lines.swap(at, other),
        1 if !lines.is_empty() => drop(lines.remove(at)),
        2 if !lines.is_empty() => lines.insert(other, lines[at].clone()),
        3 if !lines.is_empty() => lines[at] = new,
        4 => lines.truncate(at),
        5 => lines.push(new),
        6 if lines.len() < 40 => lines.extend(lines.clone()),
        7 => lines.insert(at, new),
        8..13 if !lines.is_empty() => {
            let line = &mut lines[at];
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(0);
            let end = line.len().saturating_sub(2);
            match random.below(8) {
                0 => line[..colon].make_ascii_uppercase(),
                1 => line[..colon].make_ascii_lowercase(),
                2 => line.insert(colon + 1, random.one(b" \tx")),
                3 if colon + 1 < end => drop(line.remove(colon + 1)),
                4 => line.insert(end, random.one(b" \tx,\xe9")),
                5 if colon + 2 < end => drop(line.remove(end - 1)),
                6 => {
                    let of = random.below(line.len());
                    line[of] ^= 1 << random.below(8);
                }
                _ => drop(line.splice(end..end, vec![b'v'; random.one(&[1, 13, 32, 33, 64, 900])])),
            }
        }
        _ => {}
    }
    // Else hardly one of them would be right before long.
    if lines.len() > 90 || lines.iter().map(Vec::len).sum::<usize>() > 9000 || random.below(12) == 0 {
        *lines = (0..random.below(9)).map(|_| random_line(random)).collect();
        if random.below(4) > 0 {
            lines.insert(random.below(lines.len()), LINES[0].as_bytes().to_vec());
        }
    }
}

fn random_line(random: &mut Random) -> Vec<u8> {
    // The last ones are wrong: few.
    let among = if random.below(12) == 0 { LINES.len() } else { LINES.len() - 6 };
    LINES[random.below(among)].as_bytes().to_vec()
}

/// All that a head tells, with the bytes it was read from or made in.
fn told(m: &Message, request: bool, buf: &[u8]) -> String {
    let (head, fields, text) = (&m.head, m.head.fields(), |bytes: &[u8]| bytes.escape_ascii().to_string());
    let mut all = format!("{} {:?} ", head.len(), head.version());
    let mut say = |what: &dyn Debug| write!(all, "{what:?} ").expect("text");
    if request {
        say(&(head.method(), head.form(), text(head.path(buf)), head.plain_host(buf).map(text)));
        say(&head.authority(buf).map(|Authority { host, port }| (text(host), port)));
        say(&h1::request_framing(head, buf));
    } else {
        say(&(head.status(), h1::response_framing(head, buf, Method::Get)));
    }
    say(&(text(head.method_name(buf)), text(head.target(buf))));
    say(&(fields.start(), fields.end(), fields.seen(), h1::connection(head, buf)));
    for (n, line) in fields.list().iter().enumerate() {
        let id = line.id;
        say(&(text(line.name(buf)), text(line.value(buf)), line.line(), fields.next_line(n), id));
        say(&(fields.first_at(id), fields.repeats(id), fields.all(id).count(), fields.tokens(buf, id).count()));
    }
    // What has not come is not there either.
    for id in [Id::Host, Id::Connection, Id::ContentLength, Id::TransferEncoding, Id::Cookie, Id::SetCookie, Id::Other]
    {
        say(&(fields.first_at(id), fields.repeats(id), fields.value(buf, id).map(<[u8]>::len)));
    }
    let mut struck = Struck::default();
    h1::strike_listed(head, buf, &mut struck);
    h1::strip(head, false, &mut struck);
    let mut out = Vec::new();
    if request {
        h1::request(head, buf, &struck, &mut out);
    } else {
        h1::strip_response(head, buf, Method::Get, false, &mut struck);
        let _ = h1::response(head, buf, head.reason(buf), &struck, &mut out);
    }
    say(&(struck.iter().collect::<Vec<_>>(), text(&out)));
    all
}

/// The same of a message that is there as a whole.
fn whole(m: &Message, request: bool) -> String {
    let lines: Vec<_> = m.lines().map(HeaderAt::line).collect();
    let values = [Id::Host, Id::ContentLength, Id::Cookie, Id::Connection].map(|id| (m.value(id), m.joined(id)));
    let struck: Vec<_> = m.struck.iter().collect();
    let says = (request && m.says_length(), m.length(), m.is_empty());
    format!("{} {lines:?} {values:?} {struck:?} {says:?}", told(m, request, &m.bytes))
}

/// What is done with a message, or what is made of one.
fn done_with(m: &mut Message, what: &[usize]) {
    for what in what {
        match what {
            0 => drop(m.add("Via", b"1.1 x")),
            1 => drop(m.add("X-Own", b" y ")),
            2 => drop(m.add("Connection", b"x-own, close")),
            3 => drop(m.add("X-Own", b"a\r\nb: c")),
            4 => drop(m.set("Host", b"other.example")),
            5 => drop(m.set("X-A", b"set")),
            6 => m.remove("Cookie"),
            7 => m.remove("X-Secret"),
            8 => m.frame(Some(7)),
            9 => m.frame(None),
            10 => m.set_status(404),
            11 => drop(m.add_line(&Line::new(Id::Server, b"s").expect("a line"))),
            12 => m.answer(503),
            13 => drop(m.make_request(b"GET", b"/made")),
            14 => drop(m.make_request(b"GET", b"/made/longer")),
            _ => {}
        }
    }
}

/// Reads one head, which comes up to each of `ends` first, and takes it over; `None`: not all of it is there.
fn read(m: &mut Message, request: bool, buf: &[u8], limits: &Limits, ends: &[usize]) -> Result<Option<String>, Bad> {
    for &end in ends {
        let buf = &buf[..end];
        let step = if request { m.head.request(buf, limits)? } else { m.head.response(buf, limits)? };
        if let Step::Done(len) = step {
            let told = told(m, request, buf);
            m.take(&buf[..len]);
            h1::strike_listed(&m.head, &m.bytes, &mut m.struck);
            return Ok(Some(told + &whole(m, request)));
        }
    }
    Ok(None)
}

#[test]
fn what_a_message_was_before_makes_no_difference() {
    let mut random = Random(7);
    let (mut good, mut refused, mut again) = (0, 0, Message::default());
    let mut lines = Vec::new();
    for turn in 0..25_000 {
        for _ in 0..random.one(&[0, 1, 1, 1, 2, 3]) {
            change(&mut lines, &mut random);
        }
        // Messages are of requests or of answers; that one is used for both is more than what is.
        let request = if turn % 5000 < 4000 { turn % 2000 < 1000 } else { random.below(2) == 0 };
        let starts = if request { LINE_OF_REQUEST } else { LINE_OF_ANSWER };
        let start = starts[if random.below(3) > 0 { 0 } else { random.below(starts.len()) }];
        let section = lines.concat();
        let behind = random.one(&["", "", "body", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "X-A: b\r\n"]);
        let mut buf = [start.as_bytes(), &section, b"\r\n", behind.as_bytes()].concat();
        if random.below(64) == 0 {
            // Offsets do not fit in sixteen bits.
            buf.resize(66_000, b'x');
        }
        let head = start.len() + section.len() + 2;
        let near = (head + random.below(5)).saturating_sub(2);
        let mut ends: Vec<_> = (0..random.below(4)).map(|_| random.below(near + 1).min(buf.len())).collect();
        if random.below(4) == 0 {
            // Between two lines, or next to it.
            let to = random.below(lines.len() + 1);
            let place = start.len() + lines[..to].iter().map(Vec::len).sum::<usize>();
            ends.push((place + random.below(3)).saturating_sub(1).min(buf.len()));
        }
        ends.sort_unstable();
        ends.push(buf.len());
        let count = lines.len() as u16;
        let limits = Limits {
            line: 1 << 14,
            head: if random.below(16) == 0 { near as u32 } else { 1 << 16 },
            headers: random.one(&[1000, 1000, 1000, count, count.saturating_sub(1), 3]),
        };
        let mut fresh = Message::default();
        let expected = read(&mut fresh, request, &buf, &limits, &ends);
        let found = read(&mut again, request, &buf, &limits, &ends);
        assert_eq!(found, expected, "{turn}: {} {ends:?} {limits:?}", buf.escape_ascii());
        match &found {
            Ok(Some(_)) => good += 1,
            Ok(None) => {}
            Err(_) => refused += 1,
        }
        if found.is_ok_and(|found| found.is_some()) {
            let what: Vec<_> = (0..random.below(4)).map(|_| random.below(24)).collect();
            done_with(&mut fresh, &what);
            done_with(&mut again, &what);
            // What is made last is one or the other.
            let request = what.iter().rev().find_map(|n| (12..15).contains(n).then_some(*n > 12)).unwrap_or(request);
            assert_eq!(whole(&again, request), whole(&fresh, request), "{turn}: {} {what:?}", buf.escape_ascii());
        }
        if random.below(64) == 0 {
            let head = again.head.clone();
            again = Message { head, ..Message::default() };
        }
        again.clear();
        if random.below(8) == 0 {
            // An answer of this proxy's own, or a request of HTTP/2, in between.
            let what: Vec<_> =
                (0..=random.below(9)).map(|n| if n == 0 { 12 + turn % 2 } else { random.below(12) }).collect();
            let mut fresh = Message::default();
            done_with(&mut fresh, &what);
            done_with(&mut again, &what);
            let request = turn % 2 == 1;
            assert_eq!(whole(&again, request), whole(&fresh, request), "{turn}: {what:?}");
            again.clear();
        }
    }
    assert!(good > 8_000 && refused > 4_000, "{good} {refused}");
}
