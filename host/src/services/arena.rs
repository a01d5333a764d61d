//! Memory of one typed tree: texts and slices that never move, so that what was handed to modules stays valid.
//! Knows nothing of what is kept in it.

use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    conf::{Node, Prop, Value},
};

/// Texts a chunk; longer ones get their own.
const TEXT: usize = 16 << 10;
/// Items a chunk.
const ITEMS: usize = 256;

/// Grows only. What it returns is valid until it is dropped: to the host, `'static` is for as long as the tree, which has the
/// arena and all that refers to it. Modules are lent it for the length of a call.
#[derive(Debug, Default)]
pub struct Arena {
    text: Vec<String>,
    values: Chunks<Value<'static>>,
    props: Chunks<Prop<'static>>,
    nodes: Chunks<Node<'static>>,
}

impl Arena {
    /// Keeps a text.
    pub fn text(&mut self, text: &str) -> Str<'static> {
        if text.is_empty() {
            return Str::EMPTY;
        }
        if self.text.last().is_none_or(|c| c.capacity() - c.len() < text.len()) {
            self.text.push(String::with_capacity(TEXT.max(text.len())));
        }
        let chunk = self.text.last_mut().expect("one was pushed when there was none");
        let start = chunk.len();
        // Within the capacity, so the chunk stays where it is.
        chunk.push_str(text);
        // SAFETY: neither moved nor changed until the arena is dropped, beyond which nobody keeps it.
        unsafe { Str::new(&chunk[start..]).unbound() }
    }

    /// Keeps values.
    pub fn values(&mut self, items: &[Value<'static>]) -> Slice<'static, Value<'static>> {
        self.values.keep(items)
    }

    /// Keeps properties.
    pub fn props(&mut self, items: &[Prop<'static>]) -> Slice<'static, Prop<'static>> {
        self.props.keep(items)
    }

    /// Keeps directives.
    pub fn nodes(&mut self, items: &[Node<'static>]) -> Slice<'static, Node<'static>> {
        self.nodes.keep(items)
    }
}

#[derive(Debug)]
struct Chunks<T>(Vec<Vec<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Chunks<T> {
    fn keep(&mut self, items: &[T]) -> Slice<'static, T> {
        if items.is_empty() {
            return Slice::EMPTY;
        }
        if self.0.last().is_none_or(|c| c.capacity() - c.len() < items.len()) {
            self.0.push(Vec::with_capacity(ITEMS.max(items.len())));
        }
        let chunk = self.0.last_mut().expect("one was pushed when there was none");
        let start = chunk.len();
        // Within the capacity, so the chunk stays where it is.
        chunk.extend_from_slice(items);
        // SAFETY: as in `text`.
        unsafe { Slice::new(&chunk[start..]).unbound() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_stays_as_it_was_while_more_is_kept() {
        let mut arena = Arena::default();
        let mut kept = Vec::new();
        for n in 0..5_000 {
            let text = arena.text(&format!("text {n}"));
            let node = Node {
                name: text,
                args: Slice::EMPTY,
                props: Slice::EMPTY,
                children: Slice::EMPTY,
                arg_defaults: Slice::EMPTY,
                defaults: Slice::EMPTY,
                span: Default::default(),
            };
            kept.push((text, arena.nodes(&[node, node])));
        }
        let moved = arena;
        for (n, (text, nodes)) in kept.iter().enumerate() {
            assert_eq!(text.as_str(), format!("text {n}"));
            assert_eq!(nodes.len(), 2);
            assert_eq!(nodes[1].name.as_str(), format!("text {n}"));
        }
        drop(moved);
    }

    #[test]
    fn a_text_longer_than_a_chunk_is_kept_whole() {
        let mut arena = Arena::default();
        let long = "x".repeat(3 * TEXT);
        assert_eq!(arena.text(&long).as_str(), long);
        assert_eq!(arena.text("").as_str(), "");
    }
}
