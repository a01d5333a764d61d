//! Which answers of a connection of HTTP/2 come first, and which side by side, as the client and the origin say (RFC 9218).

use std::collections::BTreeMap;
use std::io::Write;

use h2::Reason;
use harness::{Origin, Proxy, client, eventually};

use crate::h2::*;
use crate::support::{head, proxy_to, server};

/// Bytes of each answer, all of which are at hand.
const ALL: usize = 1 << 20;

const PRIORITY_UPDATE: u8 = 0x10;

/// A server whose answers are all alike, to what is asked of it.
fn large(more: &str) -> Proxy {
    let config = format!("http_error_page 404 file=\"large\"\n{more}\nlocal {{ return 404; }}");
    server(&config).file("large", vec![b'x'; ALL]).start()
}

/// A request.
fn asks(stream: u32, path: &str, priority: Option<&str>) -> Vec<u8> {
    let mut head = section(false, path);
    if let Some(priority) = priority {
        // A literal that nobody keeps.
        head.extend_from_slice(b"\x00\x08priority");
        head.push(priority.len() as u8);
        head.extend_from_slice(priority.as_bytes());
    }
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &head)
}

fn update(stream: u32, field: &str) -> Vec<u8> {
    frame(PRIORITY_UPDATE, 0, 0, &[&stream.to_be_bytes()[..], field.as_bytes()].concat())
}

/// Windows of streams that nobody waits for.
fn wide_streams() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&[0, 4][..], &(16_u32 << 20).to_be_bytes()].concat())
}

/// The same of the connection.
fn wide_connection() -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, 0, &(64_u32 << 20).to_be_bytes())
}

/// What came of which stream, frame by frame, up to the end of so many of them.
#[derive(Debug, Default)]
struct Came(Vec<(u32, usize)>);

impl Came {
    fn until(raw: &mut Raw, mut ends: usize) -> Self {
        let mut all = Vec::new();
        while ends > 0 {
            let f = raw.frame().expect("a frame");
            assert!(f.kind != RST_STREAM && f.kind != GOAWAY, "{f:?}");
            if f.kind == DATA {
                all.push((f.stream, f.payload.len()));
                ends -= usize::from(f.flags & END_STREAM != 0);
            }
        }
        Self(all)
    }

    /// Bytes of one that came before the last ones of another.
    fn before(&self, stream: u32, end: u32) -> usize {
        let end = self.0.iter().rposition(|(id, _)| *id == end).expect("it came");
        self.0[..end].iter().filter(|(id, _)| *id == stream).map(|(_, n)| n).sum()
    }

    /// The streams in the order of their ends.
    fn ends(&self) -> Vec<u32> {
        let last: BTreeMap<u32, usize> = self.0.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
        let mut ends: Vec<_> = last.into_iter().map(|(id, at)| (at, id)).collect();
        ends.sort_unstable();
        ends.into_iter().map(|(_, id)| id).collect()
    }
}

/// Asks for all of these at once, in order, as streams 1, 3, 5, …, with windows that nobody waits for.
fn came(proxy: &Proxy, asked: &[Option<&str>]) -> Came {
    let mut raw = Raw::open(proxy.addr(0));
    let mut bytes = [wide_streams(), wide_connection()].concat();
    for (n, priority) in asked.iter().enumerate() {
        bytes.extend(asks(1 + 2 * n as u32, "/", *priority));
    }
    raw.write(&bytes);
    let came = Came::until(&mut raw, asked.len());
    assert_eq!(came.0.iter().map(|(_, n)| n).sum::<usize>(), asked.len() * ALL);
    came
}

#[test]
fn the_urgent_answer_comes_before_those_that_were_asked_for_earlier() {
    let came = came(&large(""), &[Some("u=7"), None, Some("i, u=0")]);
    assert!(came.before(1, 5) < ALL / 2 && came.before(3, 5) < ALL / 2, "{came:?}");
    assert_eq!(came.ends(), [5, 3, 1]);
}

#[test]
fn without_a_word_they_come_side_by_side() {
    // What is no field is no word.
    let came = came(&large(""), &[None, Some("u=0,"), None]);
    assert!(came.before(3, 1) > ALL / 2 && came.before(5, 1) > ALL / 2, "{came:?}");
}

#[test]
fn those_that_are_of_no_use_in_parts_come_one_after_another() {
    // Who says something of one means the defaults of the others.
    let came = came(&large(""), &[Some("u=3"), None, Some("u=9, x=\"i\""), Some("i=?0")]);
    assert_eq!(came.ends(), [1, 3, 5, 7]);
    for (first, next) in [(1, 3), (3, 5), (5, 7)] {
        assert!(came.before(next, first) < ALL / 4, "{next} before {first}: {came:?}");
    }
}

#[test]
fn those_that_are_of_use_in_parts_come_frame_by_frame() {
    let came = came(&large(""), &[Some("i"), Some("i, u=3"), Some("i=?1")]);
    for (one, other) in [(1, 3), (3, 5), (5, 1)] {
        assert!(came.before(one, other) > ALL * 3 / 4, "{one} before {other}: {came:?}");
    }
    let turns = came.0.chunk_by(|a, b| a.0 == b.0).count();
    assert!(turns > came.0.len() / 2, "{turns} turns of {} frames", came.0.len());
}

