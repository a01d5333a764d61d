//! Answers with files of a directory (RFC 9110 sections 8, 13 and 14): validators, ranges, index files, listings, and
//! files that were compressed before.

use crate::{
    Http,
    answer::{self, Manner},
    body::Incoming,
    conf::Conf,
    conn::{Conn, within},
    core::{
        conditional::{Conditions, Validators, Verdict, evaluate, range_applies},
        date,
        encoding::{Coding, negotiate},
        listing, mime,
        path::{self, Path},
        range::{self, Multipart, Ranges, content_range, content_range_unsatisfied},
    },
    exchange::known,
    files::{self, How, Links, Missing, Opened},
    h1::{Id, Method},
    server::{Next, answered, refuse_with},
};
use anyproxy_module_api::{
    ArgDesc, Contexts, Error, ErrorKind, Exchange, Inherit, Kind, Node, Session, Str, directive, unix_ms,
};
use std::{rc::Rc, sync::Arc};

directive! {
    /// Answers with the files of a directory.
    /// A request for a directory gets its index file; without one 404, or a listing where that is on. A file is kept
    /// open for a while, and looked at again when it was not for a second.
    "http_static", Contexts::LOCAL,
    .args(&[ArgDesc::new("root", Kind::Path, "The directory.").required()])
    .props(&[
        ArgDesc::new("index", Kind::Text, "Names of index files, the first that is there.").default("index.html"),
        ArgDesc::new("listing", Kind::Choice, "What a directory without index file is answered with.")
            .choices(&[Str::new("off"), Str::new("html"), Str::new("json")]).default("off"),
        ArgDesc::new("symlinks", Kind::Choice, "Which symbolic links are followed: all, those that stay below root, none.")
            .choices(&[Str::new("follow"), Str::new("beneath"), Str::new("deny")]).default("follow"),
        ArgDesc::new("precompressed", Kind::Text, "Files beside the one asked for that are sent instead to who takes them: `br`, `zstd`, `gzip`, in this order of preference. They end in .br, .zst and .gz."),
        ArgDesc::new("charset", Kind::Bool, "Whether text types say that they are UTF-8.").default("#true"),
        ArgDesc::new("open_files", Kind::Int, "Files that a worker keeps open; 0: none.").default("1000").bounds(0, 1_000_000),
        ArgDesc::new("open_files_valid", Kind::Time, "After so long a file is looked at again.").default("1s"),
    ])
    .inherit(Inherit::Never)
    .example("http_static \"html\" index=\"index.html index.htm\" precompressed=\"br gzip\"")
}

directive! {
    /// How long clients and caches may keep what `http_static` answers, as Cache-Control and Expires.
    "expires", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: it has to be asked for each time (no-cache)").required()])
    .default("nothing is said")
    .example("expires \"30d\"")
}

/// Ranges of one request, at most; more are answered with the whole.
const RANGES: usize = 16;
/// Files up to here go out with the head, in one piece.
const SMALL: u64 = 32 << 10;
/// Otherwise where the stream sends no files by itself.
const PIECE: u64 = 256 << 10;
/// Names in a listing, at most.
const LISTED: usize = 10_000;

/// What `http_static` says.
#[derive(Debug)]
pub(crate) struct Static {
    root: Arc<std::path::Path>,
    index: Vec<String>,
    listing: Listing,
    precompressed: Vec<Coding>,
    charset: bool,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Off,
    Html,
    Json,
}

impl Static {
    pub(crate) fn new(node: &Node) -> Result<Self, String> {
        let text = |name: &str| node.prop(name).map(|v| v.text.as_str());
        let number = |name: &str, default: i64| node.prop(name).map_or(default, |v| v.num);
        let index: Vec<_> = text("index").unwrap_or("index.html").split_whitespace().map(str::to_owned).collect();
        if let Some(bad) = index.iter().find(|n| path::check_name(n.as_bytes()).is_err()) {
            return Err(format!("\"{bad}\" is no file name"));
        }
        let mut precompressed = Vec::new();
        for name in text("precompressed").unwrap_or_default().split_whitespace() {
            match Coding::from_name(name.as_bytes()) {
                Some(c @ (Coding::Gzip | Coding::Brotli | Coding::Zstd)) => precompressed.push(c),
                _ => return Err(format!("\"{name}\" is none of br, zstd, gzip")),
            }
        }
        Ok(Self {
            root: std::path::Path::new(node.arg(0).map_or(".", |v| v.text.as_str())).into(),
            index,
            listing: [Listing::Off, Listing::Html, Listing::Json][number("listing", 0) as usize],
            precompressed,
            charset: number("charset", 1) != 0,
            how: How {
                links: [Links::Follow, Links::Beneath, Links::Deny][number("symlinks", 0) as usize],
                valid_ms: (number("open_files_valid", 1_000_000_000) / 1_000_000).unsigned_abs(),
                most: number("open_files", 1000) as usize,
            },
        })
    }
}

