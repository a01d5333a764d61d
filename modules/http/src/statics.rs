//! Answers with files of a directory (RFC 9110 sections 8, 13 and 14): validators, ranges, index files, listings, and
//! files that were compressed before.

use crate::{
    Http,
    conditions::INLINE,
    conf::Conf,
    core::{
        date,
        encoding::{Coding, negotiate},
        listing, mime,
        path::{self, Path},
    },
    files::{self, How, Links, Missing, Opened, Small},
    h1::{self, Id, Method},
    message::Message,
    reply::{Body, Call, Reply},
    respond::{redirect, refuse, whole},
};
use anyproxy_http_contract::{FilePart, Segment};
use anyproxy_module_api::{Answers, ArgDesc, Contexts, Inherit, Kind, Node, Session, Str, directive, unix_ms};
use std::{rc::Rc, sync::Arc};

directive! {
    /// Answers with the files of a directory.
    /// A request for a directory gets its index file; without one 404, or a listing where that is on. A file is kept
    /// open for a while, and looked at again when it was not for a second.
    "http_static", Contexts::LOCAL,
    .args(&[ArgDesc::new("root", Kind::Path, "The directory.").required()])
    .props(&[
        ArgDesc::new("index", Kind::Text, "Names of index files, the first that is there.").default("index.html"),
        ArgDesc::new("listing", Kind::Choice, "What a directory without index file is answered with. Names that begin with a dot are not in it.")
            .choices(&[Str::new("off"), Str::new("html"), Str::new("json")]).default("off"),
        ArgDesc::new("symlinks", Kind::Choice, "Which symbolic links are followed: all, those that stay below root, none.")
            .choices(&[Str::new("follow"), Str::new("beneath"), Str::new("deny")]).default("follow"),
        ArgDesc::new("precompressed", Kind::Text, "Files beside the one asked for that are sent instead to who takes them: `br`, `zstd`, `gzip`, in this order of preference. They end in .br, .zst and .gz."),
        ArgDesc::new("types", Kind::Text, "Media types by the end of the name, before those that are known: `log=text/plain gltf=model/gltf+json`."),
        ArgDesc::new("default_type", Kind::Text, "Media type of names that say nothing.").default("application/octet-stream"),
        ArgDesc::new("charset", Kind::Bool, "Whether text types say that they are UTF-8.").default("#true"),
        ArgDesc::new("open_files", Kind::Int, "Files that a worker keeps open; 0: none.").default("1000").bounds(0, 1_000_000),
        ArgDesc::new("directio", Kind::Size, "Files from this size on are read past the system's page cache, where their file system can: for files that are too large, or asked for too seldom, to be kept in it. 0: none.").default("0").bounds(0, 1 << 50),
        ArgDesc::new("open_files_min_uses", Kind::Int, "Requests for a file from which on it is kept open; they are forgotten once 20 to 40 seconds pass without another.").default("1").bounds(1, 1_000_000),
        ArgDesc::new("open_files_valid", Kind::Time, "After so long a file is looked at again.").default("1s"),
    ])
    .inherit(Inherit::Never)
    .answers(Answers::Alone)
    .example("http_static \"html\" index=\"index.html index.htm\" precompressed=\"br gzip\"")
}

directive! {
    /// How long clients and caches may keep what `http_static` answers, as Cache-Control and Expires.
    "expires", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: it has to be asked for each time (no-cache)").required()])
    .default("nothing is said")
    .example("expires \"30d\"")
}

/// Files up to here are kept in memory for as long as they need not be looked at again.
const SMALL: usize = 8 << 10;
/// Names in a listing, at most.
const LISTED: usize = 10_000;

