//! One value: from what is written to what its declaration asks for.

use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{ArgDesc, Kind, Value},
};

use super::{
    super::{
        address::{self, Wrong},
        diagnostic::{Diagnostic, did_you_mean},
        document::{Raw, RawValue},
        schema::Entry,
        units,
    },
    Typer,
};

impl Typer<'_> {
    /// Types one argument or property. `None`: something was wrong, and was said.
    pub(super) fn value(
        &mut self,
        entry: Entry,
        arg: &'static ArgDesc,
        prop: bool,
        raw: &RawValue,
    ) -> Option<Value<'static>> {
        let redacted = raw.redacted || arg.secret;
        let read = self.read(entry, arg, raw);
        let wrong = match read {
            Ok(Some((kind, num, text))) => {
                return Some(Value { kind, redacted, num, text, span: self.span(raw.place) });
            }
            Ok(None) => return None,
            Err(wrong) => wrong,
        };
        let what = if prop { "property" } else { "argument" };
        let head = format!("\"{}\", {what} \"{}\"", entry.desc.name, arg.name);
        let found = if redacted {
            // What is redacted must not come out by way of an error.
            Diagnostic::error("bad-value", format!("{head}: the value (not shown) is not {}", words(arg.kind)))
        } else {
            let found = Diagnostic::error("bad-value", format!("{head}: {}", wrong.message));
            match wrong.help {
                Some(help) => found.help(help),
                None => found,
            }
        };
        self.say(entry, found.at(raw.place));
        None
    }

    /// `Ok(None)`: wrong, and already said.
    fn read(
        &mut self,
        entry: Entry,
        arg: &'static ArgDesc,
        raw: &RawValue,
    ) -> Result<Option<(Kind, i64, Str<'static>)>, Wrong> {
        let kind = arg.kind;
        let misfit = || Wrong::new(format!("expected {}, not {}", words(kind), shown(&raw.data)));
        if let (Raw::Text(text), false) = (&raw.data, arg.choices.is_empty() || kind == Kind::Choice)
            && let Some(word) = arg.choices.iter().find(|w| w.as_str() == text)
        {
            // A word in place of a path, address or network.
            return Ok(Some((kind, 0, *word)));
        }
        let num = match (kind, &raw.data) {
            (Kind::Bool, Raw::Bool(on)) => i64::from(*on),
            (Kind::Bool, Raw::Text(text)) if raw.redacted => match text.trim() {
                "true" | "#true" | "1" => 1,
                "false" | "#false" | "0" => 0,
                _ => return Err(misfit()),
            },
            (Kind::Bool, Raw::Text(text)) if matches!(&**text, "true" | "false" | "on" | "off" | "yes" | "no") => {
                let on = matches!(&**text, "true" | "on" | "yes");
                return Err(misfit().help(format!("write #{on}")));
            }
            (Kind::Int, Raw::Int(n)) => within(arg, *n)?,
            (Kind::Int, Raw::Text(text)) if raw.redacted => within(arg, text.trim().parse().map_err(|_| misfit())?)?,
            (Kind::Int, Raw::Text(text)) if text.parse::<i64>().is_ok() => {
                return Err(misfit().help(format!("write {text} without quotes")));
            }
            (Kind::Float, Raw::Float(_) | Raw::Int(_) | Raw::Text(_)) => {
                let n = match &raw.data {
                    Raw::Float(n) => *n,
                    Raw::Int(n) => *n as f64,
                    Raw::Text(text) if raw.redacted => text.trim().parse().map_err(|_| misfit())?,
                    _ => return Err(misfit()),
                };
                if !n.is_finite() || n < arg.min as f64 || n > arg.max as f64 {
                    return Err(Wrong::new(format!("{n} is out of bounds")).help(bounds(arg)));
                }
                n.to_bits() as i64
            }
            (Kind::Size | Kind::Time | Kind::Rate | Kind::Percent, Raw::Text(text)) => {
                let n = with_unit(kind, text.trim()).map_err(Wrong::new)?;
                within(arg, n)?;
                // The text as written is kept beside the number, for dumps.
                return Ok(Some((kind, n, self.arena.text(text.trim()))));
            }
            (Kind::Size | Kind::Time | Kind::Rate | Kind::Percent, Raw::Int(0)) => within(arg, 0)?,
            (Kind::Size | Kind::Time | Kind::Rate | Kind::Percent, Raw::Int(n)) => {
                return Err(misfit().help(format!("write a unit: {}", units_like(kind, &n.to_string()))));
            }
            (_, Raw::Text(text)) => return self.text(entry, arg, raw, text),
            _ => return Err(misfit()),
        };
        Ok(Some((kind, num, Str::EMPTY)))
    }

    /// The kinds that stay text.
    fn text(
        &mut self,
        entry: Entry,
        arg: &'static ArgDesc,
        raw: &RawValue,
        text: &str,
    ) -> Result<Option<(Kind, i64, Str<'static>)>, Wrong> {
        let kind = arg.kind;
        let mut num = 0;
        let kept = match kind {
            Kind::Choice => {
                let Some(n) = arg.choices.iter().position(|w| w.as_str() == text) else {
                    let words: Vec<&str> = arg.choices.iter().map(|w| w.as_str()).collect();
                    let meant = did_you_mean(text, words.iter().copied());
                    let meant = meant.map_or_else(String::new, |m| format!("; did you mean \"{m}\"?"));
                    return Err(Wrong::new(format!("\"{text}\" is not one of its words{meant}"))
                        .help(format!("one of {}", words.join(", "))));
                };
                num = n as i64;
                arg.choices[n]
            }
            Kind::Path => {
                if text.is_empty() || text.contains('\0') {
                    return Err(Wrong::new("a path is not empty and holds no zero"));
                }
                let path = self.absolute(raw.place.file, text);
                self.arena.text(&path)
            }
            Kind::Address if text.contains("${") => {
                let text = self.arena.text(text);
                let id = self.template(entry, text, raw.place, self.span(raw.place));
                return Ok(Some((Kind::Template, i64::from(id), text)));
            }
            Kind::Address => {
                address::connect(text)?;
                self.arena.text(text)
            }
            Kind::Listen => {
                address::listen(text)?;
                self.arena.text(text)
            }
            Kind::Cidr => {
                address::cidr(text)?;
                self.arena.text(text)
            }
            Kind::Template => {
                let text = self.arena.text(text);
                num = i64::from(self.template(entry, text, raw.place, self.span(raw.place)));
                text
            }
            Kind::Regex => {
                let source = text.strip_prefix('~').unwrap_or(text);
                let shown = !raw.redacted && !arg.secret;
                if self.regex(entry, source, raw.place, shown).is_none() {
                    return Ok(None);
                }
                self.arena.text(source)
            }
            Kind::Upstream => {
                let text = self.arena.text(text);
                num = self.upstreams.len() as i64;
                self.upstreams.push((text, raw.place));
                text
            }
            Kind::Text => {
                let len = text.len() as i64;
                if len < arg.min || len > arg.max {
                    return Err(Wrong::new(format!("the text has {len} bytes")).help(bounds(arg)));
                }
                self.arena.text(text)
            }
            _ => {
                let wrong = Wrong::new(format!("expected {}, not text", words(kind)));
                let known: Vec<&str> = arg.choices.iter().map(|w| w.as_str()).collect();
                return Err(if known.is_empty() {
                    wrong
                } else {
                    wrong.help(format!("or one of {}", known.join(", ")))
                });
            }
        };
        Ok(Some((kind, num, kept)))
    }

    /// `path` as seen from the file that names it, without `.` parts. `..` stays: it may lead through a link.
    fn absolute(&self, file: u32, path: &str) -> String {
        let Some(file) = self.files.get(file as usize) else {
            return path.to_owned();
        };
        let joined = file.dir.join(path);
        let plain: std::path::PathBuf = joined.components().collect();
        plain.to_string_lossy().into_owned()
    }
}

