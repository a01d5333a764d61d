//! The open files of a worker: found by the path of a request, kept open for a while, looked at again off the worker.

mod open;
mod read;

pub(crate) use open::{Links, Missing, below};
pub(crate) use read::{list, read, read_now};

use crate::core::{etag::FileTag, mime::Types, path::Path};
use anyproxy_http_contract::FileHandle;
use anyproxy_module_api::{Error, ErrorKind, Pool, now_ms, run};
use open::{Meta, open};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fs::File,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
};

/// An open file, and what was known of it when it was last looked at.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: FileHandle,
    pub(crate) len: u64,
    /// Seconds since 1970.
    pub(crate) modified: i64,
    pub(crate) tag: FileTag,
    pub(crate) is_dir: bool,
    /// Its file system keeps everything in memory: reading never waits.
    pub(crate) in_memory: bool,
    identity: (u64, u64, u64, u64),
    checked_ms: Cell<u64>,
    used: Cell<bool>,
    /// It is found by its name again: it is asked for often enough.
    pub(crate) kept: Cell<bool>,
    /// What is said of it, and what is in it, where that is little.
    pub(crate) small: RefCell<Option<Rc<Small>>>,
}

/// A short file, ready to be sent.
#[derive(Debug)]
pub(crate) struct Small {
    pub(crate) content: Rc<[u8]>,
    /// Content-Type, for a server that says a charset or one that does not.
    pub(crate) kind: String,
    pub(crate) charset: bool,
    pub(crate) modified: [u8; 29],
    /// By what its type was found.
    pub(crate) types: Arc<Types>,
}

/// A file that was asked for lately, by the path of the request.
#[derive(Debug)]
struct Recent {
    root: Arc<std::path::Path>,
    path: Vec<u8>,
    opened: Rc<Opened>,
}

/// How many are found without a look at their names.
const RECENT: usize = 256;

/// A result of looking that is kept too: that there is none.
type Looked = Result<Rc<Opened>, Missing>;

/// The open files of one worker.
#[derive(Debug, Default)]
pub(crate) struct Files(RefCell<HashMap<Name, Kept>>, RefCell<Vec<Option<Recent>>>);

/// What a file was looked for as. Who may follow a link finds another one than who may not, or than who may not leave another
/// root.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    links: Links,
    root: Arc<std::path::Path>,
    /// Below `root`, and with it.
    path: PathBuf,
}

#[derive(Debug)]
enum Kept {
    Open(Rc<Opened>),
    Missing {
        until_ms: u64,
    },
    /// A file that was asked for so often, and is not open. `news`: also since it was last looked at what nobody wants.
    Counted {
        times: u32,
        news: bool,
    },
}

/// How files are looked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    pub(crate) links: Links,
    /// A file is looked at again after so long.
    pub(crate) valid_ms: u64,
    /// Files kept open, and names kept as missing, at most.
    pub(crate) most: usize,
    /// Requests from which on a file is kept open.
    pub(crate) min_uses: u32,
}

impl Files {
    /// The file of a path below `root`.
    pub(crate) async fn find(&self, root: &Arc<std::path::Path>, path: &Path, suffix: &str, how: How) -> Looked {
        let mut path = below(root, path).map_err(|_| Missing::None)?;
        if !suffix.is_empty() {
            let mut with = path.into_os_string();
            with.push(suffix);
            path = with.into();
        }
        let name = Name { links: how.links, root: Arc::clone(root), path };
        if let Some(kept) = self.kept(&name, how) {
            return kept;
        }
        let wanted = name.clone();
        let opened = run(Pool::Blocking, move |_| open(&wanted.root, &wanted.path, wanted.links)).await;
        let looked = opened.unwrap_or_else(|e| Err(failed(&e))).map(|(file, meta)| self.same(&name, file, &meta));
        self.keep(name, &looked, how);
        looked
    }

    /// A file that was asked for lately by this very path, and need not be looked at again yet.
    pub(crate) fn recent(&self, root: &Arc<std::path::Path>, path: &Path, how: How) -> Option<Rc<Opened>> {
        let all = self.1.borrow();
        let found = all.get(place(path.as_bytes()))?.as_ref()?;
        let same = Arc::ptr_eq(&found.root, root) && found.path == path.as_bytes();
        if !same || found.opened.checked_ms.get() + how.valid_ms <= now_ms() {
            return None;
        }
        found.opened.used.set(true);
        Some(Rc::clone(&found.opened))
    }