/// What `http_static` says.
#[derive(Debug)]
pub(crate) struct Static {
    root: Arc<std::path::Path>,
    index: Vec<String>,
    listing: Listing,
    precompressed: Vec<Coding>,
    types: Arc<mime::Types>,
    charset: bool,
    /// `directio`; 0: none.
    pub(crate) directio: u64,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listing {
    Off,
    Html,
    Json,
}

impl Static {
    pub(crate) fn new(node: &Node<'_>) -> Result<Self, String> {
        let (text, number) = (|name: &str| node.text(name), |name: &str| node.num(name));
        let index: Vec<_> = text("index").split_whitespace().map(str::to_owned).collect();
        if let Some(bad) = index.iter().find(|n| path::check_name(n.as_bytes()).is_err()) {
            return Err(format!("\"{bad}\" is no file name"));
        }
        let mut precompressed = Vec::new();
        for name in text("precompressed").split_whitespace() {
            match Coding::from_name(name.as_bytes()) {
                Some(c @ (Coding::Gzip | Coding::Brotli | Coding::Zstd)) => precompressed.push(c),
                _ => return Err(format!("\"{name}\" is none of br, zstd, gzip")),
            }
        }
        let other = text("default_type");
        is_type(other)?;
        let own = types(text("types"))?;
        Ok(Self {
            types: Arc::new(mime::Types { own, other: other.to_owned() }),
            root: std::path::Path::new(node.arg(0).map_or(".", |v| v.text.as_str())).into(),
            index,
            listing: [Listing::Off, Listing::Html, Listing::Json][number("listing") as usize],
            precompressed,
            charset: number("charset") != 0,
            directio: number("directio").unsigned_abs(),
            how: How {
                links: [Links::Follow, Links::Beneath, Links::Deny][number("symlinks") as usize],
                valid_ms: (number("open_files_valid") / 1_000_000).unsigned_abs(),
                most: number("open_files") as usize,
                min_uses: number("open_files_min_uses") as u32,
            },
        })
    }
}

impl Static {
    /// The directory, where there is none.
    pub(crate) fn missing(&self) -> Option<std::path::Display<'_>> {
        (!self.root.is_dir()).then(|| self.root.display())
    }
}

/// `name=type` in a list.
fn types(list: &str) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    for one in list.split_whitespace() {
        let (name, kind) = one.split_once('=').ok_or_else(|| format!("\"{one}\" is not name=type"))?;
        is_type(kind)?;
        all.push((name.trim_start_matches('.').to_owned(), kind.to_owned()));
    }
    Ok(all)
}

