//! What answers of peers say of their own place, rewritten to the place that clients know.

use crate::{
    core::{
        forwarded_out::host,
        redirect::{DomainRule, PathRule, Rule, rewrite_cookie, rewrite_location, rewrite_refresh},
    },
    exchange::Request,
    h1::Id,
    reply::Call,
};
use anyproxy_module_api::*;

directive! {
    /// Rewrites Location, Content-Location and Refresh of peers' answers: what begins with one address or path begins with
    /// another. The first rule that fits counts, those of outer blocks first. `default`: the peer's own address becomes the
    /// one that the client used, after all other rules. `off`: rules before it do not count.
    "http_redirect", Contexts::MSL,
    .args(&[
        ArgDesc::new("from", Kind::Text, "http://host/path or /path; default; off.").required(),
        ArgDesc::new("to", Kind::Text, "The same of where it leads instead."),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_redirect \"http://app.internal:8080/shop/\" \"/\"")
}

directive! {
    /// Rewrites the Domain of cookies that peers set; the first rule that fits counts. `off`: rules before it do not count.
    "http_cookie_domain", Contexts::MSL,
    .args(&[
        ArgDesc::new("from", Kind::Text, "A domain, or * for any; off.").required(),
        ArgDesc::new("to", Kind::Text, "Another; without, the cookie is for the host that the client asks."),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_cookie_domain \"app.internal\" \"example.cn\"")
}

directive! {
    /// Rewrites the Path of cookies that peers set: what is below one is below another. The first rule that fits counts.
    /// `off`: rules before it do not count.
    "http_cookie_path", Contexts::MSL,
    .args(&[
        ArgDesc::new("from", Kind::Text, "A path; off.").required(),
        ArgDesc::new("to", Kind::Text, "Another."),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_cookie_path \"/shop/\" \"/\"")
}

/// The rules of a block.
#[derive(Debug, Default)]
pub(crate) struct Redirects {
    rules: Vec<Rule>,
    /// Also from the peer's own address.
    own: bool,
    domains: Vec<DomainRule>,
    paths: Vec<PathRule>,
}

impl Redirects {
    /// `None`: nothing is rewritten.
    pub(crate) fn new<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Option<Box<Self>> {
        let mut all = Self::default();
        for (directive, add) in [
            ("http_redirect", Self::redirect as fn(&mut Self, &str, Option<&str>) -> Result<(), String>),
            ("http_cookie_domain", Self::domain),
            ("http_cookie_path", Self::path),
        ] {
            for node in scope.all(directive) {
                let from = node.arg(0).map_or("", |v| v.text.as_str());
                if let Err(wrong) = add(&mut all, from, node.arg(1).map(|v| v.text.as_str())) {
                    problems.error(&node.span, &wrong, "");
                }
            }
        }
        let some = all.own || !(all.rules.is_empty() && all.domains.is_empty() && all.paths.is_empty());
        some.then(|| Box::new(all))
    }

    fn redirect(&mut self, from: &str, to: Option<&str>) -> Result<(), String> {
        match (from, to) {
            ("off", None) => (self.own, self.rules) = (false, Vec::new()),
            ("default", None) => self.own = true,
            ("off" | "default", Some(_)) => return Err(format!("\"{from}\" stands alone")),
            (_, None) => return Err("what does it become? a second address or path is missing".to_owned()),
            (_, Some(to)) => self.rules.push(Rule::new(from, to)?),
        }
        Ok(())
    }

    fn domain(&mut self, from: &str, to: Option<&str>) -> Result<(), String> {
        if (from, to) == ("off", None) {
            self.domains = Vec::new();
            return Ok(());
        }
        let is_domain = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
        let from = if from == "*" { None } else { Some(from) };
        if let Some(wrong) = from.into_iter().chain(to).find(|t| !is_domain(t)) {
            return Err(format!("\"{wrong}\" is no domain"));
        }
        self.domains.push(DomainRule { from: from.map(str::to_owned), to: to.map(str::to_owned) });
        Ok(())
    }

    fn path(&mut self, from: &str, to: Option<&str>) -> Result<(), String> {
        let to = match (from, to) {
            ("off", None) => {
                self.paths = Vec::new();
                return Ok(());
            }
            (_, None) => return Err("what does it become? a second path is missing".to_owned()),
            (_, Some(to)) => to,
        };
        let is_path = |t: &str| t.starts_with('/') && t.bytes().all(|b| b.is_ascii_graphic() && b != b';');
        if let Some(wrong) = [from, to].into_iter().find(|t| !is_path(t)) {
            return Err(format!("\"{wrong}\" is no path"));
        }
        self.paths.push(PathRule { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    /// Keeps in mind which peer is asked, where that matters.
    pub(crate) fn asks(&self, peer: &Lease, to: &mut String) {
        if self.own {
            to.clear();
            to.push_str(peer.info().host.as_str());
        }
    }

    /// Rewrites the lines of a peer's answer.
    pub(crate) fn apply(&self, call: &Call<'_>) {
        let parts = &mut *call.state.parts.borrow_mut();
        let mut own = None;
        let mut changed = Vec::new();
        let (lines, bytes, struck) =
            (parts.response.head.fields().list(), &parts.response.bytes, &parts.response.struck);
        for (n, line) in lines.iter().enumerate().filter(|(n, _)| !struck.has(*n)) {
            let value = line.value(bytes);
            let located = |own: &mut Option<Vec<Rule>>, rewrite: fn(&[u8], &[Rule]) -> Option<Vec<u8>>| {
                rewrite(value, &self.rules).or_else(|| {
                    rewrite(value, own.get_or_insert_with(|| if self.own { rules_of(parts) } else { Vec::new() }))
                })
            };
            let (name, new) = match line.id {
                Id::Location => ("Location", located(&mut own, rewrite_location)),
                Id::Refresh => ("Refresh", located(&mut own, rewrite_refresh)),
                Id::SetCookie => ("Set-Cookie", rewrite_cookie(value, &self.domains, &self.paths)),
                Id::Other if line.name(bytes).eq_ignore_ascii_case(b"Content-Location") => {
                    ("Content-Location", located(&mut own, rewrite_location))
                }
                _ => continue,
            };
            if let Some(new) = new {
                changed.push((n, name, new));
            }
        }
        for (n, name, value) in changed {
            if parts.response.add(name, &value).is_ok() {
                parts.response.struck.strike(n);
            }
        }
    }
}

/// From the peer's own address to the one that the client used.
fn rules_of(parts: &Request) -> Vec<Rule> {
    let Some(Ok(public)) = host(parts.authority()).map(std::str::from_utf8) else { return Vec::new() };
    let to = format!("{}://{public}", parts.scheme());
    ["http", "https"].iter().filter_map(|scheme| Rule::new(&format!("{scheme}://{}", parts.peer), &to).ok()).collect()
}
