//! A value as written, and how each kind of setting is read from it and printed.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::settings::{
    Addressing, Checksums, Dialect, DotSegments, EarlyAnswer, EmptySegments, LogFormat, Replicas,
    Require, RuleMode, SignatureV2, Signatures, Subresources, UnknownLength, Writers,
};
use crate::s3::{self, BucketName, ObjectKey, ObjectName, Subresource};
use crate::units;

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// From the environment, a flag or the table of defaults: text that may stand for any kind;
    /// lists are separated by commas.
    Plain(String),
    /// A TOML value.
    Toml(toml::Value),
}

impl fmt::Display for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(&quoted(text)),
            Self::Toml(toml::Value::Table(_)) => f.write_str("a table"),
            Self::Toml(value) => write!(f, "{value}"),
        }
    }
}

impl Raw {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Plain(text) | Self::Toml(toml::Value::String(text)) => Some(text),
            Self::Toml(_) => None,
        }
    }

    fn or_not(&self, expected: &str) -> String {
        format!("{self} is not {expected}")
    }
}

/// A kind of setting.
pub(super) trait Setting: Sized {
    /// Reads it; the error says what is wrong with the value and what would be right.
    fn read(raw: &Raw) -> Result<Self, String>;

    /// The value in TOML's spelling, with secrets masked.
    fn show(&self) -> String;
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Setting for String {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw.text() {
            Some("") => Err("may not be empty".to_owned()),
            Some(text) => Ok(text.to_owned()),
            None => Err(raw.or_not("a text in quotes")),
        }
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn read(raw: &Raw) -> Result<Self, String> {
        String::read(raw).map(Self::from)
    }

    fn show(&self) -> String {
        quoted(&self.display().to_string())
    }
}

impl Setting for ObjectName {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = String::read(raw)?;
        let (bucket, key) = text.split_once('/').unwrap_or((&text, ""));
        match (BucketName::parse(bucket), ObjectKey::parse(key, s3::EmptySegments::Refused)) {
            (Ok(bucket), Ok(key)) => Ok(Self { bucket, key }),
            _ => Err(raw.or_not("a bucket and a key such as \"tables/.ifmatch-register\"")),
        }
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Setting for bool {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Toml(toml::Value::Boolean(value)) => Ok(*value),
            Raw::Plain(text) if text == "true" => Ok(true),
            Raw::Plain(text) if text == "false" => Ok(false),
            Raw::Plain(_) | Raw::Toml(_) => Err(raw.or_not("true or false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for usize {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Toml(toml::Value::Integer(number)) => Self::try_from(*number).ok(),
            Raw::Plain(text) => text.parse().ok(),
            Raw::Toml(_) => None,
        }
        .ok_or_else(|| raw.or_not("a whole number"))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Setting for Vec<String> {
    fn read(raw: &Raw) -> Result<Self, String> {
        let all_texts = |values: &[toml::Value]| {
            values.iter().map(|value| value.as_str().map(str::to_owned)).collect()
        };
        match raw {
            Raw::Toml(toml::Value::Array(values)) => all_texts(values),
            Raw::Plain(text) => Some(
                text.split(',')
                    .map(|item| item.trim().to_owned())
                    .filter(|item| !item.is_empty())
                    .collect(),
            ),
            Raw::Toml(_) => None,
        }
        .ok_or_else(|| raw.or_not("a list of texts such as [\"a\", \"b\"]"))
    }

    fn show(&self) -> String {
        toml::Value::from(self.clone()).to_string()
    }
}

impl Setting for Subresources {
    fn read(raw: &Raw) -> Result<Self, String> {
        if raw.text() == Some("seen") {
            return Ok(Self::Seen);
        }
        let named = |name: &String| Subresource::named(name);
        let names = Vec::<String>::read(raw).ok();
        let found = names.and_then(|names| names.iter().map(named).collect::<Option<_>>());
        found.map(Self::Named).ok_or_else(|| {
            let all = Subresource::ALL.map(|known| quoted(known.name())).join(", ");
            raw.or_not(&format!("\"seen\" or a list of {all}"))
        })
    }

    fn show(&self) -> String {
        match self {
            Self::Seen => quoted("seen"),
            Self::Named(understood) => {
                understood.names().map(str::to_owned).collect::<Vec<_>>().show()
            }
        }
    }
}

impl Setting for Duration {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text()
            .and_then(units::parse_duration)
            .ok_or_else(|| raw.or_not("a duration such as \"250ms\", \"6s\", \"5m\" or \"1h\""))
    }

    fn show(&self) -> String {
        quoted(&units::show_duration(*self))
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) u64);

impl Setting for Bytes {
    fn read(raw: &Raw) -> Result<Self, String> {
        match raw {
            Raw::Toml(toml::Value::Integer(number)) => u64::try_from(*number).ok(),
            Raw::Plain(_) | Raw::Toml(_) => raw.text().and_then(units::parse_size),
        }
        .map(Self)
        .ok_or_else(|| raw.or_not("a size such as 4096, \"8MiB\" or \"5GiB\""))
    }

    fn show(&self) -> String {
        quoted(&units::show_size(self.0))
    }
}

impl Setting for SocketAddr {
    fn read(raw: &Raw) -> Result<Self, String> {
        raw.text().and_then(|text| text.parse().ok()).ok_or_else(|| {
            raw.or_not("an address and a port such as \"0.0.0.0:9000\" or \"[::1]:9000\"")
        })
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A setting with few values, each with its spelling.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// What may be written and what it means.
    const SPELLINGS: &'static [(&'static str, Self)];
}

impl<T: Choice> Setting for T {
    fn read(raw: &Raw) -> Result<Self, String> {
        let text = raw.text().unwrap_or_default();
        if let Some((_, value)) = T::SPELLINGS.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<_> = T::SPELLINGS.iter().map(|(name, _)| quoted(name)).collect();
        Err(format!("{raw} is not {}", names.join(" or ")))
    }

