//! Metrics, zones and what modules lend each other, in the fake host.

use super::{give_shared, here, take_shared};
use crate::abi::{
    bytes::{Sink, Str},
    error::{Error, ErrorKind, Outcome},
    host::{MetricDesc, Object, Zone, ZoneDesc},
};
use crate::testing::{
    FakeHost, Metric,
    live::{Kind, Token},
    state::{Lent, Offered, State},
};
use std::{
    ptr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::SeqCst},
    },
};

pub(super) unsafe extern "C" fn metric(desc: *const MetricDesc<'_>) -> u32 {
    // SAFETY: lent for the call.
    let d = unsafe { &*desc };
    let state = here();
    let mut all = state.metrics.borrow_mut();
    let same = |m: &Metric| m.name == d.name.as_str() && m.labels == d.labels.as_str();
    let at = all.iter().position(same).unwrap_or_else(|| {
        all.push(Metric {
            name: d.name.as_str().to_owned(),
            help: d.help.as_str().to_owned(),
            labels: d.labels.as_str().to_owned(),
            unit: d.unit.as_str().to_owned(),
            value: 0,
            observed: Vec::new(),
        });
        all.len() - 1
    });
    at as u32
}
pub(super) unsafe extern "C" fn metric_cell(id: u32) -> *const AtomicU64 {
    // Never freed, as a host's.
    *here().cells.borrow_mut().entry(id).or_insert_with(|| Box::leak(Box::new(AtomicU64::new(0))))
}
pub(super) unsafe extern "C" fn metric_observe(id: u32, value: u64) {
    if let Some(m) = here().metrics.borrow_mut().get_mut(id as usize) {
        m.observed.push(value);
    }
}

/// One zone: the module's state while any generation holds it.
pub(crate) struct ZoneEntry {
    data: *mut (),
    desc: ZoneDesc<'static>,
    image: u32,
    frozen: AtomicU8,
    _token: Token,
}

impl ZoneEntry {
    /// Freezes it and writes it out; `None`: it panicked, and is used on.
    pub(crate) fn export(&self) -> Option<(u32, Vec<u8>)> {
        self.frozen.store(1, SeqCst);
        let mut bytes = Vec::new();
        let mut sink = Sink::to_vec(&mut bytes);
        // SAFETY: data belongs to the description; the sink is lent for the call.
        let well = unsafe { (self.desc.export)(self.data, &raw mut sink) };
        if !well {
            self.frozen.store(0, SeqCst);
        }
        well.then_some((self.desc.schema, bytes))
    }
}

// SAFETY: the state is `Send + Sync` by `ZoneState`, and the description is constant.
unsafe impl Send for ZoneEntry {}
// SAFETY: as above.
unsafe impl Sync for ZoneEntry {}

impl Drop for ZoneEntry {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.desc.drop)(self.data) }
    }
}

pub(super) unsafe extern "C" fn zone(desc: *const ZoneDesc<'_>) -> Outcome<Zone> {
    // SAFETY: lent for the call.
    let desc = unsafe { *desc };
    let state = here();
    let name = desc.name.as_str().to_owned();
    let old = state.zones.borrow().get(&name).and_then(std::sync::Weak::upgrade);
    let entry = match old {
        Some(z) if z.image == state.image.get() && z.frozen.load(SeqCst) == 0 => z,
        old => {
            let bytes = match old.map(|z| z.export()) {
                Some(None) => return Outcome::Err(Error::bare(ErrorKind::Panicked)),
                Some(bytes) => bytes,
                None => state.imports.borrow_mut().remove(&name),
            };
            match fresh(&state, desc, bytes) {
                Some(z) => z,
                None => return Outcome::Err(Error::bare(ErrorKind::Panicked)),
            }
        }
    };
    state.zones.borrow_mut().insert(name, Arc::downgrade(&entry));
    Outcome::Ok(Zone { data: entry.data, frozen: &raw const entry.frozen, handle: give_shared(entry) })
}

fn fresh(state: &State, desc: ZoneDesc<'_>, bytes: Option<(u32, Vec<u8>)>) -> Option<Arc<ZoneEntry>> {
    // SAFETY: the bytes are lent for the call; `create` has no arguments.
    let data = unsafe {
        let read = bytes.map_or(ptr::null_mut(), |(schema, b)| (desc.import)(schema, b.as_ptr(), b.len()));
        if read.is_null() { (desc.create)() } else { read }
    };
    (!data.is_null()).then(|| {
        Arc::new(ZoneEntry {
            data,
            desc: desc.nameless(),
            image: state.image.get(),
            frozen: AtomicU8::new(0),
            _token: state.live.token(Kind::Zone),
        })
    })
}

pub(super) unsafe extern "C" fn zone_drop(handle: Object) {
    // SAFETY: a handle of `zone`, given back.
    drop(unsafe { take_shared::<ZoneEntry>(handle) });
}

pub(super) unsafe extern "C" fn publish(scope: u32, key: Str<'_>, kind: Str<'_>, data: *const ()) -> bool {
    let key = (scope, key.as_str().to_owned());
    let state = here();
    let mut all = state.published.borrow_mut();
    if all.contains_key(&key) {
        return false;
    }
    all.insert(key, Lent { kind: kind.as_str().to_owned(), data });
    true
}
pub(super) unsafe extern "C" fn shared(scope: u32, key: Str<'_>, kind: Str<'_>) -> *const () {
    let state = here();
    let (all, parents) = (state.published.borrow(), state.scope_parents.borrow());
    let mut at = Some(scope);
    while let Some(scope) = at {
        if let Some(Lent { kind: k, data }) = all.get(&(scope, key.as_str().to_owned())) {
            return if k == kind.as_str() { *data } else { ptr::null() };
        }
        at = parents.get(&scope).copied();
    }
    ptr::null()
}
pub(super) unsafe extern "C" fn contract(id: Str<'_>, major: u16, minor: u16, layout: u64) -> *const () {
    let state = here();
    let all = state.contracts.borrow();
    let fits = |c: &&Offered| c.id == id.as_str() && c.major == major && c.minor >= minor && c.layout == layout;
    all.iter().find(fits).map_or(ptr::null(), |c| c.table)
}

impl FakeHost {
    /// Offers the table of a contract.
    ///
    /// # Safety
    /// `table` is what `id`, `version` and `layout` name, and stays valid as long as this host.
    pub unsafe fn provide(&self, id: &str, version: (u16, u16), layout: u64, table: *const ()) {
        let (major, minor) = version;
        self.state.contracts.borrow_mut().push(Offered { id: id.to_owned(), major, minor, layout, table });
    }
}
