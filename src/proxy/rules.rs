//! The configured rules: how writes of each key are treated.

use crate::config::{Consistency, Require, Rule, RuleMode};
use crate::s3::conditional::IF_GENERATION_MATCH;
use crate::s3::configuration::{self, Reach};
use crate::s3::{
    BucketName, Dialect, Effect, ObjectName, Operation, Preconditions, RequestHead, Requirement,
    S3Error,
};

/// The rules, in order, and the name of the marker, which no client may touch.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    marker: Option<ObjectName>,
}

/// How writes of a key are treated. By default they are guarded and need no condition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeyPolicy {
    /// Whether its writes are sent to the store without a lease.
    pub(super) unguarded: bool,
    /// Whether its reads may show nothing older than what was acknowledged.
    pub(super) consistent: bool,
    requirement: Option<Requirement>,
}

impl Rules {
    /// The configured rules, and the register's marker.
    pub fn new(rules: &[Rule], marker: Option<&ObjectName>) -> Self {
        Self { rules: rules.to_vec(), marker: marker.cloned() }
    }

    /// Whether a listing of this prefix may have keys whose reads show nothing older than what was
    /// acknowledged.
    pub(super) fn may_be_consistent(&self, bucket: &BucketName, prefix: &str) -> bool {
        self.rules.iter().any(|rule| {
            let of_rule = rule.prefix.as_deref().unwrap_or_default();
            let meet = of_rule.starts_with(prefix) || prefix.starts_with(of_rule);
            rule.consistency == Consistency::Guarded
                && rule.buckets.contains(bucket.as_str())
                && meet
        })
    }

    /// The policy for this key: the first rule that matches decides.
    pub(super) fn policy(&self, name: &ObjectName) -> KeyPolicy {
        if self.marker.as_ref() == Some(name) {
            let requirement = Some(Requirement::Untouchable);
            return KeyPolicy { requirement, ..KeyPolicy::default() };
        }
        let (bucket, key) = (name.bucket.as_str(), name.key.as_str());
        let rule = self.rules.iter().find(|rule| rule.fits(bucket, key));
        rule.map_or_else(KeyPolicy::default, |rule| KeyPolicy {
            unguarded: rule.mode == RuleMode::Pass,
            consistent: rule.consistency == Consistency::Guarded,
            requirement: rule.require.map(|require| match require {
                Require::CreateOnly => Requirement::CreateOnly,
                Require::MustBeConditional => Requirement::Conditional,
            }),
        })
    }
}

impl Rules {
    /// 403 when this configuration may make the store itself write into a bucket where a rule
    /// requires something of writes, unless the rule allows this configuration by name. Where the
    /// document names other buckets, it may name any: then all rules count.
    pub(super) fn check_configuration(&self, bucket: &str, name: &str) -> Result<(), S3Error> {
        let anywhere = configuration::reach(name) == Some(Reach::OtherBuckets);
        let forbids = |rule: &Rule| {
            let fits = anywhere || rule.buckets.contains(bucket);
            let allowed = rule.allow_configuration.iter().any(|allowed| allowed == name);
            rule.require.is_some() && fits && !allowed
        };
        if self.rules.iter().any(forbids) {
            let sentence = format!("{BY_THE_STORE} ({name})");
            return Err(S3Error::access_denied().because(sentence));
        }
        Ok(())
    }
}

impl KeyPolicy {
    /// The condition to judge a request by. Where the key's rule is `mode = "pass"`, the store
    /// judges its conditions, and the proxy reads them only if one is required. 501 for a
    /// generation there: no store knows generations.
    pub(super) fn preconditions(
        self,
        head: RequestHead<'_>,
        operation: Operation,
        dialect: Dialect,
    ) -> Result<Preconditions, S3Error> {
        if self.unguarded && head.headers.contains_key(IF_GENERATION_MATCH) {
            let header = IF_GENERATION_MATCH;
            return Err(S3Error::not_implemented(header.as_str(), Some(NO_GENERATIONS)));
        }
        if self.unguarded && self.requirement.is_none() {
            return Ok(Preconditions::NONE);
        }
        Preconditions::of_write(head, operation, dialect)
    }

    /// 403 when the request lacks the condition that its rule requires.
    pub(super) fn check(
        self,
        operation: Operation,
        preconditions: &Preconditions,
    ) -> Result<(), S3Error> {
        self.check_effect(operation, operation.effect(), preconditions)
    }

    /// The same for an operation with this effect at this store.
    pub(super) fn check_effect(
        self,
        operation: Operation,
        effect: Effect,
        preconditions: &Preconditions,
    ) -> Result<(), S3Error> {
        self.requirement.map_or(Ok(()), |required| required.check(operation, effect, preconditions))
    }
}

const BY_THE_STORE: &str = "A rule of this proxy requires a condition of writes, and by this configuration \
                            the store itself, or others, would write or delete without one. The rule can \
                            allow it by name: allow_configuration";
