//! Patterns, one a line, the last line being the name that is looked up: no panic, an exact name finds itself, and a duplicate
//! names an earlier pattern.
#![no_main]

use anyproxy_host::matcher::domain::DomainSet;
use anyproxy_host::matcher::{CaptureNames, CaptureValues};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    let mut lines: Vec<&str> = text.lines().take(64).collect();
    let name = lines.pop().unwrap_or_default();
    let mut names = CaptureNames::default();
    let mut captures = CaptureValues::new();
    match DomainSet::compile(lines.iter().copied().zip(0usize..), &mut names) {
        Ok(set) => {
            if let Some(found) = set.lookup(name.as_bytes(), &mut captures) {
                assert_eq!(found.index, *found.value);
            }
            for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.starts_with(['*', '~'])) {
                let found = set.lookup(line.to_ascii_uppercase().as_bytes(), &mut captures);
                assert_eq!(found.map(|found| found.index), Some(index));
            }
        }
        Err(errors) => {
            for error in errors {
                assert!(error.index < lines.len() && error.earlier.is_none_or(|earlier| earlier < error.index));
            }
        }
    }
});
