//! What holds for all keys of a bucket: by the configuration, and by the store.

use http::StatusCode;
use serde::Serialize;

use super::auditor::{Trouble, needs_bucket};
use crate::backend::HttpStore;
use crate::config::{Config, Consistency, Rule, RuleMode};
use crate::register::Writers;
use crate::s3::BucketName;
use crate::s3::configuration::versioning_status;
use crate::s3::documents::parse_store_error;
use crate::s3::encoding::encode_path;

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Versioning {
    /// Of each write and of each delete.
    Enabled,
    /// Those of earlier writes.
    Suspended,
    /// None.
    Never,
    /// The store does not say it.
    Unknown,
}

/// What may be required of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Requirement {
    /// Reads and listings of all its keys show nothing older than what was acknowledged
    /// (`consistency = "guarded"`).
    Guarded,
    /// All writers go through the proxies (`writers = "exclusive"`).
    Exclusive,
    /// It keeps versions.
    Versioned,
}

impl Requirement {
    /// Does it hold?
    pub fn holds(self, config: &Config, bucket: &BucketName, versioning: Versioning) -> bool {
        match self {
            Self::Guarded => is_guarded(&config.rules, bucket),
            Self::Exclusive => config.register.terms.writers == Writers::Exclusive,
            Self::Versioned => versioning == Versioning::Enabled,
        }
    }

    /// Its word in the arguments.
    pub fn word(self) -> &'static str {
        match self {
            Self::Guarded => "guarded",
            Self::Exclusive => "exclusive",
            Self::Versioned => "versioned",
        }
    }

    /// All of them.
    pub const ALL: [Self; 3] = [Self::Guarded, Self::Exclusive, Self::Versioned];
}

/// The rules about keys of this bucket, in their order: the first that fits a key decides.
pub fn rules_of<'a>(rules: &'a [Rule], bucket: &BucketName) -> Vec<&'a Rule> {
    rules.iter().filter(|rule| rule.buckets.contains(bucket.as_str())).collect()
}

/// Are the reads of all keys of this bucket guarded?
fn is_guarded(rules: &[Rule], bucket: &BucketName) -> bool {
    for rule in rules_of(rules, bucket) {
        if rule.mode == RuleMode::Pass || rule.consistency != Consistency::Guarded {
            return false;
        }
        if rule.prefix.as_ref().is_none_or(String::is_empty) {
            return true;
        }
    }
    false
}

/// Asks the store whether a bucket keeps versions.
pub async fn versioning(store: &HttpStore, bucket: &BucketName) -> Result<Versioning, Trouble> {
    needs_bucket(store, bucket).await?;
    let path = format!("/{}", encode_path(bucket.as_str()));
    let answer = store.read(&path, &[("versioning", "")]).await;
    let answer = answer.map_err(|why| Trouble::Store(bucket.to_string(), why))?;
    match answer.status {
        StatusCode::OK => Ok(match versioning_status(&answer.body).as_deref() {
            Some("Enabled") => Versioning::Enabled,
            Some("Suspended") => Versioning::Suspended,
            Some("") => Versioning::Never,
            Some(_) | None => Versioning::Unknown,
        }),
        status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
            Err(Trouble::Store(bucket.to_string(), format!("it answered {status}")))
        }
        _ if parse_store_error(&answer.body).is_some_and(|error| error.code == "NoSuchBucket") => {
            Err(Trouble::NoBucket(bucket.to_string()))
        }
        _ => Ok(Versioning::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Buckets;

    fn rule(prefix: Option<&str>, consistency: Consistency, mode: RuleMode) -> Rule {
        Rule { prefix: prefix.map(str::to_owned), consistency, mode, ..Rule::default() }
    }

    #[test]
    fn a_bucket_is_guarded_if_all_its_keys_are() {
        let bucket = BucketName::parse("tables").unwrap();
        let guarded = |prefix| rule(prefix, Consistency::Guarded, RuleMode::Guard);
        let store = |prefix| rule(prefix, Consistency::Store, RuleMode::Guard);
        let other = Rule { buckets: Buckets::from(vec!["logs-*".to_owned()]), ..store(None) };
        for (rules, expected) in [
            (vec![], false),
            (vec![guarded(None)], true),
            (vec![guarded(Some(""))], true),
            (vec![guarded(Some("a/"))], false),
            (vec![guarded(Some("a/")), guarded(None)], true),
            (vec![store(Some("a/")), guarded(None)], false),
            (vec![guarded(None), store(Some("a/"))], true),
            (vec![other, guarded(None)], true),
            (vec![rule(None, Consistency::Guarded, RuleMode::Pass)], false),
        ] {
            assert_eq!(is_guarded(&rules, &bucket), expected, "{rules:?}");
        }
    }

    #[test]
    fn each_requirement_is_about_one_thing() {
        let bucket = BucketName::parse("tables").unwrap();
        let mut config = Config::default();
        let held = |config: &Config, versioning| {
            Requirement::ALL.map(|required| required.holds(config, &bucket, versioning))
        };
        assert_eq!(held(&config, Versioning::Never), [false; 3]);
        assert_eq!(held(&config, Versioning::Suspended), [false; 3]);
        assert_eq!(held(&config, Versioning::Enabled), [false, false, true]);
        config.register.terms.writers = Writers::Exclusive;
        assert_eq!(held(&config, Versioning::Unknown), [false, true, false]);
    }
}