const NO_GENERATIONS: &str = "Writes of this key pass the register, which alone knows generations";

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method};

    use super::*;
    use crate::config::{BucketPattern, Buckets};
    use crate::http1::fields::Fields;
    use crate::s3::{EmptySegments, ObjectKey, Query};

    fn name(bucket: &str, key: &str) -> ObjectName {
        ObjectName {
            bucket: BucketName::parse(bucket).unwrap(),
            key: ObjectKey::parse(key, EmptySegments::Kept).unwrap(),
        }
    }

    fn rule(bucket: BucketPattern, prefix: &str, mode: RuleMode) -> Rule {
        Rule {
            buckets: Buckets(vec![bucket]),
            prefix: Some(prefix.to_owned()),
            mode,
            consistency: Consistency::Store,
            require: None,
            allow_configuration: Vec::new(),
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_without_one_a_key_is_guarded() {
        let logs = BucketPattern::Prefix("logs-".to_owned());
        let once = Rule {
            require: Some(Require::CreateOnly),
            ..rule(logs.clone(), "wal/", RuleMode::Guard)
        };
        let marker = name("logs-1", "marker");
        let rules = Rules::new(&[once, rule(logs, "", RuleMode::Pass)], Some(&marker));
        let of = |bucket, key| rules.policy(&name(bucket, key));
        let default = KeyPolicy::default;
        let once = KeyPolicy { requirement: Some(Requirement::CreateOnly), ..default() };
        assert_eq!(of("logs-1", "wal/7"), once);
        assert_eq!(of("logs-1", "wal"), KeyPolicy { unguarded: true, ..default() });
        assert_eq!(of("tables", "wal/7"), KeyPolicy::default());
        let untouchable = KeyPolicy { requirement: Some(Requirement::Untouchable), ..default() };
        assert_eq!(of("logs-1", "marker"), untouchable);
        assert!(of("logs-2", "marker").unguarded);
        assert!(!KeyPolicy::default().unguarded);
    }

    #[test]
    fn a_listing_is_consistent_where_a_rule_reaches_into_it() {
        let guarded = |bucket, prefix| Rule {
            consistency: Consistency::Guarded,
            ..rule(BucketPattern::Name(bucket), prefix, RuleMode::Guard)
        };
        let pass = rule(BucketPattern::Name("tables".to_owned()), "wal/tmp/", RuleMode::Pass);
        let rules = Rules::new(&[pass, guarded("tables".to_owned(), "wal/")], None);
        let bucket = |name| BucketName::parse(name).unwrap();
        for (name, prefix, may) in [
            ("tables", "", true),
            ("tables", "w", true),
            ("tables", "wal/1", true),
            ("tables", "x", false),
            ("others", "", false),
        ] {
            assert_eq!(rules.may_be_consistent(&bucket(name), prefix), may, "{name} {prefix}");
        }
    }

    #[test]
    fn what_the_store_would_do_without_a_condition_is_allowed_by_name_only() {
        let once = Rule {
            require: Some(Require::CreateOnly),
            allow_configuration: vec!["lifecycle".to_owned(), "logging".to_owned()],
            ..rule(BucketPattern::Name("tables".to_owned()), "wal/", RuleMode::Guard)
        };
        let free = rule(BucketPattern::Prefix(String::new()), "", RuleMode::Pass);
        let rules = Rules::new(&[once, free], None);
        let may = |bucket, name| rules.check_configuration(bucket, name).is_ok();
        assert!(may("tables", "lifecycle") && !may("tables", "policy"));
        assert!(may("others", "lifecycle") && may("others", "policy"));
        // Replication from any bucket may write into this one. So may logs, but a rule allows them.
        assert!(!may("others", "replication") && may("others", "logging"));
    }

    #[test]
    fn conditions_of_keys_that_pass_are_not_read_unless_one_is_required() {
        let preconditions = |policy: KeyPolicy, name: &'static str| {
            let mut headers = Fields::new();
            headers.insert(name, HeaderValue::from_static("*"));
            let head = RequestHead {
                method: &Method::PUT,
                path: "/b/k",
                query: &Query::default(),
                headers: &headers,
            };
            let preconditions = policy.preconditions(head, Operation::PutObject, Dialect::Aws);
            preconditions.map_err(|error| error.field("Header").map(str::to_owned))
        };
        // A condition that AWS, and so the gate, refuses with 501.
        let refused = || Err(Some("If-Match".to_owned()));
        let passes = KeyPolicy { unguarded: true, ..KeyPolicy::default() };
        assert_eq!(preconditions(passes, "if-match"), Ok(Preconditions::NONE));
        assert_eq!(preconditions(KeyPolicy::default(), "if-match"), refused());
        let required = KeyPolicy { requirement: Some(Requirement::Conditional), ..passes };
        assert_eq!(preconditions(required, "if-match"), refused());
        let own = "x-ifmatch-if-generation-match";
        assert_eq!(preconditions(passes, own), Err(Some(own.to_owned())));
        assert!(required.check(Operation::PutObject, &Preconditions::NONE).is_err());
        assert!(passes.check(Operation::PutObject, &Preconditions::NONE).is_ok());
    }
}
