//! `tracing` inside a module goes to the host's log.
//!
//! `export_module!` installs the subscriber once an image: each image has its own copy of `tracing` and its statics. The same
//! goes for panics: what one says and where it was goes to the host's log, too.

use crate::abi::services::{log, log_enabled};
use std::{
    fmt::{Debug, Write},
    panic::{self, PanicHookInfo},
};
use tracing_core::{
    Event, Level, Metadata,
    field::{Field, Visit},
    span,
    subscriber::{Interest, Subscriber},
};

struct Forward {
    module: &'static str,
}

/// Installs the subscriber; a second call in one image changes nothing.
pub(crate) fn install(module: &'static str) {
    // Already set: another module is linked into the same binary, or the image was initialised before.
    if tracing_core::dispatcher::set_global_default(tracing_core::Dispatch::new(Forward { module })).is_ok() {
        report_panics(module);
    }
}

/// Has panics of this image said in the host's log. Where a backtrace is asked for (`RUST_BACKTRACE`), and in tests on the fake
/// host, what was there before goes on: to stderr.
fn report_panics(module: &'static str) {
    let before = panic::take_hook();
    let also = cfg!(any(test, feature = "testing")) || std::env::var_os("RUST_BACKTRACE").is_some_and(|v| v != "0");
    panic::set_hook(Box::new(move |info| {
        log(number(Level::ERROR), module, &told(info), "");
        if also {
            before(info);
        }
    }));
}

/// What a panic says, and where.
fn told(info: &PanicHookInfo<'_>) -> String {
    let text = info.payload().downcast_ref::<&str>().copied();
    let text = text.or_else(|| info.payload().downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("something that is no text");
    match info.location() {
        Some(at) => format!("panic at {at}: {text}"),
        None => format!("panic: {text}"),
    }
}

fn number(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

#[derive(Default)]
struct Record {
    message: String,
    fields: String,
}

impl Visit for Record {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a `String` does not fail.
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let gap = if self.fields.is_empty() { "" } else { " " };
            let _ = write!(self.fields, "{gap}{}=", field.name());
            let begins = self.fields.len();
            let _ = write!(self.fields, "{value:?}");
            if needs_quotes(&self.fields[begins..]) {
                let value = self.fields.split_off(begins);
                let _ = write!(self.fields, "{value:?}");
            }
        }
    }
}

/// Whether a value (`%error`, `?list`) would be read as ending before its end. A text's own `Debug` has its quotes already.
fn needs_quotes(value: &str) -> bool {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    let is_quoted = inner.is_some_and(|inner| {
        let mut escaped = false;
        inner.chars().all(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            !closes
        }) && !escaped
    });
    !is_quoted && value.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '='))
}

impl Subscriber for Forward {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level changes at run time: ask each time.
        Interest::sometimes()
    }
    fn enabled(&self, m: &Metadata<'_>) -> bool {
        log_enabled(number(*m.level()))
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let m = event.metadata();
        let mut r = Record::default();
        event.record(&mut r);
        // A library's own target says more than the module's name.
        let target = if m.target().starts_with("anyproxy") { self.module } else { m.target() };
        log(number(*m.level()), target, &r.message, &r.fields);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an event's fields become.
    fn fields(event: impl FnOnce()) -> String {
        use std::sync::{Arc, Mutex};
        struct Keep(Arc<Mutex<String>>);
        impl Subscriber for Keep {
            fn enabled(&self, _: &Metadata<'_>) -> bool {
                true
            }
            fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
                span::Id::from_u64(1)
            }
            fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
            fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
            fn event(&self, event: &Event<'_>) {
                let mut r = Record::default();
                event.record(&mut r);
                *self.0.lock().expect("nobody panicked") = r.fields;
            }
            fn enter(&self, _: &span::Id) {}
            fn exit(&self, _: &span::Id) {}
        }
        let kept = Arc::<Mutex<String>>::default();
        tracing::subscriber::with_default(Keep(kept.clone()), event);
        kept.lock().expect("nobody panicked").clone()
    }

    #[test]
    fn a_value_with_a_gap_in_it_is_quoted() {
        let error = "no route: \"x\" to a=b";
        assert_eq!(
            fields(|| tracing::warn!(error = %error, n = 7, "it failed")),
            r#"error="no route: \"x\" to a=b" n=7"#
        );
        assert_eq!(fields(|| tracing::warn!(list = ?[1, 2], "a list")), r#"list="[1, 2]""#);
        assert_eq!(fields(|| tracing::warn!(line = %"a\nb", "a break")), r#"line="a\nb""#);
    }

    #[test]
    fn what_has_its_quotes_and_what_needs_none_stays() {
        assert_eq!(
            fields(|| tracing::warn!(text = "two words", word = %"one", "texts")),
            r#"text="two words" word=one"#
        );
        assert_eq!(fields(|| tracing::warn!(said = %r#""a" or "b""#, "two")), r#"said="\"a\" or \"b\"""#);
    }
}
