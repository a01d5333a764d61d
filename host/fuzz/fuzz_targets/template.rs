//! A template and, behind a zero byte, the value of its variables: no panic, errors lie inside the text, and what is escaped is
//! clean.
#![no_main]

use anyproxy_host::template::{Absent, Arity, Call, Escape, FuncRef, Resolver, Template, Values, VarRef, Written};
use libfuzzer_sys::fuzz_target;

struct Names;

impl Resolver for Names {
    fn variable(&self, name: &str) -> Option<VarRef> {
        (name.len() < 9).then_some(VarRef::new(0, name.len() as u32))
    }

    fn function(&self, name: &str) -> Option<FuncRef> {
        (name == "f").then_some(FuncRef { provider: 0, slot: 0, arity: Arity { min: 0, max: 8 } })
    }

    fn names(&self, each: &mut dyn FnMut(&str)) {
        each("domain");
    }
}

struct Value<'a>(&'a [u8]);

impl Values for Value<'_> {
    fn write(&self, var: VarRef, out: &mut Vec<u8>) -> Option<Written> {
        out.extend_from_slice(self.0);
        (var.slot != 1).then_some(Written::Any)
    }

    fn call(&self, _func: FuncRef, call: &mut Call<'_>) -> bool {
        call.fill(1 << 16, |args, room| {
            let text = args.first().copied().flatten().unwrap_or_default();
            if let Some(room) = room.get_mut(..text.len()) {
                room.copy_from_slice(text);
            }
            text.len()
        })
    }
}

fuzz_target!(|input: &[u8]| {
    let (text, value) = match input.iter().position(|&byte| byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b"a\"\\\n\xff"[..]),
    };
    let text = String::from_utf8_lossy(text);
    match Template::compile(&text, &Names) {
        Ok(template) => {
            for escape in [Escape::None, Escape::Log, Escape::Json] {
                let mut out = Vec::new();
                template.render_escaped(&Value(value), &mut out, Absent::Dash, escape);
                if escape != Escape::None {
                    assert!(std::str::from_utf8(&out).is_ok());
                }
            }
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(text.get(error.span.clone()).is_some());
            }
        }
    }
});
