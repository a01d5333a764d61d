//! Text of a template to steps.

use super::function::{Builtin, builtin_names, integer};
use super::{Arity, Function, MAX_ARGUMENTS, MAX_DEPTH, MAX_TEXT, Resolver, Step, TemplateError};

pub(super) fn parse(text: &str, resolver: &dyn Resolver) -> Result<Vec<Step>, Vec<TemplateError>> {
    let mut parser = Parser { text, at: 0, resolver, errors: Vec::new() };
    let steps = parser.template();
    match steps {
        Ok(steps) if parser.errors.is_empty() => Ok(steps),
        Ok(_) => Err(parser.errors),
        Err(error) => {
            parser.errors.push(error);
            Err(parser.errors)
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    resolver: &'a dyn Resolver,
    /// Unknown names and wrong counts; parsing goes on after them.
    errors: Vec<TemplateError>,
}

impl<'a> Parser<'a> {
    fn template(&mut self) -> Result<Vec<Step>, TemplateError> {
        if self.text.len() > MAX_TEXT {
            return Err(error(
                0,
                0,
                format!("a template has at most {MAX_TEXT} bytes, this one has {}", self.text.len()),
            ));
        }
        let mut steps = Vec::new();
        let mut literal = String::new();
        while let Some(dollar) = self.rest().find('$') {
            literal.push_str(&self.rest()[..dollar]);
            self.at += dollar;
            if self.rest().starts_with("$${") {
                literal.push_str("${");
                self.at += 3;
            } else if self.rest().starts_with("${") {
                let open = self.at;
                self.at += 2;
                let step = self.expression(open, 1)?;
                self.spaces();
                if !self.take('}') {
                    return Err(self.unexpected(open, "\"}\""));
                }
                if !literal.is_empty() {
                    steps.push(Step::Literal(std::mem::take(&mut literal).into_bytes().into()));
                }
                steps.push(step);
            } else {
                literal.push('$');
                self.at += 1;
            }
        }
        literal.push_str(self.rest());
        if !literal.is_empty() {
            steps.push(Step::Literal(literal.into_bytes().into()));
        }
        Ok(steps)
    }

    fn expression(&mut self, open: usize, depth: usize) -> Result<Step, TemplateError> {
        self.spaces();
        let start = self.at;
        let name = self.name();
        if name.is_empty() {
            return Err(self.unexpected(open, "the name of a variable or function"));
        }
        let end = self.at;
        self.spaces();
        if self.rest().starts_with('(') {
            return self.function(open, start, name, depth);
        }
        let Some(var) = self.resolver.variable(name) else {
            let mut names = Vec::new();
            self.resolver.names(&mut |known| names.push(known.to_owned()));
            let message = if self.resolver.function(name).is_some() || Builtin::by_name(name).is_some() {
                format!("{name:?} is a function: write {name}(…)")
            } else {
                format!("unknown variable {name:?}")
            };
            let suggestion = nearest(name, names.iter().map(String::as_str));
            self.errors.push(TemplateError { span: start..end, message, suggestion });
            return Ok(Step::Literal(Box::default()));
        };
        Ok(Step::Variable { name: name.into(), var })
    }

    fn function(&mut self, open: usize, start: usize, name: &'a str, depth: usize) -> Result<Step, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(error(start, name.len(), format!("functions nest deeper than {MAX_DEPTH}")));
        }
        self.at += 1;
        let mut args = Vec::new();
        let mut literals = Vec::new();
        self.spaces();
        if !self.take(')') {
            loop {
                self.spaces();
                let from = self.at;
                let arg = self.argument(open, depth)?;
                literals.push(match &arg {
                    Step::Literal(text) => Some((from..self.at, integer(text).is_some())),
                    _ => None,
                });
                args.push(arg);
                self.spaces();
                if self.take(')') {
                    break;
                }
                if !self.take(',') {
                    return Err(self.unexpected(open, "\",\" or \")\""));
                }
            }
        }
        let Some((func, arity)) = self.resolve(name) else {
            let mut names: Vec<String> = builtin_names().map(str::to_owned).collect();
            self.resolver.function_names(&mut |known| names.push(known.to_owned()));
            let suggestion = nearest(name, names.iter().map(String::as_str));
            let message = format!("unknown function {name:?}");
            self.errors.push(TemplateError { span: start..start + name.len(), message, suggestion });
            return Ok(Step::Literal(Box::default()));
        };
        let max = arity.max.min(MAX_ARGUMENTS);
        if args.len() < arity.min || args.len() > max {
            let wants = if arity.min == max { format!("{max}") } else { format!("{} to {max}", arity.min) };
            let plural = if max == 1 { "" } else { "s" };
            let message = format!("{name} takes {wants} argument{plural}, {} given", args.len());
            self.errors.push(error(start, self.at - start, message));
        }
        if let Function::Builtin(builtin) = func {
            for (index, literal) in literals.iter().enumerate() {
                if let Some((span, false)) = literal
                    && builtin.wants_integer(index)
                {
                    let message = format!("argument {} of {name} is a number", index + 1);
                    self.errors.push(TemplateError { span: span.clone(), message, suggestion: None });
                }
            }
        }
        Ok(Step::Function { func, args: args.into() })
    }

    fn resolve(&self, name: &str) -> Option<(Function, Arity)> {
        if let Some((builtin, arity)) = Builtin::by_name(name) {
            return Some((Function::Builtin(builtin), arity));
        }
        self.resolver.function(name).map(|func| (Function::Provided(func), func.arity))
    }

    fn argument(&mut self, open: usize, depth: usize) -> Result<Step, TemplateError> {
        self.spaces();
        let rest = self.rest();
        if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
            return self.quoted(quote);
        }
        let number =
            rest.bytes().enumerate().take_while(|(i, b)| b.is_ascii_digit() || (*i == 0 && *b == b'-')).count();
        // `8080_name` is a name, `-` alone is nothing.
        if number > 0 && !rest[number..].starts_with(is_name) && integer(&rest.as_bytes()[..number]).is_some() {
            self.at += number;
            return Ok(Step::Literal(rest.as_bytes()[..number].into()));
        }
        self.expression(open, depth + 1)
    }

    fn quoted(&mut self, quote: char) -> Result<Step, TemplateError> {
        let start = self.at;
        let mut value = String::new();
        let mut chars = self.rest().char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.at = start + at + 1;
                return Ok(Step::Literal(value.into_bytes().into()));
            }
            if c != '\\' {
                value.push(c);
                continue;
            }
            match chars.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, c @ ('\\' | '"' | '\''))) => value.push(c),
                Some((_, other)) => {
                    let message = format!("unknown escape \\{other}; known are \\\\ \\\" \\' \\n \\t");
                    return Err(error(start + at, 1 + other.len_utf8(), message));
                }
                None => break,
            }
        }
        Err(error(start, 1, format!("the text that begins here is not closed by {quote}")))
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn take(&mut self, c: char) -> bool {
        let found = self.rest().starts_with(c);
        if found {
            self.at += c.len_utf8();
        }
        found
    }

    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        self.at += name.len();
        name
    }

    fn unexpected(&self, open: usize, expected: &str) -> TemplateError {
        match self.rest().chars().next() {
            Some(found) => error(self.at, found.len_utf8(), format!("expected {expected}, found {found:?}")),
            None => error(
                open,
                2,
                format!("\"${{\" is not closed: expected {expected} (a literal \"${{\" is written \"$${{\")"),
            ),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn error(start: usize, len: usize, message: String) -> TemplateError {
    TemplateError { span: start..start + len, message, suggestion: None }
}

/// The known name that is close enough to be a slip of the same one.
fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<String> {
    // Distance over a very long "name" costs its square and finds nothing.
    if name.len() > 64 {
        return None;
    }
    let limit = 1 + name.len() / 4;
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}
