//! What a module's file says of itself before anything in it runs: an ELF note (elsewhere an exported static) of plain
//! text lines, one `key value` each.
//!
//! ```text
//! abi 1.0
//! id tcp
//! version 0.1.0
//! api 0.1.0
//! rustc 1.95.0
//! target x86_64-unknown-linux-gnu
//! panic unwind
//! provides sample.echo 1.0
//! requires sample.echo 1.0
//! ```

/// Major version of the ABI: a change breaks every module.
pub const ABI_MAJOR: u16 = 1;
/// Minor version: grows with additions.
pub const ABI_MINOR: u16 = 0;
/// Name of the ELF section.
pub const SECTION: &str = ".note.anyproxy";
/// Owner name in the note, with its terminating zero, padded to 4.
pub const OWNER: &[u8; 12] = b"anyproxy\0\0\0\0";
/// Note type.
pub const TYPE: u32 = 1;
/// Bytes of text.
pub const TEXT: usize = 1024;

/// Version of the compiler that built this image.
pub const RUSTC: &str = env!("ANYPROXY_RUSTC");
/// Target triple of this image.
pub const TARGET: &str = env!("ANYPROXY_TARGET");
/// Version of this crate.
pub const API: &str = env!("CARGO_PKG_VERSION");

/// The note as it lies in the file: no pointers.
#[repr(C, align(4))]
#[derive(Debug)]
pub struct Note {
    pub(super) namesz: u32,
    pub(super) descsz: u32,
    pub(super) kind: u32,
    pub(super) owner: [u8; 12],
    pub(super) text: [u8; TEXT],
}

impl Note {
    /// Builds the note in a constant.
    ///
    /// # Panics
    /// (in a constant: does not compile) when the text exceeds `TEXT` bytes.
    pub const fn new(
        id: &str,
        version: &str,
        unwinds: bool,
        provides: &[(&str, u16, u16)],
        requires: &[(&str, u16, u16)],
    ) -> Self {
        let mut t = Text { bytes: [0; TEXT], len: 0 };
        t.put("abi ").number(ABI_MAJOR).put(".").number(ABI_MINOR);
        t.put("\nid ").put(id).put("\nversion ").put(version).put("\napi ").put(API);
        t.put("\nrustc ").put(RUSTC).put("\ntarget ").put(TARGET);
        t.put(if unwinds { "\npanic unwind\n" } else { "\npanic abort\n" });
        let mut i = 0;
        while i < provides.len() {
            t.put("provides ")
                .put(provides[i].0)
                .put(" ")
                .number(provides[i].1)
                .put(".")
                .number(provides[i].2)
                .put("\n");
            i += 1;
        }
        i = 0;
        while i < requires.len() {
            t.put("requires ")
                .put(requires[i].0)
                .put(" ")
                .number(requires[i].1)
                .put(".")
                .number(requires[i].2)
                .put("\n");
            i += 1;
        }
        Self {
            // A note's owner is counted with its zero and without its padding.
            namesz: 9,
            descsz: TEXT as u32,
            kind: TYPE,
            owner: *OWNER,
            text: t.bytes,
        }
    }

    /// Size of what precedes the text.
    pub const HEAD: usize = 24;
}

struct Text {
    bytes: [u8; TEXT],
    len: usize,
}

impl Text {
    const fn put(&mut self, text: &str) -> &mut Self {
        let b = text.as_bytes();
        let mut i = 0;
        while i < b.len() {
            self.bytes[self.len] = b[i];
            self.len += 1;
            i += 1;
        }
        self
    }

    const fn number(&mut self, n: u16) -> &mut Self {
        let mut digits = [0_u8; 5];
        let mut i = 5;
        let mut n = n;
        loop {
            i -= 1;
            digits[i] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        while i < 5 {
            self.bytes[self.len] = digits[i];
            self.len += 1;
            i += 1;
        }
        self
    }
}

/// A contract's name and version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractVersion {
    /// Name.
    pub id: String,
    /// Major and minor.
    pub version: (u16, u16),
}

/// What a note says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Major and minor of the ABI.
    pub abi: (u16, u16),
    /// Module id.
    pub id: String,
    /// Module version.
    pub version: String,
    /// Version of module-api.
    pub api: String,
    /// Compiler.
    pub rustc: String,
    /// Target triple.
    pub target: String,
    /// Whether panics unwind.
    pub unwinds: bool,
    /// Contracts offered.
    pub provides: Vec<ContractVersion>,
    /// Contracts needed.
    pub requires: Vec<ContractVersion>,
}

impl Facts {
    /// Reads the note's bytes (head and text) as found in a file.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(note: &[u8]) -> Result<Self, String> {
        let word = |at: usize| note.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
        if note.len() < Note::HEAD || word(8) != Some(TYPE) || note.get(12..21) != Some(&OWNER[..9]) {
            return Err("its header is not one of anyproxy's".to_owned());
        }
        let len = (word(4).unwrap_or(0) as usize).min(note.len() - Note::HEAD);
        let text = &note[Note::HEAD..Note::HEAD + len];
        let end = text.iter().position(|b| *b == 0).unwrap_or(text.len());
        let text = std::str::from_utf8(&text[..end]).map_err(|_| "its header is not text".to_owned())?;
        let mut facts = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').ok_or("its header is malformed")?;
            match key {
                "abi" => facts.abi = version(value).ok_or("its header names no ABI version")?,
                "id" => facts.id = value.to_owned(),
                "version" => facts.version = value.to_owned(),
                "api" => facts.api = value.to_owned(),
                "rustc" => facts.rustc = value.to_owned(),
                "target" => facts.target = value.to_owned(),
                "panic" => facts.unwinds = value == "unwind",
                "provides" => facts.provides.push(contract(value).ok_or("its header is malformed")?),
                "requires" => facts.requires.push(contract(value).ok_or("its header is malformed")?),
                // A newer minor may say more.
                _ => {}
            }
        }
        if facts.abi.0 == 0 || facts.id.is_empty() {
            return Err("its header is incomplete".to_owned());
        }
        Ok(facts)
    }
}

fn version(text: &str) -> Option<(u16, u16)> {
    let (a, b) = text.split_once('.')?;
    Some((a.parse().ok()?, b.parse().ok()?))
}

fn contract(text: &str) -> Option<ContractVersion> {
    let (id, v) = text.split_once(' ')?;
    Some(ContractVersion { id: id.to_owned(), version: version(v)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_it_was_built_with() {
        static NOTE: Note = Note::new("sample", "1.2.3", true, &[("sample.echo", 1, 20)], &[("http.filter", 2, 0)]);
        // SAFETY: plain bytes.
        let bytes = unsafe { std::slice::from_raw_parts((&raw const NOTE).cast::<u8>(), size_of::<Note>()) };
        let f = Facts::parse(bytes).expect("a note built here is readable");
        assert_eq!((f.id.as_str(), f.version.as_str(), f.unwinds), ("sample", "1.2.3", true));
        assert_eq!(f.abi, (ABI_MAJOR, ABI_MINOR));
        assert_eq!(f.provides[0].version, (1, 20));
        assert_eq!(f.requires[0].id, "http.filter");
        for cut in 0..Note::HEAD {
            assert!(Facts::parse(&bytes[..cut]).is_err());
        }
    }
}
