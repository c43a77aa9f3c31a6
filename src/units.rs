//! Durations, sizes and bounded numbers in the form of the settings: `250ms`, `6s`, `5m`, `1h`;
//! `8MiB`, `5GiB`, `4096`. Pure conversions between text and value, and modules for `#[serde(with =
//! "…")]`: each parses and prints a field's type, and gives the allowed form to the JSON schema.

use std::borrow::Cow;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize as _, Deserializer, Error as _, Unexpected};
use serde::ser::{Serialize, Serializer};

/// A duration in whole milliseconds.
pub fn in_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The form of a [`Duration`]: a whole number and a unit.
#[derive(Debug)]
pub struct Span;

impl Span {
    /// Reads a text such as `"6s"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let written = toml::Value::deserialize(from)?;
        written.as_str().and_then(parse_duration).ok_or_else(|| {
            let expected = "a duration such as \"250ms\", \"6s\", \"5m\" or \"1h\"";
            D::Error::invalid_value(Unexpected::Other("value"), &expected)
        })
    }

    /// Writes it in the largest unit that fits.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&show_duration(*duration))
    }
}

/// The form of a [`Duration`] longer than zero.
#[derive(Debug)]
pub struct Positive;

impl Positive {
    /// As [`Span::deserialize`], and not 0.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let duration = Span::deserialize(from)?;
        if duration.is_zero() {
            return Err(D::Error::custom("must be longer than 0s"));
        }
        Ok(duration)
    }

    /// As [`Span::serialize`].
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        Span::serialize(duration, to)
    }
}

/// The form of a number of bytes: a number, or a text with a unit.
#[derive(Debug)]
pub struct Size;

impl Size {
    /// Reads a number, or a text such as `"8MiB"`.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let bytes = match toml::Value::deserialize(from)? {
            toml::Value::Integer(bytes) => u64::try_from(bytes).ok(),
            written => written.as_str().and_then(parse_size),
        };
        let expected = "a size such as 4096, \"8MiB\" or \"5GiB\"";
        bytes.ok_or_else(|| D::Error::invalid_value(Unexpected::Other("value"), &expected))
    }

    /// Writes it in the largest unit that fits.
    pub fn serialize<S: Serializer>(bytes: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&show_size(*bytes))
    }
}

/// The form of a number from `LEAST` to `MOST`, which may be missing where the field is an `Option`.
#[derive(Debug)]
pub struct Count<const LEAST: usize, const MOST: usize>;

impl<const LEAST: usize, const MOST: usize> Count<LEAST, MOST> {
    /// Reads a number within the bounds.
    pub fn deserialize<'de, T: From<usize>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        let count = usize::deserialize(from)?;
        if (LEAST..=MOST).contains(&count) {
            return Ok(T::from(count));
        }
        Err(D::Error::custom(format!("{count} is not between {LEAST} and {MOST}")))
    }

    /// Writes it.
    pub fn serialize<T: Serialize, S: Serializer>(count: &T, to: S) -> Result<S::Ok, S::Error> {
        count.serialize(to)
    }
}

impl<const LEAST: usize, const MOST: usize> JsonSchema for Count<LEAST, MOST> {
    fn schema_name() -> Cow<'static, str> {
        format!("From{LEAST}To{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

/// The form of a share of a whole, from 0 to 1.
#[derive(Debug)]
pub struct Ratio;

impl Ratio {
    /// Reads a number, or a text that is one: a variable has no other form.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        let ratio = match toml::Value::deserialize(from)? {
            toml::Value::Integer(0) => Some(0.0),
            toml::Value::Integer(1) => Some(1.0),
            toml::Value::Float(ratio) => Some(ratio),
            written => written.as_str().and_then(|text| text.parse().ok()),
        };
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        let expected = "a number from 0.0 to 1.0, such as 0.05";
        ratio.ok_or_else(|| D::Error::invalid_value(Unexpected::Other("value"), &expected))
    }

    /// Writes it.
    pub fn serialize<S: Serializer>(ratio: &f64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(*ratio)
    }
}

/// Gives a form its JSON schema.
macro_rules! has_schema {
    ($form:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $form {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

has_schema!(Span, "Span", { "type": "string", "pattern": "^[0-9]+ *(ms|s|m|h)$" });
has_schema!(Positive, "Positive", { "type": "string", "pattern": "^0*[1-9][0-9]* *(ms|s|m|h)$" });
has_schema!(Size, "Size", {
    "type": ["integer", "string"],
    "minimum": 0,
    "pattern": "^[0-9]+ *(B|KiB|MiB|GiB|TiB)?$"
});

has_schema!(Ratio, "Ratio", { "type": "number", "minimum": 0, "maximum": 1 });

/// The longest duration that is accepted, so that adding it to a clock cannot overflow.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// Reads a whole number and a unit: `ms`, `s`, `m` or `h`. `None` for anything else and for more
/// than [`DURATION_MAX`].
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (count, unit) = split(text)?;
    let millis_each =
        TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis)?;
    let duration = Duration::from_millis(count.checked_mul(millis_each)?);
    (duration <= DURATION_MAX).then_some(duration)
}

/// The shortest text that [`parse_duration`] reads back; parts of a millisecond are dropped.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    largest_unit(millis, &TIME_UNITS)
}

/// Reads a number of bytes, plain or with `B`, `KiB`, `MiB`, `GiB` or `TiB`. `None` for anything
/// else and for more than `i64::MAX` bytes, the most that a file offset can be.
fn parse_size(text: &str) -> Option<u64> {
    let (count, unit) = split(text)?;
    let unit = if unit.is_empty() { "B" } else { unit };
    let bytes_each = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes)?;
    count.checked_mul(bytes_each).filter(|bytes| i64::try_from(*bytes).is_ok())
}

/// The shortest text that [`parse_size`] reads back.
pub(crate) fn show_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { largest_unit(bytes, &SIZE_UNITS) }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    Some((count.parse().ok()?, unit.trim_start()))
}

fn largest_unit(count: u64, units: &[(&str, u64)]) -> String {
    units
        .iter()
        .find(|(_, each)| count.is_multiple_of(*each))
        .map(|(name, each)| format!("{}{name}", count / each))
        .unwrap_or_default()
}

const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] =
    [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print() {
        for (text, millis, shown) in [
            ("250ms", 250, "250ms"),
            ("6s", 6000, "6s"),
            ("1500ms", 1500, "1500ms"),
            ("90s", 90_000, "90s"),
            ("60s", 60_000, "1m"),
            ("24h", 86_400_000, "24h"),
            ("5 m", 300_000, "5m"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
            assert_eq!(show_duration(Duration::from_millis(millis)), shown);
            assert_eq!(parse_duration(shown), Some(Duration::from_millis(millis)), "{shown}");
        }
        for wrong in ["", "6", "s", "-1s", "1.5s", "6 sec", "6S", "1d", "8761h", "99999999999999h"]
        {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(parse_duration("8760h"), Some(DURATION_MAX));
    }

    #[test]
    fn sizes_read_and_print() {
        for (text, bytes, shown) in [
            ("256MiB", 256 << 20, "256MiB"),
            ("5GiB", 5 << 30, "5GiB"),
            ("1024", 1024, "1KiB"),
            ("1000", 1000, "1000B"),
            ("0", 0, "0B"),
            ("2048GiB", 2 << 40, "2TiB"),
        ] {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
            assert_eq!(show_size(bytes), shown);
            assert_eq!(parse_size(shown), Some(bytes), "{shown}");
        }
        for wrong in ["", "MiB", "1MB", "1mib", "-1", "1.5GiB", "8388608TiB", "99999999999999GiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }
}
