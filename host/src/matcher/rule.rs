//! Chooses a local: the first, in the order of the file, whose rules all hold. Knows no variable: an input is a number,
//! and the caller writes its value when asked.
//!
//! Locals with a positive text or prefix rule are found through a hash or a sorted table by that rule, so a thousand
//! of them cost what ten do; only those found have their other rules checked. The rest is tried one after the other.

use std::collections::HashMap;
use std::fmt;

use super::prefix::PrefixMap;
use super::{CaptureNames, CaptureValues, named_groups, regex, store};

/// How a rule compares. Bytes, case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// The whole value.
    Text,
    /// The beginning of the value.
    Prefix,
    /// A search for a regular expression in the value.
    Regex,
}

/// One rule as it stands in the configuration.
#[derive(Clone, Debug)]
pub struct Rule<'a> {
    /// Which input it tests: the caller's number of a template, equal for equal templates, counted from 0 without gaps.
    pub input: usize,
    /// How.
    pub op: Op,
    /// With what.
    pub pattern: &'a str,
    /// The rule holds when the comparison does not. Its named groups are not captured then.
    pub not: bool,
}

/// A mistake in the locals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Which local.
    pub local: usize,
    /// Which of its rules; None: the local as such.
    pub rule: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RuleError {}

/// The compiled locals of one server.
#[derive(Debug)]
pub struct RuleTable {
    locals: Vec<Vec<Check>>,
    groups: Vec<Group>,
    /// Locals that no group finds, in order.
    linear: Vec<usize>,
    /// The local without rules.
    last: Option<usize>,
    inputs: usize,
    /// Some rule captures.
    captures: bool,
}

/// Locals that are found by one input.
#[derive(Debug)]
struct Group {
    input: usize,
    /// The earliest of them: the group is not asked when an earlier local is chosen already.
    first: usize,
    /// Each list in order.
    text: HashMap<Box<[u8]>, Vec<usize>>,
    prefix: PrefixMap<Vec<usize>>,
}

#[derive(Debug)]
struct Check {
    input: usize,
    not: bool,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Text(Box<[u8]>),
    Prefix(Box<[u8]>),
    Regex(regex::bytes::Regex, Box<[(usize, u32)]>),
}

/// Memory that a worker keeps between choices: values of inputs, each asked for at most once a choice.
#[derive(Debug, Default)]
pub struct Scratch {
    bytes: Vec<u8>,
    values: Vec<Option<(usize, usize)>>,
}

