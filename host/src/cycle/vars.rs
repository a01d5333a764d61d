//! Variables and functions of templates: which names there are and whose they are, and how a session writes their
//! values. Owns the host's own variables ([`core`]); a module's are asked of the module.
//!
//! While templates are compiled, [`VarTable`] turns names into numbers (put the names of captures over it with
//! [`crate::matcher::CaptureNames::over`]); afterwards all workers read it without a lock.

pub mod core;
mod id;
pub mod listing;
mod names;
pub mod outcome;
#[cfg(test)]
mod tests;

use crate::{
    config::tree::{ScopeId, Server, Tree},
    services::{
        current::{Current, enter, enter_in},
        instance::Instance,
        points,
    },
    session::Session,
    template::{Call, FuncRef, Resolver, Values, VarRef, Written},
};
use anyproxy_module_api::abi::{
    bytes::Str,
    module::{FunctionPoint, VariablePoint},
};
pub use id::request_id;
use names::{Found, Known, Members, ModuleNames, Names};
use std::{borrow::Cow, collections::HashMap, sync::OnceLock};

/// Every variable and function of one generation.
#[derive(Debug)]
pub struct VarTable {
    known: Known,
    members: Members,
    /// Servers by their block: net and number in it. Made when first asked for.
    servers: OnceLock<HashMap<ScopeId, (usize, usize)>>,
}

impl VarTable {
    /// The host's names and those of the modules, by number. A variable that the host keeps open for modules (it has no
    /// value of its own) belongs to the module that registers it; any other name may exist once.
    ///
    /// # Errors
    /// All clashes and impossible names, in words.
    pub fn new(instances: &[Option<Instance>]) -> Result<Self, String> {
        let modules = instances.iter().enumerate().filter_map(|(n, i)| i.as_ref().map(|i| (n as u16, i)));
        let known =
            Known::new(modules.map(|(n, i)| ModuleNames::of(n, i.desc()))).map_err(|errors| errors.join("; "))?;
        Ok(Self { known, members: Members::default(), servers: OnceLock::new() })
    }

    fn resolver(&self) -> Names<'_> {
        Names { known: &self.known, members: &self.members }
    }

    /// Appends the value of the variable called `name`. False: there is no such variable, or it has no value now.
    /// Captures are found as `re.name` only while a template of the configuration names them, so not here.
    pub fn write_by_name(&self, session: &Session, name: &str, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let present = match self.known.find(name) {
            Some(Found::Core(slot)) => (core::TABLE[slot as usize].write)(session, out).is_some(),
            Some(Found::Module(module, point, rest)) => ask(session, module, point, rest, out),
            None => false,
        };
        if !present {
            out.truncate(start);
        }
        present
    }

    /// The server of the configuration whose block this is.
    pub(crate) fn server<'t>(&self, tree: &'t Tree, scope: ScopeId) -> Option<&'t Server> {
        let servers = self.servers.get_or_init(|| tree.servers().map(|(net, n, s)| (s.scope, (net, n))).collect());
        let (net, n) = servers.get(&scope)?;
        tree.nets.get(*net)?.servers.get(*n)
    }

    /// Every name with its line of documentation, the host's first. A family is shown as `name<…>`.
    pub fn documentation(&self) -> Vec<(String, String)> {
        let host = documentation().into_iter().map(|(name, doc)| (name.to_owned(), doc.to_owned()));
        host.chain(self.known.documentation()).collect()
    }
}

impl Resolver for VarTable {
    fn variable(&self, name: &str) -> Option<VarRef> {
        self.resolver().variable(name)
    }

    fn function(&self, name: &str) -> Option<FuncRef> {
        self.resolver().function(name)
    }

    fn names(&self, each: &mut dyn FnMut(&str)) {
        self.resolver().names(each);
    }

    fn function_names(&self, each: &mut dyn FnMut(&str)) {
        self.resolver().function_names(each);
    }
}

/// The host's own variables with their lines of documentation, in the order of the reference.
pub fn documentation() -> Vec<(&'static str, &'static str)> {
    core::TABLE.iter().map(|v| (v.name, v.doc)).collect()
}

fn ask(session: &Session, module: u16, point: &VariablePoint, rest: &str, out: &mut Vec<u8>) -> bool {
    let worker = &session.worker;
    let place = worker.place(module, worker.cycle.conf(session.scope.get(), module));
    let _who = enter_in(session, module);
    points::variable(point, place, session, rest, out)
}

// Not inlined: the host's own variables, which are most, need no frame for it.
#[inline(never)]
fn capture(session: &Session, slot: u32, out: &mut Vec<u8>) -> Option<Written> {
    session.peek(|texts| {
        // Borrowed while rules are tried: what this very match captures is not there yet.
        let captures = texts.captures.try_borrow().ok()?;
        out.extend_from_slice(captures.value(slot)?);
        Some(Written::Any)
    })
}

/// Provider 0 is the host, [`VarRef::CAPTURE`] the named groups of what matched, any other number a module.
impl Values for Session {
    #[inline]
    fn write(&self, var: VarRef, out: &mut Vec<u8>) -> Option<Written> {
        match var.provider {
            0 => (core::TABLE.get(var.slot as usize)?.write)(self, out),
            VarRef::CAPTURE => capture(self, var.slot, out),
            _ => {
                let m = self.worker.cycle.vars.members.get(var.slot)?;
                ask(self, m.module, &m.point, &m.rest, out).then_some(Written::Any)
            }
        }
    }

    fn call(&self, func: FuncRef, call: &mut Call<'_>) -> bool {
        let Some((module, point)) = self.worker.cycle.vars.known.function(func.slot) else { return false };
        let _who = enter(Current::in_session(self, module));
        run(point, call)
    }
}

/// Calls a module's function. An argument without a value comes as an empty text, what is not UTF-8 as U+FFFD.
fn run(point: &FunctionPoint, call: &mut Call<'_>) -> bool {
    let mut result = Vec::new();
    let present = {
        let texts: Vec<Cow<'_, str>> =
            (0..call.count()).map(|n| String::from_utf8_lossy(call.argument(n).unwrap_or_default())).collect();
        let args: Vec<Str<'_>> = texts.iter().map(|t| Str::new(t)).collect();
        points::function(point, &args, &mut result)
    };
    call.push(&result);
    present
}
