//! Requests that have something forgotten: which they are. What is forgotten is for the module that keeps it.

use crate::{
    hooks,
    incoming::Incoming,
    message::Message,
    reply::{Call, Reply},
    respond::refuse,
};
use anyproxy_module_api::*;

directive! {
    /// Answers requests with these methods by the handler "purge" that a module which keeps answers registered, others with
    /// 405. Whoever reaches this local may purge: give it an `ip_allow` or `http_auth_basic`.
    "http_purge", Contexts::LOCAL,
    .props(&[ArgDesc::new("methods", Kind::Text, "Methods that purge, with spaces.").default("PURGE")])
    .inherit(Inherit::Never)
    .answers(Answers::WithPeers)
    .example("http_purge methods=\"PURGE DELETE\"")
}

/// The handler's name.
pub(crate) const HANDLER: &str = "purge";

/// Which requests purge.
#[derive(Debug)]
pub(crate) struct Purge(Box<str>);

impl Purge {
    /// # Errors
    /// What is no method.
    pub(crate) fn new(node: &Node<'_>) -> Result<Self, String> {
        let methods = node.text("methods");
        let bad = |m: &&str| Message::default().make_request(m.as_bytes(), b"/").is_err();
        match methods.split_whitespace().find(bad) {
            Some(bad) => Err(format!("{bad:?} is no method")),
            None if methods.trim().is_empty() => Err("no method is named".to_owned()),
            None => Ok(Self(methods.into())),
        }
    }

    pub(crate) async fn answer(&self, call: &Call<'_>, incoming: Incoming) -> Reply {
        let purges = {
            let parts = call.state.parts.borrow();
            self.0.split_whitespace().any(|m| m.as_bytes() == parts.method_name())
        };
        if purges {
            return hooks::handle(call, HANDLER, incoming).await;
        }
        let reply = refuse(call, 405);
        let allowed: Vec<_> = self.0.split_whitespace().collect();
        // Tokens and commas are a value.
        let _ = call.state.parts.borrow_mut().response.add("Allow", allowed.join(", ").as_bytes());
        reply
    }
}