/// What is to be sent.
enum Found {
    File {
        opened: Rc<Opened>,
        name: Vec<u8>,
        coding: Coding,
    },
    /// The directory's address, with the slash at its end.
    Elsewhere(Vec<u8>),
    Listing(Vec<u8>),
    Status(u16),
}

/// Answers with a file.
///
/// # Errors
/// What the client's stream says.
pub(crate) async fn send(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conf: &Conf,
    files: &Static,
    conn: &mut Conn,
    incoming: &mut Incoming,
    manner: Manner,
) -> Result<Next, Error> {
    let sent = conn.total_sent;
    for _ in 0..3 {
        match send_once(session, exchange, conf, files, conn, incoming, manner).await? {
            Sent::Whole(next) => return Ok(next),
            Sent::Changed(opened) => {
                session.worker().files.forget(&opened);
                if conn.total_sent != sent {
                    // The client must not take what came for the whole.
                    return Ok(Next::Cut);
                }
                conn.out.clear();
            }
        }
    }
    refuse_with(session, exchange, conn, 503, manner, incoming).await
}

enum Sent {
    Whole(Next),
    /// The file is not as long any more as it was when it was opened.
    Changed(Rc<Opened>),
}

impl From<Next> for Sent {
    fn from(next: Next) -> Self {
        Self::Whole(next)
    }
}

async fn send_once(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conf: &Conf,
    files: &Static,
    conn: &mut Conn,
    incoming: &mut Incoming,
    manner: Manner,
) -> Result<Sent, Error> {
    let Some(state) = known(exchange) else { return Ok(Next::Close.into()) };
    let manner = incoming.manner(manner);
    let (method, path) = {
        let parts = state.parts.borrow();
        (parts.method(), parts.path.clone())
    };
    if !matches!(method, Method::Get | Method::Head) {
        let text = b"405 Method Not Allowed\n";
        answer::whole(conn, 405, manner, "text/plain", b"Allow: GET, HEAD\r\n", text);
        return Ok(answered(session, exchange, conf, conn, incoming, 405, manner).await?.into());
    }
    let Some(path) = path else { return Ok(refuse_with(session, exchange, conn, 400, manner, incoming).await?.into()) };
    let accepts = joined(exchange, Id::AcceptEncoding);
    let (opened, name, coding) = match look(session, files, &path, accepts.as_deref()).await {
        Found::File { opened, name, coding } => (opened, name, coding),
        Found::Status(status) => {
            return Ok(refuse_with(session, exchange, conn, status, manner, incoming).await?.into());
        }
        Found::Elsewhere(mut to) => {
            if let Some(query) = path::split_query(state.parts.borrow().uri()).1 {
                to.push(b'?');
                to.extend_from_slice(query);
            }
            let line = [b"Location: ", &to[..], b"\r\n"].concat();
            answer::whole(conn, 301, manner, "text/plain", &line, b"");
            return Ok(answered(session, exchange, conf, conn, incoming, 301, manner).await?.into());
        }
        Found::Listing(body) => {
            let kind = if files.listing == Listing::Json { "application/json" } else { "text/html; charset=utf-8" };
            answer::whole(conn, 200, manner, kind, b"", &body);
            return Ok(answered(session, exchange, conf, conn, incoming, 200, manner).await?.into());
        }
    };
    let kind = mime::content_type::<&str>(&name, &[], "application/octet-stream", files.charset);
    let mut head = Vec::new();
    let now = (unix_ms() / 1000) as i64;
    validators(&opened, coding, files, conf, now, &mut head);
    let known_as = Validators { exists: true, etag: Some(opened.tag.strong()), last_modified: Some(opened.modified) };
    match conditions(exchange, &known_as, now) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            answer::whole(conn, 304, manner, "", &head, b"");
            return Ok(answered(session, exchange, conf, conn, incoming, 304, manner).await?.into());
        }
        Verdict::PreconditionFailed => {
            return Ok(refuse_with(session, exchange, conn, 412, manner, incoming).await?.into());
        }
    }
    let if_range = joined(exchange, Id::IfRange);
    let wanted = joined(exchange, Id::Range)
        .filter(|_| method == Method::Get && range_applies(if_range.as_deref(), &known_as, now));
    let ranges = wanted.map_or(Ranges::Ignore, |r| range::parse(&r, opened.len, RANGES));
    head.extend_from_slice(b"Accept-Ranges: bytes\r\n");
    let (status, parts) = match ranges {
        Ranges::Ignore => (200, vec![(0, opened.len)]),
        Ranges::Some(parts) => (206, parts),
        Ranges::Unsatisfiable => {
            let line = format!("Content-Range: {}\r\n", content_range_unsatisfied(opened.len));
            answer::whole(conn, 416, manner, "text/plain", line.as_bytes(), b"416 Range Not Satisfiable\n");
            return Ok(answered(session, exchange, conf, conn, incoming, 416, manner).await?.into());
        }
    };
    let boundary = format!("{:016x}{:08x}", exchange.id.wrapping_mul(0x9e37_79b9_7f4a_7c15), unix_ms() as u32);
    let multipart = if parts.len() > 1 { Multipart::new(&boundary, Some(&kind), opened.len) } else { None };
    answer::begin(status, manner, conn);
    let length = match (&multipart, parts.first()) {
        (Some(m), _) => m.content_length(&parts).unwrap_or(0),
        (None, Some((start, end))) => {
            if status == 206 {
                let line = format!("Content-Range: {}\r\n", content_range(*start, *end, opened.len));
                conn.out.extend_from_slice(line.as_bytes());
            }
            end - start
        }
        (None, None) => 0,
    };
    answer::length(length, &mut conn.out);
    conn.out.extend_from_slice(b"Content-Type: ");
    match &multipart {
        Some(m) => conn.out.extend_from_slice(m.content_type().as_bytes()),
        None => conn.out.extend_from_slice(kind.as_bytes()),
    }
    conn.out.extend_from_slice(b"\r\n");
    conn.out.extend_from_slice(&head);
    conn.out.extend_from_slice(b"\r\n");
    exchange.status.set(status.into());
    if !manner.head_only {
        let mut first = true;
        for part in parts {
            if let Some(m) = &multipart {
                conn.out.extend_from_slice(&m.part_head(std::mem::take(&mut first), part));
            }
            if !body(session, conf, conn, &opened, part).await? {
                return Ok(Sent::Changed(opened));
            }
        }
        if let Some(m) = &multipart {
            conn.out.extend_from_slice(&m.closing());
        }
    }
    Ok(answered(session, exchange, conf, conn, incoming, status, manner).await?.into())
}

