//! How an answer is to come beside others of its client (RFC 9218): its parameters, as `Priority` and PRIORITY_UPDATE carry
//! them. Knows nothing of who is served when.

use super::structured::{self, Value};

/// Both parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// From 0, what is needed first, to 7 (section 4.1).
    pub urgency: u8,
    /// Parts of it are of use before all of it is there (section 4.2).
    pub incremental: bool,
}

impl Default for Priority {
    /// Where nothing is said of them (section 4).
    fn default() -> Self {
        Self { urgency: 3, incremental: false }
    }
}

/// What a field says of them; `None` where it does not name one, or with a value that it does not have (section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// As [`Priority::urgency`].
    pub urgency: Option<u8>,
    /// As [`Priority::incremental`].
    pub incremental: Option<bool>,
}

impl Parameters {
    /// Reads a field; several lines are to be joined by commas. `None`: it is no dictionary, and says nothing (RFC 8941
    /// section 4.2).
    #[must_use]
    pub fn read(field: &[u8]) -> Option<Self> {
        let mut all = Self::default();
        let read = structured::dictionary(field, |key, value| match (key, value) {
            (b"u", Value::Integer(urgency)) => all.urgency = u8::try_from(urgency).ok().filter(|u| *u <= 7),
            (b"u", _) => all.urgency = None,
            (b"i", Value::Boolean(incremental)) => all.incremental = Some(incremental),
            (b"i", _) => all.incremental = None,
            _ => {}
        });
        read.ok().map(|()| all)
    }

    /// `priority`, but for what is said here: a client's over the defaults, or an origin's over what the client asked for
    /// (section 8).
    #[must_use]
    pub fn over(self, priority: Priority) -> Priority {
        Priority {
            urgency: self.urgency.unwrap_or(priority.urgency),
            incremental: self.incremental.unwrap_or(priority.incremental),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_if_it_is_one() {
        for (field, urgency, incremental) in [
            ("", None, None),
            ("u=0", Some(0), None),
            ("u=7, i", Some(7), Some(true)),
            ("i=?0,u=1", Some(1), Some(false)),
            ("u=5;x=1, i;u=2", Some(5), Some(true)),
            ("u=1, i, u=2, i=?0", Some(2), Some(false)),
            ("u=1, u=8, i", None, Some(true)),
            ("u=-1", None, None),
            ("u=-0, i=1", Some(0), None),
            ("u=1.0", None, None),
            ("u=10", None, None),
            ("u, i, i=x", None, None),
            ("u=\"1\", i=(?1)", None, None),
            ("urgency=1, x=\"u=1\", e=:dT0x:", None, None),
        ] {
            assert_eq!(Parameters::read(field.as_bytes()), Some(Parameters { urgency, incremental }), "{field}");
        }
        for malformed in ["u=1, \u{fc}=", "U=1", "u=1,", "u=1, x=\"", "u=1 i"] {
            assert_eq!(Parameters::read(malformed.as_bytes()), None, "{malformed}");
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let read = |field: &str| Parameters::read(field.as_bytes()).expect("a dictionary");
        let asked = read("u=5, i").over(Priority::default());
        assert_eq!(asked, Priority { urgency: 5, incremental: true });
        assert_eq!(read("u=1").over(asked), Priority { urgency: 1, incremental: true });
        assert_eq!(read("i=?0").over(asked), Priority { urgency: 5, incremental: false });
        assert_eq!(read("u=9, x").over(asked), asked);
    }
}