/// A number with a unit, in the unit of `kind`.
fn with_unit(kind: Kind, text: &str) -> Result<i64, String> {
    let n = match kind {
        Kind::Size => units::parse_size(text)?,
        Kind::Time => u64::try_from(units::parse_time(text)?.as_nanos()).unwrap_or(u64::MAX),
        Kind::Rate => units::parse_rate(text)?,
        // Hundredths of a percent are a hundred parts in a million each.
        _ => u64::from(units::parse_percent(text)?) * 100,
    };
    i64::try_from(n).map_err(|_| format!("{text} is too large"))
}

/// Checks the declared bounds.
fn within(arg: &ArgDesc, n: i64) -> Result<i64, Wrong> {
    if n < arg.min || n > arg.max {
        let n = show(arg.kind, n);
        return Err(Wrong::new(format!("{n} is out of bounds")).help(bounds(arg)));
    }
    Ok(n)
}

/// The bounds in words.
pub(in super::super) fn bounds(arg: &ArgDesc) -> String {
    let unit = if arg.kind == Kind::Text { " bytes" } else { "" };
    let (min, max) = (show(arg.kind, arg.min), show(arg.kind, arg.max));
    match arg.max {
        i64::MAX => format!("at least {min}{unit}"),
        _ => format!("{min} to {max}{unit}"),
    }
}

