//! One value of a test's configuration, read as its kind says: words, units, bounds.

use super::{conf::Given, state::State};
use crate::{ArgDesc, Kind};

const TIMES: &[(&str, f64)] = &[("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86_400e9)];
const SIZES: &[(&str, f64)] = &[("KiB", 1024.0), ("MiB", 1_048_576.0), ("GiB", 1_073_741_824.0), ("B", 1.0)];

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
    match (arg.kind, given) {
        (Kind::Bool, Given::Bool(b)) => number((*b).into()),
        (Kind::Int | Kind::Size | Kind::Time | Kind::Rate | Kind::Percent, Given::Number(n)) => number(*n),
        (Kind::Float, Given::Float(f)) => number(f.to_bits().cast_signed()),
        (Kind::Float, Given::Number(n)) => number((*n as f64).to_bits().cast_signed()),
        (Kind::Size, Given::Text(t)) => number(with_unit(t, SIZES)?),
        (Kind::Time, Given::Text(t)) => number(with_unit(t, TIMES)?),
        (Kind::Rate, Given::Text(t)) => {
            let n = t.strip_suffix("/s").ok_or("a rate ends in /s")?;
            number(n.parse().or_else(|_| with_unit(n, SIZES))?)
        }
        (Kind::Percent, Given::Text(t)) => number(with_unit(t, &[("%", 10_000.0)])?),
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
        (Kind::Text | Kind::Path | Kind::Address | Kind::Regex | Kind::Cidr | Kind::Listen, Given::Text(t)) => {
            Ok((0, t.clone()))
        }
        (kind, given) => Err(format!("{given:?} is not a {kind:?}")),
    }
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Result<i64, String> {
    if text == "0" {
        return Ok(0);
    }
    let unit =
        units.iter().find_map(|(u, by)| text.strip_suffix(u).and_then(|n| n.parse::<f64>().ok()).map(|n| n * by));
    unit.map(|n| n as i64).ok_or_else(|| {
        let names: Vec<_> = units.iter().map(|u| u.0).collect();
        format!("{text:?} is not a number with a unit of {}", names.join(" "))
    })
}
