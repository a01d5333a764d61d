//! All series as Prometheus text (exposition format 0.0.4) and as a JSON tree.

use std::fmt::{self, Write};

use serde_json::{Map, Value, json};

use super::histogram::{BUCKETS, Snapshot, upper_bound};
use super::registry::{Family, Labels};
use super::{Kind, Registry, Unit};

impl Registry {
    /// Appends the Prometheus text. Histograms show every second bound, the powers of two, so that the set of `le` never
    /// changes and stays small.
    pub fn prometheus(&self, out: &mut String) {
        let state = self.state();
        for (name, family) in &state.families {
            // Writing to a String cannot fail.
            let _ = family_text(self, out, name, family);
        }
    }

    /// `{name: {type, help, unit, series: [{labels: {…}, value}]}}`. A histogram has `count`, `sum`, `p50`, `p90`, `p99` (null
    /// without values) and `buckets`, the non-empty ones as `[upper bound or null, count]`, instead of `value`. Times are in
    /// seconds.
    pub fn json(&self) -> Value {
        let state = self.state();
        let mut tree = Map::new();
        for (name, family) in &state.families {
            let series: Vec<Value> = family
                .series
                .iter()
                .map(|(labels, series)| {
                    let labels: Map<String, Value> =
                        labels.iter().map(|(name, value)| (name.to_string(), Value::from(&**value))).collect();
                    let mut entry = match family.kind {
                        Kind::Counter => {
                            json!({"value": scaled_json(self.sum(series.cell), family.unit)})
                        }
                        Kind::Gauge => match family.unit {
                            Unit::Seconds => {
                                json!({"value": self.sum(series.cell) as i64 as f64 / 1e6})
                            }
                            _ => json!({"value": self.sum(series.cell) as i64}),
                        },
                        Kind::Histogram => histogram_json(&self.snapshot(series.cell), family.unit),
                    };
                    entry["labels"] = Value::Object(labels);
                    entry
                })
                .collect();
            tree.insert(
                name.to_string(),
                json!({"type": family.kind.name(), "help": &*family.help, "unit": family.unit.name(), "series": series}),
            );
        }
        Value::Object(tree)
    }
}

fn family_text(registry: &Registry, out: &mut String, name: &str, family: &Family) -> fmt::Result {
    out.write_str("# HELP ")?;
    out.write_str(name)?;
    out.write_char(' ')?;
    // The format escapes backslash and line feed here, and the quote as well in label values.
    escaped(out, &family.help, false)?;
    writeln!(out, "\n# TYPE {name} {}", family.kind.name())?;
    for (labels, series) in &family.series {
        match family.kind {
            Kind::Counter => {
                sample(out, name, "", labels, None)?;
                writeln!(out, "{}", Scaled(registry.sum(series.cell), family.unit))?;
            }
            Kind::Gauge => {
                sample(out, name, "", labels, None)?;
                let value = registry.sum(series.cell) as i64;
                let sign = if value < 0 { "-" } else { "" };
                writeln!(out, "{sign}{}", Scaled(value.unsigned_abs(), family.unit))?;
            }
            Kind::Histogram => histogram_text(out, name, labels, &registry.snapshot(series.cell), family.unit)?,
        }
    }
    Ok(())
}

fn histogram_text(out: &mut String, name: &str, labels: &Labels, snapshot: &Snapshot, unit: Unit) -> fmt::Result {
    let mut total = 0;
    for (index, count) in snapshot.counts.iter().enumerate().take(BUCKETS - 1) {
        total += count;
        if index % 2 == 0
            && let Some(bound) = upper_bound(index)
        {
            sample(out, name, "_bucket", labels, Some(&Scaled(bound, unit)))?;
            writeln!(out, "{total}")?;
        }
    }
    sample(out, name, "_bucket", labels, Some(&"+Inf"))?;
    writeln!(out, "{}", snapshot.count())?;
    sample(out, name, "_sum", labels, None)?;
    writeln!(out, "{}", Scaled(snapshot.sum, unit))?;
    sample(out, name, "_count", labels, None)?;
    writeln!(out, "{}", snapshot.count())
}

/// Everything of a line before its value.
fn sample(
    out: &mut String,
    name: &str,
    suffix: &str,
    labels: &Labels,
    bound: Option<&dyn fmt::Display>,
) -> fmt::Result {
    write!(out, "{name}{suffix}")?;
    let mut open = '{';
    for (name, value) in labels {
        write!(out, "{open}{name}=\"")?;
        escaped(out, value, true)?;
        out.write_char('"')?;
        open = ',';
    }
    if let Some(bound) = bound {
        write!(out, "{open}le=\"{bound}\"")?;
        open = ',';
    }
    out.write_str(if open == ',' { "} " } else { " " })
}

fn escaped(out: &mut String, text: &str, quote: bool) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '"' if quote => out.write_str("\\\"")?,
            _ => out.write_char(c)?,
        }
    }
    Ok(())
}

/// A value in its unit, exact: microseconds as a decimal fraction of seconds.
struct Scaled(u64, Unit);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1_000_000, self.0 % 1_000_000);
        if self.1 != Unit::Seconds {
            return write!(f, "{}", self.0);
        }
        if part == 0 {
            return write!(f, "{whole}");
        }
        write!(f, "{whole}.{}", format!("{part:06}").trim_end_matches('0'))
    }
}

fn scaled_json(value: u64, unit: Unit) -> Value {
    match unit {
        Unit::Seconds => json!(value as f64 / 1e6),
        _ => json!(value),
    }
}

fn histogram_json(snapshot: &Snapshot, unit: Unit) -> Value {
    let scale = if unit == Unit::Seconds { 1e6 } else { 1.0 };
    let quantile = |q| snapshot.quantile(q).map(|value| value / scale);
    let buckets: Vec<Value> = snapshot
        .counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(index, count)| json!([upper_bound(index).map(|bound| scaled_json(bound, unit)), count]))
        .collect();
    json!({
        "count": snapshot.count(),
        "sum": scaled_json(snapshot.sum, unit),
        "p50": quantile(0.5),
        "p90": quantile(0.9),
        "p99": quantile(0.99),
        "buckets": buckets,
    })
}
