//! `ifmatch register list`: the keys that the register knows.

use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::forms::{Believed, age_text, lease_text, printable, state_text};
use super::items::{Items, Progress};
use super::target::Range;
use super::{Failure, open_both};
use crate::audit::Known;
use crate::cli::settings::Settings;
use crate::register::Observation;
use crate::s3::ObjectName;

/// How many keys are asked about at the same time.
const AT_ONCE: usize = 32;

/// `ifmatch register list`
#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    settings: Settings,
    /// The bucket, and what the keys begin with.
    #[arg(value_name = "BUCKET[/PREFIX]")]
    range: String,
    /// Only keys that were written less than register.lag ago, in their order.
    #[arg(long)]
    young: bool,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

/// A key, as JSON has it.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    key: &'a str,
    #[serde(flatten)]
    register: Believed,
}

/// What all keys say together.
#[derive(Debug, Serialize)]
struct Summary {
    keys: u64,
    incomplete: bool,
}

impl List {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let range = Range::parse(&self.range)?;
        let config = self.settings.load(None)?;
        if self.young && config.register.terms.lag.is_zero() {
            return Err(Failure::Usage(
                "--young: no key is young, as register.lag is 0s".to_owned(),
            ));
        }
        let auditor = open_both(&config).await?;
        auditor.needs_bucket(&range.bucket).await?;
        let of = if self.young { Known::young } else { Known::all };
        let mut known = of(&range.bucket, &range.prefix);
        let (mut items, progress) = (Items::begin(self.json, &range, "keys")?, Progress::begin());
        let mut keys = 0;
        while let Some(page) = auditor.next_keys(&mut known).await? {
            let observing = page.into_iter().map(async |name| {
                let observed = auditor.observe(&name).await;
                (name, observed)
            });
            let mut observed = stream::iter(observing).buffered(AT_ONCE);
            while let Some((name, observed)) = observed.next().await {
                let observed = observed?;
                let document =
                    Listed { key: name.key.as_str(), register: Believed::from(&observed) };
                items.add(&line(&name, &observed), &document)?;
                keys += 1;
            }
            items.flush()?;
            progress.tell(keys);
        }
        progress.end();
        let incomplete = known.is_incomplete();
        items.end(&summary(keys, incomplete), &Summary { keys, incomplete })
    }
}

/// Key, state, generation, age and lease, with tabs between them.
fn line(name: &ObjectName, observed: &Observation) -> String {
    let generation =
        observed.generation.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let young = if observed.young_for.is_zero() { "" } else { ", young" };
    let landed = age_text(observed.landed);
    [
        printable(name.key.as_str()),
        state_text(&observed.state),
        generation,
        format!("{landed}{young}"),
        lease_text(observed),
    ]
    .join("\t")
}

fn summary(keys: u64, incomplete: bool) -> String {
    let more = if incomplete { "; the register does not know all" } else { "" };
    format!("{keys} keys{more}")
}
