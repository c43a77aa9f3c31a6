//! Numbers as HTTP and S3 spell them: decimal digits and nothing else (RFC 9110 §8.6).

use std::str::FromStr;

/// The number, of any integer type; `None` where the text has no digit, has anything else, or does
/// not fit.
pub fn decimal<N: FromStr>(text: &str) -> Option<N> {
    // `parse` alone would take a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn digits_are_a_number_and_nothing_else_is() {
        assert_eq!(decimal::<u16>("007"), Some(7));
        for text in ["", "+1", "-1", " 1", "1 ", "1_0", "0x1", "1.0", "٣", "65536"] {
            assert_eq!(decimal::<u16>(text), None, "{text:?}");
        }
    }
}