/// The values of a header, joined; `None`: it is not there.
fn joined(exchange: &Exchange<Http>, id: Id) -> Option<Vec<u8>> {
    let state = known(exchange)?;
    let parts = state.parts.borrow();
    let message = &parts.request;
    let mut all: Option<Vec<u8>> = None;
    for line in message.head.fields().all(id) {
        let value = line.value(&message.bytes);
        match &mut all {
            None => all = Some(value.to_vec()),
            Some(all) => {
                all.extend_from_slice(b", ");
                all.extend_from_slice(value);
            }
        }
    }
    all
}

fn conditions(exchange: &Exchange<Http>, known_as: &Validators<'_>, now: i64) -> Verdict {
    let value = |id| joined(exchange, id);
    let (a, b, c, d) =
        (value(Id::IfMatch), value(Id::IfNoneMatch), value(Id::IfModifiedSince), value(Id::IfUnmodifiedSince));
    let conditions = Conditions {
        if_match: a.as_deref(),
        if_none_match: b.as_deref(),
        if_modified_since: c.as_deref(),
        if_unmodified_since: d.as_deref(),
    };
    evaluate(true, &conditions, known_as, now)
}

/// Lines that an answer has whether or not a body follows.
fn validators(opened: &Opened, coding: Coding, files: &Static, conf: &Conf, now: i64, head: &mut Vec<u8>) {
    head.extend_from_slice(b"Last-Modified: ");
    head.extend_from_slice(&date::format(opened.modified));
    head.extend_from_slice(b"\r\nETag: ");
    head.extend_from_slice(opened.tag.strong());
    head.extend_from_slice(b"\r\n");
    if !files.precompressed.is_empty() {
        head.extend_from_slice(b"Vary: Accept-Encoding\r\n");
    }
    if coding != Coding::Identity {
        head.extend_from_slice(format!("Content-Encoding: {}\r\n", coding.name()).as_bytes());
    }
    match conf.expires_s {
        None => {}
        Some(0) => head.extend_from_slice(b"Cache-Control: no-cache\r\n"),
        Some(s) => {
            head.extend_from_slice(format!("Cache-Control: max-age={s}\r\nExpires: ").as_bytes());
            head.extend_from_slice(&date::format(now.saturating_add(s as i64)));
            head.extend_from_slice(b"\r\n");
        }
    }
}

