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
