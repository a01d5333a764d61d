//! Names of variables and functions, and who provides each. Knows no session: it only finds.

use super::core;
use crate::template::{Arity, FuncRef, MAX_ARGUMENTS, Resolver, VarRef, builtin_names};
use anyproxy_module_api::abi::module::{FunctionPoint, ModuleDesc, VariablePoint};
use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};

/// What one module registers.
#[derive(Clone, Copy, Debug)]
pub(super) struct ModuleNames<'a> {
    /// Its number; never 0.
    pub(super) module: u16,
    /// Its id, for messages.
    pub(super) id: &'a str,
    /// Its variables.
    pub(super) variables: &'a [VariablePoint],
    /// Its functions.
    pub(super) functions: &'a [FunctionPoint],
}

impl<'a> ModuleNames<'a> {
    /// Of a module's description.
    pub(super) fn of(module: u16, desc: &'a ModuleDesc) -> Self {
        let (variables, functions) = (desc.variables.as_slice(), desc.functions.as_slice());
        Self { module, id: desc.id.as_str(), variables, functions }
    }
}

/// Variables of modules that templates refer to; their position is the slot. Grows while templates are compiled, and is
/// read by all workers without a lock.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// Chunk `n` has room for `FIRST << n`, and never moves.
    chunks: [OnceLock<Box<[OnceLock<Member>]>>; 24],
    slots: Mutex<HashMap<Box<str>, VarRef>>,
}

/// Room of the first chunk.
const FIRST: usize = 64;

/// A variable of a module that a template refers to.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) module: u16,
    pub(super) point: VariablePoint,
    /// Of a member of a family: what follows the prefix.
    pub(super) rest: Box<str>,
}

/// All names.
#[derive(Debug, Default)]
pub(super) struct Known {
    exact: HashMap<Box<str>, Source>,
    /// Longest prefix first.
    families: Vec<Family>,
    functions: Vec<(u16, FunctionPoint)>,
    function_slots: HashMap<Box<str>, u32>,
}

#[derive(Debug)]
enum Source {
    Core(u32),
    Module(u16, VariablePoint),
}

#[derive(Debug)]
struct Family {
    prefix: Box<str>,
    module: u16,
    point: VariablePoint,
}

/// Where a name leads.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Core(u32),
    Module(u16, &'a VariablePoint, &'a str),
}

impl Members {
    /// Chunk and place in it.
    fn place(slot: usize) -> (usize, usize) {
        if slot < FIRST {
            // All, mostly.
            return (0, slot);
        }
        let chunk = (slot / FIRST + 1).ilog2() as usize;
        (chunk, slot - FIRST * ((1 << chunk) - 1))
    }

    /// The member of a slot that `add` gave.
    pub(super) fn get(&self, slot: u32) -> Option<&Member> {
        let (chunk, at) = Self::place(slot as usize);
        self.chunks.get(chunk)?.get()?.get(at)?.get()
    }

    /// The reference to the variable called `name`. `None`: there are a billion already.
    fn add(&self, name: &str, module: u16, point: &VariablePoint, rest: &str) -> Option<VarRef> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(var) = slots.get(name) {
            return Some(*var);
        }
        let slot = slots.len();
        let (chunk, at) = Self::place(slot);
        let room = self.chunks.get(chunk)?;
        let room = room.get_or_init(|| (0..FIRST << chunk).map(|_| OnceLock::new()).collect());
        // Under the lock nobody else has this place.
        room.get(at)?.get_or_init(|| Member { module, point: *point, rest: rest.into() });
        let var = VarRef::new(module.into(), slot as u32);
        slots.insert(name.into(), var);
        Some(var)
    }
}

/// Who has a name already, and what is wrong.
#[derive(Default)]
struct Owners {
    variables: HashMap<String, String>,
    functions: HashMap<String, String>,
    errors: Vec<String>,
}

impl Owners {
    fn take(&mut self, what: &str, name: &str, key: String, id: &str) -> bool {
        let possible = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if name.is_empty() || !name.bytes().all(possible) || name.starts_with("re.") {
            self.errors.push(format!("module {id}: {name:?} cannot be the name of a {what}"));
            return false;
        }
        let owners = if what == "function" { &mut self.functions } else { &mut self.variables };
        match owners.entry(key) {
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(format!("module {id}"));
                true
            }
            std::collections::hash_map::Entry::Occupied(taken) => {
                let error = format!("module {id}: the {what} \"{name}\" is registered by {} already", taken.get());
                self.errors.push(error);
                false
            }
        }
    }
}

