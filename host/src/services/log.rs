//! Records of modules, written to the error log with the session that runs.

use super::current::current;
use crate::{
    log::{Level, Session},
    process::process,
};
use anyproxy_module_api::abi::{bytes::Str, task::guard};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// The most verbose level that anybody gets: one page for all images.
pub(super) static LEVEL: AtomicU8 = AtomicU8::new(Level::Info as u8);
/// Fields of one record that are told apart; the rest stays one text.
const MOST_FIELDS: usize = 32;

/// Takes over the error log's levels: to be called after each change of them.
pub fn refresh() {
    LEVEL.store(process().error_log.most_verbose().map_or(0, |l| l as u8), Relaxed);
}

/// Calls `f` with the session that runs on this thread, if one does (see `log::Subscriber`).
pub fn current_session(f: &mut dyn FnMut(Session<'_>)) {
    let who = current();
    if let Some(s) = who.session() {
        let id = s.shared.id.to_string();
        f(Session { id: &id, client: s.shared.client.get().ip() });
    }
}

fn level_of(n: u8) -> Level {
    match n {
        0 | 1 => Level::Error,
        2 => Level::Warn,
        3 => Level::Info,
        4 => Level::Debug,
        _ => Level::Trace,
    }
}

/// Splits `key=value key="a value"`. What has not this form comes as one field named `more`.
fn fields(text: &str) -> Vec<(&str, &str)> {
    let mut out = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let key_ends = rest.find('=').filter(|n| *n > 0 && !rest[..*n].contains([' ', '"']));
        let Some(eq) = key_ends.filter(|_| out.len() < MOST_FIELDS) else {
            out.push(("more", rest));
            break;
        };
        let (key, value) = (&rest[..eq], &rest[eq + 1..]);
        let (value, after) = match value.strip_prefix('"').and_then(|v| Some((v, closing(v)?))) {
            Some((inner, end)) => (&inner[..end], &inner[end + 1..]),
            None => value.split_at(value.find(' ').unwrap_or(value.len())),
        };
        out.push((key, value));
        rest = after.trim_start();
    }
    out
}

/// Where the quote ends.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let ends = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        ends
    })
}

pub(super) unsafe extern "C" fn log(level: u8, target: Str<'_>, message: Str<'_>, more: Str<'_>) {
    let level = level_of(level);
    guard(|| {
        let log = &process().error_log;
        if !log.enabled(level) {
            return;
        }
        let who = current();
        let target = match who.cycle() {
            Some(c) if target.is_empty() => c.module_id(who.module),
            _ => target.as_str(),
        };
        let fields = fields(more.as_str());
        let mut known = false;
        current_session(&mut |session| {
            known = true;
            log.log_record(level, target, message.as_str(), &fields, Some(session));
        });
        if !known {
            log.log_record(level, target, message.as_str(), &fields, None);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart_and_quoted_values_stay_whole() {
        assert_eq!(
            fields("a=1 b=\"two words\" c=\"q\\\"x\" d="),
            [("a", "1"), ("b", "two words"), ("c", "q\\\"x"), ("d", "")]
        );
    }

    #[test]
    fn a_text_of_another_form_is_one_field() {
        assert_eq!(fields("no form at all"), [("more", "no form at all")]);
        assert_eq!(fields("a=1 and more"), [("a", "1"), ("more", "and more")]);
        assert_eq!(fields("a=\"open"), [("a", "\"open")]);
        assert_eq!(fields(""), []);
    }

    #[test]
    fn fields_have_a_bound() {
        let text = (0..100).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(" ");
        assert_eq!(fields(&text).len(), MOST_FIELDS + 1);
    }
}
