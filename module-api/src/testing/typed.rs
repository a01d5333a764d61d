//! One value of a test's configuration, read as its kind says: words, units, bounds.

use super::{conf::Given, state::State};
use crate::{
    ArgDesc, Kind,
    abi::conf::{
        address::{self, Wrong},
        units,
    },
};

/// Number and text of a value.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn typed(given: &Given, arg: &ArgDesc, state: &State) -> Result<(i64, String), String> {
    let (num, text) = read(given, arg, state)?;
    let bounded = matches!(arg.kind, Kind::Int | Kind::Size | Kind::Time | Kind::Rate | Kind::Percent);
    if bounded && !(arg.min..=arg.max).contains(&num) {
        return Err(format!("{num} is not within {} and {}", arg.min, arg.max));
    }
    Ok((num, text))
}

fn read(given: &Given, arg: &ArgDesc, state: &State) -> Result<(i64, String), String> {
    let number = |n: i64| Ok((n, String::new()));
    if let Given::Text(text) = given
        && arg.kind != Kind::Choice
        && arg.choices.iter().any(|word| word.as_str() == text)
    {
        // A word in place of a path, address or network.
        return Ok((0, text.clone()));
    }
    match (arg.kind, given) {
        (Kind::Bool, Given::Bool(b)) => number((*b).into()),
        (Kind::Int | Kind::Size | Kind::Time | Kind::Rate | Kind::Percent, Given::Number(n)) => number(*n),
        (Kind::Float, Given::Float(f)) => number(f.to_bits().cast_signed()),
        (Kind::Float, Given::Number(n)) => number((*n as f64).to_bits().cast_signed()),
        (Kind::Size | Kind::Time | Kind::Rate | Kind::Percent, Given::Text(t)) => {
            let n = match arg.kind {
                Kind::Size => units::parse_size(t)?,
                Kind::Time => u64::try_from(units::parse_time(t)?.as_nanos()).unwrap_or(u64::MAX),
                Kind::Rate => units::parse_rate(t)?,
                // Hundredths of a percent are a hundred parts in a million each.
                _ => u64::from(units::parse_percent(t)?) * 100,
            };
            number(i64::try_from(n).map_err(|_| format!("{t} is too large"))?)
        }
        (Kind::Choice, Given::Text(t)) => {
            let at = arg.choices.as_slice().iter().position(|c| c.as_str() == t);
            let at = at.ok_or_else(|| format!("{t:?} is not one of {:?}", arg.choices))?;
            Ok((at as i64, t.clone()))
        }
        (Kind::Template, Given::Text(t)) => {
            let mut all = state.templates.borrow_mut();
            all.push(t.clone());
            Ok((all.len() as i64 - 1, t.clone()))
        }
        (Kind::Upstream, Given::Text(t)) => {
            let mut all = state.named.borrow_mut();
            all.push(t.clone());
            Ok((all.len() as i64 - 1, t.clone()))
        }
        (Kind::Address, Given::Text(t)) if !t.contains("${") => shape(address::connect(t), t),
        (Kind::Listen, Given::Text(t)) => shape(address::listen(t).map(drop), t),
        (Kind::Cidr, Given::Text(t)) => shape(address::cidr(t), t),
        (Kind::Regex, Given::Text(t)) => {
            let source = t.strip_prefix('~').unwrap_or(t);
            regex::Regex::new(source).map_err(|e| e.to_string())?;
            Ok((0, source.to_owned()))
        }
        (Kind::Text | Kind::Path | Kind::Address, Given::Text(t)) => Ok((0, t.clone())),
        (kind, given) => Err(format!("{given:?} is not a {kind:?}")),
    }
}

/// A text of this shape.
fn shape(read: Result<(), Wrong>, text: &str) -> Result<(i64, String), String> {
    let said = |wrong: Wrong| match wrong.help {
        Some(help) => format!("{}; {help}", wrong.message),
        None => wrong.message,
    };
    read.map(|()| (0, text.to_owned())).map_err(said)
}
