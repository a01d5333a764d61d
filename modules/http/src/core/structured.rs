//! Dictionaries of structured fields (RFC 8941 section 4.2.2). Numbers and booleans are told as what they are; of other
//! values only the form is looked at. Knows nothing of what a member means.

/// The value of a member, without its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// At most 15 digits.
    Integer(i64),
    /// A member without a value is true.
    Boolean(bool),
    /// A decimal, string, token, byte sequence or inner list.
    Other,
}

/// The field is no dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Tells the members of a dictionary in order, each with its key: where one comes again, the last counts (section 3.2).
///
/// # Errors
/// The whole field is to be ignored (section 4.2), what was told included.
pub fn dictionary<'a>(field: &'a [u8], mut member: impl FnMut(&'a [u8], Value)) -> Result<(), Malformed> {
    let mut input = Input(field);
    input.skip(b" ");
    while !input.0.is_empty() {
        let key = input.key()?;
        let value = if input.takes(b'=') { input.member()? } else { Value::Boolean(true) };
        input.parameters()?;
        member(key, value);
        input.skip(b" \t");
        if input.0.is_empty() {
            break;
        }
        input.expect(b',')?;
        input.skip(b" \t");
        if input.0.is_empty() {
            return Err(Malformed);
        }
    }
    Ok(())
}

/// What is not read yet.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn skip(&mut self, bytes: &[u8]) {
        self.take_while(|byte| bytes.contains(&byte));
    }

    fn take_while(&mut self, of: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !of(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is = self.0.first() == Some(&byte);
        if is {
            self.0 = &self.0[1..];
        }
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.takes(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let (&first, rest) = self.0.split_first().ok_or(Malformed)?;
        self.0 = rest;
        Ok(first)
    }

    fn key(&mut self) -> Result<&'a [u8], Malformed> {
        match self.0 {
            [b'a'..=b'z' | b'*', ..] => {
                Ok(self.take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
            }
            _ => Err(Malformed),
        }
    }

    /// Behind `=`, its parameters left.
    fn member(&mut self) -> Result<Value, Malformed> {
        if !self.takes(b'(') {
            return self.item();
        }
        loop {
            self.skip(b" ");
            if self.takes(b')') {
                return Ok(Value::Other);
            }
            self.item()?;
            self.parameters()?;
            if !matches!(self.0, [b' ' | b')', ..]) {
                return Err(Malformed);
            }
        }
    }

    fn parameters(&mut self) -> Result<(), Malformed> {
        while self.takes(b';') {
            self.skip(b" ");
            self.key()?;
            if self.takes(b'=') {
                self.item()?;
            }
        }
        Ok(())
    }

    /// A bare item (section 4.2.3.1).
    fn item(&mut self) -> Result<Value, Malformed> {
        match self.0 {
            [b'-' | b'0'..=b'9', ..] => return self.number(),
            [b'?', digit @ (b'0' | b'1'), rest @ ..] => {
                self.0 = rest;
                return Ok(Value::Boolean(*digit == b'1'));
            }
            [b'"', rest @ ..] => {
                self.0 = rest;
                self.string()?;
            }
            [b':', rest @ ..] => {
                self.0 = rest;
                self.take_while(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.expect(b':')?;
            }
            [b'a'..=b'z' | b'A'..=b'Z' | b'*', ..] => {
                self.take_while(|byte| super::is_token_byte(byte) || b":/".contains(&byte));
            }
            _ => return Err(Malformed),
        }
        Ok(Value::Other)
    }

    /// Up to 15 digits, or up to 12 in front of a point and three behind it (section 4.2.4).
    fn number(&mut self) -> Result<Value, Malformed> {
        let negative = self.takes(b'-');
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if self.takes(b'.') {
            let behind = self.take_while(|byte| byte.is_ascii_digit());
            let fits = (1..=12).contains(&digits.len()) && (1..=3).contains(&behind.len());
            return if fits { Ok(Value::Other) } else { Err(Malformed) };
        }
        if !(1..=15).contains(&digits.len()) {
            return Err(Malformed);
        }
        let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        Ok(Value::Integer(if negative { -number } else { number }))
    }

    /// Behind the first quote (section 4.2.5).
    fn string(&mut self) -> Result<(), Malformed> {
        loop {
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => match self.next()? {
                    b'"' | b'\\' => {}
                    _ => return Err(Malformed),
                },
                b' '..=b'~' => {}
                _ => return Err(Malformed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::noise_tests::Noise;

    fn members(field: &str) -> Option<Vec<(String, Value)>> {
        let mut all = Vec::new();
        let done = dictionary(field.as_bytes(), |key, value| all.push((String::from_utf8_lossy(key).into(), value)));
        done.ok().map(|()| all)
    }

    #[test]
    fn members_come_in_order_whatever_their_kind() {
        use Value::{Boolean, Integer, Other};
        for (field, want) in [
            ("", &[][..]),
            ("  ", &[]),
            ("a", &[("a", Boolean(true))]),
            (" a=1 ", &[("a", Integer(1))]),
            ("a=?0, b=?1,c;x", &[("a", Boolean(false)), ("b", Boolean(true)), ("c", Boolean(true))]),
            (
                "a=-0, a=-012 ,\t a=999999999999999",
                &[("a", Integer(0)), ("a", Integer(-12)), ("a", Integer(999_999_999_999_999))],
            ),
            ("*a_-.9=1.5;q=2; r=?1;s", &[("*a_-.9", Other)]),
            ("a=\"x, \\\"y\\\\\", b=*t:o/k", &[("a", Other), ("b", Other)]),
            ("a=:YQ==:, b=(1 \"x\";p  tok ), c=()", &[("a", Other), ("b", Other), ("c", Other)]),
            ("a=();x=1,b", &[("a", Other), ("b", Boolean(true))]),
        ] {
            let want: Vec<_> = want.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
            assert_eq!(members(field), Some(want), "{field}");
        }
    }

    #[test]
    fn what_is_no_dictionary_is_nothing_at_all() {
        for field in [
            ",",
            "a,",
            "a, ",
            "a,,b",
            "a b",
            "A",
            "1",
            "=1",
            "a=",
            "a= 1",
            "a =1",
            "\ta",
            "a=1;",
            "a=1;X",
            "a;x=",
            "a=-",
            "a=1.",
            "a=.5",
            "a=1.2345",
            "a=1234567890123.1",
            "a=1234567890123456",
            "a=?",
            "a=?2",
            "a=?1x",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"\t\"",
            "a=:YQ",
            "a=:Y Q:",
            "a=(1",
            "a=(1,2)",
            "a=(1\"x\")",
            "a=((1))",
            "a=1 (",
            "a=\u{fc}",
            "\u{fc}",
            "a=@1",
        ] {
            assert_eq!(members(field), None, "{field}");
        }
    }

    #[test]
    fn noise_is_read_to_its_end_or_refused() {
        let mut noise = Noise::new(9218);
        let pieces: [&[u8]; 16] =
            [b"u", b"i", b"=", b",", b" ", b";", b"?1", b"3", b"-", b".", b"\"", b"\\", b"(", b")", b":", b"tok"];
        let (mut read, mut refused) = (0, 0);
        for _ in 0..20_000 {
            match dictionary(&noise.text(&pieces, 8), |key, _| assert!(!key.is_empty())) {
                Ok(()) => read += 1,
                Err(Malformed) => refused += 1,
            }
        }
        assert!(read > 1000 && refused > 1000, "{read} {refused}");
    }
}
