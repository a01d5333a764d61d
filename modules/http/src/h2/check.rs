//! What must hold whatever a peer sends: a target for fuzzing.

use super::{Code, Config, Connection, Event, Fatal, Role};

/// Small limits, so that little input reaches them.
const CONFIG: Config = Config {
    max_streams: 8,
    window: 1 << 12,
    connection_window: 1 << 16,
    max_frame: 1 << 14,
    header_list: 1 << 10,
    header_count: 16,
    header_table: 256,
    extended_connect: true,
    resets: 16,
    idle_frames: 32,
    unsent: 1 << 12,
    clock: || 0,
};

/// Feeds `bytes`, behind a preface and SETTINGS and without, to a server and to a client, at once and in pieces. Tells
/// whether one of the two took all of it.
///
/// # Panics
/// Where they do what no input must make them do.
pub fn check(bytes: &[u8]) -> bool {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let preface = [super::frame::PREFACE, &SETTINGS[..]].concat();
    let mut taken = false;
    for (role, prefix) in [(Role::Server, &preface[..]), (Role::Client, &SETTINGS), (Role::Server, &[])] {
        let input = [prefix, bytes].concat();
        let whole = run(role, &input, input.len().max(1));
        for piece in [1, 7, 1024] {
            assert_eq!(run(role, &input, piece), whole, "pieces of {piece}");
        }
        taken |= whole.fatal.is_none();
    }
    taken
}

/// What a caller gets to see, without how DATA was cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) events: Vec<Event>,
    /// What the heads had.
    pub(super) heads: Vec<Vec<u8>>,
    pub(super) content: Vec<(u32, Vec<u8>)>,
    pub(super) fatal: Option<Fatal>,
}

/// Feeds `input` to a new connection, `piece` bytes more each time.
pub(super) fn run(role: Role, input: &[u8], piece: usize) -> Seen {
    let mut connection = Connection::new(role, CONFIG);
    let (mut seen, mut out) = (Seen::default(), Vec::new());
    connection.start(&mut out);
    if role == Role::Client {
        for _ in 0..4 {
            request(&mut connection, &mut out);
        }
    }
    let (mut at, mut end, mut empty) = (0, 0, 0);
    let mut owed = Vec::new();
    while end < input.len() {
        end = input.len().min(end + piece);
        loop {
            let received = connection.receive(&input[at..end], &mut out);
            let (length, event) = match received {
                Ok(received) => received,
                Err(fatal) => {
                    assert_eq!(connection.receive(&input[at..end], &mut Vec::new()), Err(fatal));
                    seen.fatal = Some(fatal);
                    return seen;
                }
            };
            let Some(event) = event else {
                at += length;
                assert!(end - at < 24, "bytes are left that could be done with");
                break;
            };
            empty = if length == 0 { empty + 1 } else { 0 };
            assert!(empty <= 8, "events without end");
            answer(&mut connection, &input[at..end], event, &mut owed, &mut seen, &mut out);
            at += length;
            assert!(connection.streams() <= CONFIG.max_streams.max(100) as usize);
        }
        // Bounded by what came: an answer is not longer than a few times the frame it answers.
        assert!(out.len() <= 4096 + at * 64, "{} bytes for {at}", out.len());
    }
    seen
}

fn request(connection: &mut Connection, out: &mut Vec<u8>) {
    let Some(stream) = connection.open() else { return };
    let Some(mut head) = connection.headers(stream, out) else { return };
    let sent = head.request(b"GET", Some(b"http"), Some(b"a"), Some(b"/"), None);
    assert_eq!(sent, Ok(()));
    head.finish(stream % 4 == 1);
    connection.set_key(stream, stream + 1);
}

/// Notes an event, and does what a caller would do.
fn answer(
    connection: &mut Connection,
    input: &[u8],
    event: Event,
    owed: &mut Vec<(u32, u32)>,
    seen: &mut Seen,
    out: &mut Vec<u8>,
) {
    // How DATA is cut would tell in the windows, and so in what is an error.
    if !matches!(event, Event::Data { .. }) {
        owed.drain(..).for_each(|(stream, credit)| connection.release(stream, credit, out));
    }

    match &event {
        Event::Head { stream, .. } | Event::Trailers { stream, .. } | Event::Refused { stream, .. } => {
            let block = connection.block();
            let mut head = block.bytes().to_vec();
            for (name, value) in block.iter() {
                assert!(super::text::is_name(name) || matches!(event, Event::Refused { .. }));
                assert!(super::text::is_value(value) || matches!(event, Event::Refused { .. }));
                head.extend_from_slice(&[name, b"\n", value, b"\n"].concat());
            }
            seen.heads.push(head);
            connection.set_key(*stream, stream + 1);
            if let Some(mut head) = connection.headers(*stream, out)
                && matches!(event, Event::Head { .. } | Event::Refused { .. })
                && seen.heads.len().is_multiple_of(2)
            {
                assert_eq!(head.status(200), Ok(()));
                head.finish(seen.heads.len().is_multiple_of(4));
            }
            connection.data(*stream, b"some content", true, out);
        }
        Event::Data { stream, payload, end, credit, .. } => {
            let bytes = &input[payload.clone()];
            assert!(*credit as usize >= bytes.len());
            owed.push((*stream, *credit));
            match seen.content.last_mut() {
                Some((last, content)) if last == stream => content.extend_from_slice(bytes),
                _ => seen.content.push((*stream, bytes.to_vec())),
            }
            if seen.content.len().is_multiple_of(5) && *end {
                connection.reset(*stream, Code::CANCEL, out);
            }
            return;
        }
        Event::Priority { stream, .. } => assert!(connection.priority(*stream).is_some()),
        Event::Reset { stream, .. } => assert_eq!(connection.key(*stream), None),
        Event::Writable { .. } | Event::GoAway { .. } | Event::Pong { .. } => {}
    }
    seen.events.push(event);
}
