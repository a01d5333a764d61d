//! Arguments and properties: values fetched from the environment and from files, repeated properties found.

use std::collections::HashMap;

use super::{Loader, files};
use crate::config::{
    diagnostic::{Diagnostic, did_you_mean},
    document::{Place, Raw, RawProp, RawValue},
    reader::syntax::{Entry, Name, Value},
};

/// Of a `(file)` value.
const MAX_VALUE: u64 = 1 << 20;

impl Loader<'_> {
    /// Sorts entries into arguments and properties of the directive `of`.
    pub(super) fn entries(&mut self, entries: Vec<Entry<'_>>, of: &str) -> (Vec<RawValue>, Vec<RawProp>) {
        let (mut args, mut props) = (Vec::new(), Vec::<RawProp>::new());
        let mut first = HashMap::new();
        for entry in entries {
            let place = self.place(entry.span);
            let (data, redacted) = self.value(entry.value, entry.tag.as_ref(), place);
            let value = RawValue { data, redacted, place };
            let Some(name) = entry.name else {
                args.push(value);
                continue;
            };
            let place = self.place(name.span);
            let name = name.text.into_owned();
            if let Some(before) = first.insert(name.clone(), place) {
                first.insert(name.clone(), before);
                let message = format!("{name}= is given twice to {of}");
                let problem = Diagnostic::error("repeated-property", message)
                    .at(place)
                    .label(before, "first here")
                    .help("leave one of them");
                self.problems.push(problem);
                continue;
            }
            props.push(RawProp { name, place, value });
        }
        (args, props)
    }

    fn value(&mut self, value: Value<'_>, tag: Option<&Name<'_>>, place: Place) -> (Raw, bool) {
        let Some(tag) = tag else {
            return (self.plain(value, place), false);
        };
        let loaded = match (tag.text.as_ref(), value) {
            ("env", Value::Text(name)) => self.env_value(&name),
            ("file", Value::Text(name)) => self.file_value(&name),
            ("env" | "file", _) => Err("the name after (env) and (file) is quoted text".to_owned()),
            (other, _) => {
                let problem = Diagnostic::error("tag", format!("unknown tag ({other}) on a value"))
                    .at(self.place(tag.span))
                    .suggest(did_you_mean(other, ["env", "file"]))
                    .help("before a value may stand (env) or (file)");
                self.problems.push(problem);
                return (Raw::Null, true);
            }
        };
        match loaded {
            Ok(text) => (Raw::Text(text), true),
            Err(reason) => {
                self.problems.push(Diagnostic::error("value", reason).at(place));
                (Raw::Null, true)
            }
        }
    }

    fn plain(&mut self, value: Value<'_>, place: Place) -> Raw {
        match value {
            Value::Null => Raw::Null,
            Value::Bool(flag) => Raw::Bool(flag),
            Value::Int(number) => Raw::Int(number),
            Value::Float(number) => Raw::Float(number),
            Value::Text(text) => Raw::Text(text.into_owned()),
            Value::BigInt => {
                let message = format!("the number does not fit {}…{}", i64::MIN, i64::MAX);
                self.problems.push(Diagnostic::error("number", message).at(place));
                Raw::Int(0)
            }
        }
    }

    fn env_value(&self, name: &str) -> Result<String, String> {
        // What the system cannot look up is as good as unset.
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("\"{name}\" is no name of an environment variable"));
        }
        (self.surroundings.env)(name)
            .ok_or_else(|| format!("the environment variable {name} is not set"))?
            .into_string()
            .map_err(|_| format!("the environment variable {name} is not UTF-8"))
    }

    fn file_value(&self, name: &str) -> Result<String, String> {
        let path = self.directories().1.join(name);
        let mut text = files::read(&path, MAX_VALUE).map_err(|failure| match failure {
            files::Failure::TooLong => format!("{name} is larger than {} MiB", MAX_VALUE >> 20),
            files::Failure::NotText(n) => format!("cannot read {name}: its byte {} is not UTF-8", n.at),
            files::Failure::Other(reason) => format!("cannot read {name}: {reason}"),
        })?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(text)
    }
}
