//! Named groups of regular expressions: names become slots when the configuration is read, values are kept by slot.

use std::collections::HashMap;

use crate::template::{FuncRef, Resolver, VarRef};

/// The names of all groups of one configuration. A name that several patterns use has one slot.
#[derive(Clone, Debug, Default)]
pub struct CaptureNames {
    slots: HashMap<Box<str>, u32>,
}

impl CaptureNames {
    /// The slot of `name`, made when it is new.
    pub fn intern(&mut self, name: &str) -> u32 {
        if let Some(slot) = self.slot(name) {
            return slot;
        }
        // Each name comes from a pattern of the configuration, whose size bounds the count far below 2³².
        let slot = self.slots.len() as u32;
        self.slots.insert(name.into(), slot);
        slot
    }

    /// The slot of `name`, when a pattern has a group of that name.
    pub fn slot(&self, name: &str) -> Option<u32> {
        self.slots.get(name).copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// True: no pattern names a group.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// A resolver that knows `re.name` for every group, and `name` when `inner` does not know it.
    pub fn over<'a>(&'a self, inner: &'a dyn Resolver) -> impl Resolver + 'a {
        Over { names: self, inner }
    }
}

struct Over<'a> {
    names: &'a CaptureNames,
    inner: &'a dyn Resolver,
}

impl Resolver for Over<'_> {
    fn variable(&self, name: &str) -> Option<VarRef> {
        if let Some(group) = name.strip_prefix("re.") {
            return self.names.slot(group).map(VarRef::capture);
        }
        self.inner.variable(name).or_else(|| self.names.slot(name).map(VarRef::capture))
    }

    fn function(&self, name: &str) -> Option<FuncRef> {
        self.inner.function(name)
    }

    fn names(&self, each: &mut dyn FnMut(&str)) {
        self.inner.names(each);
        for name in self.names.slots.keys() {
            each(&format!("re.{name}"));
        }
    }

    fn function_names(&self, each: &mut dyn FnMut(&str)) {
        self.inner.function_names(each);
    }
}

/// What groups matched, in one session. Setting a slot again replaces its value.
#[derive(Clone, Debug, Default)]
pub struct CaptureValues {
    bytes: Vec<u8>,
    parts: Vec<(u32, u32, u32)>,
}

impl CaptureValues {
    /// Without values; allocates nothing.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), parts: Vec::new() }
    }

    /// The value of a slot. None: its group took no part in a match.
    pub fn value(&self, slot: u32) -> Option<&[u8]> {
        let (_, from, to) = self.parts.iter().find(|(have, _, _)| *have == slot)?;
        self.bytes.get(*from as usize..*to as usize)
    }

    /// Sets the value of a slot. Ignored when all values together would exceed 4 GiB.
    pub fn set(&mut self, slot: u32, value: &[u8]) {
        self.parts.retain(|(have, _, _)| *have != slot);
        if self.parts.is_empty() {
            self.bytes.clear();
        }
        let from = self.bytes.len();
        if let (Ok(start), Ok(end)) = (u32::try_from(from), u32::try_from(from + value.len())) {
            self.bytes.extend_from_slice(value);
            self.parts.push((slot, start, end));
        }
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.parts.clear();
    }

    /// True: no slot has a value.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::{Absent, Template, Values, Written};

    struct Plain;

    impl Resolver for Plain {
        fn variable(&self, name: &str) -> Option<VarRef> {
            (name == "domain").then_some(VarRef::new(0, 9))
        }
    }

    impl Values for CaptureValues {
        fn write(&self, var: VarRef, out: &mut Vec<u8>) -> Option<Written> {
            let value = if var.provider == VarRef::CAPTURE { self.value(var.slot) } else { Some(&b"plain"[..]) };
            out.extend_from_slice(value.unwrap_or_default());
            value.map(|_| Written::Any)
        }
    }

    #[test]
    fn template_reads_captures_by_qualified_and_by_bare_name() {
        let mut names = CaptureNames::default();
        let (shop, domain) = (names.intern("shop"), names.intern("domain"));
        assert_eq!(names.intern("shop"), shop);
        let resolver = names.over(&Plain);
        let template = Template::compile("${re.shop} ${shop} ${domain} ${re.domain}", &resolver).expect("known");
        let mut values = CaptureValues::new();
        values.set(shop, b"old");
        values.set(domain, b"group");
        values.set(shop, b"books");
        let mut out = Vec::new();
        template.render(&values, &mut out, Absent::Dash);
        assert_eq!(out, b"books books plain group", "a variable wins over a group of the same name");
        let error = Template::compile("${re.shpo}", &resolver).expect_err("unknown").remove(0);
        assert_eq!(error.suggestion.as_deref(), Some("re.shop"));
    }

    #[test]
    fn cleared_values_are_gone() {
        let mut values = CaptureValues::new();
        values.set(3, b"x");
        assert_eq!(values.value(3), Some(&b"x"[..]));
        values.clear();
        assert!(values.is_empty() && values.value(3).is_none());
    }
}
