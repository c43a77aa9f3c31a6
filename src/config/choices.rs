//! Settings with a few values: enums whose variants have their spelling in the file by `serde`
//! renames.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize};

use crate::s3::{Subresource, Understood};

/// Whether the proxy or the store checks the signatures of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// The proxy, which signs each request anew for the store.
    Resign,
    /// The store: it gets each request as its sender signed it.
    Passthrough,
}

/// Whether clients may sign by Signature Version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureV2 {
    /// Requests signed by Version 2 are verified and served.
    Accept,
    /// They are refused, with the advice to use Version 4.
    Refuse,
}

/// How a body without a declared length is handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownLength {
    /// 501, as AWS answers.
    Refuse,
    /// It is buffered, up to the largest body, before anything is sent to the store.
    Take,
}

/// Which subresources of objects a store understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subresources {
    /// Those that the store's answers show it to understand.
    Seen,
    /// These.
    #[serde(untagged)]
    Named(Understood),
}

impl<'de> Deserialize<'de> for Subresources {
    /// Written by hand, for an error that lists all allowed values.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let written = toml::Value::deserialize(from)?;
        if written.as_str() == Some("seen") {
            return Ok(Self::Seen);
        }
        written.try_into().map(Self::Named).map_err(|_| {
            let all = Subresource::ALL.map(|known| format!("\"{}\"", known.name())).join(", ");
            let expected = format!("\"seen\" or a list of {all}");
            D::Error::invalid_value(Unexpected::Other("value"), &expected.as_str())
        })
    }
}

/// Who sees the names of keys at the admin listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyNames {
    /// Who sends the token.
    Token,
    /// Everybody who may see the status.
    Always,
    /// Nobody.
    Never,
}

/// How requests to the store name the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// `/bucket/key`.
    Path,
    /// `/key` on the host `bucket.host`.
    VirtualHost,
}

/// How the checksums (`x-amz-checksum-*`) are handled that clients send and this proxy verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Checksums {
    /// They are sent to the store.
    Send,
    /// They are removed, since the store would refuse them.
    Drop,
}

/// Whether the store is asked at the start if it does what is configured of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeAtStart {
    /// It is not asked.
    Off,
    /// What it does otherwise is a warning.
    Warn,
    /// With a store that does otherwise, or that cannot be asked, the process does not serve.
    Refuse,
}

/// Whether a replica of Redis may become the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Replicas {
    /// A replica may be promoted, and then answer at the same address.
    Promotable,
    /// No replica is ever promoted behind this address.
    NeverPromoted,
}

/// How a body is handled whose request is refused before the body has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EarlyAnswer {
    /// It is not read, and the connection is closed after the answer.
    Close,
    /// It is read and dropped, up to a length, and the connection is kept.
    Read,
}

/// Whether writes need a lease of the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleMode {
    /// They do.
    #[default]
    Guard,
    /// They are sent to the store unchanged, with their conditions.
    Pass,
}

/// What reads and listings may show where the store lags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// What the store shows.
    #[default]
    Store,
    /// Nothing older than what was acknowledged.
    Guarded,
}

/// The condition that writes must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// `If-None-Match: *`: an object that was written is never changed.
    CreateOnly,
    /// Any condition.
    MustBeConditional,
}

/// Where the lines about requests go, one for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub enum AccessLog {
    /// To standard error, with all other lines.
    Stderr,
    /// Nowhere.
    Off,
    /// To the end of this file.
    File(PathBuf),
}

impl AccessLog {
    /// The target of their events (`tracing`).
    pub const TARGET: &'static str = "access";
}

impl TryFrom<String> for AccessLog {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "stderr" => Ok(Self::Stderr),
            "off" => Ok(Self::Off),
            path if path.contains('/') => Ok(Self::File(text.into())),
            _ => Err(format!("\"{text}\" is not \"stderr\", \"off\" or a path with a \"/\"")),
        }
    }
}

impl From<AccessLog> for String {
    fn from(access: AccessLog) -> Self {
        match access {
            AccessLog::Stderr => "stderr".to_owned(),
            AccessLog::Off => "off".to_owned(),
            AccessLog::File(path) => path.display().to_string(),
        }
    }
}

/// The form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}