impl RuleTable {
    /// Compiles the locals in the order of the file. Named groups get slots in `names`. All mistakes are reported together.
    pub fn compile(locals: &[Vec<Rule<'_>>], names: &mut CaptureNames) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let mut checks = Vec::new();
        let last = locals.iter().position(Vec::is_empty);
        for (local, rules) in locals.iter().enumerate() {
            if let Some(before) = last.filter(|&before| before < local) {
                let message = format!("never chosen: local {} before it has no rules and takes everything", before + 1);
                errors.push(RuleError { local, rule: None, message });
            }
            let mut compiled = Vec::new();
            for (index, rule) in rules.iter().enumerate() {
                match Check::compile(rule, names) {
                    Ok(check) => compiled.push(check),
                    Err(message) => errors.push(RuleError { local, rule: Some(index), message }),
                }
            }
            checks.push(compiled);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let (groups, linear) = index(locals);
        let inputs = locals.iter().flatten().map(|rule| rule.input + 1).max().unwrap_or(0);
        let captures =
            checks.iter().flatten().any(|check| matches!(&check.test, Test::Regex(_, groups) if !groups.is_empty()));
        Ok(Self { locals: checks, groups, linear, last, inputs, captures })
    }

    /// The first local whose rules all hold. `source` appends the value of an input and says whether there is one; an
    /// input without value is an empty text. Named groups of the chosen local's rules go to `captures`, which is otherwise
    /// left alone. None: no local matches.
    pub fn choose(
        &self,
        scratch: &mut Scratch,
        captures: &mut CaptureValues,
        mut source: impl FnMut(usize, &mut Vec<u8>) -> bool,
    ) -> Option<usize> {
        let chosen = self.only().or_else(|| self.find(scratch, &mut source))?;
        if !self.captures {
            return Some(chosen);
        }
        for check in self.locals[chosen].iter().filter(|check| !check.not) {
            if let Test::Regex(regex, groups) = &check.test
                && !groups.is_empty()
            {
                store(regex, groups, scratch.value(check.input, &mut source), captures);
            }
        }
        Some(chosen)
    }

    /// How many inputs the rules use: numbers below this are asked for.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The local of a server that has one, without rules, as most do: nothing is to be chosen.
    pub fn only(&self) -> Option<usize> {
        self.last.filter(|_| self.locals.len() == 1)
    }

    /// Whether a choice may capture anything.
    pub fn captures(&self) -> bool {
        self.captures
    }

    /// True: there is no local.
    pub fn is_empty(&self) -> bool {
        self.locals.is_empty()
    }

    fn find(&self, scratch: &mut Scratch, source: &mut dyn FnMut(usize, &mut Vec<u8>) -> bool) -> Option<usize> {
        scratch.reset(self.inputs);
        let mut best = self.last.unwrap_or(self.locals.len());
        for group in &self.groups {
            if group.first >= best {
                continue;
            }
            if let Some(list) = group.text.get(scratch.value(group.input, source)) {
                best = self.first_of(list, best, scratch, source);
            }
            let mut found = group.prefix.longest(scratch.value(group.input, source));
            while let Some(at) = found {
                best = self.first_of(group.prefix.value(at), best, scratch, source);
                found = group.prefix.shorter(at);
            }
        }
        best = self.first_of(&self.linear, best, scratch, source);
        (best < self.locals.len()).then_some(best)
    }

    /// The first local of the list that matches and lies before `best`, else `best`.
    fn first_of(
        &self,
        list: &[usize],
        best: usize,
        scratch: &mut Scratch,
        source: &mut dyn FnMut(usize, &mut Vec<u8>) -> bool,
    ) -> usize {
        list.iter()
            .copied()
            .take_while(|&local| local < best)
            .find(|&local| self.locals[local].iter().all(|check| check.holds(scratch.value(check.input, source))))
            .unwrap_or(best)
    }
}

/// Puts each local with a positive text or prefix rule into the group of that rule's input: of several rules the one that
/// the fewest locals share.
fn index(locals: &[Vec<Rule<'_>>]) -> (Vec<Group>, Vec<usize>) {
    let usable = |rule: &&Rule<'_>| !rule.not && rule.op != Op::Regex;
    let mut shared: HashMap<(usize, Op, &str), usize> = HashMap::new();
    for rule in locals.iter().flatten().filter(usable) {
        *shared.entry((rule.input, rule.op, rule.pattern)).or_default() += 1;
    }
    type Lists = HashMap<Box<[u8]>, Vec<usize>>;
    let mut groups: Vec<(usize, usize, Lists, Lists)> = Vec::new();
    let mut linear = Vec::new();
    for (local, rules) in locals.iter().enumerate() {
        let count = |rule: &&Rule<'_>| (shared[&(rule.input, rule.op, rule.pattern)], rule.op == Op::Prefix);
        let Some(rule) = rules.iter().filter(usable).min_by_key(count) else {
            if !rules.is_empty() {
                linear.push(local);
            }
            continue;
        };
        let at = groups.iter().position(|group| group.0 == rule.input).unwrap_or_else(|| {
            groups.push((rule.input, local, HashMap::new(), HashMap::new()));
            groups.len() - 1
        });
        let lists = if rule.op == Op::Text { &mut groups[at].2 } else { &mut groups[at].3 };
        lists.entry(rule.pattern.as_bytes().into()).or_default().push(local);
    }
    let groups = groups
        .into_iter()
        .map(|(input, first, text, prefix)| Group { input, first, text, prefix: PrefixMap::new(prefix) })
        .collect();
    (groups, linear)
}

impl Check {
    fn compile(rule: &Rule<'_>, names: &mut CaptureNames) -> Result<Self, String> {
        let test = match rule.op {
            Op::Text => Test::Text(rule.pattern.as_bytes().into()),
            Op::Prefix => Test::Prefix(rule.pattern.as_bytes().into()),
            Op::Regex => {
                let regex = regex(rule.pattern, false)?;
                let groups = if rule.not { Box::default() } else { named_groups(&regex, names) };
                Test::Regex(regex, groups)
            }
        };
        Ok(Self { input: rule.input, not: rule.not, test })
    }

    fn holds(&self, value: &[u8]) -> bool {
        let same = match &self.test {
            Test::Text(text) => value == &**text,
            Test::Prefix(prefix) => value.starts_with(prefix),
            Test::Regex(regex, _) => regex.is_match(value),
        };
        same != self.not
    }
}

impl Scratch {
    fn reset(&mut self, inputs: usize) {
        self.bytes.clear();
        self.values.clear();
        self.values.resize(inputs, None);
    }

    fn value(&mut self, input: usize, source: &mut dyn FnMut(usize, &mut Vec<u8>) -> bool) -> &[u8] {
        let (from, to) = match self.values[input] {
            Some(known) => known,
            None => {
                let from = self.bytes.len();
                if !source(input, &mut self.bytes) {
                    self.bytes.truncate(from);
                }
                let known = (from, self.bytes.len());
                self.values[input] = Some(known);
                known
            }
        };
        &self.bytes[from..to]
    }
}

#[cfg(test)]
#[path = "rule_tests.rs"]
mod tests;
