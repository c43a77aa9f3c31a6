//! How keys are treated: each `[[rule]]`.

use super::clients;
use super::keys::rule_path;
use super::reading::Reading;
use super::rules;
use super::settings::{BucketPattern, Require, Rule, RuleMode};

/// The rules numbered from 1 to `count`. The first that fits a key decides, so one that says the
/// same as an earlier one about the same keys is a fault, and one that never decides is told.
pub(super) fn read(reading: &mut Reading, count: usize) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for number in 1..=count {
        let rule = read_one(reading, number);
        let buckets = rule_path(number, "buckets");
        if let Some(twin) = rules.iter().position(|known| are_about_the_same(known, &rule)) {
            let message = format!("is about the same keys as rule #{}; keep one", twin + 1);
            reading.faults.push(buckets, message);
        } else if is_covered(&rules, &rule) && !reading.faults.any_at(&[&buckets]) {
            reading.warnings.push(format!(
                "rule #{number} never decides: earlier rules are about all of its keys; the \
                 first that fits decides, so write the narrower one first"
            ));
        }
        rules.push(rule);
    }
    rules
}

fn read_one(reading: &mut Reading, number: usize) -> Rule {
    let path = |name: &str| rule_path(number, name);
    let names = reading.value(&path("buckets"));
    let if_empty = "this rule would be about nothing";
    let buckets = clients::buckets(reading, &path("buckets"), names, if_empty);
    let prefix = reading.optional::<String>(&path("prefix")).unwrap_or_default();
    let mode = reading.value(&path("mode"));
    let require = reading.optional::<Require>(&path("require"));
    if mode == RuleMode::Pass && require.is_some() {
        reading.warnings.push(format!(
            "rule #{number} passes writes and requires a condition: that one is sent is seen to, \
             whether it holds is left to the store"
        ));
    }
    let configurations = path("allow_configuration");
    let allow_configuration = reading.value::<Vec<String>>(&configurations);
    rules::configurations(reading, &configurations, &allow_configuration);
    if require.is_none() && !allow_configuration.is_empty() {
        reading.warnings.push(format!(
            "rule #{number} requires nothing, so its allow_configuration says nothing"
        ));
    }
    Rule { buckets, prefix, mode, require, allow_configuration }
}

fn are_about_the_same(a: &Rule, b: &Rule) -> bool {
    let all_in = |these: &[BucketPattern], those: &[BucketPattern]| {
        these.iter().all(|pattern| those.contains(pattern))
    };
    a.prefix == b.prefix && all_in(&a.buckets, &b.buckets) && all_in(&b.buckets, &a.buckets)
}

/// Whether for each of its buckets an earlier rule is about all of its keys.
fn is_covered(earlier: &[Rule], rule: &Rule) -> bool {
    rule.buckets.iter().all(|pattern| {
        earlier.iter().any(|known| {
            rule.prefix.starts_with(&known.prefix)
                && known.buckets.iter().any(|wider| wider.covers(pattern))
        })
    })
}
