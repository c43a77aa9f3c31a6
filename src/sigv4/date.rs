//! The time as Signature V4 writes it: `YYYYMMDDTHHMMSSZ`.

use std::fmt;

use time::format_description::well_known::Rfc2822;
use time::{Date, Month, OffsetDateTime};

/// A second in UTC, together with its text, which signatures use without formatting it again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AmzDate {
    unix: i64,
    text: [u8; 16],
}

impl AmzDate {
    /// The given second since 1970. A time outside the years 1970 to 9999, which the text cannot
    /// show, becomes the nearest time inside.
    pub fn from_unix(seconds: i64) -> Self {
        let unix = seconds.clamp(0, LAST_SECOND_OF_9999);
        let at = OffsetDateTime::from_unix_timestamp(unix).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut text = *b"00000000T000000Z";
        put_digits(&mut text[0..4], at.year().unsigned_abs());
        put_digits(&mut text[4..6], u32::from(u8::from(at.month())));
        put_digits(&mut text[6..8], u32::from(at.day()));
        put_digits(&mut text[9..11], u32::from(at.hour()));
        put_digits(&mut text[11..13], u32::from(at.minute()));
        put_digits(&mut text[13..15], u32::from(at.second()));
        Self { unix, text }
    }

    /// Reads `YYYYMMDDTHHMMSSZ`; `None` for any other form or an impossible date.
    pub fn parse(text: &str) -> Option<Self> {
        let text: [u8; 16] = text.as_bytes().try_into().ok()?;
        if text[8] != b'T' || text[15] != b'Z' {
            return None;
        }
        let two = |at: usize| u8::try_from(digits(&text[at..at + 2])?).ok();
        let year = i32::try_from(digits(&text[0..4])?).ok()?;
        let date = Date::from_calendar_date(year, Month::try_from(two(4)?).ok()?, two(6)?).ok()?;
        let at = date.with_hms(two(9)?, two(11)?, two(13)?).ok()?.assume_utc();
        Some(Self { unix: at.unix_timestamp(), text })
    }

    /// Parses the value of a `Date` header: the form above or `Fri, 24 May 2013 00:00:00 GMT` (RFC
    /// 9110 §5.6.7).
    pub fn from_date_header(text: &str) -> Option<Self> {
        Self::parse(text).or_else(|| {
            let at = OffsetDateTime::parse(text, &Rfc2822).ok()?;
            Some(Self::from_unix(at.unix_timestamp()))
        })
    }

    /// Seconds since 1970.
    pub fn unix(&self) -> i64 {
        self.unix
    }

    /// `YYYYMMDDTHHMMSSZ`.
    #[expect(clippy::missing_panics_doc, reason = "the text is ASCII by construction")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).expect("both constructors leave digits, T and Z only")
    }

    /// `YYYYMMDD`, the day that a signing key is valid for.
    pub fn day(&self) -> &str {
        &self.as_str()[..8]
    }

    /// `YYYY-MM-DDTHH:MM:SSZ`, as AWS's error documents show times.
    pub fn to_iso8601(&self) -> String {
        let t = self.as_str();
        let (date, clock) = (&t[..8], &t[9..15]);
        format!(
            "{}-{}-{}T{}:{}:{}Z",
            &date[..4],
            &date[4..6],
            &date[6..],
            &clock[..2],
            &clock[2..4],
            &clock[4..]
        )
    }
}

impl fmt::Display for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for AmzDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn put_digits(place: &mut [u8], mut number: u32) {
    for digit in place.iter_mut().rev() {
        *digit = b"0123456789"[(number % 10) as usize];
        number /= 10;
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
    })
}

const LAST_SECOND_OF_9999: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_written_and_read_back() {
        for (unix, text, iso) in [
            (0, "19700101T000000Z", "1970-01-01T00:00:00Z"),
            (1_369_353_600, "20130524T000000Z", "2013-05-24T00:00:00Z"),
            (1_709_251_199, "20240229T235959Z", "2024-02-29T23:59:59Z"),
            (LAST_SECOND_OF_9999, "99991231T235959Z", "9999-12-31T23:59:59Z"),
        ] {
            let date = AmzDate::from_unix(unix);
            assert_eq!(date.as_str(), text);
            assert_eq!(AmzDate::parse(text), Some(date));
            assert_eq!(AmzDate::from_date_header(text), Some(date));
            assert_eq!(date.to_iso8601(), iso);
            assert_eq!(date.unix(), unix);
        }
        assert_eq!(AmzDate::from_unix(i64::MIN).as_str(), "19700101T000000Z");
        assert_eq!(AmzDate::from_unix(i64::MAX).as_str(), "99991231T235959Z");
    }

    #[test]
    fn a_date_header_may_have_the_form_of_http() {
        let read = AmzDate::from_date_header("Fri, 24 May 2013 00:00:00 GMT");
        assert_eq!(read, AmzDate::parse("20130524T000000Z"));
        assert_eq!(AmzDate::from_date_header("yesterday"), None);
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "20130524",
            "20130524T000000",
            "20130524 000000Z",
            "20130532T000000Z",
            "20130229T000000Z",
            "20130524T240000Z",
            "2013052aT000000Z",
            "+0130524T000000Z",
            "20130524T000000Zx",
            "２0130524T0000Z",
        ] {
            assert_eq!(AmzDate::parse(text), None, "{text}");
        }
    }
}
