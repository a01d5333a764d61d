//! Numbers as text, without allocation.

/// A number in decimal.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    digits: [u8; 20],
    start: u8,
}

impl Decimal {
    /// The digits, 1 to 20.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.digits[usize::from(self.start)..]
    }
}

/// `number` in decimal, without leading zeros.
#[must_use]
pub fn decimal(number: u64) -> Decimal {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut left = number;
    loop {
        start -= 1;
        digits[start] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            return Decimal { digits, start: start as u8 };
        }
    }
}

/// `number` in hexadecimal: the last of 16 digits, from the offset on.
pub(super) fn hex_digits(number: u64) -> ([u8; 16], u8) {
    let mut digits = [0; 16];
    let mut start = digits.len();
    let mut left = number;
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdef"[(left & 15) as usize];
        left >>= 4;
        if left == 0 {
            return (digits, start as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(decimal(number).as_bytes(), number.to_string().as_bytes());
        }
    }

    #[test]
    fn hexadecimals() {
        for number in [0, 1, 15, 16, 255, 0xabc_def0, u64::MAX] {
            let (digits, start) = hex_digits(number);
            assert_eq!(digits[usize::from(start)..], *format!("{number:x}").as_bytes());
        }
    }
}
