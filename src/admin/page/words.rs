//! Numbers as people read them. Pure.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A whole number, in groups of three digits.
pub(super) fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            // A narrow space that does not break.
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate: the smaller, the more digits.
pub(super) fn rate(per_s: f64) -> String {
    match per_s {
        0.0 => "0".to_owned(),
        ..0.995 => format!("{per_s:.2}"),
        ..99.5 => format!("{per_s:.1}"),
        _ => whole(rounded(per_s)),
    }
}

/// A size, or a rate of bytes.
pub(super) fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut size = bytes.max(0.0);
    let mut unit = units[0];
    for next in &units[1..] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    if unit == "B" { format!("{size:.0} B") } else { format!("{size:.1} {unit}") }
}

/// A number of bytes.
pub(super) fn size(number: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    bytes(number as f64)
}

/// A duration: its two largest units.
pub(super) fn duration(seconds: f64) -> String {
    let whole = rounded(seconds.floor());
    match whole {
        0 if seconds < 0.000_5 => "0 s".to_owned(),
        0 => format!("{:.0} ms", seconds * 1_000.0),
        1..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// Milliseconds: a duration of a request.
pub(super) fn millis(ms: f64) -> String {
    match ms {
        ..9.95 => format!("{ms:.1} ms"),
        ..999.5 => format!("{ms:.0} ms"),
        _ => format!("{:.1} s", ms / 1_000.0),
    }
}

/// The time from one moment to another, in seconds since 1970.
pub(super) fn between(from_s: i64, to_s: i64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "whole seconds below 2^53")]
    duration((to_s - from_s).max(0) as f64)
}

/// A moment in UTC, for people and for programs; `None` where it is out of all bounds.
pub(super) fn moment(unix_s: i64) -> Option<(String, String)> {
    let at = OffsetDateTime::from_unix_timestamp(unix_s).ok()?;
    let written = at.format(&Rfc3339).ok()?;
    Some((written.replace('T', " ").replace('Z', " UTC"), written))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative")]
fn rounded(number: f64) -> u64 {
    number.max(0.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_their_unit() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(whole),
            ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]
        );
        assert_eq!(
            [0.0, 0.016, 3.25, 99.6, 12_345.0].map(rate),
            ["0", "0.02", "3.2", "100", "12\u{202f}345"]
        );
        assert_eq!([0.0, 1023.0, 1536.0, 3e9].map(bytes), ["0 B", "1023 B", "1.5 KiB", "2.8 GiB"]);
        assert_eq!(size(1 << 20), "1.0 MiB");
        let durations = [0.0, 0.0421, 3.25, 59.9, 61.0, 3_661.0, 90_000.0].map(duration);
        assert_eq!(
            durations,
            ["0 s", "42 ms", "3.2 s", "59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!([0.42, 42.4, 1_500.0].map(millis), ["0.4 ms", "42 ms", "1.5 s"]);
        assert_eq!((between(10, 75), between(75, 10)), ("1 min 5 s".to_owned(), "0 s".to_owned()));
    }

    #[test]
    fn a_moment_is_in_utc() {
        let (people, programs) = moment(1_800_000_000).unwrap();
        assert_eq!((&*people, &*programs), ("2027-01-15 08:00:00 UTC", "2027-01-15T08:00:00Z"));
        assert_eq!(moment(i64::MAX), None);
    }
}
