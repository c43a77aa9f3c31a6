//! `ifmatch bucket-info`: what holds for the keys of a bucket.

use clap::Args;
use serde::Serialize;

use super::Failure;
use super::target::Range;
use crate::audit::bucket::{Requirement, Versioning, rules_of, versioning};
use crate::cli::settings::Settings;
use crate::config::{Config, Consistency, RegisterKind, Require, Rule, RuleMode};
use crate::register::Writers;
use crate::s3::BucketName;
use crate::server::open_store;
use crate::units::show_duration;

/// `ifmatch bucket-info`
#[derive(Debug, Args)]
pub(in crate::cli) struct BucketInfo {
    #[command(flatten)]
    settings: Settings,
    /// The bucket.
    bucket: String,
    /// Fail unless these hold: several with a comma between them.
    #[arg(long, value_delimiter = ',', value_name = "WHAT")]
    require: Vec<Requirement>,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// All facts, as JSON has them.
#[derive(Debug, Serialize)]
struct Facts<'a> {
    bucket: &'a str,
    writers: Writers,
    /// `redis` or `memory`.
    register: &'static str,
    lag: String,
    spacing: String,
    versioning: Versioning,
    rules: Vec<&'a Rule>,
    guarded: bool,
    exclusive: bool,
    versioned: bool,
    /// What was required and does not hold.
    missing: Vec<Requirement>,
}

impl BucketInfo {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        tokio::runtime::Runtime::new()?.block_on(self.told())
    }

    async fn told(self) -> Result<(), Failure> {
        let range = Range::parse(&self.bucket)?;
        if !range.prefix.is_empty() {
            return Err(Failure::Usage(format!("{:?} names more than a bucket", self.bucket)));
        }
        let config = self.settings.load(None)?;
        let store = open_store(&config).await?;
        let versioning = versioning(&store, &range.bucket).await?;
        let facts = Facts::of(&config, &range.bucket, versioning, &self.require);
        if self.json {
            let text = serde_json::to_string_pretty(&facts);
            println!("{}", text.map_err(|error| Failure::Run(error.to_string()))?);
        } else {
            print!("{}", facts.text());
        }
        facts.verdict()
    }
}

impl<'a> Facts<'a> {
    fn of(
        config: &'a Config,
        bucket: &'a BucketName,
        versioning: Versioning,
        required: &[Requirement],
    ) -> Self {
        let holds = |what: Requirement| what.holds(config, bucket, versioning);
        let [guarded, exclusive, versioned] = Requirement::ALL.map(holds);
        let terms = &config.register.terms;
        Self {
            bucket: bucket.as_str(),
            writers: terms.writers,
            register: match config.register.kind {
                RegisterKind::Memory { .. } => "memory",
                RegisterKind::Redis(_) => "redis",
            },
            lag: show_duration(terms.lag),
            spacing: show_duration(terms.spacing),
            versioning,
            rules: rules_of(&config.rules, bucket),
            guarded,
            exclusive,
            versioned,
            missing: required.iter().copied().filter(|what| !holds(*what)).collect(),
        }
    }

    /// The lines: a word and its value each.
    fn text(&self) -> String {
        let writers = match self.writers {
            Writers::Shared => "shared: others may go around the proxies",
            Writers::Exclusive => "exclusive: all go through the proxies",
        };
        let versioning = match self.versioning {
            Versioning::Enabled => "enabled",
            Versioning::Suspended => "suspended",
            Versioning::Never => "never enabled",
            Versioning::Unknown => "the store does not say it",
        };
        let yes_or_no = |holds| if holds { "yes" } else { "no" };
        let mut lines = vec![
            ("bucket", self.bucket.to_owned()),
            ("writers", writers.to_owned()),
            ("register", self.register.to_owned()),
            ("lag", self.lag.clone()),
            ("spacing", self.spacing.clone()),
            ("versioning", versioning.to_owned()),
        ];
        lines.extend(self.rules.iter().map(|rule| ("rule", rule_text(rule))));
        if self.rules.is_empty() {
            lines.push(("rule", "none: writes are guarded, and need no condition".to_owned()));
        }
        let held = [self.guarded, self.exclusive, self.versioned];
        let held = Requirement::ALL.into_iter().zip(held);
        lines.extend(held.map(|(what, holds)| (what.word(), yes_or_no(holds).to_owned())));
        let lines = lines.into_iter().map(|(name, value)| format!("{name:<11} {value}\n"));
        lines.collect::<Vec<_>>().concat()
    }

    /// The error names what was required and does not hold.
    fn verdict(&self) -> Result<(), Failure> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let words: Vec<_> = self.missing.iter().map(|what| what.word()).collect();
        Err(Failure::Run(format!("the bucket is not {}", words.join(", and not "))))
    }
}

/// A rule, as the file has it.
fn rule_text(rule: &Rule) -> String {
    let keys = match rule.prefix.as_deref().unwrap_or_default() {
        "" => "all keys".to_owned(),
        prefix => format!("keys with prefix {prefix:?}"),
    };
    let mode = match rule.mode {
        RuleMode::Guard => "guard",
        RuleMode::Pass => "pass",
    };
    let consistency = match rule.consistency {
        Consistency::Store => "store",
        Consistency::Guarded => "guarded",
    };
    let require = match rule.require {
        None => "",
        Some(Require::CreateOnly) => ", require = \"create-only\"",
        Some(Require::MustBeConditional) => ", require = \"must-be-conditional\"",
    };
    format!("{keys}: mode = \"{mode}\", consistency = \"{consistency}\"{require}")
}
