//! Header lines that are written again and again: checked once, when they are made.

use super::name::Id;
use super::{Bad, field, scan};

/// A header line with a known name.
#[derive(Clone, Debug)]
pub struct Line {
    /// With its end.
    bytes: Box<[u8]>,
    pub(super) id: Id,
    pub(super) value_len: u16,
}

impl Line {
    /// The line of that name, which one that is not known has not.
    ///
    /// # Errors
    /// As [`field`], and [`Bad::HeadTooLarge`] for a value of more than 65,535 bytes.
    pub fn new(id: Id, value: &[u8]) -> Result<Self, Bad> {
        let value = scan::trim(value);
        let value_len = u16::try_from(value.len()).map_err(|_| Bad::HeadTooLarge)?;
        let mut bytes = Vec::new();
        field(id.name().as_bytes(), value, &mut bytes)?;
        Ok(Self { bytes: bytes.into(), id, value_len })
    }

    /// The line with its end.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.bytes[self.value_at()..self.bytes.len() - b"\r\n".len()]
    }

    /// Where the value begins.
    pub(super) fn value_at(&self) -> usize {
        self.id.name().len() + b": ".len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Head, Version};
    use super::*;

    #[test]
    fn a_line_is_appended_as_one_that_is_checked_each_time() {
        for (id, value) in [(Id::Via, &b"1.1 a"[..]), (Id::Server, b""), (Id::Connection, b" close ")] {
            let line = Line::new(id, value).expect("a line");
            let (mut head, mut bytes) = (Head::default(), Vec::new());
            head.make_response(200, b"OK", &mut bytes).expect("a response");
            let (mut other, mut other_bytes) = (head.clone(), bytes.clone());
            head.append_line(&line, &mut bytes).expect("a line");
            other.append(id.name().as_bytes(), value, &mut other_bytes).expect("a line");
            assert_eq!((&bytes, head.len()), (&other_bytes, other.len()));
            assert_eq!(head.fields().list(), other.fields().list());
            assert_eq!(super::super::connection(&head, &bytes), super::super::connection(&other, &other_bytes));
            assert_eq!((line.value(), head.version()), (value.trim_ascii(), Version::Http11));
            assert!(bytes.ends_with(line.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        assert_eq!(Line::new(Id::Other, b"a").err(), Some(Bad::Name));
        assert_eq!(Line::new(Id::Via, b"a\r\nb: c").err(), Some(Bad::Value));
        assert_eq!(Line::new(Id::Via, &[b'a'; 65_536]).err(), Some(Bad::HeadTooLarge));
    }
}