    /// The next request with this path finds the file at once.
    pub(crate) fn note(&self, root: &Arc<std::path::Path>, path: &Path, opened: &Rc<Opened>) {
        let all = &mut *self.1.borrow_mut();
        all.resize_with(RECENT, || None);
        let (root, opened) = (Arc::clone(root), Rc::clone(opened));
        all[place(path.as_bytes())] = Some(Recent { root, path: path.as_bytes().to_vec(), opened });
    }

    /// What is known and recent enough.
    fn kept(&self, name: &Name, how: How) -> Option<Looked> {
        let now = now_ms();
        match self.0.borrow().get(name)? {
            Kept::Open(f) if f.checked_ms.get() + how.valid_ms > now => {
                f.used.set(true);
                Some(Ok(Rc::clone(f)))
            }
            Kept::Missing { until_ms } if *until_ms > now => Some(Err(Missing::None)),
            _ => None,
        }
    }

    /// The file that is kept already, if it has not changed.
    fn same(&self, name: &Name, file: File, meta: &Meta) -> Rc<Opened> {
        if let Some(Kept::Open(old)) = self.0.borrow().get(name)
            && old.identity == meta.identity
        {
            old.checked_ms.set(now_ms());
            return Rc::clone(old);
        }
        Rc::new(Opened {
            file: FileHandle::new(Arc::new(file)),
            len: meta.len,
            modified: meta.modified_ns.div_euclid(1_000_000_000) as i64,
            tag: FileTag::new(meta.modified_ns.max(0) as u64, meta.len),
            is_dir: meta.is_dir,
            in_memory: meta.in_memory,
            identity: meta.identity,
            checked_ms: Cell::new(now_ms()),
            used: Cell::new(true),
            kept: Cell::new(false),
            small: RefCell::default(),
        })
    }

    fn keep(&self, name: Name, looked: &Looked, how: How) {
        let mut all = self.0.borrow_mut();
        let kept = match looked {
            _ if how.most == 0 => {
                all.remove(&name);
                return;
            }
            Ok(f) => {
                let before = match all.get(&name) {
                    Some(Kept::Counted { times, .. }) => *times,
                    Some(Kept::Open(_)) => how.min_uses,
                    _ => 0,
                };
                f.kept.set(before + 1 >= how.min_uses);
                if f.kept.get() { Kept::Open(Rc::clone(f)) } else { Kept::Counted { times: before + 1, news: true } }
            }
            Err(Missing::None) => Kept::Missing { until_ms: now_ms() + how.valid_ms },
            Err(_) => {
                all.remove(&name);
                return;
            }
        };
        if all.len() >= how.most && !all.contains_key(&name) {
            // Those that nobody asked for since the last time go; if all were asked for, all go.
            all.retain(|_, k| matches!(k, Kept::Open(f) if f.used.replace(false)));
            if all.len() >= how.most {
                all.clear();
            }
        }
        all.insert(name, kept);
    }

    /// It has changed: it is opened anew.
    pub(crate) fn forget(&self, opened: &Rc<Opened>) {
        self.1.borrow_mut().clear();
        self.0.borrow_mut().retain(|_, k| !matches!(k, Kept::Open(f) if Rc::ptr_eq(f, opened)));
    }

    /// Closes what was not asked for lately.
    pub(crate) fn sweep(&self) {
        let now = now_ms();
        self.1.borrow_mut().clear();
        self.0.borrow_mut().retain(|_, k| match k {
            Kept::Open(f) => f.used.replace(false) || f.checked_ms.get() + 20_000 > now,
            Kept::Missing { until_ms } => *until_ms > now,
            Kept::Counted { news, .. } => std::mem::take(news),
        });
    }
}

/// Where a path is looked for among the recent ones. Who wants two in one place gets the slower way, and no more.
fn place(path: &[u8]) -> usize {
    let mut hash = path.len() as u64;
    for piece in path.rchunks(8).take(8) {
        let mut word = [0; 8];
        word[..piece.len()].copy_from_slice(piece);
        hash = (hash.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (hash >> 56) as usize % RECENT
}

fn failed(e: &Error) -> Missing {
    Missing::Failed(matches!(e.kind, ErrorKind::Limit))
}
