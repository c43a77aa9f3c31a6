//! The 32 bytes of a signature or digest, and their 64 hex digits.

use std::fmt;

use subtle::ConstantTimeEq;

/// A signature: HMAC-SHA256 over a string to sign. Shown as 64 lower-case hex digits; compared in
/// constant time only.
#[derive(Clone, Copy)]
pub struct Signature([u8; 32]);

impl Signature {
    /// The signature with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hex digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        digest_from_hex(text.as_bytes()).map(Self)
    }

    /// Whether both are equal, in a time that does not depend on where they differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The hex digits.
    pub fn to_hex(&self) -> Hex {
        Hex::of(&self.0)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_hex().as_str())
    }
}

/// 64 hex digits, stored without an allocation.
#[derive(Clone, Copy)]
pub struct Hex([u8; 64]);

impl Hex {
    /// The lower-case digits of these bytes.
    pub fn of(bytes: &[u8; 32]) -> Self {
        let mut digits = [b'0'; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(digits)
    }

    /// The digits as text.
    #[expect(clippy::missing_panics_doc, reason = "the digits are ASCII by construction")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Debug for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Reads the 64 hex digits of a SHA-256 digest or an HMAC.
pub(super) fn digest_from_hex(text: &[u8]) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.try_into().ok()?;
    let (mut bytes, mut all) = ([0; 32], 0);
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|digit| VALUES[usize::from(digit)]);
        all |= high | low;
        *byte = high << 4 | low;
    }
    (all < NO_DIGIT).then_some(bytes)
}

/// The value of each byte as a hex digit, or [`NO_DIGIT`].
const VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = DIGITS[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// No value of a digit has this bit.
const NO_DIGIT: u8 = 0x80;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_read_and_written() {
        let text = "00ff10e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b78";
        let signature = Signature::from_hex(text).expect("64 digits");
        assert_eq!(signature.to_hex().as_str(), text);
        assert!(signature.matches(&Signature::from_hex(&text.to_uppercase()).expect("digits")));
        assert!(!signature.matches(&Signature::new([0; 32])));
        for wrong in ["", "00", &text[1..], &format!("{text}0"), &text.replace('e', "g")] {
            assert!(Signature::from_hex(wrong).is_none(), "{wrong}");
        }
    }
}
