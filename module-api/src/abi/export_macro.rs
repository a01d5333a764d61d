//! Constant functions that `export_module!` needs.

/// The first of a list.
///
/// # Panics
/// (in a constant: does not compile) on an empty list.
pub const fn first(list: &[&'static str]) -> &'static str {
    list[0]
}

/// The id: given, or the crate's name without `anyproxy_`, with `-` for `_`-less ids as they are.
pub const fn module_id(krate: &'static str, given: &[&'static str]) -> &'static str {
    if let [id, ..] = given {
        return id;
    }
    let prefix = "anyproxy_".as_bytes();
    let bytes = krate.as_bytes();
    let mut i = 0;
    while i < prefix.len() {
        if i >= bytes.len() || bytes[i] != prefix[i] {
            return krate;
        }
        i += 1;
    }
    krate.split_at(prefix.len()).1
}

/// A contract and its version as written in `export_module!`: `"sample.echo" 1.10`.
///
/// # Panics
/// (in a constant: does not compile) when the version is not `major.minor`.
pub const fn contract(id: &'static str, version: &'static str) -> (&'static str, u16, u16) {
    let bytes = version.as_bytes();
    let (mut number, mut major, mut seen, mut digits, mut i) = (0_u16, 0_u16, false, 0, 0);
    while i < bytes.len() {
        match bytes[i] {
            b'0'..=b'9' => {
                number = number * 10 + (bytes[i] - b'0') as u16;
                digits += 1;
            }
            b'.' if !seen && digits > 0 => (major, number, seen, digits) = (number, 0, true, 0),
            _ => panic!("a contract's version is written major.minor"),
        }
        i += 1;
    }
    assert!(seen && digits > 0, "a contract's version is written major.minor");
    (id, major, number)
}

#[cfg(test)]
mod tests {
    use super::contract;

    #[test]
    fn a_contracts_version_keeps_trailing_zeros_of_its_minor() {
        assert_eq!(contract("a.b", "1.0"), ("a.b", 1, 0));
        assert_eq!(contract("a.b", "12.10"), ("a.b", 12, 10));
    }
}