#[test]
fn of_both_kinds_the_whole_ones_share_as_one() {
    let came = came(&large(""), &[Some("u=1"), Some("u=1"), Some("u=1, i")]);
    // 1 and 5 share, then 3 and 5.
    assert!(came.before(3, 1) < ALL / 4, "{came:?}");
    assert!((ALL / 2..=ALL).contains(&came.before(5, 1)), "{came:?}");
    assert!(came.before(3, 5) < ALL / 2, "{came:?}");
}

#[test]
fn what_the_configuration_leaves_out_says_nothing() {
    let proxy = large("http_request_header \"remove\" \"Priority\"");
    let came = came(&proxy, &[Some("u=7"), None, Some("u=0")]);
    assert!(came.before(1, 5) > ALL / 2 && came.before(3, 5) > ALL / 2, "{came:?}");
    // Nor do frames.
    let mut raw = Raw::open(proxy.addr(0));
    let early = [wide_streams(), wide_connection(), update(1, "u=7"), asks(1, "/", None), asks(3, "/", None)];
    raw.write(&[early.concat(), update(3, "u=0")].concat());
    let came = Came::until(&mut raw, 2);
    assert!(came.before(1, 3) > ALL / 2, "{came:?}");
}

#[test]
fn a_client_may_change_its_mind() {
    let proxy = large("");
    // The window of the connection holds all of them up.
    let mut raw = Raw::open(proxy.addr(0));
    let asked = [1, 3, 5].map(|id| asks(id, "/", Some("u=4"))).concat();
    raw.write(&[wide_streams(), asked].concat());
    let mut first = 0;
    let mut heads = 0;
    while first < 65_535 || heads < 3 {
        let f = raw.frame().expect("a frame");
        heads += usize::from(f.kind == HEADERS);
        if f.kind == DATA {
            assert_eq!(f.stream, 1);
            first += f.payload.len();
        }
    }
    // The last word counts, and what is no field is none.
    raw.write(&[update(5, "u=6"), update(5, "u=1"), update(5, "u=7, i,"), update(3, "u=5")].concat());
    raw.write(&wide_connection());
    let came = Came::until(&mut raw, 3);
    assert_eq!(came.ends(), [5, 1, 3], "{came:?}");
    assert!(came.before(1, 5) < ALL / 4 && came.before(3, 1) < ALL / 4, "{came:?}");
}

#[test]
fn a_client_may_say_so_before_it_asks() {
    let proxy = large("");
    let mut raw = Raw::open(proxy.addr(0));
    let early = [wide_streams(), wide_connection(), update(3, "u=5"), update(5, "u=2"), update(5, "u=0")];
    // A frame counts before the head, whichever came first.
    let asked = [asks(1, "/", Some("u=4")), asks(3, "/", Some("u=0")), asks(5, "/", None)];
    raw.write(&[early.concat(), asked.concat()].concat());
    let came = Came::until(&mut raw, 3);
    assert_eq!(came.ends(), [5, 1, 3], "{came:?}");
    // That is a word, too, of the others of its connection.
    let mut raw = Raw::open(proxy.addr(0));
    let early = [wide_streams(), wide_connection(), update(1, "")].concat();
    raw.write(&[early, [1, 3].map(|id| asks(id, "/", None)).concat()].concat());
    let came = Came::until(&mut raw, 2);
    assert!(came.before(3, 1) < ALL / 4, "{came:?}");
}

#[test]
fn a_window_of_the_connection_that_opens_bit_by_bit_goes_to_the_urgent() {
    let proxy = large("");
    let mut raw = Raw::open(proxy.addr(0));
    let asked = [asks(1, "/", Some("u=5")), asks(3, "/", Some("u=1")), asks(5, "/", Some("u=5, i"))];
    raw.write(&[wide_streams(), asked.concat()].concat());
    let (mut all, mut ends) = (Came::default(), 0);
    while ends < 3 {
        let f = raw.frame().expect("a frame");
        assert!(f.kind != RST_STREAM && f.kind != GOAWAY, "{f:?}");
        if f.kind == DATA {
            all.0.push((f.stream, f.payload.len()));
            ends += usize::from(f.flags & END_STREAM != 0);
            if !f.payload.is_empty() {
                raw.send(WINDOW_UPDATE, 0, 0, &(f.payload.len() as u32).to_be_bytes());
            }
        }
    }
    assert_eq!(all.ends()[0], 3, "{all:?}");
    assert!(all.before(1, 3) + all.before(5, 3) < ALL / 4, "{all:?}");
}

/// Bytes of an answer of the origin: few enough to lie in the sockets between it and the proxy.
const SMALL: usize = 128 << 10;

