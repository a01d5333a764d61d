//! The header of a module's file, read with bounds checked before anything in the file can run.
//!
//! `dlopen` runs constructors, and a truncated or overwritten file is SIGBUS: so the bytes are read once, judged, and the
//! very same bytes are what is mapped later.

use super::system::Identity;
use anyproxy_module_api::{
    abi::note::{ABI_MAJOR, ABI_MINOR, Facts, Note, RUSTC, SECTION, TARGET},
    open_regular,
};
use object::{Object, ObjectSection, ObjectSymbol, read::elf::ElfFile64};
use std::{io::Read, path::Path};

/// Largest file taken for a module.
const LIMIT: u64 = 512 << 20;

/// A module's file, read and judged.
#[derive(Debug)]
pub struct Header {
    /// Its bytes: what will be mapped.
    pub bytes: Vec<u8>,
    /// What it says.
    pub facts: Facts,
    /// By what a later look tells that it is the same.
    pub(super) identity: Option<Identity>,
}

/// Reads the file at `path` and checks that this host can load it.
///
/// # Errors
/// One line that says what is wrong and, where it helps, what to do.
pub fn read(path: &Path) -> Result<Header, String> {
    let (bytes, identity) = bytes_of(path)?;
    let facts = facts_of(&bytes)?;
    check(&facts)?;
    Ok(Header { bytes, facts, identity })
}

fn bytes_of(path: &Path) -> Result<(Vec<u8>, Option<Identity>), String> {
    let file = open_regular(path).map_err(|e| format!("cannot be opened: {e}"))?;
    let meta = file.metadata().map_err(|e| format!("cannot be read: {e}"))?;
    if meta.len() > LIMIT {
        return Err(format!("is larger than {} MiB", LIMIT >> 20));
    }
    // Whoever can write the file owns this process.
    if super::system::others_may_write(&meta) {
        return Err("may be written by others; run chmod o-w on it".to_owned());
    }
    // Taken before the bytes are: a change meanwhile makes it another's.
    let identity = Identity::of(&meta);
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    file.take(LIMIT).read_to_end(&mut bytes).map_err(|e| format!("cannot be read: {e}"))?;
    Ok((bytes, identity))
}

fn facts_of(bytes: &[u8]) -> Result<Facts, String> {
    if bytes.is_empty() {
        return Err("is empty".to_owned());
    }
    let file = object::File::parse(bytes).map_err(|e| format!("is not a module, or is cut short ({e})"))?;
    if file.architecture() != this_architecture() {
        return Err(format!("is built for {:?}, this host for {TARGET}", file.architecture()));
    }
    whole(bytes)?;
    let note = match file.section_by_name(SECTION) {
        Some(s) => s.data().map_err(|e| format!("is cut short ({e})"))?.to_vec(),
        None => exported_note(&file, bytes).ok_or("has no anyproxy header: it is not an anyproxy module")?,
    };
    Facts::parse(&note).map_err(|e| format!("is not loadable: {e}"))
}

/// Every part that will be mapped lies within the file.
fn whole(bytes: &[u8]) -> Result<(), String> {
    let Ok(elf) = ElfFile64::<object::Endianness>::parse(bytes) else {
        return Ok(());
    };
    use object::read::elf::ProgramHeader;
    let endian = elf.endian();
    for p in elf.elf_program_headers() {
        let end = p.p_offset(endian).checked_add(p.p_filesz(endian));
        if end.is_none_or(|end| end > bytes.len() as u64) {
            return Err("is cut short".to_owned());
        }
    }
    for s in elf.sections() {
        if s.data().is_err() {
            return Err("is cut short".to_owned());
        }
    }
    Ok(())
}

/// Where there are no ELF notes: the exported static of the same content.
fn exported_note(file: &object::File<'_>, bytes: &[u8]) -> Option<Vec<u8>> {
    let exports = file.exports().ok()?;
    let address = exports
        .iter()
        .find(|e| matches!(e.name(), b"anyproxy_note" | b"_anyproxy_note"))
        .map(|e| e.address())
        .or_else(|| file.symbols().find(|s| s.name() == Ok("anyproxy_note")).map(|s| s.address()))?;
    let section = file.sections().find(|s| (s.address()..s.address() + s.size()).contains(&address))?;
    let (start, _) = section.file_range()?;
    let at = usize::try_from(start + (address - section.address())).ok()?;
    bytes.get(at..at + size_of::<Note>()).map(<[u8]>::to_vec)
}

fn check(facts: &Facts) -> Result<(), String> {
    let (major, minor) = facts.abi;
    if major != ABI_MAJOR || minor > ABI_MINOR {
        return Err(format!(
            "ABI {major}.{minor} required, host offers {ABI_MAJOR}.{ABI_MINOR} (built with rustc {}, host {RUSTC}); \
             rebuild against module-api of this host",
            facts.rustc
        ));
    }
    if facts.target != TARGET {
        return Err(format!("is built for {}, this host for {TARGET}", facts.target));
    }
    if !facts.unwinds {
        return Err("is built with panic=abort, where one panic ends the process; rebuild with panic=unwind".to_owned());
    }
    Ok(())
}

fn this_architecture() -> object::Architecture {
    use object::Architecture as A;
    match std::env::consts::ARCH {
        "x86_64" => A::X86_64,
        "aarch64" => A::Aarch64,
        "riscv64" => A::Riscv64,
        "x86" => A::I386,
        "arm" => A::Arm,
        "powerpc64" => A::PowerPc64,
        "s390x" => A::S390x,
        "loongarch64" => A::LoongArch64,
        _ => A::Unknown,
    }
}
