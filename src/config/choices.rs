//! Settings with few values: enums whose variants are spelled in the file as `serde` renames them.

use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize};

use crate::s3::{Subresource, Understood};

/// What checks the signatures of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Signatures {
    /// This proxy, which signs anew for the store.
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
    /// They are told to use Version 4.
    Refuse,
}

/// What becomes of a body whose length nothing says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownLength {
    /// 501, as AWS answers.
    Refuse,
    /// It is taken whole, up to the largest body, before the store sees anything.
    Take,
}

/// Which subresources of objects a store understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Subresources {
    /// Those that its answers show it to understand.
    Seen,
    /// These.
    #[serde(untagged)]
    Named(Understood),
}

impl<'de> Deserialize<'de> for Subresources {
    /// By hand, for an error that names all that may be written.
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

/// How a bucket is named towards the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// `/bucket/key`.
    Path,
    /// `/key` at the host `bucket.host`.
    VirtualHost,
}

/// What becomes of the checksums (`x-amz-checksum-*`) that clients send and this proxy verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Checksums {
    /// They go on to the store.
    Send,
    /// They end here: the store would refuse them.
    Drop,
}

/// What may become of replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Replicas {
    /// One may be promoted, and then answer at the same address.
    Promotable,
    /// None is ever promoted behind this address.
    NeverPromoted,
}

/// What becomes of a body whose request is refused before it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EarlyAnswer {
    /// It is not read, and the connection is closed after the answer.
    Close,
    /// It is read and thrown away, up to a length, and the connection is kept.
    Read,
}

/// Whether writes pass the register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleMode {
    /// They do.
    #[default]
    Guard,
    /// They go to the store as they are, their conditions too.
    Pass,
}

/// What writes must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Require {
    /// `If-None-Match: *`: what is written once is never changed.
    CreateOnly,
    /// A condition, of whatever kind.
    MustBeConditional,
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