async fn look(session: &Session<Http>, files: &Static, path: &Path, accepts: Option<&[u8]>) -> Found {
    let open = &session.worker().files;
    let name = || path.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
    match open.find(&files.root, path, "", files.how).await {
        Err(missing) => Found::Status(status(missing)),
        Ok(found) if found.is_dir && !path.is_directory() => {
            let mut to = String::new();
            path::encode(path.as_bytes(), &mut to);
            to.push('/');
            Found::Elsewhere(to.into_bytes())
        }
        Ok(found) if found.is_dir => {
            for index in &files.index {
                match open.find(&files.root, path, &format!("/{index}"), files.how).await {
                    Ok(opened) if !opened.is_dir => {
                        let suffix = format!("/{index}");
                        return best(session, files, path, &suffix, opened, index.clone().into_bytes(), accepts).await;
                    }
                    Ok(_) | Err(Missing::None) => {}
                    Err(missing) => return Found::Status(status(missing)),
                }
            }
            list(files, path).await
        }
        // A file is no directory.
        Ok(_) if path.is_directory() => Found::Status(404),
        Ok(opened) => best(session, files, path, "", opened, name(), accepts).await,
    }
}

/// The file, or the one beside it that was compressed for those who take it.
async fn best(
    session: &Session<Http>,
    files: &Static,
    path: &Path,
    suffix: &str,
    opened: Rc<Opened>,
    name: Vec<u8>,
    accepts: Option<&[u8]>,
) -> Found {
    let mut available = files.precompressed.clone();
    while !available.is_empty() {
        available.push(Coding::Identity);
        let chosen = negotiate(accepts, &available);
        available.pop();
        let Some(chosen) = chosen.filter(|c| *c != Coding::Identity) else { break };
        let end = match chosen {
            Coding::Brotli => ".br",
            Coding::Zstd => ".zst",
            Coding::Gzip | Coding::Identity => ".gz",
        };
        let other = session.worker().files.find(&files.root, path, &format!("{suffix}{end}"), files.how).await;
        if let Ok(other) = other
            && !other.is_dir
        {
            return Found::File { opened: other, name, coding: chosen };
        }
        available.retain(|c| *c != chosen);
    }
    Found::File { opened, name, coding: Coding::Identity }
}

async fn list(files: &Static, path: &Path) -> Found {
    if files.listing == Listing::Off {
        return Found::Status(404);
    }
    let Ok(name) = files::below(&files.root, path) else { return Found::Status(404) };
    let Ok(mut entries) = files::list(name, LISTED).await else { return Found::Status(403) };
    entries.sort_by(|a, b| (!a.directory, &a.name).cmp(&(!b.directory, &b.name)));
    let body = match files.listing {
        Listing::Json => listing::json(entries, LISTED).body,
        _ => listing::html(path.as_bytes(), entries, LISTED, false).body,
    };
    Found::Listing(body.into_bytes())
}

const fn status(missing: Missing) -> u16 {
    match missing {
        Missing::None => 404,
        Missing::Forbidden => 403,
        Missing::Failed(true) => 503,
        Missing::Failed(false) => 500,
    }
}

/// Sends a part of a file behind what is to be sent already. False: it is not there any more.
async fn body(
    session: &Session<Http>,
    conf: &Conf,
    conn: &mut Conn,
    opened: &Opened,
    (start, end): (u64, u64),
) -> Result<bool, Error> {
    let mut at = start;
    if end - start <= SMALL {
        let len = (end - start) as usize;
        let before = conn.out.len();
        conn.out.resize(before + len, 0);
        match files::read_now(opened, at, &mut conn.out[before..]) {
            Some(n) if n == len => return Ok(true),
            // Not all of it is in memory, or there is less of it: the slower way tells.
            _ => conn.out.truncate(before),
        }
    } else {
        // The head goes with the first bytes of the file.
        within(session, conf.body_ms, |cx| conn.poll_send(cx, true)).await?;
        let fd = files::descriptor(&opened.file);
        while at < end && fd >= 0 {
            let len = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
            match within(session, conf.body_ms, |cx| conn.poll_sendfile(cx, fd, at, len)).await {
                Ok(0) => return Ok(false),
                Ok(n) => at += n as u64,
                Err(e) if e.kind == ErrorKind::Unsupported => break,
                Err(e) => return Err(e),
            }
        }
    }
    while at < end {
        let len = (end - at).min(PIECE) as usize;
        let piece = files::read(&opened.file, at, len).await?;
        if piece.len() < len {
            return Ok(false);
        }
        at += piece.len() as u64;
        conn.out.extend_from_slice(&piece);
        if at < end {
            within(session, conf.body_ms, |cx| conn.poll_send(cx, false)).await?;
        }
    }
    Ok(true)
}