    fn show(&self) -> String {
        let spelling = T::SPELLINGS.iter().find(|(_, value)| value == self);
        quoted(spelling.map(|(name, _)| *name).unwrap_or_default())
    }
}

impl Choice for Writers {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("shared", Self::Shared), ("exclusive", Self::Exclusive)];
}

impl Choice for Dialect {
    const SPELLINGS: &'static [(&'static str, Self)] = &[("aws", Self::Aws), ("rfc", Self::Rfc)];
}

impl Choice for Signatures {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("resign", Self::Resign), ("passthrough", Self::Passthrough)];
}

impl Choice for SignatureV2 {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("accept", Self::Accept), ("refuse", Self::Refuse)];
}

impl Choice for UnknownLength {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("take", Self::Take)];
}

impl Choice for Addressing {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("path", Self::Path), ("virtual-host", Self::VirtualHost)];
}

impl Choice for EmptySegments {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("keep", Self::Keep), ("refuse", Self::Refuse)];
}

impl Choice for DotSegments {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("refuse", Self::Refuse), ("keep", Self::Keep)];
}

impl Choice for Checksums {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("send", Self::Send), ("drop", Self::Drop)];
}

impl Choice for EarlyAnswer {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("close", Self::Close), ("read", Self::Read)];
}

impl Choice for Replicas {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("promotable", Self::Promotable), ("never-promoted", Self::NeverPromoted)];
}

impl Choice for RuleMode {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("guard", Self::Guard), ("pass", Self::Pass)];
}

impl Choice for Require {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("create-only", Self::CreateOnly), ("must-be-conditional", Self::MustBeConditional)];
}

impl Choice for LogFormat {
    const SPELLINGS: &'static [(&'static str, Self)] =
        &[("text", Self::Text), ("json", Self::Json)];
}
