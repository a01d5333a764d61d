//! State that outlives a generation: one owner at a time, passed on as a pointer within an image and as bytes to another
//! image or process.

use super::current::current;
use crate::loader::Image;
use anyproxy_module_api::abi::{
    bytes::Sink,
    error::{Error, ErrorKind, Outcome},
    host::{Object, Zone, ZoneDesc},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

/// Schema and bytes.
type Handed = (u32, Vec<u8>);

/// Module, name, schema and bytes.
type Exported = (String, String, u32, Vec<u8>);

/// Module and name.
type Key = (String, String);

/// All zones of the process, by module and name.
#[derive(Debug, Default)]
pub struct Zones {
    live: Mutex<HashMap<Key, Arc<ZoneCell>>>,
    /// Zones that moved to another image for a generation that is not live yet.
    moved: Mutex<HashMap<Key, Arc<ZoneCell>>>,
    /// From the process before this one: schema and bytes.
    handed: Mutex<HashMap<Key, Handed>>,
}

/// One zone in one image.
#[derive(Debug)]
struct ZoneCell {
    /// Whose functions these are; images are never closed, so the hold is for identity.
    image: Arc<Image>,
    desc: ZoneDesc<'static>,
    data: *mut (),
    frozen: AtomicU8,
}

// SAFETY: the state is `Send + Sync` by the contract of `ZoneState`.
unsafe impl Send for ZoneCell {}
// SAFETY: as above.
unsafe impl Sync for ZoneCell {}

impl ZoneCell {
    /// Freezes the state and takes it out as bytes; `None`: that panicked, and it is used on.
    fn export(&self) -> Option<Handed> {
        self.frozen.store(1, Ordering::Release);
        let mut out = Vec::new();
        let mut sink = Sink::to_vec(&mut out);
        // SAFETY: the state of this image's own functions; the sink is lent for the call.
        if unsafe { (self.desc.export)(self.data, &raw mut sink) } {
            return Some((self.desc.schema, out));
        }
        self.frozen.store(0, Ordering::Release);
        None
    }
}

impl Drop for ZoneCell {
    fn drop(&mut self) {
        // SAFETY: the last holder is gone.
        unsafe { (self.desc.drop)(self.data) }
    }
}

impl Zones {
    /// Everything as bytes, for the process that takes over.
    ///
    /// # Errors
    /// Which zone could not be taken out; then all are used on.
    pub fn export(&self) -> Result<Vec<Exported>, String> {
        let all = self.export_all();
        if all.is_err() {
            self.thaw();
        }
        all
    }

    fn export_all(&self) -> Result<Vec<Exported>, String> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter()
            .map(|((module, name), cell)| {
                let (schema, bytes) = cell
                    .export()
                    .ok_or_else(|| format!("module {module} panicked in export of its zone \"{name}\""))?;
                Ok((module.clone(), name.clone(), schema, bytes))
            })
            .collect()
    }

    /// What the process before this one handed over.
    pub fn import(&self, zones: Vec<Exported>) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.extend(zones.into_iter().map(|(m, n, s, b)| ((m, n), (s, b))));
    }

    /// Names of all zones with the number of holders, for status.
    pub fn list(&self) -> Vec<(String, String, usize)> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().map(|((m, n), c)| (m.clone(), n.clone(), Arc::strong_count(c) - 1)).collect()
    }

    /// The generation that zones moved for will not go live: they go back to where they were.
    pub fn undo(&self) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, cell) in self.moved.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            cell.frozen.store(0, Ordering::Release);
            live.insert(key, cell);
        }
    }

    /// Nobody took over what was exported: it is used on.
    pub fn thaw(&self) {
        for cell in self.live.lock().unwrap_or_else(PoisonError::into_inner).values() {
            cell.frozen.store(0, Ordering::Release);
        }
    }

    /// The generation is live: what moved has moved, and zones that no generation holds are forgotten.
    pub fn sweep(&self) {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.retain(|_, cell| Arc::strong_count(cell) > 1);
    }

    fn take(&self, module: &str, image: &Arc<Image>, desc: &ZoneDesc<'_>, only_checked: bool) -> Result<Zone, Error> {
        if only_checked {
            return detached(image, desc);
        }
        let key = (module.to_owned(), desc.name.as_str().to_owned());
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let before = live.get(&key);
        let cell = match before {
            Some(cell) if Arc::ptr_eq(&cell.image, image) && cell.frozen.load(Ordering::Acquire) == 0 => {
                Arc::clone(cell)
            }
            _ => {
                // Without what it holds it would be lost: the generation that has it goes on.
                let lost = || Error::new(ErrorKind::Panicked, format!("zone {}: panic in export", desc.name));
                let exported = before.map(|c| c.export().ok_or_else(lost)).transpose()?;
                let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
                let bytes = exported.as_ref().or_else(|| handed.get(&key));
                let cell = cell(image, desc, bytes).inspect_err(|_| {
                    // It goes on, too.
                    if let Some(before) = before {
                        before.frozen.store(0, Ordering::Release);
                    }
                })?;
                handed.remove(&key);
                if let Some(before) = live.insert(key.clone(), Arc::clone(&cell)) {
                    self.moved.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(before);
                }
                cell
            }
        };
        Ok(lent(cell))
    }
}

/// An empty one that nobody else finds: the one in use would have to be frozen for another image.
fn detached(image: &Arc<Image>, desc: &ZoneDesc<'_>) -> Result<Zone, Error> {
    cell(image, desc, None).map(lent)
}

fn cell(image: &Arc<Image>, desc: &ZoneDesc<'_>, bytes: Option<&Handed>) -> Result<Arc<ZoneCell>, Error> {
    let data = make(desc, bytes);
    if data.is_null() {
        return Err(Error::new(ErrorKind::Panicked, "the zone could not be made"));
    }
    Ok(Arc::new(ZoneCell { image: Arc::clone(image), desc: desc.nameless(), data, frozen: AtomicU8::new(0) }))
}

fn lent(cell: Arc<ZoneCell>) -> Zone {
    let (data, frozen) = (cell.data, &raw const cell.frozen);
    Zone { data, frozen, handle: Arc::into_raw(cell).cast_mut().cast() }
}

fn make(desc: &ZoneDesc<'_>, bytes: Option<&Handed>) -> *mut () {
    if let Some((schema, bytes)) = bytes {
        // SAFETY: the module's own function; the bytes are lent for the call.
        let data = unsafe { (desc.import)(*schema, bytes.as_ptr(), bytes.len()) };
        if !data.is_null() {
            return data;
        }
        tracing::warn!(zone = desc.name.as_str(), "an older form was not understood; it starts empty");
    }
    // SAFETY: the module's own function.
    unsafe { (desc.create)() }
}

pub(super) unsafe extern "C" fn zone(desc: *const ZoneDesc<'_>) -> Outcome<Zone> {
    let who = current();
    let Some(cycle) = who.cycle().filter(|_| who.module != 0) else {
        return Outcome::Err(Error::new(ErrorKind::Unsupported, "zones are taken in prepare"));
    };
    // SAFETY: lent for the call.
    let desc = unsafe { &*desc };
    let (id, image) = (cycle.module_id(who.module), &cycle.instance(who.module).image);
    crate::process::process().zones.take(id, image, desc, cycle.only_checked.load(Ordering::Relaxed)).into()
}

pub(super) unsafe extern "C" fn zone_drop(handle: Object) {
    // SAFETY: the Arc of `take`, given back once.
    drop(unsafe { Arc::from_raw(handle.cast_const().cast::<ZoneCell>()) });
}