impl Known {
    /// The host's names and those of `modules`. A variable that the host keeps open for modules (it has no value of its
    /// own) belongs to the module that registers it; any other name may exist once. All clashes and impossible names
    /// come together, each as one line.
    pub(super) fn new<'a>(modules: impl IntoIterator<Item = ModuleNames<'a>>) -> Result<Self, Vec<String>> {
        let mut known = Self::default();
        let mut owners = Owners::default();
        for (slot, var) in core::TABLE.iter().enumerate() {
            known.exact.insert(var.name.into(), Source::Core(slot as u32));
            if !var.open {
                owners.variables.insert(var.name.to_owned(), "the host".to_owned());
            }
        }
        for module in modules {
            known.add(&module, &mut owners);
        }
        known.families.sort_by_key(|f| std::cmp::Reverse(f.prefix.len()));
        if owners.errors.is_empty() { Ok(known) } else { Err(owners.errors) }
    }

    fn add(&mut self, from: &ModuleNames<'_>, owners: &mut Owners) {
        let module = from.module;
        for point in from.variables {
            let name = point.name.as_str();
            // A family and a variable may have the same text: the exact name wins.
            let (what, key) = if point.prefix { ("family", format!("{name}<")) } else { ("variable", name.to_owned()) };
            if !owners.take(what, name, key, from.id) {
                continue;
            }
            if point.prefix {
                self.families.push(Family { prefix: name.into(), module, point: *point });
            } else {
                self.exact.insert(name.into(), Source::Module(module, *point));
            }
        }
        for point in from.functions {
            let name = point.name.as_str();
            if builtin_names().any(|b| b == name) {
                owners.errors.push(format!("module {}: the function \"{name}\" is the host's own", from.id));
            } else if usize::from(point.arity_max) > MAX_ARGUMENTS {
                let error = format!("module {}: \"{name}\" takes more than {MAX_ARGUMENTS} arguments", from.id);
                owners.errors.push(error);
            } else if point.arity_min > point.arity_max {
                owners.errors.push(format!("module {}: \"{name}\" takes no number of arguments", from.id));
            } else if owners.take("function", name, name.to_owned(), from.id) {
                self.function_slots.insert(name.into(), self.functions.len() as u32);
                self.functions.push((module, *point));
            }
        }
    }

    /// An exact name, or the family with the longest prefix.
    pub(super) fn find<'a>(&'a self, name: &'a str) -> Option<Found<'a>> {
        match self.exact.get(name) {
            Some(Source::Core(slot)) => return Some(Found::Core(*slot)),
            Some(Source::Module(module, point)) => return Some(Found::Module(*module, point, "")),
            None => {}
        }
        self.families.iter().find_map(|f| {
            let rest = name.strip_prefix(&*f.prefix).filter(|rest| !rest.is_empty())?;
            Some(Found::Module(f.module, &f.point, rest))
        })
    }

    /// A function by the slot that [`Resolver::function`] gave.
    pub(super) fn function(&self, slot: u32) -> Option<(u16, &FunctionPoint)> {
        self.functions.get(slot as usize).map(|(module, point)| (*module, point))
    }

    /// Names and documentation of modules, by name.
    pub(super) fn documentation(&self) -> impl Iterator<Item = (String, String)> {
        let exact = self.exact.values().filter_map(|source| match source {
            Source::Core(_) => None,
            Source::Module(_, point) => Some((point.name.to_string(), point.doc.to_string())),
        });
        let families = self.families.iter().map(|f| (format!("{}<…>", f.prefix), f.point.doc.to_string()));
        let functions = self.functions.iter().map(|(_, f)| (format!("{}(…)", f.name), f.doc.to_string()));
        let mut all: Vec<_> = exact.chain(families).chain(functions).collect();
        all.sort();
        all.into_iter()
    }
}

/// Names while templates are compiled: what they refer to gets a slot in `members`.
pub(super) struct Names<'n> {
    pub(super) known: &'n Known,
    pub(super) members: &'n Members,
}

impl Resolver for Names<'_> {
    fn variable(&self, name: &str) -> Option<VarRef> {
        match self.known.find(name)? {
            Found::Core(slot) => Some(VarRef::new(0, slot)),
            Found::Module(module, point, rest) => self.members.add(name, module, point, rest),
        }
    }

    fn function(&self, name: &str) -> Option<FuncRef> {
        let slot = *self.known.function_slots.get(name)?;
        let (module, point) = self.known.function(slot)?;
        Some(FuncRef {
            provider: module.into(),
            slot,
            arity: Arity { min: point.arity_min.into(), max: point.arity_max.into() },
        })
    }

    fn names(&self, each: &mut dyn FnMut(&str)) {
        self.known.exact.keys().for_each(|name| each(name));
        self.known.families.iter().for_each(|f| each(&format!("{}<…>", f.prefix)));
    }

    fn function_names(&self, each: &mut dyn FnMut(&str)) {
        self.known.function_slots.keys().for_each(|name| each(name));
    }
}