fn is_type(kind: &str) -> Result<(), String> {
    let well = kind.contains('/') && h1::field(b"Content-Type", kind.as_bytes(), &mut Vec::new()).is_ok();
    if well { Ok(()) } else { Err(format!("\"{kind}\" is no media type")) }
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

/// Answers with a short file that was asked for lately, at once; `None`: it is to be looked for.
pub(crate) fn send_recent(call: &Call<'_>, conf: &Conf, files: &Static) -> Option<Reply> {
    let parts = &mut *call.state.parts.borrow_mut();
    if !matches!(parts.method(), Method::Get | Method::Head)
        || (!files.precompressed.is_empty() && parts.request.value(Id::AcceptEncoding).is_some())
    {
        return None;
    }
    let opened = call.exchange.worker().files.recent(&files.root, parts.path.as_ref()?, files.how)?;
    let small = opened.small.borrow().clone().filter(|s| s.charset == files.charset && s.types == files.types)?;
    describe(&mut parts.response, conf, files, &opened, &small.kind, &small.modified, Coding::Identity);
    Some(Reply { whole: true, ..Reply::new(Body::Small(Rc::clone(&small.content)), Some(opened.len)) })
}

/// The head of an answer with a file.
fn describe(
    message: &mut Message,
    conf: &Conf,
    files: &Static,
    opened: &Opened,
    kind: &str,
    modified: &[u8; 29],
    coding: Coding,
) {
    message.answer(200);
    message.put("Content-Type", kind.as_bytes());
    message.put("Last-Modified", modified);
    message.put("ETag", opened.tag.strong());
    if !files.precompressed.is_empty() {
        message.put("Vary", b"Accept-Encoding");
    }
    if coding != Coding::Identity {
        message.put("Content-Encoding", coding.name().as_bytes());
    }
    match conf.expires_s {
        None => {}
        Some(0) => message.put("Cache-Control", b"no-cache"),
        Some(s) => {
            message.put("Cache-Control", format!("max-age={s}").as_bytes());
            message.put("Expires", &date::format((unix_ms() / 1000) as i64 + s as i64));
        }
    }
}

/// Answers with a file: with all of it, of which the request may want a part.
pub(crate) async fn send(call: &Call<'_>, conf: &Conf, files: &Static) -> Reply {
    for _ in 0..3 {
        match send_once(call, conf, files).await {
            Ok(reply) => return reply,
            // It is not as long any more as it was when it was opened.
            Err(changed) => call.exchange.worker().files.forget(&changed),
        }
    }
    refuse(call, 503)
}

async fn send_once(call: &Call<'_>, conf: &Conf, files: &Static) -> Result<Reply, Rc<Opened>> {
    let (method, path) = {
        let parts = call.state.parts.borrow();
        (parts.method(), parts.path.clone())
    };
    if !matches!(method, Method::Get | Method::Head) {
        let reply = refuse(call, 405);
        call.state.parts.borrow_mut().response.put("Allow", b"GET, HEAD");
        return Ok(reply);
    }
    let Some(path) = path else { return Ok(refuse(call, 400)) };
    let accepts = call.state.parts.borrow().request.joined(Id::AcceptEncoding);
    let (opened, name, coding) = match look(call.exchange, files, &path, accepts.as_deref()).await {
        Found::File { opened, name, coding } => (opened, name, coding),
        Found::Status(status) => return Ok(refuse(call, status)),
        Found::Elsewhere(to) => return Ok(redirect(call, 301, &elsewhere(call, &path, to))),
        Found::Listing(body) => {
            let kind = if files.listing == Listing::Json { "application/json" } else { "text/html; charset=utf-8" };
            return Ok(whole(call, 200, kind, body));
        }
    };
    let kind = mime::content_type(&name, &files.types.own, &files.types.other, files.charset);
    let content = content(&opened, method == Method::Get).await?;
    let modified = date::format(opened.modified);
    if let (Segment::Bytes(bytes), Coding::Identity) = (&content, coding)
        && !path.is_directory()
        && bytes.len() <= SMALL
        && opened.kept.get()
    {
        let small = Small {
            content: Rc::from(&bytes[..]),
            kind: kind.clone().into_owned(),
            charset: files.charset,
            modified,
            types: Arc::clone(&files.types),
        };
        opened.small.replace(Some(Rc::new(small)));
        call.exchange.worker().files.note(&files.root, &path, &opened);
    }
    describe(&mut call.state.parts.borrow_mut().response, conf, files, &opened, &kind, &modified, coding);
    Ok(Reply { whole: true, ..Reply::new(Body::Segments([content].into()), Some(opened.len)) })
}

/// The address of a directory, `to`, with the query; or the one by which the client asked for it, if that has its name.
fn elsewhere(call: &Call<'_>, path: &Path, mut to: Vec<u8>) -> Vec<u8> {
    let parts = call.state.parts.borrow();
    let mut target = parts.uri();
    let name = |path: &Path| path.as_bytes().rsplit(|b| *b == b'/').next().map(<[u8]>::to_vec);
    if let Ok(asked) = path::normalise(path::split_query(parts.asked()).0, true)
        && name(&asked) == name(path)
    {
        target = parts.asked();
        to = address(&asked);
    }
    if let Some(query) = path::split_query(target).1 {
        to.push(b'?');
        to.extend_from_slice(query);
    }
    to
}

/// The address of what is at this path as a directory.
fn address(path: &Path) -> Vec<u8> {
    let mut to = String::new();
    path::encode(path.as_bytes(), &mut to);
    to.push('/');
    to.into_bytes()
}

/// What is in a file: its bytes at once, where they are few and wanted.
///
/// # Errors
/// The file, which is not as long any more as it was when it was opened.
async fn content(opened: &Rc<Opened>, wanted: bool) -> Result<Segment, Rc<Opened>> {
    if opened.len > INLINE || !wanted {
        return Ok(Segment::File(FilePart { file: opened.file.clone(), at: 0, len: opened.len }));
    }
    let len = opened.len as usize;
    let bytes = match files::read_now(&opened.file, opened.in_memory, 0, len) {
        Some(bytes) => bytes,
        // Not all of it is in memory, or there is less of it: the slower way tells.
        None => files::read(opened.file.clone(), 0, len).await.unwrap_or_default(),
    };
    if bytes.len() == len { Ok(Segment::Bytes(bytes.into())) } else { Err(Rc::clone(opened)) }
}

async fn look(session: &Session<Http>, files: &Static, path: &Path, accepts: Option<&[u8]>) -> Found {
    let open = &session.worker().files;
    let name = || path.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
    match open.find(&files.root, path, "", files.how).await {
        Err(missing) => Found::Status(status(missing)),
        Ok(found) if found.is_dir && !path.is_directory() => Found::Elsewhere(address(path)),
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