/// Answers with what the path says as its `Priority`: `/u=1`.
fn origin() -> Origin {
    Origin::start(|mut conn| {
        while let Some(head) = head(&mut conn) {
            let path = head.split(' ').nth(1).expect("a path").trim_start_matches('/');
            let lines: String = path.split('&').map(|value| format!("Priority: {value}\r\n")).collect();
            conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {SMALL}\r\n{lines}\r\n").as_bytes())?;
            conn.write_all(&vec![b'x'; SMALL])?;
        }
        Ok(())
    })
}

/// Asks for all of these, opens the window of the connection once all answers are at hand, and tells the order of the ends.
fn ends(proxy: &Proxy, origin: &Origin, asked: &[(&str, Option<&str>)]) -> Vec<u32> {
    let before = origin.sent();
    let mut raw = Raw::open(proxy.addr(0));
    let mut bytes = wide_streams();
    for (n, (path, priority)) in asked.iter().enumerate() {
        bytes.extend(asks(1 + 2 * n as u32, path, *priority));
    }
    raw.write(&bytes);
    for _ in asked {
        raw.until("a head", |f| f.kind == HEADERS);
    }
    eventually("the origin has sent all", || (origin.sent() - before >= (asked.len() * SMALL) as u64).then_some(()));
    raw.write(&wide_connection());
    Came::until(&mut raw, asked.len()).ends()
}

#[test]
fn the_origin_overrides_what_it_names() {
    let origin = origin();
    let proxy = proxy_to(origin.addr(), "");
    // The client's urgency stays where the origin says something else, or nothing that counts.
    let asked = [
        ("/u=7", Some("u=0")),
        ("/i", Some("u=5")),
        ("/u=1", Some("u=6")),
        ("/u=8&x=(", Some("u=4")),
        ("/x&u=2", None),
    ];
    assert_eq!(ends(&proxy, &origin, &asked), [5, 9, 7, 3, 1]);
    // Also where the client says nothing.
    assert_eq!(ends(&proxy, &origin, &[("/u=6", None), ("/x", None), ("/u=2", None)]), [5, 3, 1]);
    // What the configuration leaves out does not count.
    let proxy = proxy_to(origin.addr(), "http_response_header \"remove\" \"Priority\"");
    assert_eq!(ends(&proxy, &origin, &[("/u=7", Some("u=0")), ("/u=0", Some("u=7"))]), [1, 3]);
}

#[test]
fn frames_that_make_no_sense_end_the_connection() {
    let proxy = large("");
    for (bad, code) in [
        (update(0, "u=1"), Reason::PROTOCOL_ERROR),
        (update(2, "u=1"), Reason::PROTOCOL_ERROR),
        (frame(PRIORITY_UPDATE, 0, 1, b"\0\0\0\x01u=1"), Reason::PROTOCOL_ERROR),
        (frame(PRIORITY_UPDATE, 0, 0, b"\0\0\x01"), Reason::FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, &[0, 9, 0, 0, 0, 1]), Reason::PROTOCOL_ERROR),
        (update(1, "u=1").repeat(1100), Reason::ENHANCE_YOUR_CALM),
    ] {
        let mut raw = Raw::open(proxy.addr(0));
        let theirs = raw.until("SETTINGS", |f| f.kind == SETTINGS && f.flags & ACK == 0);
        assert!(theirs.payload.as_chunks::<6>().0.contains(&[0, 9, 0, 0, 0, 1]), "{theirs:?}");
        raw.send(SETTINGS, ACK, 0, b"");
        raw.try_write(&bad);
        raw.ends_with(code);
    }
    // More streams than may be open, known to the client or not.
    let proxy = large("http2_streams 10");
    let many: Vec<u8> = (0..11).flat_map(|n| update(1 + 2 * n, "u=1")).collect();
    let mut raw = Raw { stream: client::connect(proxy.addr(0)) };
    raw.write(&[PREFACE, &frame(SETTINGS, 0, 0, b""), &many, &frame(PING, 0, 0, &[0; 8])].concat());
    raw.until("PING", |f| f.kind == PING && f.flags & ACK != 0);
    raw.send(SETTINGS, ACK, 0, b"");
    raw.write(&many);
    raw.ends_with(Reason::PROTOCOL_ERROR);
}

/// Asks a client that knows nothing of this proxy: its SETTINGS and its heads are its own.
#[test]
fn a_real_client_hears_the_urgent_one_first() {
    let proxy = large("");
    run(async {
        let mut builder = wide();
        builder.initial_connection_window_size(1 << 16);
        let client = Client::open_with(proxy.addr(0), &builder).await;
        let ended = std::cell::RefCell::new(Vec::new());
        let asked = [("u=6", 0), ("u=5", 1), ("u=0", 2)].map(|(priority, n)| {
            let mut request = get("/");
            request.headers_mut().insert("priority", priority.parse().expect("a value"));
            let (client, ended) = (&client, &ended);
            async move {
                assert_eq!(client.ask(request, b"").await.expect("an answer").body.len(), ALL);
                ended.borrow_mut().push(n);
            }
        });
        join(asked.into()).await;
        assert_eq!(*ended.borrow(), [2, 1, 0]);
    });
}
