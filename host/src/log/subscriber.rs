//! The host's own `tracing` events, written to the error log. Spans are accepted and ignored: the session comes from the scope
//! that runs.

use std::fmt::{self, Write};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata};
use tracing_core::LevelFilter;

use super::error::{ErrorLog, Level, Session};

/// Calls its argument with the session that the calling thread runs for, or does not call it.
pub type CurrentSession = fn(&mut dyn FnMut(Session<'_>));

/// Install with `tracing::subscriber::set_global_default`.
pub struct Subscriber {
    log: ErrorLog,
    session: CurrentSession,
}

impl Subscriber {
    /// Writes to `log`, with the session that `session` gives.
    pub fn new(log: ErrorLog, session: CurrentSession) -> Self {
        Self { log, session }
    }
}

impl From<tracing::Level> for Level {
    fn from(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }
}

impl tracing::Subscriber for Subscriber {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Levels change while the process runs.
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && self.log.enabled((*metadata.level()).into())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.log.most_verbose() {
            None => LevelFilter::OFF,
            Some(Level::Error) => LevelFilter::ERROR,
            Some(Level::Warn) => LevelFilter::WARN,
            Some(Level::Info) => LevelFilter::INFO,
            Some(Level::Debug) => LevelFilter::DEBUG,
            Some(Level::Trace) => LevelFilter::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut record = Texts::default();
        event.record(&mut record);
        let fields: Vec<(&str, &str)> = record.fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let meta = event.metadata();
        // `anyproxy_host::worker` is `host`: the crate's path says nothing to an operator.
        let target = if meta.target().starts_with("anyproxy_host") { "host" } else { meta.target() };
        let write = |session: Option<Session<'_>>| {
            self.log.log_record((*meta.level()).into(), target, &record.message, &fields, session);
        };
        let mut known = false;
        (self.session)(&mut |session| {
            if !std::mem::replace(&mut known, true) {
                write(Some(session));
            }
        });
        if !known {
            write(None);
        }
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// An event's fields as text.
#[derive(Default)]
struct Texts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Texts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String fails only when the value's own Debug does, and then what there is stays.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.push((field.name(), format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields.push((field.name(), value.to_owned()));
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.fields.push((field.name(), value.to_string()));
    }
}
