//! What a balancer hashes to find the same peer again (`balancer_key`). Knows nothing of how it does that.

use super::pool::Pool;
use crate::session::Session;
use anyproxy_module_api::abi::net::Addr;
use std::borrow::Cow;

/// What a pool's balancer hashes for a session: as `balancer_key` says, where that comes to something; else what is `said`;
/// else the client's address.
pub fn key<'a>(session: &Session, pool: &Pool, client: &'a Addr, said: &'a [u8]) -> Cow<'a, [u8]> {
    if let Some(template) = pool.key {
        let mut text = Vec::new();
        session.render(template, false, &mut text);
        if !text.is_empty() {
            return Cow::Owned(text);
        }
    }
    Cow::Borrowed(if said.is_empty() { client.key() } else { said })
}
