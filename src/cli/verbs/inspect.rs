//! `ifmatch register inspect`: what the register believes of one key, beside what the store shows now.

use clap::Args;
use serde::Serialize;

use super::forms::{
    Believed, Shown, age_text, current_text, lease_text, printable, rounded, state_text,
};
use super::{Failure, open_both, target};
use crate::audit::{Belief, Look, Views};
use crate::cli::settings::Settings;
use crate::register::Observation;
use crate::s3::ObjectName;

/// `ifmatch register inspect`
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    #[command(flatten)]
    settings: Settings,
    /// The key, such as `tables/a/b`.
    #[arg(value_name = "BUCKET/KEY")]
    key: String,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Document<'a> {
    bucket: &'a str,
    key: &'a str,
    register: Believed,
    store: Shown,
    finding: Belief,
    young: bool,
    meaning: &'static str,
}

impl Inspect {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let config = self.settings.load(None)?;
        let name = target::parse_name(&self.key, config.backend.segments())?;
        let auditor = open_both(&config).await?;
        auditor.needs_bucket(&name.bucket).await?;
        let look = auditor.compare(&name, Views::Head).await?;
        let meaning = look.finding.sentence(config.register.terms.writers);
        if self.json {
            let document = document(&name, &look, meaning);
            let text = serde_json::to_string_pretty(&document);
            println!("{}", text.map_err(|error| Failure::Run(error.to_string()))?);
        } else {
            print!("{}", text(&name, &look, meaning));
        }
        if look.finding.is_failure() {
            return Err(Failure::Run(CONTRADICTED.to_owned()));
        }
        Ok(())
    }
}

/// Why the command fails.
const CONTRADICTED: &str = "the store contradicts the register's record, and the key is not young";

fn document<'a>(name: &'a ObjectName, look: &Look, meaning: &'static str) -> Document<'a> {
    Document {
        bucket: name.bucket.as_str(),
        key: name.key.as_str(),
        register: Believed::from(&look.observed),
        store: Shown::from(&look.seen),
        finding: look.finding.belief,
        young: look.finding.is_young,
        meaning,
    }
}

/// The lines: a word and its value each, and what both mean.
fn text(name: &ObjectName, look: &Look, meaning: &str) -> String {
    let Observation { state, generation, landed, young_for, quarantine, .. } = &look.observed;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".to_owned());
    let size = look.seen.size_bytes.map(|size| format!(", {size} bytes")).unwrap_or_default();
    let mut lines = vec![
        ("key", printable(&name.to_string())),
        ("register", state_text(state)),
        ("generation", or_none(generation.as_ref().map(ToString::to_string))),
        ("landed", age_text(*landed)),
        ("lease", lease_text(&look.observed)),
    ];
    if !young_for.is_zero() {
        lines.push(("young", format!("for {} more", rounded(*young_for))));
    }
    if !quarantine.is_zero() {
        lines.push(("quarantine", format!("{} left: no lease is granted", rounded(*quarantine))));
    }
    lines.push(("store", format!("{}{size}", current_text(&look.seen.current))));
    let lines = lines.into_iter().map(|(name, value)| format!("{name:<11} {value}\n"));
    lines.chain([format!("{meaning}\n")]).collect()
}