/// A number as it would be written, with the greatest unit that needs no fraction.
fn show(kind: Kind, n: i64) -> String {
    let units: &[(&str, i64)] = match kind {
        Kind::Size => &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)],
        Kind::Time => &[
            ("d", 86_400_000_000_000),
            ("h", 3_600_000_000_000),
            ("m", 60_000_000_000),
            ("s", 1_000_000_000),
            ("ms", 1_000_000),
        ],
        Kind::Percent => return format!("{}%", n as f64 / 10_000.0),
        _ => return n.to_string(),
    };
    match units.iter().find(|(_, size)| n % size == 0) {
        _ if n == 0 => "0".to_owned(),
        Some((unit, size)) => format!("{}{unit}", n / size),
        None => format!("{n} ns"),
    }
}

/// What a kind is called in messages and documentation.
pub(in super::super) fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "#true or #false",
        Kind::Int => "a whole number",
        Kind::Text => "text",
        Kind::Size => "a size such as \"8MiB\"",
        Kind::Time => "a time such as \"5s\"",
        Kind::Rate => "a rate such as \"10MiB/s\"",
        Kind::Choice => "one of its words",
        Kind::Path => "a path",
        Kind::Address => "an address such as \"host:port\"",
        Kind::Template => "text with ${variables}",
        Kind::Regex => "a regular expression",
        Kind::Cidr => "an address, a network or \"all\"",
        Kind::Float => "a number",
        Kind::Percent => "a share such as \"50%\"",
        Kind::Upstream => "the name of an upstream",
        Kind::Listen => "a listening address such as \"0.0.0.0:80\"",
    }
}

fn units_like(kind: Kind, n: &str) -> String {
    match kind {
        Kind::Size => format!("\"{n}B\", \"{n}KiB\", \"{n}MiB\""),
        Kind::Time => format!("\"{n}ms\", \"{n}s\", \"{n}m\""),
        Kind::Rate => format!("\"{n}/s\", \"{n}KiB/s\""),
        _ => format!("\"{n}%\""),
    }
}

fn shown(raw: &Raw) -> String {
    match raw {
        Raw::Null => "#null".to_owned(),
        Raw::Bool(on) => format!("#{on}"),
        Raw::Int(n) => n.to_string(),
        Raw::Float(n) => n.to_string(),
        Raw::Text(text) if text.chars().count() <= 40 => format!("\"{text}\""),
        Raw::Text(_) => "text".to_owned(),
    }
}
