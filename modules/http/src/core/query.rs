//! One parameter of a query (URL standard, 5.1), by its name.

/// Most parameters of a query that are looked at; those after them count as absent.
pub const MAX_PARAMETERS: usize = 1024;

/// The value of the parameter of this name in a query without its `?`, as it stands there, escapes and `+` included. Of
/// several the first counts. Names are compared as they stand there too, and case counts. It is empty for a name
/// without `=`.
#[must_use]
pub fn value<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|&byte| byte == b'&').take(MAX_PARAMETERS).find_map(|parameter| {
        let rest = parameter.strip_prefix(name).filter(|_| !name.is_empty())?;
        match rest {
            [] => Some(rest),
            [b'=', value @ ..] => Some(value),
            _ => None,
        }
    })
}
