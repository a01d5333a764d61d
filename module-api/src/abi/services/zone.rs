//! What outlives a generation, and what modules lend each other.

use super::{host, result};
use crate::abi::{
    bytes::{Sink, Str},
    error::{Error, ErrorKind},
    host::{Zone, ZoneDesc},
    task::guard,
};
use std::{any::TypeId, marker::PhantomData, ops::Deref, sync::atomic::Ordering::Acquire};

/// State that outlives a generation. The same image hands it on as it is; another image gets it as bytes.
pub trait ZoneState: Default + Send + Sync + 'static {
    /// Version of the exported form.
    const SCHEMA: u32;
    /// The exported form. After this the state is not used any more; a panic refuses the reload, and it is.
    fn export(&self) -> Vec<u8>;
    /// From the exported form of `schema`; `None`: not understood, start empty.
    fn import(schema: u32, bytes: &[u8]) -> Option<Self>;
}

/// A hold on a zone. The zone lives while any generation holds it.
#[derive(Debug)]
pub struct ZoneRef<T> {
    zone: Zone,
    state: PhantomData<T>,
}

// SAFETY: the state is Send + Sync by `ZoneState`; the handle is counted by the host.
unsafe impl<T: ZoneState> Send for ZoneRef<T> {}
// SAFETY: as above.
unsafe impl<T: ZoneState> Sync for ZoneRef<T> {}

/// The zone `name` of this module. To be called in `prepare`.
///
/// # Errors
/// When it cannot be made, this module keeps another type under that name, or the image that has it panicked in `export`.
pub fn zone<T: ZoneState>(name: &'static str) -> Result<ZoneRef<T>, Error> {
    unsafe extern "C" fn create<T: ZoneState>() -> *mut () {
        guard(|| boxed(T::default())).unwrap_or(std::ptr::null_mut())
    }
    unsafe extern "C" fn export<T: ZoneState>(data: *mut (), to: *mut Sink<'_>) -> bool {
        // SAFETY: made by `create` or `import`; the sink is the host's for the call.
        guard(|| unsafe { (*to).push(&(*data.cast::<Tagged<T>>()).value.export()) }).is_some()
    }
    unsafe extern "C" fn import<T: ZoneState>(schema: u32, ptr: *const u8, len: usize) -> *mut () {
        // SAFETY: the bytes are borrowed for the call.
        guard(|| T::import(schema, unsafe { std::slice::from_raw_parts(ptr, len) }))
            .flatten()
            .map_or(std::ptr::null_mut(), boxed)
    }
    unsafe extern "C" fn drop_state<T>(data: *mut ()) {
        // SAFETY: given up once.
        guard(|| drop(unsafe { Box::from_raw(data.cast::<Tagged<T>>()) }));
    }
    let desc = ZoneDesc {
        name: Str::new(name),
        schema: T::SCHEMA,
        create: create::<T>,
        export: export::<T>,
        import: import::<T>,
        drop: drop_state::<T>,
    };
    // SAFETY: the description is copied during the call.
    let zone = result(unsafe { (host().zone)(&raw const desc) })?;
    // SAFETY: made by this image's `create` or `import`, of this or of another `T`: the type comes first.
    if unsafe { *zone.data.cast::<TypeId>() } != TypeId::of::<T>() {
        // SAFETY: given up once.
        unsafe { (host().zone_drop)(zone.handle) }
        return Err(Error::new(ErrorKind::Invalid, format!("zone {name} holds another type")));
    }
    Ok(ZoneRef { zone, state: PhantomData })
}

/// A zone's state with its type: the name alone does not say it.
#[repr(C)]
struct Tagged<T> {
    of: TypeId,
    value: T,
}

fn boxed<T: 'static>(value: T) -> *mut () {
    Box::into_raw(Box::new(Tagged { of: TypeId::of::<T>(), value })).cast()
}

impl<T: ZoneState> ZoneRef<T> {
    /// Whether the state moved to another image: use it no more, do without.
    pub fn is_frozen(&self) -> bool {
        // SAFETY: lives as long as the handle.
        unsafe { &*self.zone.frozen }.load(Acquire) != 0
    }

    /// The state, unless it moved on.
    pub fn live(&self) -> Option<&T> {
        (!self.is_frozen()).then(|| &**self)
    }
}

impl<T: ZoneState> Deref for ZoneRef<T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: made by this image's `create` or `import`; kept while the handle is held.
        &unsafe { &*self.zone.data.cast::<Tagged<T>>() }.value
    }
}

impl<T> Drop for ZoneRef<T> {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().zone_drop)(self.zone.handle) }
    }
}

/// Lends `data` to other modules under `key`, for the block `scope` and those inside it. `kind` names the type and its
/// version; whoever reads it must agree. False: the key is taken in this block.
///
/// # Safety
/// `data` is valid until the generation stops, and is what `kind` says.
pub unsafe fn publish(scope: u32, key: &str, kind: &str, data: *const ()) -> bool {
    // SAFETY: texts are copied during the call.
    unsafe { (host().publish)(scope, Str::new(key), Str::new(kind), data) }
}

/// What another module lent under `key` in this block or one around it.
pub fn shared(scope: u32, key: &str, kind: &str) -> Option<*const ()> {
    // SAFETY: texts are borrowed for the call.
    let p = unsafe { (host().shared)(scope, Str::new(key), Str::new(kind)) };
    (!p.is_null()).then_some(p)
}

/// The table of contract `id` for this generation, at least `major.minor`, whose released part has fingerprint `layout`.
/// From `prepare` on.
pub fn contract(id: &str, major: u16, minor: u16, layout: u64) -> Option<*const ()> {
    // SAFETY: the text is borrowed for the call.
    let p = unsafe { (host().contract)(Str::new(id), major, minor, layout) };
    (!p.is_null()).then_some(p)
}
