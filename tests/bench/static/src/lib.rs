//! The host with the modules tcp and balancer linked into one binary: the same code without the boundary between images.
//! `make bench` compares the program with it, and a test counts allocations in it. Knows nothing of what is measured.
//!
//! The vtables of the contract stay in between, as they are part of the modules' code; what is left out is what makes
//! them cost: calls into another image, which no compiler sees through, and a second copy of the shared code.

use anyproxy_host::{cli, log, process, services};
use anyproxy_module_api::{
    Module,
    abi::{
        export,
        host::HostVtable,
        module::ModuleDesc,
        note::{ABI_MAJOR, ABI_MINOR, API, Facts, RUSTC, TARGET},
    },
};
use std::{ffi::OsString, ptr, sync::OnceLock};

/// Registers the modules and does what the command line `args` says, as the program does. Once a process.
pub fn main(args: impl Iterator<Item = OsString>) -> i32 {
    if let Err(error) = register() {
        eprintln!("anyproxy-static: {error}");
        return 1;
    }
    cli::main(args)
}

fn register() -> Result<(), String> {
    static TCP: OnceLock<ModuleDesc> = OnceLock::new();
    static BALANCER: OnceLock<ModuleDesc> = OnceLock::new();
    let process = process::start().map_err(|error| error.to_string())?;
    // Before the modules: they share the host's copy of `tracing` here, and the first subscriber stays.
    let subscriber = log::Subscriber::new(process.error_log.clone(), services::log::current_session);
    let _ = tracing::subscriber::set_global_default(subscriber);
    process.images.add_static(facts("tcp"), |host| start::<anyproxy_tcp::Tcp>(host, "tcp", "anyproxy_tcp", &TCP))?;
    process.images.add_static(facts("balancer"), |host| {
        start::<anyproxy_balancer::Balancer>(host, "balancer", "anyproxy_balancer", &BALANCER)
    })?;
    Ok(())
}

/// What the note in a module's file says.
fn facts(id: &str) -> Facts {
    Facts {
        abi: (ABI_MAJOR, ABI_MINOR),
        id: id.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: API.to_owned(),
        rustc: RUSTC.to_owned(),
        target: TARGET.to_owned(),
        unwinds: cfg!(panic = "unwind"),
        provides: Vec::new(),
        requires: Vec::new(),
    }
}

/// What `export_module!` does in a module's dylib; `krate` declares the module's directives.
fn start<M: Module>(
    host: &'static HostVtable,
    id: &'static str,
    krate: &'static str,
    desc: &'static OnceLock<ModuleDesc>,
) -> Option<&'static ModuleDesc> {
    // SAFETY: `host` is the host's table, and `register` has one `desc` a module, which is never given up.
    unsafe { export::init::<M>(ptr::from_ref(host).cast(), id, env!("CARGO_PKG_VERSION"), krate, desc).as_ref() }
}
