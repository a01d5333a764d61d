//! Mapped images: one a content of a file, never closed. A changed file becomes a second image beside the first.

use super::{
    header::{self, Header},
    system::{self, Identity},
};
use anyproxy_module_api::abi::{
    host::HostVtable,
    module::ModuleDesc,
    note::{ContractVersion, Facts},
    root,
};
use std::{
    collections::HashMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// After how many images of one module a warning is due: each holds memory until the process ends.
const MANY_IMAGES: usize = 8;

/// Size of an image without a file; no file of a module is empty.
const LINKED: u64 = 0;

/// A module's code in this process.
#[derive(Debug)]
pub struct Image {
    /// What the file said of itself.
    pub facts: Facts,
    /// What it registers.
    pub desc: &'static ModuleDesc,
    /// Hash of the file's content.
    pub hash: u64,
    /// Size of the file, bytes.
    pub size: u64,
    /// Where it was first loaded from.
    pub path: PathBuf,
    /// Number of the image among those of its module, from 1.
    pub number: usize,
}

impl Image {
    /// Bytes of memory that only this process has of the image, where the system tells.
    pub fn private_memory(&self) -> Option<u64> {
        // The copy was unlinked: the system marks the name of the mapping, which still holds the hash.
        let maps = fs::read_to_string("/proc/self/smaps").ok()?;
        let name = format!("libanyproxy_{}-{:016x}", self.facts.id, self.hash);
        let mut inside = false;
        let mut sum = 0;
        for line in maps.lines() {
            if let Some(rest) = line.strip_prefix("Private_Dirty:") {
                let kib: u64 = rest.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
                sum += if inside { kib * 1024 } else { 0 };
            } else if line.contains('-') && line.contains(' ') && !line.contains("kB") {
                inside = line.contains(&name);
            }
        }
        Some(sum)
    }
}

/// All images of the process.
#[derive(Debug)]
pub struct Images {
    host: &'static HostVtable,
    loaded: Mutex<HashMap<(u64, u64), Arc<Image>>>,
    /// What was read last from each path: files are large, and seldom change between two reloads.
    seen: Mutex<HashMap<PathBuf, (Identity, Arc<Image>)>>,
}

impl Images {
    /// No image yet; all will be given `host`.
    pub fn new(host: &'static HostVtable) -> Self {
        Self { host, loaded: Mutex::default(), seen: Mutex::default() }
    }

    /// The image of the file at `path` as it is now: a new one only if its content was not seen before.
    ///
    /// # Errors
    /// One line.
    pub fn load(&self, path: &Path) -> Result<Arc<Image>, String> {
        if let Some(image) = self.unchanged(path) {
            return Ok(image);
        }
        let Header { bytes, facts, identity } = header::read(path)?;
        let image = self.load_bytes(path, &bytes, facts)?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match identity {
            Some(identity) => seen.insert(path.to_owned(), (identity, Arc::clone(&image))),
            None => seen.remove(path),
        };
        Ok(image)
    }

    /// The image of the file at `path` if nobody touched it since it was read.
    fn unchanged(&self, path: &Path) -> Option<Arc<Image>> {
        let now = Identity::of(&fs::metadata(path).ok()?)?;
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(path).filter(|(then, _)| *then == now).map(|(_, image)| Arc::clone(image))
    }

    fn load_bytes(&self, path: &Path, bytes: &[u8], facts: Facts) -> Result<Arc<Image>, String> {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let hash = hasher.finish();
        let key = (hash, bytes.len() as u64);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(image) = loaded.get(&key) {
            return Ok(Arc::clone(image));
        }
        let root = map(&facts.id, hash, bytes)?;
        // SAFETY: the header was checked: the module speaks this ABI; the host's table is static.
        let desc = unsafe { root.start(self.host) }.ok_or("panicked while it was initialised")?;
        if desc.id.as_str() != facts.id {
            return Err(format!("says it is {} in its header and {} in its code", facts.id, desc.id));
        }
        agree(&facts, desc)?;
        let number = loaded.values().filter(|i| i.facts.id == facts.id).count() + 1;
        if number > MANY_IMAGES {
            tracing::warn!(
                module = facts.id,
                images = number,
                "many images of one module: each holds memory until the process ends"
            );
        }
        let image = Arc::new(Image { facts, desc, hash, size: key.1, path: path.to_owned(), number });
        loaded.insert(key, Arc::clone(&image));
        Ok(image)
    }

    /// Adds a module that is linked into this binary: an image without a file, which `load_module` by id takes before
    /// it looks for one. The program itself has none; this is for the baseline of `make bench`, which tells what the
    /// boundary between images costs, and for tests that run the host within their own process. `start` is given the
    /// host's table and initialises the module.
    ///
    /// # Errors
    /// One line.
    pub fn add_static(
        &self,
        facts: Facts,
        start: impl FnOnce(&'static HostVtable) -> Option<&'static ModuleDesc>,
    ) -> Result<Arc<Image>, String> {
        let desc = start(self.host).ok_or("panicked while it was initialised")?;
        let mut hasher = DefaultHasher::new();
        facts.id.hash(&mut hasher);
        let (hash, path) = (hasher.finish(), PathBuf::from("(linked)"));
        let image = Arc::new(Image { facts, desc, hash, size: LINKED, path, number: 1 });
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.insert((hash, LINKED), Arc::clone(&image));
        Ok(image)
    }

    /// The image that `add_static` made of module `id`.
    pub fn linked(&self, id: &str) -> Option<Arc<Image>> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.values().find(|i| i.size == LINKED && i.facts.id == id).cloned()
    }

    /// Every image, in order of module and number.
    pub fn all(&self) -> Vec<Arc<Image>> {
        let mut v: Vec<_> = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        v.sort_by(|a, b| (&a.facts.id, a.number).cmp(&(&b.facts.id, b.number)));
        v
    }
}

/// The contracts in the header are those in the code: whoever reads the header only must not be misled.
fn agree(facts: &Facts, desc: &ModuleDesc) -> Result<(), String> {
    fn same(what: &str, header: &[ContractVersion], code: Vec<(&str, (u16, u16))>) -> Result<(), String> {
        let mut header: Vec<_> = header.iter().map(|c| (c.id.as_str(), c.version)).collect();
        let mut code = code;
        header.sort_unstable();
        code.sort_unstable();
        if header == code {
            return Ok(());
        }
        let list = |all: &[(&str, (u16, u16))]| match all {
            [] => "nothing".to_owned(),
            all => {
                all.iter().map(|(id, (major, minor))| format!("{id} {major}.{minor}")).collect::<Vec<_>>().join(", ")
            }
        };
        Err(format!("says it {what} {} in its header and {} in its code", list(&header), list(&code)))
    }
    let provides = desc.provides.as_slice().iter().map(|p| (p.id.as_str(), (p.major, p.minor)));
    same("provides", &facts.provides, provides.collect())?;
    // What it can do without may be named in the header or not.
    let named = |id: &str| facts.requires.iter().any(|c| c.id == id);
    let needs = desc.requires.as_slice().iter().filter(|r| !r.optional || named(r.id.as_str()));
    same("requires", &facts.requires, needs.map(|r| (r.id.as_str(), (r.major, r.minor))).collect())
}

/// Maps a private copy: the file itself may be overwritten while it is in use.
fn map(id: &str, hash: u64, bytes: &[u8]) -> Result<root::RootRef, String> {
    let dir = std::env::temp_dir().join(format!("anyproxy-{}-{:x}", std::process::id(), hash));
    let path = dir.join(format!("libanyproxy_{id}-{hash:016x}{}", std::env::consts::DLL_SUFFIX));
    system::remove_left_behind();
    let copy = || -> std::io::Result<()> {
        // The directory must be new and ours: nobody else may put a file under this name.
        match fs::create_dir(&dir) {
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                fs::remove_dir_all(&dir)?;
                fs::create_dir(&dir)?;
            }
            other => other?,
        }
        system::close_to_others(&dir)?;
        system::new_code(&path)?.write_all(bytes)
    };
    let copied =
        copy().map_err(|e| format!("cannot be copied to {}: {e}; TMPDIR names another directory", path.display()));
    let mapped = copied.and_then(|()| open(&path)).map_err(|e| match system::forbids_code(&dir) {
        true => format!("{e}: nothing in its directory may be run (noexec); TMPDIR names another one"),
        false => e,
    });
    // The mapping keeps the content; nothing stays behind if the process is killed. Where a mapped file cannot be removed,
    // a later process does it.
    let _ = fs::remove_dir_all(&dir);
    mapped
}

fn open(path: &Path) -> Result<root::RootRef, String> {
    // SAFETY: the header was judged; constructors of a module that the operator named run here.
    let library = unsafe { system::map(path) };
    let library = library.map_err(|e| format!("cannot be loaded: {}", last_line(&e)))?;
    // Never closed: its code may be on a stack, its statics in use.
    std::mem::forget(library);
    root::root_of(path)
}

fn last_line(e: &libloading::Error) -> String {
    e.to_string().lines().next_back().unwrap_or_default().to_owned()
}
