//! What modules of one generation lend each other, by block and key, inherited by nested blocks. Knows nothing of what the
//! pointers stand for: the kind says it, and both sides must name the same.

use crate::config::tree::{ScopeId, Tree};
use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicPtr, Ordering::Relaxed},
    },
};

/// Most entries of a generation.
const MOST: usize = 100_000;

/// Everything lent in one generation.
#[derive(Debug, Default)]
pub struct Published(RwLock<HashMap<ScopeId, Vec<Entry>>>);

#[derive(Debug)]
struct Entry {
    key: Box<str>,
    kind: Box<str>,
    /// Only carried; atomic so that it may be.
    data: AtomicPtr<()>,
}

impl Published {
    /// Lends `data` under `key` for a block and those in it. False: the key is taken in this very block, there is no such
    /// block, or there are too many entries.
    pub fn publish(&self, tree: &Tree, scope: ScopeId, key: &str, kind: &str, data: *const ()) -> bool {
        if data.is_null() || scope.0 as usize >= tree.scopes().len() {
            return false;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.values().map(Vec::len).sum::<usize>() >= MOST {
            return false;
        }
        let here = all.entry(scope).or_default();
        if here.iter().any(|e| &*e.key == key) {
            return false;
        }
        here.push(Entry { key: key.into(), kind: kind.into(), data: AtomicPtr::new(data.cast_mut()) });
        true
    }

    /// What is lent under `key` in the block or the nearest around it; `None` also if that one is of another kind.
    pub fn find(&self, tree: &Tree, scope: ScopeId, key: &str, kind: &str) -> Option<*const ()> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut at = (scope.0 as usize) < tree.scopes().len();
        let mut scope = scope;
        while at {
            if let Some(e) = all.get(&scope).and_then(|here| here.iter().find(|e| &*e.key == key)) {
                return (&*e.kind == kind).then(|| e.data.load(Relaxed).cast_const());
            }
            match tree.scope(scope).parent {
                Some(parent) => scope = parent,
                None => at = false,
            }
        }
        None
    }
}
