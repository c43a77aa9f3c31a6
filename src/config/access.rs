//! The access sections: `[[client]]`, `[anonymous]` and `[[rule]]`, and the patterns for their
//! buckets.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::choices::{Consistency, Require, RuleMode};
use crate::secret::Secret;
use crate::tls::CertificateName;

/// One client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Client {
    /// The access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// The secret before it, which is accepted too while the client changes to the new one.
    pub previous_secret_access_key: Option<Secret>,
    /// The token that every request of this client must carry, where its credential is temporary.
    pub session_token: Option<Secret>,
    /// The names of its certificates, of which its connections have to show one: `DNS:` or `URI:`
    /// and one of the certificate's alternative names. No certificate is needed when absent.
    pub certificate_names: Option<Vec<CertificateName>>,
    /// Its rights, in keys of the same table.
    #[serde(skip)]
    pub rights: Rights,
}

/// The rights of a client.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rights {
    /// The buckets that may be accessed, by name or by prefix (`state-*`).
    pub buckets: Buckets,
    /// Whether they may only be read.
    pub read_only: bool,
    /// Whether they may be given a configuration by which the store itself, or other clients,
    /// change objects.
    pub configure: bool,
}

impl Rights {
    /// Whether this bucket may be accessed.
    pub fn may_touch(&self, bucket: &str) -> bool {
        self.buckets.contains(bucket)
    }
}

/// The rights of requests without a signature.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Anonymous {
    /// The buckets that are open to requests without a signature; none when absent.
    pub(super) buckets: Option<Buckets>,
    /// Whether they may only be read; true when absent.
    pub(super) read_only: Option<bool>,
}

impl Anonymous {
    /// The rights of a request without a signature.
    pub(super) fn rights(self) -> Option<Rights> {
        let read_only = self.read_only.unwrap_or(true);
        Some(Rights { buckets: self.buckets?, read_only, configure: false })
    }
}

/// How writes of some keys are treated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// The rule's buckets, by name or by prefix (`state-*`).
    pub buckets: Buckets,
    /// The prefix of the rule's keys; all keys when absent.
    pub prefix: Option<String>,
    /// Whether their writes need a lease of the register.
    pub mode: RuleMode,
    /// What their reads may show where the store lags.
    pub consistency: Consistency,
    /// The condition that their writes must carry; none when absent.
    pub require: Option<Require>,
    /// Configurations that are allowed for these buckets although `require` is set.
    pub allow_configuration: Vec<String>,
}

impl Rule {
    /// The prefix of its keys; empty for all.
    pub(super) fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// Whether the rule applies to this key.
    pub fn fits(&self, bucket: &str, key: &str) -> bool {
        self.buckets.contains(bucket) && key.starts_with(self.prefix())
    }
}

/// A set of buckets: at least one pattern, after `validate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct Buckets(pub Vec<BucketPattern>);

/// A bucket, or all buckets with a common prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BucketPattern {
    /// Exactly this bucket.
    Name(String),
    /// All with this prefix; written with a trailing `*`.
    Prefix(String),
}

impl Default for Buckets {
    /// All of them.
    fn default() -> Self {
        Self(vec![BucketPattern::Prefix(String::new())])
    }
}

impl Buckets {
    /// Whether this bucket is one of them.
    pub fn contains(&self, bucket: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(bucket))
    }
}

impl BucketPattern {
    /// Whether every bucket that `other` matches is matched here too.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Name(name)) => self.matches(name),
            (Self::Prefix(prefix), Self::Prefix(longer)) => longer.starts_with(prefix),
            (Self::Name(_), Self::Prefix(_)) => false,
        }
    }

    /// Whether a bucket can have such a name. The only `*` allowed is the one at the end.
    pub(super) fn can_be(&self) -> bool {
        match self {
            Self::Name(name) => !name.is_empty() && !name.contains(['*', '/']),
            Self::Prefix(prefix) => !prefix.contains(['*', '/']),
        }
    }

    /// Whether this bucket matches.
    pub fn matches(&self, bucket: &str) -> bool {
        match self {
            Self::Name(name) => name == bucket,
            Self::Prefix(prefix) => bucket.starts_with(prefix),
        }
    }
}

impl From<Vec<String>> for Buckets {
    fn from(texts: Vec<String>) -> Self {
        Self(texts.into_iter().map(BucketPattern::from).collect())
    }
}

impl From<Buckets> for Vec<String> {
    fn from(buckets: Buckets) -> Self {
        buckets.0.iter().map(BucketPattern::to_string).collect()
    }
}

impl From<String> for BucketPattern {
    fn from(text: String) -> Self {
        match text.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Name(text),
        }
    }
}

impl fmt::Display for BucketPattern {
    /// The form in the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}
