//! The first symbol that a host takes from a module: abi_stable's root module, a prefix type whose layout is checked.

use super::{host::HostVtable, module::ModuleDesc};
use abi_stable::{StableAbi, library::RootModule, sabi_types::VersionStrings};

#[doc(hidden)]
pub use abi_stable::{
    library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult},
    prefix_type::PrefixTypeTrait,
};

/// The root module. The two pointers are opaque to abi_stable: their tables carry their own size.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = RootRef)))]
#[sabi(missing_field(option))]
pub struct Root {
    /// Once an image, before anything else: the host's table (`HostVtable`). Returns the module's (`ModuleDesc`), null if
    /// it panicked.
    #[sabi(last_prefix_field)]
    pub init: unsafe extern "C" fn(*const ()) -> *const (),
}

impl RootModule for RootRef {
    abi_stable::declare_root_module_statics! {RootRef}
    // The ABI's version, not the crate's: the note has said the rest before.
    const BASE_NAME: &'static str = "anyproxy";
    const NAME: &'static str = "anyproxy";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new("1.0.0");
}

impl RootRef {
    /// Initialises the image.
    ///
    /// # Safety
    /// The module was built against this ABI (its note says so), and `host` lives as long as the process.
    pub unsafe fn start(self, host: &'static HostVtable) -> Option<&'static ModuleDesc> {
        // SAFETY: by contract; the module's table lives as long as the image, which is never closed.
        unsafe { self.init()(std::ptr::from_ref(host).cast()).cast::<ModuleDesc>().as_ref() }
    }
}

/// Opens the root module of an image that is already mapped.
///
/// # Errors
/// In words, when the symbol is missing or its layout is another.
pub fn root_of(path: &std::path::Path) -> Result<RootRef, String> {
    let header = abi_stable::library::lib_header_from_path(path).map_err(|e| first_line(&e.to_string()))?;
    header.init_root_module::<RootRef>().map_err(|e| first_line(&e.to_string()))
}

fn first_line(text: &str) -> String {
    text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_exported_symbol_is_the_one_abi_stable_looks_for() {
        // Written out in `abi_root!`, where no function can compute it.
        assert_eq!(abi_stable::library::ROOT_MODULE_LOADER_NAME, "_1as_0lib_1header_0root_bmodule_bloader");
    }
}
