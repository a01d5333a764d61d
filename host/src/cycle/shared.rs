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
        if data.is_null() || scope.0 as usize >= tree.scope_count() {
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
        let mut at = (scope.0 as usize) < tree.scope_count();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{include, load};
    use std::ptr;

    const OUTER: ScopeId = Tree::MAIN;

    fn tree() -> (Tree, ScopeId) {
        let document = include::load_text("/conf/main.kdl", "upstream \"a\" {\n}\n").expect("the text is KDL");
        let (tree, _) = load(&document, &[]).unwrap_or_else(|wrong| panic!("{wrong}"));
        let inner = tree.scopes().find(|(_, s)| s.parent == Some(OUTER)).expect("the upstream's block").0;
        (tree, inner)
    }

    #[test]
    fn a_block_sees_what_is_lent_around_it_and_its_own_first() {
        let (tree, inner) = tree();
        let (a, b) = (1, 2);
        let (a, b) = (ptr::from_ref(&a).cast::<()>(), ptr::from_ref(&b).cast::<()>());
        let p = Published::default();
        assert!(p.publish(&tree, OUTER, "tls", "store/1", a));
        assert_eq!(p.find(&tree, inner, "tls", "store/1"), Some(a));
        assert!(p.publish(&tree, inner, "tls", "store/1", b));
        assert_eq!(p.find(&tree, inner, "tls", "store/1"), Some(b));
        assert_eq!(p.find(&tree, OUTER, "tls", "store/1"), Some(a));
        assert!(!p.publish(&tree, inner, "tls", "store/1", a));
    }

    #[test]
    fn another_kind_and_another_block_are_not_taken_for_it() {
        let (tree, inner) = tree();
        let a = 1;
        let a = ptr::from_ref(&a).cast::<()>();
        let p = Published::default();
        assert!(p.publish(&tree, inner, "tls", "store/1", a));
        assert_eq!(p.find(&tree, inner, "tls", "store/2"), None);
        assert_eq!(p.find(&tree, OUTER, "tls", "store/1"), None);
        assert!(!p.publish(&tree, ScopeId(1000), "tls", "store/1", a));
        assert_eq!(p.find(&tree, ScopeId(1000), "tls", "store/1"), None);
        assert!(!p.publish(&tree, OUTER, "nothing", "store/1", ptr::null()));
    }
}
