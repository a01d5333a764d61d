//! What a table of directives means without saying it: the properties of any peer's line, and what the text of a default stands for.
//! For whoever reads a configuration, the host and the fake one.

use super::{ArgDesc, DirectiveDesc, Kind, Role};

/// What stands on the line of a peer, besides what its module declares.
static PEER: [ArgDesc; 3] = [
    ArgDesc::new("weight", Kind::Int, "share of the sessions, for balancers that weigh").bounds(1, 65_535).default("1"),
    ArgDesc::new("max_connections", Kind::Int, "sessions on this peer at one time; 0: no limit")
        .bounds(0, u32::MAX as i64)
        .default("0"),
    ArgDesc::new("backup", Kind::Bool, "taken only when no other peer is available").default("#false"),
];

/// The properties that the host adds to those of `desc`.
pub fn props(desc: &DirectiveDesc) -> &'static [ArgDesc] {
    if matches!(desc.role, Role::Peer) { &PEER } else { &[] }
}

/// A value as a configuration says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Literal<'a> {
    /// A string.
    Text(&'a str),
    /// A switch.
    Bool(bool),
    /// A number without a point.
    Int(i64),
    /// One with a point or an exponent.
    Float(f64),
}

/// What a default stands for; `None`: there is none. Texts stand without their quotes in a declaration.
pub fn default(arg: &ArgDesc) -> Option<Literal<'_>> {
    let text = arg.default.as_str();
    let is_text = matches!(arg.kind, Kind::Text | Kind::Choice | Kind::Path | Kind::Template | Kind::Regex);
    Some(match text {
        "" => return None,
        _ if is_text => Literal::Text(text),
        "#true" => Literal::Bool(true),
        "#false" => Literal::Bool(false),
        _ => match (text.parse(), text.parse()) {
            (Ok(n), _) => Literal::Int(n),
            (_, Ok(n)) if arg.kind == Kind::Float => Literal::Float(n),
            _ => Literal::Text(text),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_is_what_a_configuration_would_say() {
        let of = |kind, text| default(&ArgDesc::new("n", kind, "n").default(text)).map(|l| format!("{l:?}"));
        assert_eq!(of(Kind::Int, ""), None);
        for (kind, text, says) in [
            (Kind::Text, "5", "Text(\"5\")"),
            (Kind::Choice, "#true", "Text(\"#true\")"),
            (Kind::Bool, "#true", "Bool(true)"),
            (Kind::Int, "5", "Int(5)"),
            (Kind::Float, "0.5", "Float(0.5)"),
            (Kind::Percent, "0.5", "Text(\"0.5\")"),
            (Kind::Time, "5s", "Text(\"5s\")"),
            (Kind::Time, "0", "Int(0)"),
        ] {
            assert_eq!(of(kind, text).as_deref(), Some(says), "{kind:?} {text}");
        }
    }
}
